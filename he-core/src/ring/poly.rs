//! Polynomials in residue form, and their arithmetic limb by limb.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use super::{Automorphism, Basis, Ring};
use crate::modulus::Modulus;

/// A polynomial modulo each prime of a basis: limbs of `N` residues, in ascending order of prime
/// index. Whether it is in coefficient or evaluation form is known to its user.
///
/// Operations of two polynomials take the limbs that they need from the second, whose basis may be
/// larger: so a key over all primes serves every level.
#[derive(Clone, Eq, PartialEq)]
pub struct Poly {
    basis: Basis,
    words: Vec<u32>,
}

impl Poly {
    /// Zero.
    #[must_use]
    pub fn zero(ring: &Ring, basis: Basis) -> Self {
        Self { basis, words: vec![0; basis.len() * ring.degree()] }
    }

    /// The polynomial with the given limbs, one after another, each residue below its prime.
    ///
    /// # Panics
    /// If the number of words is not that of the basis.
    #[must_use]
    pub fn from_words(ring: &Ring, basis: Basis, words: Vec<u32>) -> Self {
        assert_eq!(words.len(), basis.len() * ring.degree());
        Self { basis, words }
    }

    /// The polynomial whose limb of each prime, of index `i`, is what `f(i, limb)` writes: every
    /// word, whatever it was before.
    #[must_use]
    pub fn from_limbs(ring: &Ring, basis: Basis, f: impl Fn(usize, &mut [u32]) + Sync) -> Self {
        let mut poly = Self::blank(ring, basis);
        poly.for_each_limb(ring, f);
        poly
    }

    /// A polynomial of any words, not even below their primes: to be written before it is read.
    pub(crate) fn blank(ring: &Ring, basis: Basis) -> Self {
        Self { basis, words: ring.threads().words(basis.len() * ring.degree()) }
    }

    /// The polynomial with the small coefficients `f(0), f(1), …`, in coefficient form.
    #[must_use]
    pub fn from_signed(ring: &Ring, basis: Basis, f: impl Fn(usize) -> i64 + Sync) -> Self {
        Self::from_limbs(ring, basis, |i, limb| {
            let q = ring.modulus(i);
            limb.iter_mut().enumerate().for_each(|(k, x)| *x = q.reduce_signed(f(k)));
        })
    }

    /// The primes.
    #[must_use]
    pub const fn basis(&self) -> Basis {
        self.basis
    }

    /// All limbs, one after another.
    #[must_use]
    pub fn words(&self) -> &[u32] {
        &self.words
    }

    /// All limbs, for writing residues below their primes.
    #[must_use]
    pub fn words_mut(&mut self) -> &mut [u32] {
        &mut self.words
    }

    /// Limb number `rank`, counted from zero.
    ///
    /// # Panics
    /// If there is no such limb.
    #[must_use]
    pub fn limb(&self, rank: usize) -> &[u32] {
        let degree = self.words.len() / self.basis.len();
        &self.words[rank * degree..][..degree]
    }

    /// The limb of prime `index`.
    ///
    /// # Panics
    /// If the prime is not in the basis.
    #[must_use]
    pub fn limb_at(&self, index: usize) -> &[u32] {
        assert!(self.basis.contains(index), "prime {index} is not in {:?}", self.basis);
        self.limb(self.basis.intersection(Basis::range(0..index)).len())
    }

    /// Places of the limb of prime `index`.
    pub(crate) fn places(&self, index: usize, at: &Range<usize>) -> &[u32] {
        &self.limb_at(index)[at.clone()]
    }

    /// Calls `f(index, limb)` for the limb of each prime, on the ring's threads.
    pub fn for_each_limb(&mut self, ring: &Ring, f: impl Fn(usize, &mut [u32]) + Sync) {
        let basis = self.basis;
        ring.for_each_limb(&mut self.words, ring.degree(), |rank, limb| {
            if let Some(index) = basis.index(rank) {
                f(index, limb);
            }
        });
    }

    /// Coefficients to evaluations.
    pub fn ntt_assign(&mut self, ring: &Ring) {
        self.for_each_limb(ring, |i, limb| ring.kernels().ntt(&ring.table(i), limb));
    }

