//! The system timer of every Cortex-M as an instruction counter.
//!
//! QEMU models no cycle counter. With `-icount shift=0` one instruction takes one nanosecond of the
//! board's time, so a tick is as many instructions as the processor's clock has nanoseconds.

use crate::Counter;
use cortex_m::Peripherals;
use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;

/// The counter has 24 bits.
const MASK: u32 = 0x00ff_ffff;

/// The running timer.
#[expect(missing_debug_implementations, reason = "the peripheral has none")]
pub struct SysTick {
    timer: SYST,
    tick: u64,
    ticks: u64,
}

impl SysTick {
    /// Starts the timer of a processor whose clock ticks every `tick` picoseconds. `None` if the
    /// processor's peripherals were already taken.
    #[must_use]
    pub fn start(tick: u32) -> Option<Self> {
        let mut timer = Peripherals::take()?.SYST;
        timer.set_clock_source(SystClkSource::Core);
        timer.set_reload(MASK);
        timer.clear_current();
        timer.enable_counter();
        Some(Self { timer, tick: tick.into(), ticks: 0 })
    }
}

impl Counter for SysTick {
    /// Every call begins a turn of the counter, so that equal work takes equal ticks: at most 2^24 of them
    /// until the next call, half a second of board time; a longer silence loses whole turns.
    fn instructions(&mut self) -> u64 {
        self.ticks += u64::from(SYST::get_current().wrapping_neg() & MASK);
        self.timer.clear_current();
        self.ticks * self.tick / 1000
    }

    fn resolution(&self) -> u64 {
        self.tick.div_ceil(1000)
    }
}
