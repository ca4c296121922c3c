//! Packing: `K = N/T` rows become one ciphertext of the big ring.
//!
//! With `B(X) = Σ_o X^o b_o(X^K)` and `A_j(X) = Σ_o X^o α_{o,j}(X^K)`, the polynomial
//! `B + Σ_j A_j · s_j(X^K)` holds row `o`, token `t` at coefficient `o + K·t`. Each `A_j` is switched
//! from `s_j(X^K)` to the ephemeral secret by a key of one digit; the products are summed in
//! evaluation form and divided by the special primes once.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use super::rows::Rows;
use crate::Error;
use crate::ciphertext::Side;
use crate::keyswitch::{EvaluationKeys, dot, rescale_pair};
use crate::params::Params;
use crate::ring::{Basis, Converter, Operands, Poly, Rescaler, Ring};

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
    let (base, special) = (params.base(), params.special_small());
    let rank = (1usize << params.log_edge_degree()) / tokens;
    let parts = (0u32..).take(rank).map(|part| Ok(&keys.pack(part)?.parts[0]));
    let parts = parts.collect::<Result<Vec<_>, Error>>()?;
    let blocks = blocks(ring, rows, [base, special], rank);
    let product = |side: Side, prime, at: Range<usize>, out: &mut [u32]| {
        let pairs = blocks.iter().zip(&parts);
        let pairs = pairs.map(|(l, r)| (l.places(prime, &at), r.side(side).places(prime, &at)));
        dot(ring, prime, out, &pairs.collect::<Vec<_>>());
    };
    let mut message = Poly::from_limbs(ring, base, |prime, limb| {
        rows.scatter(base, prime, 0, limb);
        ring.kernels().ntt(&ring.table(prime), limb);
    });
    let down = Rescaler::new(ring, base.union(special), base);
    let [b, a] = rescale_pair(ring, &down, product, |_, _, _| {});
    message.add_assign(ring, &b);
    Ok((message, a))
}

/// The `A_j`, in evaluation form over the base and the special primes.
fn blocks(ring: &Ring, rows: &Rows, [base, special]: [Basis; 2], rank: usize) -> Vec<Poly> {
    let raise = Converter::new(ring, base, special);
    let load = |j, prime, limb: &mut [u32]| rows.scatter(base, prime, 1 + j, limb);
    let operands = Operands::new(ring, vec![&raise; rank], load);
    let all = base.union(special);
    let mut blocks: Vec<_> = (0..rank).map(|_| Poly::blank(ring, all)).collect();
    operands.convert(&mut blocks.iter_mut().collect::<Vec<_>>(), |j, prime, limb| {
        if base.contains(prime) {
            operands.reload(j, prime, limb);
        }
        ring.kernels().ntt(&ring.table(prime), limb);
    });
    blocks
}
