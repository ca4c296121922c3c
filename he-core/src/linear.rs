//! The coefficient-domain linear layer: encrypted rows, exact integer products, packing, and the
//! switch to the edge ring.
//!
//! In `R_n = Z[X]/(X^n + 1)` with `n = r·T` and `Y = X^r`, one ciphertext `(b, a)` *is* `r` rows of
//! `R_T` with `Y^T = −1`, for free: write `a = Σ_i a_i(X^r) X^i` and `s = Σ_j s_j(X^r) X^j`; then row
//! `f` of the message is `b_f + Σ_j α_{f,j} s_j`, where `α_{f,j} = a_{f−j}` if `f ≥ j` and
//! `Y·a_{f−j+r}` otherwise. A product with an integer matrix is the same product of all `1 + r`
//! blocks. After Bae, Cheon, Hanrot, Park, Stehlé (CRYPTO 2024).

mod exchange;
mod pack;
mod ring_switch;
mod rows;

pub use exchange::{EdgeAnswer, SeededUpload, answer, answer_slot, edge_ring, receive};
pub use pack::pack;
pub use ring_switch::{EdgePair, to_edge};
pub use rows::Rows;
