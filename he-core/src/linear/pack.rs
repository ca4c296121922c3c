//! Packing: `K = N/T` rows become one ciphertext of the big ring.
//!
//! With `B(X) = Σ_o X^o b_o(X^K)` and `A_j(X) = Σ_o X^o α_{o,j}(X^K)`, the polynomial
//! `B + Σ_j A_j · s_j(X^K)` holds row `o`, token `t` at coefficient `o + K·t`. Each `A_j` is switched
//! from `s_j(X^K)` to the ephemeral secret by a key of one digit; the products are summed in
//! evaluation form and divided by the special primes once.

use super::rows::{Rows, scatter};
use crate::Error;
use crate::keyswitch::EvaluationKeys;
use crate::params::Params;
use crate::ring::{Converter, Poly, Rescaler, Ring};

/// `(b, a)` under the ephemeral secret, in evaluation form at the base modulus.
///
/// # Errors
/// If there are not exactly `N/T` rows or a key is missing.
pub fn pack(
    ring: &Ring,
    params: &Params,
    keys: &EvaluationKeys,
    rows: &Rows,
) -> Result<(Poly, Poly), Error> {
    let tokens = 1 << params.log_tokens();
    let expected = ring.degree() / tokens;
    if rows.count() != expected {
        return Err(Error::WrongLength { expected, found: rows.count() });
    }
    let base = params.base();
    let special = params.special_small();
    let all = base.union(special);
    let raise = Converter::new(ring, base, special);
    let rank = (1usize << params.log_edge_degree()) / tokens;
    let (mut b, mut a) = (Poly::zero(ring, all), Poly::zero(ring, all));
    for (block, part) in (0..rank).zip(0u32..) {
        let mut digit = scatter(ring, base, rows, 1 + block);
        digit.ntt_assign(ring);
        let digit = raise.extend(ring, &digit);
        let key = &keys.pack(part)?.parts[0];
        b.mul_add_assign(ring, &digit, &key.b);
        a.mul_add_assign(ring, &digit, &key.a);
    }
    let down = Rescaler::new(ring, all, base);
    let (mut b, a) = (down.apply(ring, &b), down.apply(ring, &a));
    let mut message = scatter(ring, base, rows, 0);
    message.ntt_assign(ring);
    b.add_assign(ring, &message);
    Ok((b, a))
}