    /// Evaluations to coefficients.
    pub fn inverse_ntt_assign(&mut self, ring: &Ring) {
        self.for_each_limb(ring, |i, limb| ring.kernels().inverse_ntt(&ring.table(i), limb));
    }

    /// `self += rhs`.
    ///
    /// # Panics
    /// If `rhs` lacks a prime of `self`.
    pub fn add_assign(&mut self, ring: &Ring, rhs: &Self) {
        self.for_each_limb(ring, |i, limb| {
            ring.kernels().add_assign(ring.modulus(i), limb, rhs.limb_at(i));
        });
    }

    /// `self −= rhs`.
    ///
    /// # Panics
    /// If `rhs` lacks a prime of `self`.
    pub fn sub_assign(&mut self, ring: &Ring, rhs: &Self) {
        self.for_each_limb(ring, |i, limb| {
            ring.kernels().sub_assign(ring.modulus(i), limb, rhs.limb_at(i));
        });
    }

    /// `self = −self`.
    pub fn neg_assign(&mut self, ring: &Ring) {
        self.for_each_limb(ring, |i, limb| {
            let q = ring.modulus(i);
            limb.iter_mut().for_each(|x| *x = q.neg(*x));
        });
    }

    /// `self *= rhs`, both in evaluation form.
    ///
    /// # Panics
    /// If `rhs` lacks a prime of `self`.
    pub fn mul_assign(&mut self, ring: &Ring, rhs: &Self) {
        self.for_each_limb(ring, |i, limb| {
            ring.kernels().mul_assign(ring.modulus(i), limb, rhs.limb_at(i));
        });
    }

    /// `self += a · b`, all in evaluation form.
    ///
    /// # Panics
    /// If `a` or `b` lacks a prime of `self`.
    pub fn mul_add_assign(&mut self, ring: &Ring, a: &Self, b: &Self) {
        self.for_each_limb(ring, |i, limb| {
            ring.kernels().mul_add_assign(ring.modulus(i), limb, a.limb_at(i), b.limb_at(i));
        });
    }

    /// Multiplies the limb of each prime `q`, of index `i`, by the residue `f(i, q)`.
    pub fn scale_assign(&mut self, ring: &Ring, f: impl Fn(usize, Modulus) -> u32 + Sync) {
        self.for_each_limb(ring, |i, limb| {
            let q = ring.modulus(i);
            ring.kernels().scale_assign(q, limb, q.factor(f(i, q)));
        });
    }

    /// `self *= X^(N/2)`, in evaluation form: every slot times `i`.
    pub fn mul_i_assign(&mut self, ring: &Ring) {
        self.for_each_limb(ring, |i, limb| mul_i_limb(ring, i, limb));
    }

    /// The same polynomial modulo fewer primes.
    ///
    /// # Panics
    /// If a prime of `basis` is missing.
    #[must_use]
    pub fn restrict(&self, ring: &Ring, basis: Basis) -> Self {
        Self::from_limbs(ring, basis, |i, limb| limb.copy_from_slice(self.limb_at(i)))
    }

    /// `self(X^g)`, both in evaluation form.
    ///
    /// # Panics
    /// If the automorphism is one of another degree.
    #[must_use]
    pub fn automorphism(&self, ring: &Ring, map: &Automorphism) -> Self {
        Self::from_limbs(ring, self.basis, |i, limb| {
            ring.kernels().gather(map.index(), self.limb_at(i), limb);
        })
    }
}

/// Multiplies a limb by `X^(N/2)`, in evaluation form.
pub(crate) fn mul_i_limb(ring: &Ring, prime: usize, limb: &mut [u32]) {
    // Place `j` is the value at an odd power `2·rev(j) + 1` of `ψ`, where `X^(N/2)` is
    // `(−1)^rev(j) · ψ^(N/2)`; and `rev(j)` is odd exactly in the upper half.
    let (q, root) = (ring.modulus(prime), ring.table(prime).roots()[1]);
    let (lower, upper) = limb.split_at_mut(ring.degree() / 2);
    ring.kernels().scale_assign(q, lower, root);
    ring.kernels().scale_assign(q, upper, q.factor(q.neg(root.value())));
}

// The words are not shown: they may be secret.
impl fmt::Debug for Poly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poly").field("basis", &self.basis).finish_non_exhaustive()
    }
}
