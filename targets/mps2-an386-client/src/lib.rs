//! The board of the client: an MPS2 AN386 that remembers.
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

use core::fmt::Arguments;
use he_board::systick::SysTick;
use he_emulated::Lent;
use he_firmware::machine::{Entropy, Exhausted, Machine, Memory};
use mps2_an386::TICK;

/// The board, once taken.
#[expect(missing_debug_implementations, reason = "holds a key")]
pub struct Board {
    machine: he_board::Board<SysTick>,
    lent: Lent,
}

impl Board {
    /// Starts the timer, paints the stack, masks interrupts, which from here on only wake the processor,
    /// and opens what the board remembers in the file that the program's argument names. What is
    /// lacking shows when it is needed. `None` if the board was already taken.
    #[must_use]
    pub fn take() -> Option<Self> {
        let machine = he_board::Board::take(SysTick::start(TICK)?)?;
        cortex_m::interrupt::disable();
        Some(Self { machine, lent: Lent::open(1) })
    }

    /// A number for a stream to the server, to tell it from earlier ones.
    pub fn session(&mut self) -> u32 {
        // Without randomness nothing will be sent, which the client says itself.
        let [a, b, c, d, ..] = self.fresh().unwrap_or_default();
        u32::from_le_bytes([a, b, c, d])
    }
}

impl Machine for Board {
    fn instructions(&mut self) -> u64 {
        self.machine.instructions()
    }

    fn resolution(&self) -> u64 {
        self.machine.resolution()
    }

    fn ram_high_water(&self) -> usize {
        self.machine.ram_high_water()
    }

    fn print(&mut self, line: Arguments<'_>) {
        self.machine.print(line);
    }
}

/// The board has neither noise nor flash that keeps anything; the nRF52840 has both. The emulator lends
/// the host's.
impl Entropy for Board {
    fn fresh(&mut self) -> Result<[u8; 32], Exhausted> {
        self.lent.fresh()
    }

    fn sequence(&mut self) -> Result<u64, Exhausted> {
        self.lent.sequence()
    }
}

impl Memory for Board {
    fn recall(&mut self, secrets: &mut [u8]) -> Result<bool, Exhausted> {
        self.lent.recall(secrets)
    }

    fn keep(&mut self, secrets: &mut [u8], first: u64) -> Result<(), Exhausted> {
        self.lent.keep(secrets, first)
    }

    fn forget(&mut self) -> Result<(), Exhausted> {
        self.lent.forget()
    }
}
