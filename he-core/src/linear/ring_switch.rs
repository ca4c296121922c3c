//! From the big ring to the edge ring.
//!
//! A big ciphertext at the base modulus is switched from `S` to `s(X^(N/n))`; every `N/n`-th
//! coefficient from the `i`-th is then the edge ciphertext number `i` under `s`, and row
//! `i + (N/n)·f` of the big one is row `f` of that.

use alloc::vec::Vec;

use crate::Error;
use crate::keyswitch::EvaluationKeys;
use crate::params::Params;
use crate::ring::{Poly, Ring};

/// An edge ciphertext `(b, a)` in coefficient form: for each base prime, `n` residues.
#[derive(Clone, Debug)]
pub struct EdgePair {
    /// The part that carries the message.
    pub b: Vec<Vec<u32>>,
    /// The mask.
    pub a: Vec<Vec<u32>>,
}

/// The `N/n` edge ciphertexts of a big one; `b` and `a` in evaluation form at the base modulus.
///
/// # Errors
/// If the key is missing.
pub fn to_edge(
    ring: &Ring,
    params: &Params,
    keys: &EvaluationKeys,
    b: &Poly,
    a: &Poly,
) -> Result<Vec<EdgePair>, Error> {
    let [mut from_mask, mut mask] = keys.down()?.switch(ring, a);
    from_mask.add_assign(ring, b);
    from_mask.inverse_ntt_assign(ring);
    mask.inverse_ntt_assign(ring);
    let stride = ring.degree() >> params.log_edge_degree();
    let every = |poly: &Poly, from: usize| {
        (0..params.base().len())
            .map(|limb| poly.limb(limb).iter().skip(from).step_by(stride).copied().collect())
            .collect()
    };
    Ok((0..stride).map(|i| EdgePair { b: every(&from_mask, i), a: every(&mask, i) }).collect())
}
