//! Changes of modulus: exact base conversion.
//!
//! With `Q = Π q_i` and `x_i = [a · (Q/q_i)^−1]_(q_i)`, the integer `Σ x_i · Q/q_i` is `a + v·Q`,
//! and `v = round(Σ x_i/q_i)` for the representative `a` in `(−Q/2, Q/2)`. After Halevi, Polyakov
//! and Shoup, *An improved RNS variant of the BFV homomorphic encryption scheme* (CT-RSA 2019),
//! section 2.2.

use alloc::vec;
use alloc::vec::Vec;

use super::{Basis, Combination, Poly, Ring};
use crate::modulus::Modulus;

/// Exact conversion of polynomials in coefficient form from one set of primes to another.
#[derive(Clone, Debug)]
pub struct Converter {
    from: Basis,
    to: Basis,
    /// `(Q/q_i)^−1 mod q_i`.
    inverses: Vec<u32>,
    /// For each target prime `p`: `Q/q_i mod p` for each `i`, then `−Q mod p` for the correction;
    /// all in Montgomery's form.
    weights: Vec<u32>,
    /// Above all `x_i` and the correction.
    bound: u32,
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
    pub(super) fn scaled(
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
            let p = ring.modulus(t);
            let (mut row, all) = cofactors(ring, from, p);
            row.push(p.neg(all));
            let constant = p.montgomery(constant(t, p));
            row.into_iter().map(move |x| p.mul(x, constant))
        });
        let bound = from.iter().map(|i| ring.primes()[i]).fold(LARGEST_CORRECTION + 1, u32::max);
        Self { from, to, inverses: inverses.collect(), weights: weights.collect(), bound }
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
        let load = |_: usize, i: usize, limb: &mut [u32]| limb.copy_from_slice(a.limb_at(i));
        let mut out = Poly::blank(ring, self.to);
        Operands::new(ring, vec![self], load).convert(&mut [&mut out], |_, _, _| {});
        out
    }

    /// The residues modulo the union of `from` and `to`, in evaluation form; so is `a`.
    ///
    /// # Panics
    /// If `a` lacks a prime of `from`.
    #[must_use]
    pub fn extend(&self, ring: &Ring, a: &Poly) -> Poly {
        let load = |_: usize, i: usize, limb: &mut [u32]| {
            limb.copy_from_slice(a.limb_at(i));
            ring.kernels().inverse_ntt(&ring.table(i), limb);
        };
        let mut out = Poly::blank(ring, self.from.union(self.to));
        let operands = Operands::new(ring, vec![self], load);
        operands.convert(&mut [&mut out], |_, i, limb| {
            if self.from.contains(i) {
                limb.copy_from_slice(a.limb_at(i));
            } else {
                ring.kernels().ntt(&ring.table(i), limb);
            }
        });
        out
    }
}

/// Polynomials that are converted together, each by its own converter: all their `x_i`, and the
/// corrections `v`.
pub(crate) struct Operands<'a> {
    ring: &'a Ring,
    converters: Vec<&'a Converter>,
    /// The `x_i` of one polynomial after those of another.
    limbs: Vec<u32>,
    corrections: Vec<u32>,
}

impl<'a> Operands<'a> {
    /// What `converters[j]` takes of polynomial `j`, of which `load(j, i, limb)` writes the residues
    /// modulo prime `i`, in coefficient form.
    pub(crate) fn new(
        ring: &'a Ring,
        converters: Vec<&'a Converter>,
        load: impl Fn(usize, usize, &mut [u32]) + Sync,
    ) -> Self {
        let n = ring.degree();
        let number = |(j, &converter): (usize, &&'a Converter)| {
            converter.from.iter().zip(&converter.inverses).map(move |(i, &inverse)| (j, i, inverse))
        };
        let places: Vec<_> = converters.iter().enumerate().flat_map(number).collect();
        let mut limbs = ring.threads().words(places.len() * (n + PADDING));
        ring.for_each_limb(&mut limbs, n + PADDING, |number, limb| {
            let ((j, i, inverse), limb) = (places[number], &mut limb[..n]);
            load(j, i, limb);
            let q = ring.modulus(i);
            ring.kernels().scale_assign(q, limb, q.factor(inverse));
        });
        let mut operands = Self { ring, converters, limbs, corrections: Vec::new() };
        operands.corrections = operands.corrections();
        operands
    }

    /// `v = round(Σ x_i/q_i)` for each polynomial.
    fn corrections(&self) -> Vec<u32> {
        let n = self.ring.degree();
        let block = n.min(BLOCK);
        let mut corrections = self.ring.threads().words(self.converters.len() * (n + PADDING));
        let limbs = corrections.chunks_exact_mut(n + PADDING);
        let mut blocks: Vec<_> = limbs.flat_map(|limb| limb[..n].chunks_exact_mut(block)).collect();
        self.ring.threads().for_each(&mut blocks, 1, &|number, out| {
            let (j, at) = (number / (n / block), number % (n / block) * block);
            let mut sums = [0.0; BLOCK];
            let sums = &mut sums[..block];
            for (x, i) in self.limbs(j).zip(self.converters[j].from.iter()) {
                let (q, x) = (self.ring.modulus(i), &x[at..at + block]);
                self.ring.kernels().add_fractions(q, x, sums);
            }
            let corrections = out.iter_mut().flat_map(|out| out.iter_mut());
            corrections.zip(sums).for_each(|(v, sum)| *v = round(*sum));
        });
        corrections
    }

    /// The `x_i` of polynomial `j`.
    fn limbs(&self, j: usize) -> impl Iterator<Item = &[u32]> {
        let before = self.converters[..j].iter().map(|converter| converter.from.len()).sum();
        let all = self.limbs.chunks_exact(self.ring.degree() + PADDING);
        all.skip(before).take(self.converters[j].from.len())
    }

