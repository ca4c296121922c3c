//! From reset to `main`, for both images: stack, initial values, zeros.

use core::arch::global_asm;

#[cfg(target_arch = "riscv32")]
global_asm!(include_str!("word32.s"), include_str!("start.s"), include_str!("gate.s"));
#[cfg(target_arch = "riscv64")]
global_asm!(include_str!("word64.s"), include_str!("start.s"), include_str!("gate.s"));
