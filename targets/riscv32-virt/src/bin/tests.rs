//! The client's tests on a RISC-V core. The one argument, if any, selects tests by name.
#![no_std]
#![no_main]

use he_firmware::{harness, suite};
use riscv_rt::entry;
use riscv32_virt::Board;
use semihosting::{experimental::env, process};

#[entry]
fn main() -> ! {
    let Some(mut board) = Board::take() else { process::exit(2) };
    let Ok(arguments) = env::args::<256>() else { process::exit(2) };
    let filter = (&arguments).nth(1).and_then(Result::ok).unwrap_or("");
    let failed = harness::run_all(&mut board, &suite::cases(), filter);
    process::exit(i32::from(failed != 0))
}
