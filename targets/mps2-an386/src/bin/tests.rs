//! The client's tests on the board. The one argument, if any, selects tests by name.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use he_board::systick::SysTick;
use he_firmware::suite;

#[entry]
fn main() -> ! {
    he_board::run_tests(SysTick::start(mps2_an386::TICK), suite::cases())
}
