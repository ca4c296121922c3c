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
#[derive(Debug)]
pub struct SysTick {
    tick: u64,
    last: u32,
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
        Some(Self { tick: tick.into(), last: 0, ticks: 0 })
    }
}

impl Counter for SysTick {
    /// Must be called once in 2^24 ticks, half a second of board time; a longer silence loses whole
    /// turns of the counter.
    fn instructions(&mut self) -> u64 {
        let now = SYST::get_current();
        self.ticks += u64::from(self.last.wrapping_sub(now) & MASK);
        self.last = now;
        self.ticks * self.tick / 1000
    }
}
