//! Secrets in the secure world of a Cortex-M33, the client in the non-secure world, on the MPS2 AN505
//! board.
//!
//! The secure world is a program for which the application is a coroutine: it lets the application run
//! until that calls through the one secure gateway there is. What is secure is said three times: to the
//! processor by the security attribution unit, to the memories by the board's protection controllers, and
//! to the peripherals by the peripheral protection controllers.
//!
//! Sources: Armv8-M Architecture Reference Manual (DDI 0553), chapters B3.13 and B9 (security, memory);
//! Arm SSE-200 (DDI 0574), section 2.3 (the security control registers); Arm `CoreLink` SIE-200 (DDI 0571),
//! section 3.5 (memory protection controller); Arm AN505 (memory map).
//!
//! Each module imports only the modules above it.
#![no_std]
#![warn(missing_docs)]
#![cfg(target_arch = "arm")]

pub mod map;
mod start;

pub mod protection;
pub mod secure;

pub mod application;
