//! A peripheral: where its registers are, and which interrupt is its.

use core::sync::atomic::{AtomicBool, Ordering};

use cortex_m::interrupt::{InterruptNumber, free};
use cortex_m::peripheral::NVIC;

/// A peripheral of a board, which one owner uses.
#[derive(Debug)]
pub struct Peripheral {
    registers: *mut u32,
    interrupt: Interrupt,
    is_taken: AtomicBool,
}

#[derive(Debug, Clone, Copy)]
struct Interrupt(u16);

// SAFETY: who declares a peripheral promises that the board has this interrupt.
unsafe impl InterruptNumber for Interrupt {
    fn number(self) -> u16 {
        self.0
    }
}

// SAFETY: the pointer is that of registers, which only the one owner uses (`take`).
unsafe impl Sync for Peripheral {}

impl Peripheral {
    /// A peripheral with its registers at `address`.
    ///
    /// # Safety
    /// They are those of what it is used as, nothing else uses them, and its interrupt has this number.
    #[must_use]
    pub const unsafe fn new(address: usize, interrupt: u16) -> Self {
        let registers = core::ptr::without_provenance_mut(address);
        Self { registers, interrupt: Interrupt(interrupt), is_taken: AtomicBool::new(false) }
    }

    /// Whether nobody has taken it before.
    pub(crate) fn take(&self) -> bool {
        !self.is_taken.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn read(&self, register: usize) -> u32 {
        // SAFETY: as `new` was promised; both kinds of peripheral have all registers that they are asked for.
        unsafe { self.registers.add(register).read_volatile() }
    }

    pub(crate) fn write(&self, register: usize, value: u32) {
        // SAFETY: as in `read`.
        unsafe { self.registers.add(register).write_volatile(value) }
    }
}

/// Sleeps until `is_over`. Only these peripherals wake the processor meanwhile: interrupts of others stay
/// pending, and with them it would never sleep. `forget` makes that theirs are not asserted any more.
pub(crate) fn sleep_until(
    peripherals: &[&Peripheral],
    forget: impl Fn(),
    is_over: impl Fn() -> bool,
) {
    free(|_| {
        for peripheral in peripherals {
            // SAFETY: interrupts are masked, so no handler runs; it only lets `wfi` return.
            unsafe { NVIC::unmask(peripheral.interrupt) };
        }
        while !is_over() {
            forget();
            for peripheral in peripherals {
                NVIC::unpend(peripheral.interrupt);
            }
            if is_over() {
                break;
            }
            cortex_m::asm::wfi();
        }
        for peripheral in peripherals {
            NVIC::mask(peripheral.interrupt);
        }
    });
}
