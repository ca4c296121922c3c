//! CKKS in layers; a module may use only the modules listed above it.
#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    all(feature = "alloc", not(target_has_atomic = "ptr")),
    expect(dead_code, unused_imports, reason = "only the evaluator on ciphertexts uses it")
)]

#[cfg(feature = "alloc")]
extern crate alloc;

mod error;

// Numbers.
pub mod modulus;
pub mod ntt;
pub mod primes;
pub mod complex;

// Rings.
pub mod ring;
#[cfg(feature = "alloc")]
pub mod embedding;

// Parameters.
pub mod params;

// Scheme, client side.
pub mod sample;
pub mod edge;
pub mod wire;
#[cfg(feature = "alloc")]
pub mod encode;
pub mod slots;

// Scheme, server side.
#[cfg(feature = "alloc")]
pub mod ciphertext;
#[cfg(feature = "alloc")]
pub mod keyswitch;
#[cfg(feature = "alloc")]
pub mod encrypt;
#[cfg(feature = "alloc")]
pub mod noise;

// Circuits, generic over the evaluator.
#[cfg(feature = "alloc")]
pub mod eval;
#[cfg(feature = "alloc")]
pub mod circuit;
#[cfg(feature = "alloc")]
pub mod conformance;
#[cfg(feature = "alloc")]
pub mod bootstrap;

// On ciphertexts.
#[cfg(feature = "alloc")]
pub mod linear;
// Chains of one evaluator share its keys by counting: not for the smallest machines.
#[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
pub mod cpu;

pub use error::Error;
#[cfg(feature = "alloc")]
pub use eval::refresh;
