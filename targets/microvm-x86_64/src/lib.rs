//! A key authority as the only program of a virtual machine: the shape of a confidential guest.
//!
//! It boots by PVH into 64 bits, takes one order from where the host put it, answers with records on the
//! console, and sends the device its secrets on the second. The host that runs the machine
//! is not trusted with anything but to run it; without memory encryption, which the emulator does not
//! have, that is a wish (README.md).
//!
//! Each module imports only the modules above it.
#![no_std]
#![warn(missing_docs)]

extern crate alloc;

mod heap;

pub mod start;

pub mod memory;

pub mod console;
pub mod noise;
pub mod ports;

pub mod guest;
pub mod suite;
