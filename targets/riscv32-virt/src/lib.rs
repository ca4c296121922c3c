//! The `virt` board with one RV32IMAC core: its instruction counter and its stack.
#![no_std]
#![warn(missing_docs)]

use core::fmt::Arguments;
use core::sync::atomic::{AtomicBool, Ordering};
use he_firmware::machine::Machine;
use he_firmware::stack::Stack;

unsafe extern "C" {
    static mut __sdata: u32;
    static mut __euninit: u32;
    static mut _stack_start: u32;
}

/// The board, once taken.
#[derive(Debug)]
pub struct Board {
    stack: Stack,
    statics: usize,
}

impl Board {
    /// Paints the stack. `None` if the board was already taken.
    #[must_use]
    pub fn take() -> Option<Self> {
        static TAKEN: AtomicBool = AtomicBool::new(false);
        if TAKEN.swap(true, Ordering::Relaxed) {
            return None;
        }
        let start = (&raw const __sdata).addr();
        let end = (&raw const __euninit).addr();
        // SAFETY: the linker script puts the stack, and nothing else, from the end of the last
        // static to `_stack_start`; there is one processor and no heap.
        let stack = unsafe { Stack::new(end, (&raw const _stack_start).addr()) };
        stack.paint();
        Some(Self { stack, statics: end - start })
    }
}

impl Machine for Board {
    fn instructions(&mut self) -> u64 {
        riscv::register::minstret::read64()
    }

    fn ram_high_water(&self) -> usize {
        self.statics + self.stack.deepest()
    }

    fn print(&mut self, line: Arguments<'_>) {
        semihosting::println!("{line}");
    }
}

/// Says why and stops the emulator with a status of its own.
#[cfg(target_os = "none")]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    semihosting::eprintln!("{info}");
    semihosting::process::exit(101)
}
