//! Adapters in the clear, encrypted, and in the forward pass.
#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod plain;
pub mod parameters;
pub mod matrices;
pub mod reference;

pub mod adapter;
pub mod state;
pub mod adamw;
pub mod dense;
pub mod full;
pub mod trained;
mod forward;
mod head;
pub mod training;

pub use adapter::Adapter;
pub use forward::level;
pub use plain::Update;
