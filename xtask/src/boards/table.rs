//! The boards, one entry each.
//!
//! To add one: write its package under `targets/`, its entry here, and its name in [`ALL`]. `setup`
//! then installs its emulator, `lint` checks its package, `test` runs it (alone with `--target NAME`)
//! and `size` measures its images. A Rust target that is new also goes to `compiler::TARGETS` and
//! `rust-toolchain.toml`.

use super::{Board, Emulator, Image, Reports};

/// Every board.
pub(crate) static ALL: [&Board; 2] = [&MPS2_AN386, &RISCV32_VIRT];

const ARM: Emulator = Emulator { program: "qemu-system-arm", package: "qemu-system-arm" };
const RISCV32: Emulator = Emulator { program: "qemu-system-riscv32", package: "qemu-system-misc" };

/// Most RAM that the client may take, statics and stack together.
const CLIENT_RAM: (&str, u64) = ("ram_bytes", 64 * 1024);

/// The board of the demonstration, with the memory of an nRF52840.
pub(crate) static MPS2_AN386: Board = Board {
    name: "mps2-an386",
    processor: "Cortex-M4F",
    triple: "thumbv7em-none-eabihf",
    emulator: ARM,
    machine: &["-M", "mps2-an386", "-cpu", "cortex-m4"],
    reports: Reports::Semihosting,
    tests: &[&[Image { package: "mps2-an386", binary: "tests" }]],
    is_counted: true,
    budgets: &[CLIENT_RAM, ("encrypt_4096_instructions", 2_200_000)],
};

static RISCV32_VIRT: Board = Board {
    name: "riscv32-virt",
    processor: "RV32IMAC",
    triple: "riscv32imac-unknown-none-elf",
    emulator: RISCV32,
    machine: &["-M", "virt", "-bios", "none", "-m", "16M"],
    reports: Reports::Semihosting,
    tests: &[&[Image { package: "riscv32-virt", binary: "tests" }]],
    is_counted: true,
    budgets: &[CLIENT_RAM],
};
