//! The application's side: calls by `ecall`, and probes of the wall.

use core::arch::asm;
use core::fmt::Arguments;

use he_firmware::machine::Machine;
use he_firmware::stack::Stack;
use he_isolation::suite::{Attempt, INNOCENT, Wall};

use crate::map::{APPLICATION_FLASH, APPLICATION_RAM, AUTHORITY, PORTS, VAULT_RAM};
use crate::{card, monitor, timer};

/// Where `memory/sections.x` lets the stack begin.
const STACK_TOP: usize = APPLICATION_RAM.end;

unsafe extern "C" {
    static __bss_end: u8;
    static __stack_bottom: u8;
    fn enclave_call(operation: u32, block: usize) -> u32;
    fn enclave_call_full(operation: u32, block: usize, registers: *mut usize, pattern: usize);
    fn probe_read(address: usize, innocent: u32) -> u32;
    fn probe_write(address: usize);
    fn probe_execute(address: usize);
    fn probe_pmp();
    fn probe_status(unused: usize, innocent: usize) -> usize;
    fn probe_mret();
}

/// The board as the application in user mode has it.
#[derive(Debug)]
pub struct Board {
    stack: Stack,
}

impl Board {
    /// Paints the stack. To be called once, first.
    #[must_use]
    pub fn start() -> Self {
        // SAFETY: the linker script puts the stack, and nothing else, between these two.
        let stack = unsafe { Stack::new((&raw const __stack_bottom).addr(), STACK_TOP) };
        stack.paint();
        Self { stack }
    }
}

/// Calls the monitor.
#[must_use]
pub fn gate(operation: u32, block: usize) -> u32 {
    // SAFETY: `ecall` with two words of arguments; the monitor writes only where a block says.
    unsafe { enclave_call(operation, block) }
}

/// Has the monitor let some time pass.
pub fn sleep() {
    // SAFETY: as in `gate`; this call has no block.
    unsafe { enclave_call(monitor::SLEEP, 0) };
}

/// The word at an address.
fn read(address: usize) -> u32 {
    // SAFETY: not sound by itself: that the monitor stops and skips what must not be is what is tested.
    unsafe { probe_read(address, INNOCENT) }
}

/// Writes to an address, which is an attempt only to be counted.
fn write(address: usize) -> bool {
    // SAFETY: as in `read`.
    unsafe { probe_write(address) };
    false
}

impl Machine for Board {
    fn instructions(&mut self) -> u64 {
        instructions()
    }

    fn ram_high_water(&self) -> usize {
        (&raw const __bss_end).addr() - APPLICATION_RAM.start + self.stack.deepest()
    }

    fn print(&mut self, line: Arguments<'_>) {
        semihosting::eprintln!("{line}");
    }
}

#[cfg(target_arch = "riscv64")]
fn instructions() -> u64 {
    let count: u64;
    // SAFETY: reads a counter that the monitor lets user mode read.
    unsafe { asm!("rdinstret {}", out(reg) count) };
    count
}

#[cfg(target_arch = "riscv32")]
fn instructions() -> u64 {
    loop {
        let (high, low, again): (u32, u32, u32);
        // SAFETY: reads counters that the monitor lets user mode read.
        unsafe {
            asm!("rdinstreth {}", "rdinstret {}", "rdinstreth {}",
                out(reg) high, out(reg) low, out(reg) again);
        }
        if high == again {
            return u64::from(high) << 32 | u64::from(low);
        }
    }
}

impl Wall for Board {
    const GATE: he_isolation::gateway::Gate = gate;
    const ATTEMPTS: &'static [Attempt] = &[
        Attempt { name: "read the vault's RAM", run: || read(VAULT_RAM.start) != INNOCENT },
        Attempt { name: "read the vault's stack", run: || read(VAULT_RAM.end - 4) != INNOCENT },
        Attempt { name: "read the vault's flash", run: || read(0x8000_0000) != INNOCENT },
        Attempt { name: "read the authority's port", run: || read(AUTHORITY) != INNOCENT },
        Attempt {
            name: "read beside the application's ports",
            run: || read(PORTS.end) != INNOCENT,
        },
        Attempt { name: "write the card's addresses", run: || write(card::CONFIGURATION) },
        Attempt { name: "write the monitor's timer", run: || write(timer::COMPARE) },
        Attempt { name: "read across the border", run: || read(VAULT_RAM.end - 2) != INNOCENT },
        Attempt { name: "write the vault's RAM", run: || write(VAULT_RAM.start) },
        Attempt { name: "write the vault's flash", run: || write(0x8000_0000) },
        Attempt { name: "write its own flash", run: || write(APPLICATION_FLASH.start) },
        Attempt { name: "run the vault's flash", run: || execute(0x8000_0000) },
        Attempt { name: "run the vault's RAM", run: || execute(VAULT_RAM.start) },
        Attempt { name: "run its own RAM", run: || execute(APPLICATION_RAM.start) },
        Attempt { name: "change the memory protection", run: change_protection },
        Attempt { name: "read the machine's status", run: read_status },
        Attempt { name: "return to machine mode", run: return_to_machine },
    ];

    const SILENT_ATTEMPTS: &'static [Attempt] = &[];

    fn secrets() -> (usize, usize) {
        (VAULT_RAM.start, VAULT_RAM.end - 1)
    }

    fn last() -> usize {
        APPLICATION_RAM.end - 1
    }

    fn read(address: usize) -> u32 {
        read(address)
    }

    fn exposed(operation: u32, block: usize) -> usize {
        const PATTERN: usize = 0x5EC0_DE00;
        let mut found = [0; 32];
        // SAFETY: a call with 32 words to store registers in.
        unsafe { enclave_call_full(operation, block, found.as_mut_ptr(), PATTERN) };
        // The stack pointer keeps its value or this would not return, and a0 is the status.
        let kept = (1..32).filter(|n| ![2, 10].contains(n));
        kept.filter(|&n| found[n] != if n == 11 { block } else { PATTERN + n }).count()
    }
}

fn execute(address: usize) -> bool {
    // SAFETY: as in `read`; the monitor returns to the caller.
    unsafe { probe_execute(address) };
    false
}

fn change_protection() -> bool {
    // SAFETY: as in `read`.
    unsafe { probe_pmp() };
    false
}

fn read_status() -> bool {
    // SAFETY: as in `read`.
    unsafe { probe_status(0, INNOCENT as usize) != INNOCENT as usize }
}

fn return_to_machine() -> bool {
    // SAFETY: as in `read`.
    unsafe { probe_mret() };
    false
}
