//! The monitor's first instructions, its vectors, and its translation.

use core::arch::{asm, naked_asm};

use super::context::{enter, leave};
use crate::authority;
use crate::tables::ATTRIBUTES;

/// Where the emulator starts: copies the program to secure memory and goes on there.
///
/// # Safety
/// To be called by a processor out of reset, at EL3.
#[unsafe(naked)]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".load")]
pub unsafe extern "C" fn load() -> ! {
    naked_asm!(
        "ldr x0, =__program_loaded",
        "ldr x1, =__program_start",
        "ldr x2, =__program_end",
        "2:",
        "ldp x3, x4, [x0], #16",
        "stp x3, x4, [x1], #16",
        "cmp x1, x2",
        "b.lo 2b",
        "dsb sy",
        "ic iallu",
        "dsb sy",
        "isb",
        "ldr x0, ={start}",
        "br x0",
        ".ltorg",
        start = sym start,
    )
}

#[unsafe(naked)]
unsafe extern "C" fn start() -> ! {
    naked_asm!(
        "ldr x0, =__monitor_stack",
        "msr spsel, #1",
        "mov sp, x0",
        "ldr x0, ={vectors}",
        "msr vbar_el3, x0",
        // No trap of vector registers, from here or below.
        "msr cptr_el3, xzr",
        "isb",
        "bl {boot}",
        "b {leave}",
        ".ltorg",
        vectors = sym vectors,
        boot = sym super::boot,
        leave = sym leave,
    )
}

/// Sixteen entries of 128 bytes; the ninth is for synchronous exceptions of lower levels in 64 bits.
#[unsafe(naked)]
#[unsafe(link_section = ".vectors.monitor")]
unsafe extern "C" fn vectors() -> ! {
    naked_asm!(
        ".balign 2048",
        ".rept 8",
        ".balign 128",
        "b {halt}",
        ".endr",
        ".balign 128",
        "b {enter}",
        ".rept 7",
        ".balign 128",
        "b {halt}",
        ".endr",
        halt = sym halt,
        enter = sym enter,
    )
}

/// Stops for good: something came that nothing is to be done about.
pub(super) extern "C" fn halt() -> ! {
    loop {
        // SAFETY: waits.
        unsafe { asm!("wfi", options(nomem, nostack)) };
    }
}

/// The address where the authority starts.
pub(super) fn authority_start() -> u64 {
    (authority::start as *const ()).addr() as u64
}

/// Turns translation and caches on, by the tables at `root`.
pub(super) fn enable_translation(root: u64) {
    /// 4 GB, tables in cached memory, granules of 4 KB.
    const CONTROL: u64 = 1 << 31 | 1 << 23 | 0b11 << 12 | 0b01 << 10 | 0b01 << 8 | 32;
    /// The bits that are to be set; translation, caches, and nothing writable is executable.
    const SYSTEM: u64 = 0x30c5_0830 | 1 << 19 | 1 << 12 | 1 << 2 | 1;
    // SAFETY: the tables map the code that runs, its stack and its statics to themselves.
    unsafe {
        asm!(
            "msr mair_el3, {attributes}",
            "msr tcr_el3, {control}",
            "msr ttbr0_el3, {root}",
            "tlbi alle3",
            "dsb sy",
            "isb",
            "msr sctlr_el3, {system}",
            "isb",
            attributes = in(reg) ATTRIBUTES,
            control = in(reg) CONTROL,
            root = in(reg) root,
            system = in(reg) SYSTEM,
        );
    }
}
