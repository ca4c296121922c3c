//! Ciphertexts of the big ring, in evaluation form.

use alloc::vec::Vec;

use crate::Error;
use crate::params::Params;
use crate::ring::{Basis, Poly, Ring};
use crate::wire::Pair;

/// A pair `(b, a)` with `b + a·S = m` modulo the primes of one level.
#[derive(Clone)]
pub struct Ciphertext {
    /// The part that carries the message.
    pub(crate) b: Poly,
    /// The mask.
    pub(crate) a: Poly,
    pub(crate) level: usize,
    pub(crate) scale: f64,
}

impl Ciphertext {
    /// As it travels.
    #[must_use]
    pub fn to_pair(&self) -> Pair {
        to_pair(&self.b, &self.a, self.level, self.scale)
    }

    /// From what travelled.
    ///
    /// # Errors
    /// If its level is not one of the parameters, or its primes are not those of the level.
    ///
    /// # Panics
    /// If the number of words is not that of the basis, which a pair that was read has.
    pub fn from_pair(ring: &Ring, params: &Params, pair: Pair) -> Result<Self, Error> {
        let scale = pair.scale;
        let (b, a, level) = from_pair(ring, params, pair)?;
        Ok(Self { b, a, level, scale })
    }

    pub(crate) const fn side(&self, side: Side) -> &Poly {
        match side {
            Side::B => &self.b,
            Side::A => &self.a,
        }
    }

    /// Rescales left above the base.
    #[must_use]
    pub const fn level(&self) -> usize {
        self.level
    }

    /// What slots hold the values times.
    #[must_use]
    pub const fn scale(&self) -> f64 {
        self.scale
    }
}

/// One half of a pair `(b, a)`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Side {
    B,
    A,
}

pub(crate) const SIDES: [Side; 2] = [Side::B, Side::A];

/// The pair `(b, a)` of which `f(side, i, limb)` writes the limb of each prime `i`: every word,
/// whatever it was before.
pub(crate) fn pair(
    ring: &Ring,
    basis: Basis,
    f: impl Fn(Side, usize, &mut [u32]) + Sync,
) -> [Poly; 2] {
    let [mut b, mut a] = [(); 2].map(|()| Poly::blank(ring, basis));
    let [b_limbs, a_limbs] =
        [&mut b, &mut a].map(|poly| poly.words_mut().chunks_exact_mut(ring.degree()));
    let mut limbs: Vec<_> = b_limbs.zip(a_limbs).flat_map(<[_; 2]>::from).collect();
    ring.threads().for_each(&mut limbs, 2, &|rank, limbs| {
        let Some(index) = basis.index(rank) else { return };
        SIDES.into_iter().zip(limbs).for_each(|(side, limb)| f(side, index, limb));
    });
    [b, a]
}

/// Two polynomials over the primes of a level, as they travel.
pub(crate) fn to_pair(b: &Poly, a: &Poly, level: usize, scale: f64) -> Pair {
    // A chain has at most as many levels as a basis has primes: fewer than 64.
    let level = u32::try_from(level).unwrap_or(u32::MAX);
    let (b, a, basis) = (b.words().to_vec(), a.words().to_vec(), b.basis().bits());
    Pair { level, scale, basis, b, a }
}

/// The polynomials `b` and `a` of a pair, and its level.
pub(crate) fn from_pair(
    ring: &Ring,
    params: &Params,
    pair: Pair,
) -> Result<(Poly, Poly, usize), Error> {
    let basis = Basis::from_bits(pair.basis);
    let level = usize::try_from(pair.level).ok().filter(|&level| level <= params.max_level());
    let level = level.ok_or(Error::Malformed("a level beyond the chain"))?;
    if basis != params.basis(level) {
        return Err(Error::Malformed("a basis that is not that of its level"));
    }
    let poly = |words| Poly::from_words(ring, basis, words);
    Ok((poly(pair.b), poly(pair.a), level))
}

/// An encoded vector, in evaluation form.
pub struct Plaintext {
    pub(crate) poly: Poly,
    pub(crate) level: usize,
    pub(crate) scale: f64,
}

impl core::fmt::Debug for Ciphertext {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Ciphertext {{ level: {}, scale: {} }}", self.level, self.scale)
    }
}

impl core::fmt::Debug for Plaintext {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Plaintext {{ level: {}, scale: {} }}", self.level, self.scale)
    }
}
