//! The monitor: machine mode, physical memory protection, and the application as a coroutine.

use core::arch::asm;
use core::panic::PanicInfo;

use he_isolation::memory::{Access, Memory};
use he_isolation::vault::Application;

use crate::map::{APPLICATION_FLASH, APPLICATION_RAM, PORTS};
use crate::timer;

/// Causes of traps (The RISC-V Instruction Set Manual, Volume II, table 14).
const FETCH_FAULT: usize = 1;
const ILLEGAL_INSTRUCTION: usize = 2;
const LOAD_FAULT: usize = 5;
const STORE_FAULT: usize = 7;
const CALL_FROM_USER: usize = 8;

/// Bits of a PMP entry: read, write, execute, a naturally aligned power of two, locked until reset.
const R: usize = 1;
const X: usize = 4;
const W: usize = 2;
const NAPOT: usize = 3 << 3;
const LOCKED: usize = 1 << 7;

/// The call that is the monitor's own and not the vault's: to sleep a while.
pub const SLEEP: u32 = 0x1000;
/// How long, in ticks of the board's timer: 0.5 ms.
const NAP: u32 = 5000;

/// The application may read the cycles, the time and the count of instructions.
const COUNTERS: usize = 7;
/// The bit of `misa` that says that there is a supervisor mode, whose word user mode needs, too.
const SUPERVISOR: usize = 1 << 18;

unsafe extern "C" {
    static __stack_bottom: u8;
    static __stack_top: u8;
    static __ram_start: u8;
    fn enclave_resume(context: *mut Context, stack_bottom: usize) -> usize;
    fn enclave_trap();
    fn enclave_erase() -> !;
}

/// What becomes of an application that does what it may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFault {
    /// It does not run again, and the secrets are erased.
    Stop,
    /// The instruction is skipped, or the jump returns. For tests.
    Skip,
}

/// The processor as the application left it, and the monitor's stack pointer. Known to `gate.s`.
#[derive(Debug)]
#[repr(C)]
struct Context {
    counter: usize,
    registers: [usize; 31],
    stack: usize,
}

/// The application in user mode.
#[derive(Debug)]
pub struct User {
    context: Context,
    on_fault: OnFault,
    has_called: bool,
    faults: u32,
}

/// The lowest address of the monitor's stack.
#[must_use]
pub fn stack_bottom() -> usize {
    (&raw const __stack_bottom).addr()
}

impl User {
    /// Sets memory protection and traps up. To be called once, first.
    #[must_use]
    pub fn new(on_fault: OnFault) -> Self {
        let user = R | NAPOT | LOCKED;
        let entries = (user | X) | (user | W) << 8 | (user | W) << 16;
        let napot = |start: usize, end: usize| (start >> 2) | (((end - start) >> 3) - 1);
        let flash = napot(APPLICATION_FLASH.start, APPLICATION_FLASH.end);
        let ram = napot(APPLICATION_RAM.start, APPLICATION_RAM.end);
        let ports = napot(PORTS.start, PORTS.end);
        // SAFETY: traps of the monitor's go to code that erases its memory; what user mode may use is
        // none of the monitor's; machine mode loses only what it never does, to write the application's
        // flash and to run its RAM.
        unsafe {
            asm!("csrw mtvec, {}", in(reg) enclave_trap as *const () as usize);
            asm!("csrw mscratch, zero", "csrw mie, zero", "csrw mstatus, zero");
            asm!("csrw pmpaddr0, {}", "csrw pmpaddr1, {}", in(reg) flash, in(reg) ram);
            asm!("csrw pmpaddr2, {}", in(reg) ports);
            asm!("csrw pmpcfg0, {}", in(reg) entries);
            asm!("csrw mcounteren, {}", in(reg) COUNTERS);
            let isa: usize;
            asm!("csrr {}, misa", out(reg) isa);
            if isa & SUPERVISOR != 0 {
                asm!("csrw scounteren, {}", in(reg) COUNTERS);
                // Every trap comes here, and addresses are not translated.
                asm!("csrw medeleg, zero", "csrw mideleg, zero", "csrw satp, zero");
            }
        }
        let context = Context { counter: APPLICATION_FLASH.start, registers: [0; 31], stack: 0 };
        Self { context, on_fault, has_called: false, faults: 0 }
    }

    /// Register `xn`.
    const fn register(&mut self, n: usize) -> &mut usize {
        &mut self.context.registers[n - 1]
    }

    /// Ends a call.
    const fn answer(&mut self, status: u32) {
        *self.register(10) = status as usize;
        self.context.counter = self.context.counter.wrapping_add(4);
    }

    /// The length of the instruction at the counter, which lies in memory that both may read.
    fn instruction_length(&self) -> usize {
        let counter = self.context.counter;
        if !self.allows(counter, counter.wrapping_add(1), Access::Read) {
            return 4;
        }
        // SAFETY: it was just checked that the application could read this, and so can the monitor.
        let half = unsafe { core::ptr::with_exposed_provenance::<u16>(counter).read() };
        if half & 3 == 3 { 4 } else { 2 }
    }

    /// Where the application goes on after it was stopped; `None` if nowhere.
    fn skip(&mut self, cause: usize) -> Option<usize> {
        self.faults += 1;
        match (self.on_fault, cause) {
            (OnFault::Skip, FETCH_FAULT) => Some(*self.register(1)),
            (OnFault::Skip, ILLEGAL_INSTRUCTION | LOAD_FAULT | STORE_FAULT) => {
                Some(self.context.counter.wrapping_add(self.instruction_length()))
            }
            _ => None,
        }
    }
}

// SAFETY: the two regions are RAM on this board, and the monitor's image lies elsewhere.
unsafe impl Memory for User {
    fn allows(&self, first: usize, last: usize, access: Access) -> bool {
        let within = |range: &core::ops::Range<usize>| range.start <= first && last < range.end;
        within(&APPLICATION_RAM) || (access == Access::Read && within(&APPLICATION_FLASH))
    }
}

impl Application for User {
    fn resume(&mut self, status: u32) -> Option<(u32, usize)> {
        if self.has_called {
            self.answer(status);
        }
        loop {
            // SAFETY: the stack below this frame is dead, from its bottom upwards; the context is good
            // for `mret` to user mode, as mstatus says (`new`, and every trap from there).
            let cause = unsafe { enclave_resume(&raw mut self.context, stack_bottom()) };
            if cause != CALL_FROM_USER {
                self.context.counter = self.skip(cause)?;
                continue;
            }
            let (operation, block) = (*self.register(10), *self.register(11));
            let operation = u32::try_from(operation).unwrap_or(u32::MAX);
            if operation != SLEEP {
                self.has_called = true;
                return Some((operation, block));
            }
            sleep();
            self.answer(0);
        }
    }

    fn observed(&self) -> (u32, u32) {
        (self.faults, 0)
    }
}

/// Sleeps a while.
pub fn sleep() {
    timer::sleep(NAP);
}

/// Erases all of the monitor's memory, this stack included, and every register. The image's
/// `after_erasure` says what comes then.
pub fn erase() -> ! {
    // SAFETY: nothing of Rust's goes on after it: `after_erasure` begins on memory as after a reset.
    unsafe { enclave_erase() }
}

/// What a panic of the monitor's does: nothing that could show a secret.
pub fn panic(_: &PanicInfo<'_>) -> ! {
    erase()
}

/// All RAM of the monitor's.
#[must_use]
pub fn ram() -> core::ops::Range<usize> {
    (&raw const __ram_start).addr()..(&raw const __stack_top).addr()
}
