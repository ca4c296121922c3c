//! Key authority, encrypted-inference server and host client: everything that needs an operating
//! system.
#![forbid(unsafe_code)]

pub mod files;
pub mod import;
pub mod memory;
pub mod progress;
pub mod threads;
