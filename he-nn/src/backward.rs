//! The way back through the frozen layers: from the derivative of the loss by what a layer gives to that by
//! what it takes, one layer a file.
//!
//! Derivatives are rows: those that come from slots ([`he_core::refresh::Refresh::slots_to_rows`]) are added
//! up, and those that come from a product with a matrix are bootstrapped. Behind the last attention
//! every place of a row holds the first token's derivative. `docs/training.md` has the formulas.

pub mod bootstraps;
pub mod feed_forward;
pub mod fused;
pub mod linears;
pub mod normalisation;
pub mod token_attention;
pub mod wide_attention;
