//! The registers of a world while the other one runs.

use core::arch::naked_asm;

/// Every register that both worlds use.
#[expect(missing_debug_implementations, reason = "its registers hold secrets")]
#[repr(C, align(16))]
pub struct Context {
    /// General registers.
    pub(super) x: [u64; 31],
    sp_el0: u64,
    elr_el3: u64,
    spsr_el3: u64,
    /// In the order of `save`.
    el1: [u64; 18],
    vectors: [[u64; 2]; 32],
    fpcr: u64,
    fpsr: u64,
}

/// EL1 with its own stack pointer, all exceptions masked.
const EL1H_MASKED: u64 = 0b1111 << 6 | 0b0101;
/// Bits of `SCTLR_EL1` that are to be set; translation and caches are off.
const SCTLR_EL1: u64 = 0x30d0_0800;
/// Vector registers are for everyone.
const CPACR_EL1: u64 = 0b11 << 20;

impl Context {
    /// A world that is about to start at `entry`, with zeros in its registers.
    pub(super) const fn new(entry: u64) -> Self {
        let mut el1 = [0; 18];
        el1[0] = SCTLR_EL1;
        el1[1] = CPACR_EL1;
        Self {
            x: [0; 31],
            sp_el0: 0,
            elr_el3: entry,
            spsr_el3: EL1H_MASKED,
            el1,
            vectors: [[0; 2]; 32],
            fpcr: 0,
            fpsr: 0,
        }
    }
}

const _: () = assert!(core::mem::offset_of!(Context, el1) == 272);
const _: () = assert!(core::mem::offset_of!(Context, vectors) == 416);
const _: () = assert!(core::mem::offset_of!(Context, fpcr) == 928);

/// From an exception of a lower level: saves its registers, asks `monitor_trap` and goes on with
/// what that returns.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn enter() -> ! {
    naked_asm!(
        "stp x0, x1, [sp, #-16]!",
        "mrs x0, tpidr_el3",
        "stp x2, x3, [x0, #16]",
        "stp x4, x5, [x0, #32]",
        "stp x6, x7, [x0, #48]",
        "stp x8, x9, [x0, #64]",
        "stp x10, x11, [x0, #80]",
        "stp x12, x13, [x0, #96]",
        "stp x14, x15, [x0, #112]",
        "stp x16, x17, [x0, #128]",
        "stp x18, x19, [x0, #144]",
        "stp x20, x21, [x0, #160]",
        "stp x22, x23, [x0, #176]",
        "stp x24, x25, [x0, #192]",
        "stp x26, x27, [x0, #208]",
        "stp x28, x29, [x0, #224]",
        "mrs x1, sp_el0",
        "stp x30, x1, [x0, #240]",
        "ldp x2, x3, [sp], #16",
        "stp x2, x3, [x0]",
        "mrs x1, elr_el3",
        "mrs x2, spsr_el3",
        "stp x1, x2, [x0, #256]",
        "mrs x1, sctlr_el1",
        "mrs x2, cpacr_el1",
        "stp x1, x2, [x0, #272]",
        "mrs x1, ttbr0_el1",
        "mrs x2, ttbr1_el1",
        "stp x1, x2, [x0, #288]",
        "mrs x1, tcr_el1",
        "mrs x2, mair_el1",
        "stp x1, x2, [x0, #304]",
        "mrs x1, amair_el1",
        "mrs x2, vbar_el1",
        "stp x1, x2, [x0, #320]",
        "mrs x1, sp_el1",
        "mrs x2, elr_el1",
        "stp x1, x2, [x0, #336]",
        "mrs x1, spsr_el1",
        "mrs x2, esr_el1",
        "stp x1, x2, [x0, #352]",
        "mrs x1, far_el1",
        "mrs x2, par_el1",
        "stp x1, x2, [x0, #368]",
        "mrs x1, contextidr_el1",
        "mrs x2, tpidr_el1",
        "stp x1, x2, [x0, #384]",
        "mrs x1, tpidr_el0",
        "mrs x2, tpidrro_el0",
        "stp x1, x2, [x0, #400]",
        "stp q0, q1, [x0, #416]",
        "stp q2, q3, [x0, #448]",
        "stp q4, q5, [x0, #480]",
        "stp q6, q7, [x0, #512]",
        "stp q8, q9, [x0, #544]",
        "stp q10, q11, [x0, #576]",
        "stp q12, q13, [x0, #608]",
        "stp q14, q15, [x0, #640]",
        "stp q16, q17, [x0, #672]",
        "stp q18, q19, [x0, #704]",
        "stp q20, q21, [x0, #736]",
        "stp q22, q23, [x0, #768]",
        "stp q24, q25, [x0, #800]",
        "stp q26, q27, [x0, #832]",
        "stp q28, q29, [x0, #864]",
        "stp q30, q31, [x0, #896]",
        "mrs x1, fpcr",
        "mrs x2, fpsr",
        "str x1, [x0, #928]",
        "str x2, [x0, #936]",
        "bl monitor_trap",
        "b {leave}",
        leave = sym leave,
    )
}

