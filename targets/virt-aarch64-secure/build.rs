//! Tells the linker which world each image is for.

use std::env;

fn main() {
    let directory = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let worlds = [
        ("secure", "secure"),
        ("secure_tests", "secure"),
        ("authority", "normal"),
        ("tests", "normal"),
    ];
    for (binary, world) in worlds {
        println!("cargo::rustc-link-arg-bin={binary}=-T{directory}/memory/{world}/link.x");
        println!("cargo::rerun-if-changed=memory/{world}/link.x");
    }
}
