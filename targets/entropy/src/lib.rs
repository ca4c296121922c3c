//! From a board's raw noise to random bytes that cryptography may use, or to an error.
//!
//! A board implements [`Noise`], one raw sample at a time, and claims how much entropy a sample has.
//! [`Generator`] watches every sample with the continuous health tests of NIST SP 800-90B
//! ([`Health`]), conditions samples to seeds by SHA-256, expands seeds by `ChaCha20`, and seeds itself
//! again before a seed has served for long. A failure is for good: from then on every request is
//! an error, so a board without entropy makes no keys and encrypts nothing.
//!
//! What the tests cannot see: samples that look alive and are known to somebody else. A claim is
//! an assessment of the physical source (SP 800-90B, section 3), which software does not make.
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod claim;
mod health;

mod generator;

pub use claim::{Claim, Cutoffs};
pub use generator::{Failure, Generator, Noise, Silent};
pub use health::{Alarm, Health};
