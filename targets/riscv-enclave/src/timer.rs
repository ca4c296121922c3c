//! The hart's timer (RISC-V ACLINT Specification, section 2), which lets the monitor sleep. Ten million ticks a second.

use core::arch::asm;
use core::ptr::with_exposed_provenance_mut;

/// When the timer's interrupt is due; 64 bits.
pub(crate) const COMPARE: usize = 0x0200_4000;
/// The time; 64 bits.
const TIME: usize = 0x0200_BFF8;
/// The bit of `mie` that is the timer's.
const TIMER: usize = 1 << 7;

/// Sleeps so many ticks, or less.
pub(crate) fn sleep(ticks: u32) {
    let word = |address| with_exposed_provenance_mut::<u32>(address);
    // SAFETY: registers of the board's, in machine mode, which only this function uses. Interrupts as a whole are off
    // there, so this one ends the sleep and is not taken, and the application never runs with it enabled. The upper
    // half is read first: if the lower one overflows meanwhile, the end is past, and nobody waits for the next.
    unsafe {
        let high = word(TIME + 4).read_volatile();
        let end =
            (u64::from(high) << 32 | u64::from(word(TIME).read_volatile())) + u64::from(ticks);
        let [a, b, c, d, e, f, g, h] = end.to_le_bytes();
        word(COMPARE).write_volatile(u32::from_le_bytes([a, b, c, d]));
        word(COMPARE + 4).write_volatile(u32::from_le_bytes([e, f, g, h]));
        asm!("csrs mie, {0}", "wfi", "csrc mie, {0}", in(reg) TIMER);
    }
}
