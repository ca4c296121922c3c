//! Requests to valgrind: a sequence of rotations that does nothing on the processor.

use core::arch::asm;

/// Asks valgrind, with a number and two arguments; 0 where there is none.
pub(crate) fn request([number, first, second]: [usize; 3]) -> usize {
    let arguments = [number, first, second, 0, 0, 0];
    let mut answer = 0;
    // SAFETY: rotating `rdi` by 128 bits in all and exchanging `rbx` with itself change no register,
    // and valgrind, which reads the six words at `rax`, changes `rdx` only.
    unsafe {
        asm!(
            "rol rdi, 3",
            "rol rdi, 13",
            "rol rdi, 61",
            "rol rdi, 51",
            "xchg rbx, rbx",
            in("rax") arguments.as_ptr(),
            inout("rdx") answer,
            options(nostack),
        );
    }
    answer
}
