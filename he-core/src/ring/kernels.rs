//! Seam 1: arithmetic on single limbs, and who runs the limbs of a polynomial.

#[cfg(feature = "alloc")]
use alloc::vec::Vec;
use core::fmt::Debug;

use crate::complex::Complex;
use crate::modulus::{Factor, Modulus};
use crate::ntt::NttTable;

/// Arithmetic on one limb: `N` residues modulo one prime, `N` a power of two.
///
/// Residues are in `[0, q)` before and after every call, and slices passed together have equal
/// length; both are the caller's duty. The bodies here are the reference: safe, portable, in
/// constant time. An implementation overrides the ones it can make faster, bit for bit equal.
pub trait Kernels: Debug + Sync {
    /// A name for logs and reports.
    fn name(&self) -> &'static str {
        "portable"
    }

    /// `acc += rhs`.
    fn add_assign(&self, q: Modulus, acc: &mut [u32], rhs: &[u32]) {
        zip(acc, rhs, |a, b| q.add(a, b));
    }

    /// `acc −= rhs`.
    fn sub_assign(&self, q: Modulus, acc: &mut [u32], rhs: &[u32]) {
        zip(acc, rhs, |a, b| q.sub(a, b));
    }

    /// `acc *= rhs`, point by point.
    fn mul_assign(&self, q: Modulus, acc: &mut [u32], rhs: &[u32]) {
        zip(acc, rhs, |a, b| q.mul(a, b));
    }

    /// `acc *= f`.
    fn scale_assign(&self, q: Modulus, acc: &mut [u32], f: Factor) {
        acc.iter_mut().for_each(|a| *a = q.mul_factor(*a, f));
    }

    /// `acc += lhs · rhs`, point by point.
    fn mul_add_assign(&self, q: Modulus, acc: &mut [u32], lhs: &[u32], rhs: &[u32]) {
        assert_eq!(acc.len(), lhs.len());
        assert_eq!(lhs.len(), rhs.len());
        for (a, (&l, &r)) in acc.iter_mut().zip(lhs.iter().zip(rhs)) {
            *a = q.reduce(u64::from(l) * u64::from(r) + u64::from(*a));
        }
    }

    /// `out = Σ_i lhs_i · rhs_i` over at most three pairs, point by point: the inner loop of key
    /// switching. The operands may be any words below `2^31`.
    fn dot(&self, q: Modulus, out: &mut [u32], pairs: &[(&[u32], &[u32])]) {
        assert!(pairs.len() <= 3);
        for (i, o) in out.iter_mut().enumerate() {
            let sum = pairs.iter().map(|(l, r)| u64::from(l[i]) * u64::from(r[i])).sum();
            *o = q.reduce(sum);
        }
    }

    /// `out = Σ_i inputs_i · weights_i` for each of several limbs: the inner loop of basis
    /// conversion. Inputs are words below `bound`, at most `2^31`, not necessarily below a prime.
    fn combine(&self, limbs: &mut [Combination<'_>], inputs: &[&[u32]], bound: u32) {
        assert!(bound <= 1 << Modulus::MAX_BITS);
        for Combination { q, weights, out } in limbs {
            assert_eq!(inputs.len(), weights.len());
            // One half is `(q + 1) / 2`, whether or not `q` is a prime.
            let undo = q.factor(q.pow_vartime(q.value().div_ceil(2), 32));
            for (i, o) in out.iter_mut().enumerate() {
                // Three products of 62 bits and one residue fit a word.
                *o = 0;
                for (inputs, weights) in inputs.chunks(3).zip(weights.chunks(3)) {
                    let terms = inputs.iter().zip(weights);
                    let sum: u64 = terms.map(|(x, &w)| u64::from(x[i]) * u64::from(w)).sum();
                    *o = q.reduce(sum + u64::from(*o));
                }
                *o = q.mul_factor(*o, undo);
            }
        }
    }

    /// Adds to each sum its word's fraction of `q`: `sums += limb / q`, the quotient as a product
    /// with the reciprocal and nothing fused.
    fn add_fractions(&self, q: Modulus, limb: &[u32], sums: &mut [f64]) {
        assert_eq!(limb.len(), sums.len());
        let reciprocal = 1.0 / f64::from(q.value());
        sums.iter_mut().zip(limb).for_each(|(sum, &x)| *sum += f64::from(x) * reciprocal);
    }

    /// `out_g = Σ_f weights_{g,f} · rows_f`: the product of a matrix, row-major, and as many rows of
    /// residues as it has columns, at least one. Weights are residues of integers below `2^17` in absolute value.
    ///
    /// # Panics
    /// If the lengths do not fit each other, or there is no row.
    fn matmul(&self, q: Modulus, out: &mut [u32], rows: &[&[u32]], weights: &[u32]) {
        let width = rows[0].len();
        assert_eq!(out.len() / width * rows.len(), weights.len());
        for (out, weights) in out.chunks_exact_mut(width).zip(weights.chunks_exact(rows.len())) {
            for (i, o) in out.iter_mut().enumerate() {
                *o = 0;
                for (rows, weights) in rows.chunks(3).zip(weights.chunks(3)) {
                    let terms = rows.iter().zip(weights);
                    let sum: u64 = terms.map(|(x, &w)| u64::from(x[i]) * u64::from(w)).sum();
                    *o = q.reduce(sum + u64::from(*o));
                }
            }
        }
    }

    /// Coefficients to evaluations.
    fn ntt(&self, table: &NttTable<'_>, limb: &mut [u32]) {
        table.forward(limb);
    }

    /// Evaluations to coefficients.
    fn inverse_ntt(&self, table: &NttTable<'_>, limb: &mut [u32]) {
        table.inverse(limb);
    }

    /// `out[i] = limb[index[i]]`: an automorphism in the evaluation domain.
    fn gather(&self, index: &[u32], limb: &[u32], out: &mut [u32]) {
        assert_eq!(index.len(), out.len());
        for (o, &i) in out.iter_mut().zip(index) {
            *o = limb[i as usize];
        }
    }
}

