//! The tests for the smallest devices, on a Cortex-M0. The one argument, if any, selects tests by name.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use he_board::systick::SysTick;
use he_firmware::suite;

/// The processor's clock, 12.5 MHz, in picoseconds.
const TICK: u32 = 80_000;

#[entry]
fn main() -> ! {
    he_board::run_tests(SysTick::start(TICK), suite::small_cases())
}
