//! The Gaussian-kernel transformer over an encrypted evaluator, and its client.
//!
//! The client side ([`client`]) needs no heap: text becomes pieces, pieces a normalised embedding,
//! the embedding the integer messages that the device encrypts; and the decrypted numbers become a
//! label, or a refusal. The server side (feature `alloc`) is a [`model`] of integer matrices and a
//! [`forward`] pass over any [`he_core::refresh::Refresh`]. A module may use only the modules
//! listed above it.
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
pub mod layer;
#[cfg(feature = "alloc")]
pub mod stage;
#[cfg(feature = "alloc")]
pub mod forward;

pub use error::Error;
pub use names::TensorName;
