//! The client's tests on a RISC-V core of 32 bits. The one argument, if any, selects tests by name.
#![no_std]
#![no_main]

use he_board::minstret::Minstret;
use he_firmware::suite;
use riscv_rt::entry;

#[entry]
fn main() -> ! {
    he_board::run_tests(Some(Minstret), suite::cases())
}
