//! The client's tests on a Cortex-M7. The one argument, if any, selects tests by name.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use he_board::systick::SysTick;
use he_firmware::suite;

/// The processor's clock, 25 MHz, in picoseconds.
const TICK: u32 = 40_000;

#[entry]
fn main() -> ! {
    he_board::run_tests(SysTick::start(TICK), suite::cases())
}
