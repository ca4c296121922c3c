//! The board: its memory, its counter of cycles, and what it remembers.

use core::fmt::Arguments;
use cortex_m::peripheral::DWT;
use he_firmware::machine::{Entropy, Exhausted, Machine, Memory};
use he_firmware::persistent::{Pages, Persistent};
use he_firmware::stack::Stack;
use nrf_pac::{NVMC, RNG};
use nrf52840_client::flash::Flash;
use nrf52840_client::noise::RandomBytes;

/// Bytes of a page.
const PAGE: usize = 4096;

unsafe extern "C" {
    static __sdata: u32;
    static __euninit: u32;
    static _stack_start: u32;
    static _pages: u32;
}

/// The board, once taken.
pub(crate) struct Board {
    /// Cycles at the last look, and all of them.
    last: u32,
    cycles: u64,
    stack: Stack,
    statics: usize,
    kept: Result<Persistent<RandomBytes, Flash<PAGE>>, Exhausted>,
}

impl Board {
    /// Starts the counter, paints the stack, masks interrupts, which from here on only wake the
    /// processor, and opens what the board remembers. What is lacking shows when it is needed. `None` if
    /// the board was already taken.
    pub(crate) fn take() -> Option<Self> {
        let mut processor = cortex_m::Peripherals::take()?;
        cortex_m::interrupt::disable();
        processor.DCB.enable_trace();
        processor.DWT.enable_cycle_counter();
        let (start, end) = ((&raw const __sdata).addr(), (&raw const __euninit).addr());
        // SAFETY: the linker script puts the stack, and nothing else, from the end of the last
        // static to `_stack_start`; there is one processor and no heap.
        let stack = unsafe { Stack::new(end, (&raw const _stack_start).addr()) };
        stack.paint();
        let kept = Persistent::open(RandomBytes::new(RNG), pages());
        Some(Self { last: 0, cycles: 0, stack, statics: end - start, kept })
    }

    /// A number for a stream to the server, to tell it from earlier ones.
    pub(crate) fn session(&mut self) -> u32 {
        // Without randomness nothing will be sent, which the client says itself.
        let [a, b, c, d, ..] = self.fresh().unwrap_or_default();
        u32::from_le_bytes([a, b, c, d])
    }

    fn kept(&mut self) -> Result<&mut Persistent<RandomBytes, Flash<PAGE>>, Exhausted> {
        self.kept.as_mut().map_err(|lack| *lack)
    }
}

/// The seven pages behind the image.
fn pages() -> Pages<Flash<PAGE>> {
    let start = (&raw const _pages).addr();
    // SAFETY: `memory.x` keeps these pages for what the board remembers; each is given away once, here, and
    // `Board::take` calls this once.
    let part =
        |first: usize, count| unsafe { Flash::new(NVMC, start + first * PAGE, count * PAGE) };
    Pages { key: part(0, 1), version: part(1, 2), numbers: part(3, 2), slots: part(5, 2) }
}

impl Machine for Board {
    /// Cycles: a chip counts no instructions. The counter stands still while the processor sleeps, and wraps
    /// every 67 seconds of work, which is longer than anything that is measured.
    fn instructions(&mut self) -> u64 {
        let now = DWT::cycle_count();
        self.cycles += u64::from(now.wrapping_sub(self.last));
        self.last = now;
        self.cycles
    }

    fn ram_high_water(&self) -> usize {
        self.statics + self.stack.deepest()
    }

    /// To nobody: the operator's port is the client's.
    fn print(&mut self, _: Arguments<'_>) {}
}

impl Entropy for Board {
    fn fresh(&mut self) -> Result<[u8; 32], Exhausted> {
        self.kept()?.fresh()
    }

    fn sequence(&mut self) -> Result<u64, Exhausted> {
        self.kept()?.sequence()
    }
}

impl Memory for Board {
    fn recall(&mut self, secrets: &mut [u8]) -> Result<bool, Exhausted> {
        self.kept()?.recall(secrets)
    }

    fn keep(&mut self, secrets: &mut [u8], first: u64) -> Result<(), Exhausted> {
        self.kept()?.keep(secrets, first)
    }

    fn forget(&mut self) -> Result<(), Exhausted> {
        self.kept()?.forget()
    }
}
