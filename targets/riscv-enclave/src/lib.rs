//! Secrets in machine mode, behind physical memory protection; the client in user mode.
//!
//! The monitor is a program in machine mode for which the application is a coroutine: it lets the
//! application run until it traps, and an `ecall` is a call through the wall. Physical memory protection
//! (The RISC-V Instruction Set Manual, Volume II, section 3.7) gives user mode the application's two
//! regions, two serial ports and nothing else. The same sources serve 32 and 64 bits.
//!
//! Each module imports only the modules above it.
#![no_std]
#![warn(missing_docs)]
#![cfg(any(target_arch = "riscv32", target_arch = "riscv64"))]

pub mod map;
mod start;

pub mod card;
pub mod port;
mod timer;

pub mod monitor;

pub mod application;
