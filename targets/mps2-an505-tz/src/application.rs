//! The application's side: calls through the gateway, a counter, and probes of the wall.

use core::fmt::Arguments;
use core::mem;

use he_firmware::machine::Machine;
use he_firmware::stack::Stack;
use he_isolation::suite::{Attempt, INNOCENT, Wall};

use crate::map::{APPLICATION_RAM, GATEWAY, VAULT_RAM};

unsafe extern "C" {
    static __bss_end: u8;
    static __stack_bottom: u8;
    static __stack_top: u8;
    fn tz_call_full(operation: u32, block: usize, registers: *mut u32, pattern: u32);
    fn probe_read(address: usize, innocent: u32) -> u32;
    fn probe_write(address: usize, word: u32);
    fn probe_execute(address: usize);
    fn forge_return();
}

/// A register of the port that the secure world has for itself.
const AUTHORITY_DIVIDER: usize = 0x4020_1010;
/// `TIMER0` of the board: control, value, reload.
const TIMER: *mut u32 = core::ptr::without_provenance_mut(0x4000_0000);
/// At 20 MHz, and one instruction a nanosecond (`-icount shift=0`).
const INSTRUCTIONS_PER_TICK: u64 = 50;

/// The board as the application has it: a timer that counts instructions in steps of 50.
#[derive(Debug)]
pub struct Board {
    last: u32,
    ticks: u64,
    stack: Stack,
}

/// Calls the secure world.
#[must_use]
pub fn gate(operation: u32, block: usize) -> u32 {
    let address: *const () = core::ptr::without_provenance(GATEWAY.start | 1);
    // SAFETY: at the start of this region is the secure gateway, which takes two words and returns one.
    let call: extern "C" fn(u32, usize) -> u32 = unsafe { mem::transmute(address) };
    call(operation, block)
}

impl Board {
    /// Starts the timer and paints the stack. To be called once, first.
    #[must_use]
    pub fn start() -> Self {
        let (bottom, top) = ((&raw const __stack_bottom).addr(), (&raw const __stack_top).addr());
        // SAFETY: the linker script puts the stack, and nothing else, between these two.
        let stack = unsafe { Stack::new(bottom, top) };
        stack.paint();
        // SAFETY: the registers of a timer that the secure world gave away, which only this type uses.
        unsafe {
            TIMER.add(2).write_volatile(u32::MAX);
            TIMER.add(1).write_volatile(u32::MAX);
            TIMER.write_volatile(1);
        }
        Self { last: u32::MAX, ticks: 0, stack }
    }
}

impl Machine for Board {
    fn instructions(&mut self) -> u64 {
        // SAFETY: as in `start`.
        let now = unsafe { TIMER.add(1).read_volatile() };
        self.ticks += u64::from(self.last.wrapping_sub(now));
        self.last = now;
        self.ticks * INSTRUCTIONS_PER_TICK
    }

    fn resolution(&self) -> u64 {
        INSTRUCTIONS_PER_TICK
    }

    fn ram_high_water(&self) -> usize {
        (&raw const __bss_end).addr() - APPLICATION_RAM.start + self.stack.deepest()
    }

    fn print(&mut self, line: Arguments<'_>) {
        semihosting::eprintln!("{line}");
    }
}

impl Wall for Board {
    const GATE: he_isolation::gateway::Gate = gate;
    const ATTEMPTS: &'static [Attempt] = &[
        Attempt { name: "read the secure RAM", run: || is_read(VAULT_RAM.start) },
        Attempt { name: "read the secure stack", run: || is_read(VAULT_RAM.end - 4) },
        Attempt { name: "read across the border of the RAM", run: || is_read(0x281F_FFFE) },
        Attempt { name: "read the secure RAM by its other address", run: || is_read(0x2800_0000) },
        Attempt { name: "read the secure flash", run: || is_read(0x1000_0000) },
        Attempt { name: "read the secure flash by its other address", run: || is_read(0) },
        Attempt { name: "read the gateway", run: || is_read(GATEWAY.start) },
        Attempt {
            name: "read the authority's port",
            run: || is_read(AUTHORITY_DIVIDER + (1 << 28)),
        },
        Attempt { name: "read its own RAM by its secure address", run: || is_read(0x3820_0000) },
        Attempt { name: "write the secure RAM", run: || write(VAULT_RAM.start) },
        Attempt { name: "write the memory protection", run: || write(0x5800_901C) },
        Attempt { name: "write the security control", run: || write(0x5008_0084) },
        Attempt { name: "run the secure flash", run: || execute(0x1000_0101) },
        Attempt { name: "run the gateway but for its door", run: || execute(GATEWAY.start + 5) },
        Attempt { name: "run zeros behind the gateway", run: || execute(GATEWAY.start + 0x101) },
        Attempt { name: "return from a call that was never made", run: forge },
    ];

    /// A peripheral that is blocked reads as zero, or faults: as the board answers.
    const SILENT_ATTEMPTS: &'static [Attempt] = &[Attempt {
        name: "use the authority's port by its other address",
        run: || {
            write_word(AUTHORITY_DIVIDER, 77);
            is_read(AUTHORITY_DIVIDER) && Self::read(AUTHORITY_DIVIDER) != 0
        },
    }];

    fn secrets() -> (usize, usize) {
        (VAULT_RAM.start, VAULT_RAM.end - 1)
    }

    fn last() -> usize {
        APPLICATION_RAM.end - 1
    }

    fn read(address: usize) -> u32 {
        // SAFETY: not sound by itself: that the secure world stops and skips what must not be is what is
        // tested.
        unsafe { probe_read(address, INNOCENT) }
    }

    fn exposed(operation: u32, block: usize) -> usize {
        const PATTERN: u32 = 0x5EC0_DE00;
        let mut found = [0; 16];
        // SAFETY: a call with 16 words to store registers in.
        unsafe { tz_call_full(operation, block, found.as_mut_ptr(), PATTERN) };
        // r0 is the status. What the procedure call standard lets a callee destroy is zero, the flags too.
        let destroyed = [1, 2, 3, 12, 13].iter().filter(|&&n| found[n] != 0).count();
        let kept = (4..12).zip(4..).filter(|&(n, offset)| found[n] != PATTERN + offset).count();
        destroyed + kept
    }
}

/// Pretends to return from a call of the secure world's.
fn forge() -> bool {
    // SAFETY: as in `read`; the secure stack is sealed.
    unsafe { forge_return() };
    false
}

fn is_read(address: usize) -> bool {
    Board::read(address) != INNOCENT
}

fn write(address: usize) -> bool {
    write_word(address, 0);
    false
}

fn write_word(address: usize, word: u32) {
    // SAFETY: as in `read`.
    unsafe { probe_write(address, word) };
}

fn execute(address: usize) -> bool {
    // SAFETY: as in `read`; the secure world returns to the caller.
    unsafe { probe_execute(address) };
    false
}
