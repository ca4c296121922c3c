//! The MPS2 AN386 board: its three serial ports, and what the emulator lends it.
//!
//! Register layout: Arm DDI 0479 (Cortex-M System Design Kit), section 4.3 (UART).
#![no_std]
#![warn(missing_docs)]

pub mod uart;

use core::fmt::Arguments;
use he_board::systick::SysTick;
use he_firmware::machine::{Entropy, Exhausted, Machine};
use semihosting::experimental::{random, time::SystemTime};

/// The processor's clock, 25 MHz, in picoseconds.
pub const TICK: u32 = 40_000;

/// The board, once taken.
#[derive(Debug)]
pub struct Board {
    machine: he_board::Board<SysTick>,
    exchanges: u32,
}

impl Board {
    /// Starts the timer, paints the stack, and masks interrupts, which from here on only wake the
    /// processor. `None` if the board was already taken.
    #[must_use]
    pub fn take() -> Option<Self> {
        let machine = he_board::Board::take(SysTick::start(TICK)?)?;
        cortex_m::interrupt::disable();
        Some(Self { machine, exchanges: 0 })
    }
}

impl Machine for Board {
    fn instructions(&mut self) -> u64 {
        self.machine.instructions()
    }

    fn ram_high_water(&self) -> usize {
        self.machine.ram_high_water()
    }

    fn print(&mut self, line: Arguments<'_>) {
        self.machine.print(line);
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
