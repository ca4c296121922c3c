//! The client's tests on a Cortex-M33, all in the secure world. The one argument, if any, selects tests by name.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use he_board::systick::SysTick;
use he_firmware::suite;

/// The processor's clock, 20 MHz, in picoseconds.
const TICK: u32 = 50_000;

#[entry]
fn main() -> ! {
    he_board::run_tests(SysTick::start(TICK), suite::cases())
}
