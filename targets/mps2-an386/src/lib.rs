//! The MPS2 AN386 board: its three serial ports and its clock.
//!
//! Register layout: Arm DDI 0479 (Cortex-M System Design Kit), section 4.3 (UART).
#![no_std]
#![warn(missing_docs)]

pub mod uart;

/// The processor's clock, 25 MHz, in picoseconds.
pub const TICK: u32 = 40_000;
