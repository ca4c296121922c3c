//! Serial ports and timers of Arm's Cortex-M System Design Kit, which its boards for trials have.
//!
//! Interrupts only wake the processor: while something is waited for they are masked, its own are enabled, and no
//! handler ever runs. Sleep and not a loop, because under `qemu -icount` a processor that polls keeps the
//! emulator from handing bytes over.
//!
//! Source: Arm DDI 0479, sections 4.1 (timer) and 4.3 (UART).
#![no_std]
#![warn(missing_docs)]
#![cfg(target_arch = "arm")]

mod peripheral;

mod timer;
mod uart;

pub use peripheral::Peripheral;
pub use timer::Timer;
pub use uart::{Limited, Uart};
