//! Tells the linker where the memory map is.

use std::env;

fn main() {
    let directory = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    println!("cargo::rustc-link-arg-bins=-T{directory}/link.x");
    println!("cargo::rerun-if-changed=link.x");
}
