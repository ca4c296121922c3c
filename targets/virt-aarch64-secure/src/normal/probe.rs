//! What a curious normal world tries: memory that is not its own, and registers after a call.

use core::arch::{asm, naked_asm};
use core::sync::atomic::{AtomicU64, Ordering};

/// Why an access did not happen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fault {
    /// The exception syndrome register.
    pub syndrome: u64,
    /// The address.
    pub address: u64,
}

impl Fault {
    /// Whether the machine refused the access itself: a synchronous external abort of a load or store
    /// of the running level.
    #[must_use]
    pub const fn is_external_abort(&self) -> bool {
        self.syndrome >> 26 == 0x25 && self.syndrome & 0x3f == 0x10
    }
}

/// Whether the next exception is expected.
static EXPECTED: AtomicU64 = AtomicU64::new(0);
/// The last fault: syndrome, address.
static FAULT: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];

/// Notes the fault and goes on behind the instruction, if a fault is expected.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn synchronous() -> ! {
    naked_asm!(
        "stp x0, x1, [sp, #-16]!",
        "ldr x0, ={expected}",
        "ldr x1, [x0]",
        "cbz x1, {unexpected}",
        "str xzr, [x0]",
        "ldr x0, ={fault}",
        "mrs x1, esr_el1",
        "str x1, [x0]",
        "mrs x1, far_el1",
        "str x1, [x0, #8]",
        "mrs x1, elr_el1",
        "add x1, x1, #4",
        "msr elr_el1, x1",
        "ldp x0, x1, [sp], #16",
        "eret",
        ".ltorg",
        expected = sym EXPECTED,
        fault = sym FAULT,
        unexpected = sym unexpected,
    )
}

pub(super) extern "C" fn unexpected() -> ! {
    panic!("an exception that nobody expected")
}

fn expecting(access: impl FnOnce()) -> Result<(), Fault> {
    EXPECTED.store(1, Ordering::SeqCst);
    access();
    if EXPECTED.swap(0, Ordering::SeqCst) == 1 {
        return Ok(());
    }
    let [syndrome, address] = [0, 1].map(|i| FAULT[i].load(Ordering::SeqCst));
    Err(Fault { syndrome, address })
}

/// Loads a word.
///
/// # Errors
/// The fault.
pub fn load(address: u64) -> Result<u32, Fault> {
    let mut word = 0;
    // SAFETY: a load of a word changes nothing; if it faults, the handler goes on behind it.
    expecting(|| unsafe {
        asm!("ldr {:w}, [{}]", inlateout(reg) word, in(reg) address);
    })?;
    Ok(word)
}

/// Stores a word.
///
/// # Errors
/// The fault.
///
/// # Safety
/// Nothing of this world's is at the address.
pub unsafe fn store(address: u64, word: u32) -> Result<(), Fault> {
    // SAFETY: the contract; if it faults, the handler goes on behind it.
    expecting(|| unsafe { asm!("str {:w}, [{}]", in(reg) word, in(reg) address) })
}

/// Words of [`registers_after`]: `x0` to `x29`, then the halves of `v0` to `v31`.
pub const REGISTERS: usize = 30 + 64;

/// Makes a call with `pattern` in every register that is not an argument, and returns what all of
/// them hold after it.
#[must_use]
pub fn registers_after(call: [u64; 3], pattern: u64) -> [u64; REGISTERS] {
    let mut registers = [0; REGISTERS];
    let [number, start, length] = call;
    // SAFETY: the function writes the array and keeps the calling convention.
    unsafe { fill_and_call(number, start, length, pattern, &mut registers) };
    registers
}

#[unsafe(naked)]
unsafe extern "C" fn fill_and_call(
    number: u64,
    start: u64,
    length: u64,
    pattern: u64,
    registers: &mut [u64; REGISTERS],
) {
    naked_asm!(
        "stp x29, x30, [sp, #-176]!",
        "stp x19, x20, [sp, #16]",
        "stp x21, x22, [sp, #32]",
        "stp x23, x24, [sp, #48]",
        "stp x25, x26, [sp, #64]",
        "stp x27, x28, [sp, #80]",
        "stp d8, d9, [sp, #96]",
        "stp d10, d11, [sp, #112]",
        "stp d12, d13, [sp, #128]",
        "stp d14, d15, [sp, #144]",
        "str x4, [sp, #160]",
        ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
        "dup v\\n\\().2d, x3",
        ".endr",
        ".irp n, 4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29",
        "mov x\\n, x3",
        ".endr",
        "smc #0",
        // One register is needed for the address; what it held goes to the stack first.
        "str x30, [sp, #168]",
        "ldr x30, [sp, #160]",
        "stp x0, x1, [x30], #16",
        "stp x2, x3, [x30], #16",
        "stp x4, x5, [x30], #16",
        "stp x6, x7, [x30], #16",
        "stp x8, x9, [x30], #16",
        "stp x10, x11, [x30], #16",
        "stp x12, x13, [x30], #16",
        "stp x14, x15, [x30], #16",
        "stp x16, x17, [x30], #16",
        "stp x18, x19, [x30], #16",
        "stp x20, x21, [x30], #16",
        "stp x22, x23, [x30], #16",
        "stp x24, x25, [x30], #16",
        "stp x26, x27, [x30], #16",
        "stp x28, x29, [x30], #16",
        ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
        "st1 {{v\\n\\().2d}}, [x30], #16",
        ".endr",
        "ldp x19, x20, [sp, #16]",
        "ldp x21, x22, [sp, #32]",
        "ldp x23, x24, [sp, #48]",
        "ldp x25, x26, [sp, #64]",
        "ldp x27, x28, [sp, #80]",
        "ldp d8, d9, [sp, #96]",
        "ldp d10, d11, [sp, #112]",
        "ldp d12, d13, [sp, #128]",
        "ldp d14, d15, [sp, #144]",
        "ldp x29, x30, [sp], #176",
        "ret",
    )
}
