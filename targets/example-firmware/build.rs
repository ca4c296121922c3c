//! Tells the linker where the memory map is: that of the chip that `HE_CHIP` names, a folder in `memory`.

use std::env;

fn main() {
    let is_riscv = env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "riscv32");
    let usual = if is_riscv { "riscv32-virt" } else { "nrf52840" };
    let chip = env::var("HE_CHIP").unwrap_or_else(|_| usual.to_owned());
    let directory = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    println!("cargo::rustc-link-arg-bins=-L{directory}/memory/{chip}");
    let scripts: &[_] = if is_riscv { &["memory.x", "link.x"] } else { &["link.x"] };
    for script in scripts {
        println!("cargo::rustc-link-arg-bins=-T{script}");
    }
    println!("cargo::rustc-link-arg-bins=--nmagic");
    println!("cargo::rerun-if-changed=memory");
    println!("cargo::rerun-if-env-changed=HE_CHIP");
}
