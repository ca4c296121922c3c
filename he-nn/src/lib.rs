//! Modules in layers: the client first, then the model, then the encrypted forward pass; a module
//! may use only the modules listed above it.
#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;

mod names;
mod error;

// The client (no heap).
pub mod client;

// The model.
#[cfg(feature = "alloc")]
pub mod model;
#[cfg(feature = "alloc")]
pub mod reference;

// The encrypted forward pass.
#[cfg(feature = "alloc")]
pub mod approx;
#[cfg(feature = "alloc")]
pub mod layout;
#[cfg(feature = "alloc")]
pub mod levels;
#[cfg(feature = "alloc")]
pub mod layer;
#[cfg(feature = "alloc")]
pub mod tape;
#[cfg(feature = "alloc")]
pub mod stage;
#[cfg(feature = "alloc")]
pub mod forward;
#[cfg(feature = "alloc")]
pub mod backward;

pub use error::Error;
pub use names::TensorName;