    /// Writes the residues of polynomial `j` modulo prime `i` of its operand once more, for less than
    /// it may take to load them. The operand must have that prime.
    pub(crate) fn reload(&self, j: usize, i: usize, limb: &mut [u32]) {
        let (converter, q) = (self.converters[j], self.ring.modulus(i));
        let operand = converter
            .from
            .position(i)
            .and_then(|rank| Some((self.limbs(j).nth(rank)?, converter.inverses[rank])));
        let (x, inverse) = operand.expect("a prime of the operand");
        limb.copy_from_slice(&x[..limb.len()]);
        self.ring.kernels().scale_assign(q, limb, q.factor(q.inverse(inverse)));
    }

    /// Writes the conversions to those limbs of `outs`, one for each polynomial, that are of primes
    /// of `to`, then calls `finish(j, i, limb)` for the limb of each prime `i` of each `outs[j]`.
    ///
    /// Some limbs are computed together, block by block, so that the operands, which are as large
    /// as a cache, are read once for all of them.
    pub(crate) fn convert(
        &self,
        outs: &mut [&mut Poly],
        finish: impl Fn(usize, usize, &mut [u32]) + Sync,
    ) {
        let (mut places, mut limbs) = (Vec::new(), Vec::new());
        for (j, out) in outs.iter_mut().enumerate() {
            places.extend(out.basis().iter().map(|i| (j, i)));
            limbs.extend(out.words_mut().chunks_exact_mut(self.ring.degree()));
        }
        let size = group_size(limbs.len(), self.ring.threads().count());
        self.ring.threads().for_each(&mut limbs, size, &|group, limbs| {
            let places = &places[group * size..][..limbs.len()];
            let mut rest = &mut limbs[..];
            for places in places.chunk_by(|left, right| left.0 == right.0) {
                let (now, later) = rest.split_at_mut(places.len());
                self.combine(places, now);
                rest = later;
            }
            for (&(j, i), limb) in places.iter().zip(limbs) {
                finish(j, i, limb);
            }
        });
    }

    /// The conversions of one polynomial for several primes.
    fn combine(&self, places: &[(usize, usize)], limbs: &mut [&mut [u32]]) {
        let Some(&(j, _)) = places.first() else { return };
        let (converter, n) = (self.converters[j], self.ring.degree());
        let correction = &self.corrections[j * (n + PADDING)..];
        let inputs: Vec<_> = self.limbs(j).chain([correction]).collect();
        for at in (0..n).step_by(BLOCK) {
            let end = n.min(at + BLOCK);
            let block: Vec<_> = inputs.iter().map(|input| &input[at..end]).collect();
            let limbs = places.iter().zip(limbs.iter_mut()).filter_map(|(&(_, i), limb)| {
                let weights = converter.to.position(i)? * block.len();
                let weights = &converter.weights[weights..][..block.len()];
                Some(Combination { q: self.ring.modulus(i), weights, out: &mut limb[at..end] })
            });
            let mut limbs: Vec<_> = limbs.collect();
            self.ring.kernels().combine(&mut limbs, &block, converter.bound);
        }
    }
}

/// How many coefficients are combined at a time: those of a whole digit fit a second-level cache.
const BLOCK: usize = 4096;

/// Words between operands, which would else compete for the same lines of a cache.
const PADDING: usize = 16;

/// How many limbs are computed together, at most: each group reads all operands from beyond the
/// second-level cache, and then from it for every four limbs.
const GROUP: usize = 12;

/// How many limbs go to a group, so that so many threads finish together: every group costs the reading
/// of the operands, about a quarter of a limb, and every limb that the last one lacks is waited for.
fn group_size(limbs: usize, threads: usize) -> usize {
    let least = limbs.div_ceil(GROUP).max(1).next_multiple_of(threads);
    let numbers = (least..=2 * least).step_by(threads);
    let sizes = numbers.map(|groups| (groups, limbs.div_ceil(groups).max(1)));
    let best = sizes.min_by_key(|(groups, size)| groups * (4 * size + 1));
    best.map_or(GROUP, |(_, size)| size)
}

/// A sum of fractions is not above the number of primes.
const LARGEST_CORRECTION: u32 = 64;
const _: () = assert!(Basis::CAPACITY == 64);

/// `x` rounded, for `0 ≤ x < 2^32`: added to `2^52` it loses its fraction, and what is left of it
/// are the low bits of the sum.
#[expect(clippy::cast_possible_truncation, reason = "the low half is what is asked for")]
const fn round(x: f64) -> u32 {
    const SHIFT: f64 = (1u64 << 52) as f64;
    (x + SHIFT).to_bits() as u32
}

/// For each prime of a basis the product of all others modulo `p`, and the product of all.
fn cofactors(ring: &Ring, basis: Basis, p: Modulus) -> (Vec<u32>, u32) {
    let residues: Vec<u32> = basis.iter().map(|i| p.reduce(ring.primes()[i].into())).collect();
    let mut others: Vec<u32> = Vec::with_capacity(residues.len() + 1);
    let (mut before, mut after) = (1, 1);
    for &x in &residues {
        others.push(before);
        before = p.mul(before, x);
    }
    for (other, &x) in others.iter_mut().zip(&residues).rev() {
        *other = p.mul(*other, after);
        after = p.mul(after, x);
    }
    (others, after)
}

/// The product of the primes of a basis, modulo `p`.
pub(super) fn product(ring: &Ring, basis: Basis, p: Modulus) -> u32 {
    basis.iter().fold(1, |x, i| p.mul(x, p.reduce(u64::from(ring.primes()[i]))))
}
