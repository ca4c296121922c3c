//! A key authority for places with little memory that others cannot read: a secure world, a
//! confidential guest.
//!
//! An untrusted host sends an [`Order`](order::Order): which evaluation keys it needs. A
//! [`Session`](session::Session) checks it, makes the secrets, and hands out keys limb by limb in the
//! format and with the bytes of `host-runner keygen`; the edge secret leaves by the device's own link
//! only, the big secrets never.
//!
//! Each module imports only the modules above it.
#![no_std]
#![deny(unsafe_code)]
#![warn(missing_docs)]

extern crate alloc;

mod error;

pub mod heap;
pub mod window;

pub mod attest;
pub mod file;
pub mod order;

pub mod session;

pub mod golden;
pub mod record;

pub use error::Error;
