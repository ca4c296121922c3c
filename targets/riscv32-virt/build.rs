//! Tells the linker where the memory map is.

use std::env;

fn main() {
    let directory = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    println!("cargo::rustc-link-search={directory}");
    println!("cargo::rerun-if-changed=memory.x");
}
