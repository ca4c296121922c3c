//! Tells the linker which memory each image has: the client a real device's, the tests the board's.

use std::env;

fn main() {
    for script in ["-Tlink.x", "-Tdefmt.x", "--nmagic"] {
        println!("cargo::rustc-link-arg-bins={script}");
    }
    let directory = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    for (binary, memory) in [("client", "nrf52840"), ("tests", "board")] {
        println!("cargo::rustc-link-arg-bin={binary}=-L{directory}/memory/{memory}");
        println!("cargo::rerun-if-changed=memory/{memory}/memory.x");
    }
}
