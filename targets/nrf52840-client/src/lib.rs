//! Drivers for the parts of an nRF52840 that the client needs: noise, flash, serial ports.
//!
//! Registers and their meaning: nRF52840 Product Specification v1.7, sections 4.3 (NVMC), 6.19 (RNG)
//! and 6.34 (UARTE); their addresses are those of Nordic's machine-readable description (`nrf-pac`).
#![no_std]
#![warn(missing_docs)]

pub mod flash;
pub mod noise;
pub mod serial;