/// One limb of a linear combination.
#[derive(Debug)]
pub struct Combination<'a> {
    /// Its prime.
    pub q: Modulus,
    /// A constant for each input in [Montgomery's form](Modulus::montgomery), which makes the
    /// reduction of a sum cheap.
    pub weights: &'a [u32],
    /// Its words.
    pub out: &'a mut [u32],
}

/// The reference kernels and nothing else.
#[derive(Clone, Copy, Debug, Default)]
pub struct Portable;

impl Kernels for Portable {}

/// Who runs the limbs of polynomials, and where their words come from.
pub trait Threads: Debug + Sync {
    /// Calls `f(i, group)` once for each group `i` of `size` consecutive parts, the last of which
    /// may be smaller, in any order, and returns when all are done.
    fn for_each(
        &self,
        parts: &mut [&mut [u32]],
        size: usize,
        f: &(dyn Fn(usize, &mut [&mut [u32]]) + Sync),
    );

    /// How many groups may run at a time.
    fn count(&self) -> usize {
        1
    }

    /// The same for parts of complex numbers.
    fn for_each_complex(
        &self,
        parts: &mut [&mut [Complex]],
        size: usize,
        f: &(dyn Fn(usize, &mut [&mut [Complex]]) + Sync),
    ) {
        parts.chunks_mut(size).enumerate().for_each(|(i, group)| f(i, group));
    }

    /// So many words to be written, of any values: whoever keeps memory for reuse need not clear it.
    #[cfg(feature = "alloc")]
    fn words(&self, count: usize) -> Vec<u32> {
        alloc::vec![0; count]
    }
}

/// One group after another, on the calling thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct Serial;

impl Threads for Serial {
    fn for_each(
        &self,
        parts: &mut [&mut [u32]],
        size: usize,
        f: &(dyn Fn(usize, &mut [&mut [u32]]) + Sync),
    ) {
        parts.chunks_mut(size).enumerate().for_each(|(i, group)| f(i, group));
    }
}

fn zip(acc: &mut [u32], rhs: &[u32], f: impl Fn(u32, u32) -> u32) {
    assert_eq!(acc.len(), rhs.len());
    acc.iter_mut().zip(rhs).for_each(|(a, &b)| *a = f(*a, b));
}
