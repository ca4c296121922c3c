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
        let others = |i| from.difference(Basis::single(i));
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
        let mut out = Poly::zero(ring, self.to);
        self.fill(ring, a, &mut out, |_, _| {});
        out
    }

    /// As [`Self::convert`], but to evaluation form.
    ///
    /// # Panics
    /// If `a` lacks a prime of `from`.
    #[must_use]
    pub fn evaluate(&self, ring: &Ring, a: &Poly) -> Poly {
        let mut out = Poly::zero(ring, self.to);
        self.fill(ring, a, &mut out, |i, limb| ring.kernels().ntt(&ring.table(i), limb));
        out
    }

    /// As [`Self::evaluate`], but to the union of `from` and `to`, with the residues modulo `from`
    /// copied from `evaluations`, which is `a` in evaluation form.
    ///
    /// # Panics
    /// If `a` or `evaluations` lacks a prime of `from`.
    #[must_use]
    pub fn extend(&self, ring: &Ring, a: &Poly, evaluations: &Poly) -> Poly {
        let mut out = Poly::zero(ring, self.from.union(self.to));
        self.fill(ring, a, &mut out, |i, limb| {
            if self.from.contains(i) {
                limb.copy_from_slice(evaluations.limb_at(i));
            } else {
                ring.kernels().ntt(&ring.table(i), limb);
            }
        });
        out
    }

    /// Writes the conversion of `a` to those limbs of `out` that are of `to`, then calls
    /// `finish(index, limb)` for each limb of `out`.
    ///
    /// Some limbs are computed together, block by block, so that the operands, which are as large
    /// as a cache, are read once for all of them.
    fn fill(
        &self,
        ring: &Ring,
        a: &Poly,
        out: &mut Poly,
        finish: impl Fn(usize, &mut [u32]) + Sync,
    ) {
        let (n, basis, operands) = (ring.degree(), out.basis(), self.operands(ring, a));
        let fill = |rank: usize, limbs: &mut [u32]| {
            let indices = || basis.iter().skip(rank);
            for (number, block) in operands.blocks().enumerate() {
                for (i, limb) in indices().zip(limbs.chunks_exact_mut(n)) {
                    let out = &mut limb[number * operands.block..][..operands.block];
                    self.combine(ring, &block, i, out);
                }
            }
            indices().zip(limbs.chunks_exact_mut(n)).for_each(|(i, limb)| finish(i, limb));
        };
        let grouped = basis.len() / GROUP * GROUP;
        let (groups, rest) = out.words_mut().split_at_mut(grouped * n);
        let threads = ring.threads();
        threads.for_each_limb(groups, GROUP * n, &|group, limbs| fill(group * GROUP, limbs));
        threads.for_each_limb(rest, n, &|rank, limb| fill(grouped + rank, limb));
    }

    /// The `x_i`, and after them the correction `v`.
    fn operands(&self, ring: &Ring, a: &Poly) -> Operands {
        let (block, count) = (ring.degree().min(BLOCK), self.from.len() + 1);
        let stride = block + PADDING;
        let mut words = vec![0; ring.degree() / block * count * stride];
        ring.threads().for_each_limb(&mut words, count * stride, &|number, out| {
            let mut sums = vec![0.5; block];
            let mut out = out.chunks_exact_mut(stride);
            for ((i, &inverse), x) in self.from.iter().zip(&self.inverses).zip(out.by_ref()) {
                let (q, x) = (ring.modulus(i), &mut x[..block]);
                x.copy_from_slice(&a.limb_at(i)[number * block..][..block]);
                ring.kernels().scale_assign(q, x, q.factor(inverse));
                let reciprocal = 1.0 / f64::from(q.value());
                sums.iter_mut().zip(x).for_each(|(sum, x)| *sum += f64::from(*x) * reciprocal);
            }
            let corrections = out.next().into_iter().flatten();
            corrections.zip(sums).for_each(|(v, sum)| *v = floor(sum));
        });
        Operands { block, count, words }
    }

    /// The residues modulo prime `index`, if it is one of `to`.
    fn combine(&self, ring: &Ring, operands: &[&[u32]], index: usize, out: &mut [u32]) {
        if let Some(row) = self.to.position(index) {
            let weights = &self.weights[row * operands.len()..][..operands.len()];
            ring.kernels().combine(ring.modulus(index), out, operands, weights);
        }
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
        self.apply_then(ring, a, |_, _| {})
    }

    /// As [`Self::apply`], with `finish(index, limb)` called for each limb of the result while it is
    /// close at hand.
    ///
    /// # Panics
    /// If `a` lacks a prime of `from`.
    #[must_use]
    pub fn apply_then(
        &self,
        ring: &Ring,
        a: &Poly,
        finish: impl Fn(usize, &mut [u32]) + Sync,
    ) -> Poly {
        // With `U` the product of the primes that come, `D` of those that go and `r` the centred
        // remainder of `U·a` modulo `D`, the result is `(U·a − r) / D`. Modulo a prime that stays
        // this is `(r/U − a) · (−U/D)`; modulo one that comes, where `U = 0`, it is `r · (−1/D)`.
        let going = a.coefficients(ring, self.converter.from);
        let mut out = Poly::zero(ring, self.to);
        self.converter.fill(ring, &going, &mut out, |i, limb| {
            let (p, kernels) = (ring.modulus(i), ring.kernels());
            kernels.ntt(&ring.table(i), limb);
            let factor = p.factor(self.to.position(i).map_or(0, |rank| self.factors[rank]));
            if self.from.contains(i) {
                for (limb, a) in limb.chunks_mut(BLOCK).zip(a.limb_at(i).chunks(BLOCK)) {
                    kernels.sub_assign(p, limb, a);
                    kernels.scale_assign(p, limb, factor);
                }
            } else {
                kernels.scale_assign(p, limb, factor);
            }
            finish(i, limb);
        });
        out
    }
}

/// What is combined: the `x_i` of one polynomial and the corrections `v`, block by block.
struct Operands {
    block: usize,
    count: usize,
    words: Vec<u32>,
}

impl Operands {
    /// For each block the operands of a linear combination.
    fn blocks(&self) -> impl Iterator<Item = Vec<&[u32]>> {
        let stride = self.block + PADDING;
        let blocks = self.words.chunks_exact(self.count * stride);
        blocks.map(move |words| words.chunks_exact(stride).map(|x| &x[..self.block]).collect())
    }
}

/// How many coefficients are combined at a time: those of a whole digit fit a second-level cache.
const BLOCK: usize = 2048;

/// Words between operands, which would else compete for the same lines of a cache.
const PADDING: usize = 16;

/// How many limbs are computed together.
const GROUP: usize = 4;

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
