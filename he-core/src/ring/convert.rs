//! Changes of modulus: exact base conversion, and the rational rescale built on it.
//!
//! With `Q = Π q_i` and `x_i = [a · (Q/q_i)^−1]_(q_i)`, the integer `Σ x_i · Q/q_i` is `a + v·Q`,
//! and `v = round(Σ x_i/q_i)` for the representative `a` in `(−Q/2, Q/2)`. After Halevi, Polyakov
//! and Shoup, *An improved RNS variant of the BFV homomorphic encryption scheme* (CT-RSA 2019),
//! section 2.2; the rescale by a quotient of moduli is that of Kim et al., *Cheddar: A swift fully
//! homomorphic encryption library for CUDA GPUs* (2024).

use alloc::vec;
use alloc::vec::Vec;

use super::{Basis, Poly, Ring};
use crate::modulus::Modulus;

/// Exact conversion of polynomials in coefficient form from one set of primes to another.
#[derive(Clone, Debug)]
pub struct Converter {
    from: Basis,
    to: Basis,
    /// `(Q/q_i)^−1 mod q_i`.
    inverses: Vec<u32>,
    /// For each target prime `p`: `Q/q_i mod p` for each `i`, then `−Q mod p` for the correction.
    weights: Vec<u32>,
}

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

impl Converter {
    /// The conversion from the primes of `from` to those of `to`.
    ///
    /// # Panics
    /// If the ring lacks one of the primes.
    #[must_use]
    pub fn new(ring: &Ring, from: Basis, to: Basis) -> Self {
        Self::scaled(ring, from, to, |_, _| 1)
    }

    /// The conversion of the operand multiplied by `constant(i, q)` modulo each prime `q` of `from`,
    /// of index `i`, with the result multiplied by it modulo each prime of `to`.
    fn scaled(
        ring: &Ring,
        from: Basis,
        to: Basis,
        constant: impl Fn(usize, Modulus) -> u32,
    ) -> Self {
        let others = |i| from.difference(Basis::range(i..i + 1));
        let inverses = from.iter().map(|i| {
            let q = ring.modulus(i);
            q.mul(q.inverse(product(ring, others(i), q)), constant(i, q))
        });
        let weights = to.iter().flat_map(|t| {
            let (p, row) = (ring.modulus(t), from.iter().map(others));
            let row = row.map(|others| product(ring, others, p));
            let row: Vec<u32> = row.chain([p.neg(product(ring, from, p))]).collect();
            let constant = constant(t, p);
            row.into_iter().map(move |x| p.mul(x, constant))
        });
        Self { from, to, inverses: inverses.collect(), weights: weights.collect() }
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

    /// The residues modulo `to` of the representatives in `(−Q/2, Q/2)` of the coefficients, which
    /// are exact except within `2^-40 · Q` of the ends, where one `Q` may be added or subtracted.
    /// Both polynomials are in coefficient form; the basis of `a` may be larger than `from`.
    ///
    /// # Panics
    /// If `a` lacks a prime of `from`.
    #[must_use]
    pub fn convert(&self, ring: &Ring, a: &Poly) -> Poly {
        let digits = self.digits(ring, a.restrict(ring, self.from));
        let mut out = Poly::zero(ring, self.to);
        out.for_each_limb(ring, |i, limb| self.combine(ring, &digits, i, limb));
        out
    }

    /// As [`Self::convert`], but to evaluation form and to the union of `from` and `to`, with the
    /// residues modulo `from` copied from `evaluations`, which is `a` in evaluation form: the
    /// raising of one digit in a key switch.
    ///
    /// # Panics
    /// If `a` or `evaluations` lacks a prime of `from`.
    #[must_use]
    pub fn extend(&self, ring: &Ring, a: &Poly, evaluations: &Poly) -> Poly {
        let digits = self.digits(ring, a.restrict(ring, self.from));
        let mut out = Poly::zero(ring, self.from.union(self.to));
        out.for_each_limb(ring, |i, limb| {
            if self.from.contains(i) {
                limb.copy_from_slice(evaluations.limb_at(i));
                return;
            }
            self.combine(ring, &digits, i, limb);
            ring.kernels().ntt(&ring.table(i), limb);
        });
        out
    }

    /// The `x_i`, and after them the correction `v`.
    fn digits(&self, ring: &Ring, mut a: Poly) -> Digits {
        let from = self.from;
        a.for_each_limb(ring, |i, limb| {
            let q = ring.modulus(i);
            let inverse = from.position(i).map_or(0, |rank| self.inverses[rank]);
            ring.kernels().scale_assign(q, limb, q.factor(inverse));
        });
        let mut corrections = vec![0; ring.degree()];
        let reciprocals: Vec<f64> =
            from.iter().map(|i| 1.0 / f64::from(ring.primes()[i])).collect();
        let block = ring.degree().min(BLOCK);
        ring.threads().for_each_limb(&mut corrections, block, &|number, out| {
            let mut sums = [0.5; BLOCK];
            for (rank, reciprocal) in reciprocals.iter().enumerate() {
                let limb = &a.limb(rank)[number * block..][..block];
                for (sum, &x) in sums.iter_mut().zip(limb) {
                    *sum += f64::from(x) * reciprocal;
                }
            }
            out.iter_mut().zip(sums).for_each(|(v, sum)| *v = floor(sum));
        });
        Digits { values: a, corrections }
    }

    /// The limb of prime `index`, in coefficient form.
    fn combine(&self, ring: &Ring, digits: &Digits, index: usize, out: &mut [u32]) {
        let inputs: Vec<&[u32]> = (0..self.from.len())
            .map(|rank| digits.values.limb(rank))
            .chain([digits.corrections.as_slice()])
            .collect();
        let row = self.to.position(index).unwrap_or(self.to.len());
        let weights = &self.weights[row * inputs.len()..][..inputs.len()];
        ring.kernels().combine(ring.modulus(index), out, &inputs, weights);
    }
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
        // With `U` the product of the primes that come, `D` of those that go and `r` the centred
        // remainder of `U·a` modulo `D`, the result is `(U·a − r) / D`. Modulo a prime that stays
        // this is `(r/U − a) · (−U/D)`; modulo one that comes, where `U = 0`, it is `r · (−1/D)`.
        let mut going = a.restrict(ring, self.converter.from);
        going.inverse_ntt_assign(ring);
        let digits = self.converter.digits(ring, going);
        let mut out = Poly::zero(ring, self.to);
        out.for_each_limb(ring, |i, limb| {
            let (p, kernels) = (ring.modulus(i), ring.kernels());
            self.converter.combine(ring, &digits, i, limb);
            kernels.ntt(&ring.table(i), limb);
            if self.from.contains(i) {
                kernels.sub_assign(p, limb, a.limb_at(i));
            }
            let factor = self.to.position(i).map_or(0, |rank| self.factors[rank]);
            kernels.scale_assign(p, limb, p.factor(factor));
        });
        out
    }
}

/// The `x_i` of one polynomial, and the correction `v` for each coefficient.
struct Digits {
    values: Poly,
    corrections: Vec<u32>,
}

/// How many corrections are computed together.
const BLOCK: usize = 256;

/// `⌊x⌋` for `0 ≤ x < 2^32`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a sum of at most 64 fractions"
)]
const fn floor(x: f64) -> u32 {
    x as u32
}

/// The product of the primes of a basis, modulo `p`.
fn product(ring: &Ring, basis: Basis, p: Modulus) -> u32 {
    basis.iter().fold(1, |x, i| p.mul(x, p.reduce(u64::from(ring.primes()[i]))))
}
