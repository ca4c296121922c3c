//! The first instructions of an application of the normal world, and its vectors.

use core::arch::naked_asm;

use super::probe;
use crate::heap::HEAP;

unsafe extern "C" {
    static __heap: u8;
    static __heap_end: u8;
}

/// Where the monitor starts the normal world.
///
/// # Safety
/// To be started by the monitor, at non-secure EL1.
#[unsafe(naked)]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".start")]
pub unsafe extern "C" fn start() -> ! {
    naked_asm!(
        "ldr x0, =__stack",
        "mov sp, x0",
        "ldr x0, ={vectors}",
        "msr vbar_el1, x0",
        "ldr x0, =__bss_start",
        "ldr x1, =__bss_end",
        "2:",
        "str xzr, [x0], #8",
        "cmp x0, x1",
        "b.lo 2b",
        "isb",
        "bl normal_main",
        "3:",
        "wfi",
        "b 3b",
        ".ltorg",
        vectors = sym vectors,
    )
}

/// The fifth entry is for synchronous exceptions of the running level.
#[unsafe(naked)]
#[unsafe(link_section = ".vectors.normal")]
unsafe extern "C" fn vectors() -> ! {
    naked_asm!(
        ".balign 2048",
        ".rept 4",
        ".balign 128",
        "b {unexpected}",
        ".endr",
        ".balign 128",
        "b {synchronous}",
        ".rept 11",
        ".balign 128",
        "b {unexpected}",
        ".endr",
        unexpected = sym probe::unexpected,
        synchronous = sym probe::synchronous,
    )
}

/// Gives the heap its memory. Once, first.
pub fn take_heap() {
    let start = (&raw const __heap).addr();
    let end = (&raw const __heap_end).addr();
    // SAFETY: the linker script puts nothing there; called once.
    unsafe { HEAP.init(start, end - start) }
}
