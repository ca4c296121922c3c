//! The MPS2 AN386 board: its serial ports, its clock and a timer.
//!
//! Source: Arm AN386 (memory map and interrupts).
#![no_std]
#![warn(missing_docs)]
#![cfg(target_arch = "arm")]

use he_cmsdk::Peripheral;

/// The processor's clock, 25 MHz, in picoseconds.
pub const TICK: u32 = 40_000;

/// To the server.
// SAFETY: `UART0` of the board; nothing else uses it.
pub static SERVER: Peripheral = unsafe { Peripheral::new(0x4000_4000, 0) };
/// To the key authority.
// SAFETY: `UART1`, likewise.
pub static AUTHORITY: Peripheral = unsafe { Peripheral::new(0x4000_5000, 2) };
/// To the operator.
// SAFETY: `UART2`, likewise.
pub static OPERATOR: Peripheral = unsafe { Peripheral::new(0x4000_6000, 4) };
/// For waits that are limited.
// SAFETY: `TIMER0`, likewise.
pub static TIMER: Peripheral = unsafe { Peripheral::new(0x4000_0000, 8) };
