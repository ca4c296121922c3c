//! The board's 25 MHz timer as an instruction counter.
//!
//! The processor has no cycle counter under QEMU. With `-icount shift=0` one instruction takes one
//! nanosecond of the board's time, so one tick of this timer is 40 instructions.

/// `TIMER0` of the board: control, value, reload.
const CONTROL: *mut u32 = core::ptr::without_provenance_mut(0x4000_0000);
const VALUE: *mut u32 = core::ptr::without_provenance_mut(0x4000_0004);
const RELOAD: *mut u32 = core::ptr::without_provenance_mut(0x4000_0008);
const ENABLE: u32 = 1;
const INSTRUCTIONS_PER_TICK: u64 = 40;

/// The running timer.
#[derive(Debug)]
pub struct Timer {
    last: u32,
    ticks: u64,
}

impl Timer {
    /// Starts counting down from the top.
    pub(crate) fn start() -> Self {
        // SAFETY: the three addresses are the timer's registers on this board (DDI 0479, 4.2),
        // which only this type touches.
        unsafe {
            RELOAD.write_volatile(u32::MAX);
            VALUE.write_volatile(u32::MAX);
            CONTROL.write_volatile(ENABLE);
        }
        Self { last: u32::MAX, ticks: 0 }
    }

    /// Instructions since the start, in steps of 40. Must be called at least once in 2^32 ticks,
    /// which is 171 seconds of board time; a longer silence loses whole turns of the counter.
    pub fn instructions(&mut self) -> u64 {
        // SAFETY: as in `start`; reading the value has no side effect.
        let now = unsafe { VALUE.read_volatile() };
        self.ticks += u64::from(self.last.wrapping_sub(now));
        self.last = now;
        self.ticks * INSTRUCTIONS_PER_TICK
    }
}
