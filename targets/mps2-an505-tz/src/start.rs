//! From reset to `main`, for both images: stack, initial values, zeros; and the way through the wall.

use core::arch::global_asm;

global_asm!(include_str!("start.s"), include_str!("gate.s"), options(raw));
