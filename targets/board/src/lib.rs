//! What boards share that run one program and speak by semihosting.
//!
//! A board's own package has its memory map, its registers and a `main` of one line; [`run_tests`]
//! does the rest. Reports are lines of text on standard error; the log is `defmt` on standard output,
//! decoded by `cargo xtask test` when a test fails.
#![no_std]
#![warn(missing_docs)]

#[cfg(any(target_arch = "riscv32", target_arch = "riscv64"))]
pub mod minstret;
#[cfg(target_arch = "arm")]
pub mod systick;

use core::fmt::Arguments;
use core::mem;
use defmt_semihosting as _;
use he_firmware::harness::{self, Case};
use he_firmware::machine::Machine;
use he_firmware::stack::Stack;
use semihosting::{experimental::env, process};
use spin::Mutex;

/// Counts instructions.
pub trait Counter {
    /// Instructions since some moment before the first call, in steps of the counter's.
    fn instructions(&mut self) -> u64;

    /// As [`Machine::resolution`].
    fn resolution(&self) -> u64;
}

unsafe extern "C" {
    static mut __sdata: u32;
    static mut __euninit: u32;
    static mut _stack_start: u32;
}

/// A board, once taken.
#[derive(Debug)]
pub struct Board<C> {
    counter: C,
    stack: Stack,
    /// The deepest stack before it was painted last.
    deepest: usize,
    statics: usize,
}

impl<C> Board<C> {
    /// Paints the stack. `None` if the board was already taken.
    #[must_use]
    pub fn take(counter: C) -> Option<Self> {
        static FREE: Mutex<()> = Mutex::new(());
        mem::forget(FREE.try_lock()?);
        let start = (&raw const __sdata).addr();
        let end = (&raw const __euninit).addr();
        // SAFETY: the linker script puts the stack, and nothing else, from the end of the last
        // static to `_stack_start`; there is one processor and no heap.
        let stack = unsafe { Stack::new(end, (&raw const _stack_start).addr()) };
        stack.paint();
        Some(Self { counter, stack, deepest: 0, statics: end - start })
    }
}

impl<C: Counter> Machine for Board<C> {
    fn instructions(&mut self) -> u64 {
        self.counter.instructions()
    }

    fn resolution(&self) -> u64 {
        self.counter.resolution()
    }

    fn ram_high_water(&self) -> usize {
        self.statics + self.deepest.max(self.stack.deepest())
    }

    fn stack_of(&mut self, work: &mut dyn FnMut()) -> usize {
        self.deepest = self.deepest.max(self.stack.deepest());
        let depth = self.stack.depth();
        self.stack.paint();
        work();
        self.stack.deepest() - depth
    }

    fn print(&mut self, line: Arguments<'_>) {
        semihosting::eprintln!("{line}");
    }
}

/// Runs the cases that have the program's one argument in their name, all of them without one, and
/// ends the emulator: with status 0 if they hold, 1 if one does not, 2 if they cannot be run.
pub fn run_tests<C: Counter>(
    counter: Option<C>,
    cases: impl IntoIterator<Item = Case<Board<C>>>,
) -> ! {
    let Some(mut board) = counter.and_then(Board::take) else { process::exit(2) };
    let Ok(arguments) = env::args::<256>() else { process::exit(2) };
    let filter = (&arguments).nth(1).and_then(Result::ok).unwrap_or("");
    let failed = harness::run_all(&mut board, cases, filter);
    process::exit(i32::from(failed != 0))
}

/// Says why and stops the emulator with a status of its own.
#[cfg(target_os = "none")]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    defmt::error!("{}", defmt::Display2Format(info));
    semihosting::eprintln!("{info}");
    process::exit(101)
}
