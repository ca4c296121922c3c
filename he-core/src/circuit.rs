//! Circuits over any [`crate::eval::Evaluator`]: polynomials and linear maps of slots.

pub mod chebyshev;
pub mod linear;
pub mod polynomial;
