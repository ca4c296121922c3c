//! Tells the linker which memory each image has.

use std::env;

fn main() {
    let directory = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let images = [
        ("monitor", "monitor"),
        ("vault", "monitor"),
        ("application", "application"),
        ("client", "application"),
    ];
    for (binary, memory) in images {
        println!("cargo::rustc-link-arg-bin={binary}=-T{directory}/memory/{memory}.x");
        println!("cargo::rustc-link-arg-bin={binary}=-T{directory}/memory/sections.x");
        println!("cargo::rerun-if-changed=memory/{memory}.x");
    }
    for binary in ["application", "client"] {
        println!("cargo::rustc-link-arg-bin={binary}=-Tdefmt.x");
    }
    println!("cargo::rerun-if-changed=memory/sections.x");
}
