//! The MPS2 AN386 board: three serial ports, a timer that counts instructions, the stack.
//!
//! Register layouts: Arm DDI 0479 (Cortex-M System Design Kit), sections 4.2 (timer) and 4.3 (UART).
#![no_std]
#![warn(missing_docs)]

pub mod timer;
pub mod uart;

use core::fmt::Arguments;
use core::sync::atomic::{AtomicBool, Ordering};
use cortex_m as _; // The critical sections that defmt's logger asks for.
use he_firmware::machine::{Entropy, Exhausted, Machine};
use he_firmware::stack::Stack;
use semihosting::experimental::{random, time::SystemTime};
use timer::Timer;

unsafe extern "C" {
    static mut __sdata: u32;
    static mut __euninit: u32;
    static mut _stack_start: u32;
}

/// The board, once taken.
#[derive(Debug)]
pub struct Board {
    timer: Timer,
    stack: Stack,
    statics: usize,
    exchanges: u32,
}

impl Board {
    /// Starts the timer, paints the stack, and masks interrupts, which from here on only wake the
    /// processor. `None` if the board was already taken.
    #[must_use]
    pub fn take() -> Option<Self> {
        static TAKEN: AtomicBool = AtomicBool::new(false);
        if TAKEN.swap(true, Ordering::Relaxed) {
            return None;
        }
        cortex_m::interrupt::disable();
        let start = (&raw const __sdata).addr();
        let end = (&raw const __euninit).addr();
        // SAFETY: the linker script puts the stack, and nothing else, from the end of the last
        // static to `_stack_start`; there is one processor and no heap.
        let stack = unsafe { Stack::new(end, (&raw const _stack_start).addr()) };
        stack.paint();
        Some(Self { timer: Timer::start(), stack, statics: end - start, exchanges: 0 })
    }
}

impl Machine for Board {
    fn instructions(&mut self) -> u64 {
        self.timer.instructions()
    }

    fn ram_high_water(&self) -> usize {
        self.statics + self.stack.deepest()
    }

    fn print(&mut self, line: Arguments<'_>) {
        semihosting::println!("{line}");
    }
}

/// The board has neither a random number generator nor a clock that survives a restart; the nRF52840
/// has both (RNG, and a counter kept in flash). The emulator lends the host's.
impl Entropy for Board {
    fn fresh(&mut self) -> Result<[u8; 32], Exhausted> {
        let mut bytes = [0; 32];
        random::fill_bytes(&mut bytes).map_err(|_| Exhausted::Randomness)?;
        Ok(bytes)
    }

    fn sequence(&mut self) -> Result<u64, Exhausted> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let seconds = now.map_err(|_| Exhausted::Numbers)?.as_secs();
        self.exchanges += 1;
        // Nanoseconds, as the other clients of the same server count.
        Ok(seconds * 1_000_000_000 + u64::from(self.exchanges))
    }
}

/// Says why and stops the emulator with a status of its own.
#[cfg(target_os = "none")]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    semihosting::eprintln!("{info}");
    semihosting::process::exit(101)
}
