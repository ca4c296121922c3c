//! Polynomial rings in residue form, and the kernels that compute in them.

mod kernels;

pub use kernels::{Kernels, Portable, Serial, Threads};
