//! What the device images share.
//!
//! A board's own package starts the processor and owns its registers; everything else is here
//! and knows boards only through [`machine::Machine`] and the traits of `embedded-io`. The same
//! test bodies run on the boards and, under `cargo test`, on the host.
//!
//! Each module imports only the modules above it.
#![no_std]
#![warn(missing_docs)]

pub mod line;
pub mod machine;
pub mod persistent;
pub mod report;
pub mod stack;

pub mod harness;

pub mod model;

pub mod buffers;

pub mod client;
pub mod suite;
