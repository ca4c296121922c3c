//! Polynomial rings `Z_q[X] / (X^N + 1)` in residue form, and the kernels that compute in them.
//!
//! A [`Ring`] is a degree and a list of primes with their transforms. A [`Poly`] holds residues
//! modulo the primes of a [`Basis`], a subset of the list, so one ring serves every level.

mod basis;
mod kernels;

#[cfg(feature = "alloc")]
mod automorphism;
#[cfg(feature = "alloc")]
mod convert;
#[cfg(feature = "alloc")]
mod poly;
#[cfg(feature = "alloc")]
mod rescale;
#[cfg(feature = "alloc")]
mod tables;

pub use basis::Basis;
pub use kernels::{Combination, Kernels, Portable, Serial, Threads};

#[cfg(feature = "alloc")]
pub use automorphism::{Automorphism, galois_of_conjugation, galois_of_rotation};
#[cfg(feature = "alloc")]
pub use convert::Converter;
#[cfg(feature = "alloc")]
pub(crate) use convert::Operands;
#[cfg(feature = "alloc")]
pub use poly::Poly;
#[cfg(feature = "alloc")]
pub(crate) use poly::mul_i_limb;
#[cfg(feature = "alloc")]
pub use rescale::Rescaler;
#[cfg(feature = "alloc")]
pub use tables::Ring;

#[cfg(test)]
mod tests;
