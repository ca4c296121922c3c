//! The authority's first instructions, its vectors, its translation, and what it knows of itself.

use core::arch::{asm, naked_asm};

use key_authority::window::Window;
use sha2::{Digest, Sha256};

use super::{SECURE_UART, address};
use crate::calls::PANICKED;
use crate::heap::HEAP;
use crate::layout::{AUTHORITY, BLOCK, PROGRAM};
use crate::tables::{ATTRIBUTES, Access, Level, Tables};

unsafe extern "C" {
    static __program_start: u8;
    static __program_end: u8;
    static __authority_statics: u8;
    static __authority_stack: u8;
    static __authority_end: u8;
}

static mut TABLES: Tables = Tables::empty();

/// Where the authority starts, with a call in `x0` to `x2`.
///
/// # Safety
/// To be started by the monitor, at secure EL1, with zeros in its memory.
#[unsafe(naked)]
pub unsafe extern "C" fn start() -> ! {
    naked_asm!(
        "ldr x3, =__authority_stack",
        "mov sp, x3",
        "ldr x3, ={vectors}",
        "msr vbar_el1, x3",
        "isb",
        "b authority_main",
        ".ltorg",
        vectors = sym vectors,
    )
}

/// No exception is expected: each ends the authority.
#[unsafe(naked)]
#[unsafe(link_section = ".vectors.authority")]
unsafe extern "C" fn vectors() -> ! {
    naked_asm!(
        ".balign 2048",
        ".rept 16",
        ".balign 128",
        "b {give_up}",
        ".endr",
        give_up = sym give_up,
    )
}

/// Has the monitor wipe the authority.
pub(super) extern "C" fn give_up() -> ! {
    // SAFETY: the monitor does not come back.
    unsafe { asm!("smc #0", in("x0") PANICKED, options(noreturn)) }
}

/// Turns translation and caches on: the program may not be written and data not be executed, and the
/// monitor's memory is not mapped.
pub(super) fn enable_translation() {
    /// The lower half only, 4 GB, tables in cached memory, granules of 4 KB.
    const CONTROL: u64 = 1 << 23 | 0b11 << 12 | 0b01 << 10 | 0b01 << 8 | 32;
    /// The bits that are to be set; translation, caches, and nothing writable is executable.
    const SYSTEM: u64 = 0x30d0_0800 | 1 << 19 | 1 << 12 | 1 << 2 | 1;
    let place = &raw mut TABLES;
    // SAFETY: called once after each start, before anything else refers to the tables.
    let tables = unsafe { &mut *place };
    let uart = SECURE_UART - SECURE_UART % BLOCK;
    tables.map(Level::El1, PROGRAM, Access::Program);
    tables.map(Level::El1, AUTHORITY, Access::Data);
    tables.map(Level::El1, Window { start: uart, end: uart + BLOCK }, Access::Device);
    tables.map_normal();
    // SAFETY: the tables map the code that runs, its stack and its statics to themselves.
    unsafe {
        asm!(
            "msr mair_el1, {attributes}",
            "msr tcr_el1, {control}",
            "msr ttbr0_el1, {root}",
            "tlbi vmalle1",
            "dsb sy",
            "isb",
            "msr sctlr_el1, {system}",
            "isb",
            attributes = in(reg) ATTRIBUTES,
            control = in(reg) CONTROL,
            root = in(reg) tables.root(),
            system = in(reg) SYSTEM,
        );
    }
}

/// Everything above the stack is heap.
pub(super) fn give_heap() {
    let start = (&raw const __authority_stack).addr();
    let end = (&raw const __authority_end).addr();
    // SAFETY: the linker script puts nothing there; called once after each start.
    unsafe { HEAP.init(start, end - start) }
}

/// SHA-256 of code and constants, as they lie in memory.
pub(super) fn measurement() -> [u8; 32] {
    let start = &raw const __program_start;
    let length = (&raw const __program_end).addr() - start.addr();
    // SAFETY: the program is mapped, and nobody can write it.
    Sha256::digest(unsafe { core::slice::from_raw_parts(start, length) }).into()
}

/// Most bytes of secure RAM that were in use at once since the start: statics, the deepest stack, and
/// the fullest heap.
pub(super) fn high_water() -> u64 {
    let statics = (&raw const __authority_statics).addr();
    let stack = (&raw const __authority_stack).addr();
    let unused = (statics..stack).step_by(8).take_while(|&at| {
        // SAFETY: mapped memory of the stack; what was never written is zero.
        unsafe { core::ptr::with_exposed_provenance::<u64>(at).read_volatile() == 0 }
    });
    let stack = stack - statics - 8 * unused.count();
    (statics - address(AUTHORITY.start) + stack + HEAP.peak()) as u64
}