/// Loads all registers of the context in `x0` and goes on with that world.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn leave() -> ! {
    naked_asm!(
        "msr tpidr_el3, x0",
        "ldr x1, [x0, #928]",
        "ldr x2, [x0, #936]",
        "msr fpcr, x1",
        "msr fpsr, x2",
        "ldp q0, q1, [x0, #416]",
        "ldp q2, q3, [x0, #448]",
        "ldp q4, q5, [x0, #480]",
        "ldp q6, q7, [x0, #512]",
        "ldp q8, q9, [x0, #544]",
        "ldp q10, q11, [x0, #576]",
        "ldp q12, q13, [x0, #608]",
        "ldp q14, q15, [x0, #640]",
        "ldp q16, q17, [x0, #672]",
        "ldp q18, q19, [x0, #704]",
        "ldp q20, q21, [x0, #736]",
        "ldp q22, q23, [x0, #768]",
        "ldp q24, q25, [x0, #800]",
        "ldp q26, q27, [x0, #832]",
        "ldp q28, q29, [x0, #864]",
        "ldp q30, q31, [x0, #896]",
        "ldp x1, x2, [x0, #256]",
        "msr elr_el3, x1",
        "msr spsr_el3, x2",
        "ldp x1, x2, [x0, #272]",
        "msr sctlr_el1, x1",
        "msr cpacr_el1, x2",
        "ldp x1, x2, [x0, #288]",
        "msr ttbr0_el1, x1",
        "msr ttbr1_el1, x2",
        "ldp x1, x2, [x0, #304]",
        "msr tcr_el1, x1",
        "msr mair_el1, x2",
        "ldp x1, x2, [x0, #320]",
        "msr amair_el1, x1",
        "msr vbar_el1, x2",
        "ldp x1, x2, [x0, #336]",
        "msr sp_el1, x1",
        "msr elr_el1, x2",
        "ldp x1, x2, [x0, #352]",
        "msr spsr_el1, x1",
        "msr esr_el1, x2",
        "ldp x1, x2, [x0, #368]",
        "msr far_el1, x1",
        "msr par_el1, x2",
        "ldp x1, x2, [x0, #384]",
        "msr contextidr_el1, x1",
        "msr tpidr_el1, x2",
        "ldp x1, x2, [x0, #400]",
        "msr tpidr_el0, x1",
        "msr tpidrro_el0, x2",
        "ldp x30, x1, [x0, #240]",
        "msr sp_el0, x1",
        "ldp x2, x3, [x0, #16]",
        "ldp x4, x5, [x0, #32]",
        "ldp x6, x7, [x0, #48]",
        "ldp x8, x9, [x0, #64]",
        "ldp x10, x11, [x0, #80]",
        "ldp x12, x13, [x0, #96]",
        "ldp x14, x15, [x0, #112]",
        "ldp x16, x17, [x0, #128]",
        "ldp x18, x19, [x0, #144]",
        "ldp x20, x21, [x0, #160]",
        "ldp x22, x23, [x0, #176]",
        "ldp x24, x25, [x0, #192]",
        "ldp x26, x27, [x0, #208]",
        "ldp x28, x29, [x0, #224]",
        "ldp x0, x1, [x0]",
        "isb",
        "eret",
    )
}
