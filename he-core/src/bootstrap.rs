//! The circuits of a bootstrap, over any [`crate::eval::Evaluator`]: the transform between
//! coefficients and slots, and the sine that takes multiples of the base modulus away.

pub mod dft;
pub mod eval_mod;
