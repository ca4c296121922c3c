//! Tells the linker which memory each image has.

use std::env;

fn main() {
    let directory = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    for (binary, memory) in [("monitor", "monitor"), ("application", "application")] {
        println!("cargo::rustc-link-arg-bin={binary}=-T{directory}/memory/{memory}.x");
        println!("cargo::rustc-link-arg-bin={binary}=-T{directory}/memory/sections.x");
        println!("cargo::rerun-if-changed=memory/{memory}.x");
    }
    println!("cargo::rustc-link-arg-bin=application=-Tdefmt.x");
    println!("cargo::rerun-if-changed=memory/sections.x");
}
