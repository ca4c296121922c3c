//! Personal low-rank adapters whose weights stay encrypted.
//!
//! An [`Adapter`] is an update of rank `r` on queries, keys and values of every layer, encrypted
//! under its owner's key. It takes part in the forward pass of `he-nn` through its seam
//! [`he_nn::forward::QkvUpdate`]; the server that applies it learns nothing about it but its rank and its
//! scaling.
//!
//! After Hu et al., *`LoRA`: Low-Rank Adaptation of Large Language Models* (ICLR 2022).
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod plain;

pub mod adapter;
mod forward;

pub use adapter::Adapter;
pub use forward::level;
pub use plain::Update;
