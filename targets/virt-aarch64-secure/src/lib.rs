//! A key authority in the secure world of QEMU's `virt` board.
//!
//! `monitor` runs at EL3 and switches worlds; `authority` runs at secure EL1 and has the secrets;
//! `normal` is what an application at non-secure EL1 needs. The worlds share the table in `calls` and
//! nothing else but the memory that a call names.
//!
//! Each module imports only the modules above it.
#![no_std]
#![warn(missing_docs)]

extern crate alloc;

pub mod calls;
pub mod layout;

mod heap;
mod tables;

pub mod monitor;

pub mod authority;

pub mod normal;
pub mod suite;
