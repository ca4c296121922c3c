//! The Gaussian-kernel transformer over an encrypted evaluator, and its client.
#![no_std]
#![forbid(unsafe_code)]
