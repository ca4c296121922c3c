//! Tells the linker where the memory map is. A library's search path would reach the images of others.

use std::env;

fn main() {
    for argument in ["-Tlink.x", "-Tdefmt.x", "--nmagic"] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    let directory = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    println!("cargo::rustc-link-arg-bins=-L{directory}");
    println!("cargo::rerun-if-changed=memory.x");
}
