//! The rational rescale: multiplication by a quotient of moduli, built on exact base conversion.
//!
//! After Kim et al., *Cheddar: A swift fully homomorphic encryption library for CUDA GPUs* (2024).

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use super::convert::{Converter, Operands, product};
use super::{Basis, Poly, Ring};

/// Multiplication by `Π to / Π from` with rounding to the nearest integer, from the basis `from`
/// to the basis `to`.
#[derive(Clone, Debug)]
pub struct Rescaler {
    from: Basis,
    to: Basis,
    ratio: f64,
    /// From the primes that go to all of `to`.
    converter: Converter,
    /// For each prime of `to`: what the difference in [`Self::apply`] is multiplied by.
    factors: Vec<u32>,
}

impl Rescaler {
    /// The change from the primes of `from` to those of `to`.
    ///
    /// # Panics
    /// If the ring lacks one of the primes.
    #[must_use]
    pub fn new(ring: &Ring, from: Basis, to: Basis) -> Self {
        let (coming, going) = (to.difference(from), from.difference(to));
        let converter = Converter::scaled(ring, going, to, |i, q| {
            let u = product(ring, coming, q);
            if going.contains(i) {
                u
            } else if coming.contains(i) {
                1
            } else {
                q.inverse(u)
            }
        });
        let factors = to.iter().map(|i| {
            let q = ring.modulus(i);
            let u = if coming.contains(i) { 1 } else { product(ring, coming, q) };
            q.neg(q.mul(u, q.inverse(product(ring, going, q))))
        });
        let factors = factors.collect();
        let ratio = ring.product_ratio(from, to);
        Self { from, to, ratio, converter, factors }
    }

    /// The primes of the operand.
    #[must_use]
    pub const fn from(&self) -> Basis {
        self.from
    }

    /// The primes of the result.
    #[must_use]
    pub const fn to(&self) -> Basis {
        self.to
    }

    /// `Π from / Π to`: what a scale is divided by.
    #[must_use]
    pub const fn ratio(&self) -> f64 {
        self.ratio
    }

    /// `round(a · Π to / Π from)`, coefficient by coefficient; `a` and the result in evaluation
    /// form. The basis of `a` may be larger than `from`.
    ///
    /// # Panics
    /// If `a` lacks a prime of `from`.
    #[must_use]
    pub fn apply(&self, ring: &Ring, a: &Poly) -> Poly {
        let mut out = Poly::blank(ring, self.to);
        let source = |_: usize, i: usize, at: Range<usize>, out: &mut [u32]| {
            out.copy_from_slice(&a.limb_at(i)[at]);
        };
        self.apply_to(ring, &mut [&mut out], source, |_, _, _| {});
        out
    }

    /// Writes to each `outs[j]`, a polynomial over `to`, what [`Self::apply`] gives for an operand of
    /// which `source(j, i, at, out)` writes places `at` of the limb of prime `i`, when it is asked:
    /// once for each prime of `from`. Then calls `finish(j, i, limb)` for each limb of the results
    /// while it is close at hand.
    pub(crate) fn apply_to(
        &self,
        ring: &Ring,
        outs: &mut [&mut Poly],
        source: impl Fn(usize, usize, Range<usize>, &mut [u32]) + Sync,
        finish: impl Fn(usize, usize, &mut [u32]) + Sync,
    ) {
        // With `U` the product of the primes that come, `D` of those that go and `r` the centred
        // remainder of `U·a` modulo `D`, the result is `(U·a − r) / D`. Modulo a prime that stays
        // this is `(r/U − a) · (−U/D)`; modulo one that comes, where `U = 0`, it is `r · (−1/D)`.
        let (n, kernels) = (ring.degree(), ring.kernels());
        let load = |j: usize, i: usize, limb: &mut [u32]| {
            for (number, out) in limb.chunks_mut(BLOCK).enumerate() {
                source(j, i, number * BLOCK..number * BLOCK + out.len(), out);
            }
            kernels.inverse_ntt(&ring.table(i), limb);
        };
        let operands = Operands::new(ring, vec![&self.converter; outs.len()], load);
        operands.convert(outs, |j, i, limb| {
            let p = ring.modulus(i);
            kernels.ntt(&ring.table(i), limb);
            let factor = p.factor(self.to.position(i).map_or(0, |rank| self.factors[rank]));
            if self.from.contains(i) {
                let mut scratch = [0; BLOCK];
                for at in (0..n).step_by(BLOCK) {
                    let end = n.min(at + BLOCK);
                    let (limb, a) = (&mut limb[at..end], &mut scratch[..end - at]);
                    source(j, i, at..end, a);
                    kernels.sub_assign(p, limb, a);
                    kernels.scale_assign(p, limb, factor);
                }
            } else {
                kernels.scale_assign(p, limb, factor);
            }
            finish(j, i, limb);
        });
    }
}

/// Places that are computed at a time, so that they stay in a cache.
const BLOCK: usize = 2048;
