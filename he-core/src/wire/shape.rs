//! What both sides know about polynomials of the big ring on the wire.

use super::bits::packed_len;
use crate::modulus::Modulus;

/// The ring that limbs belong to.
#[derive(Clone, Copy, Debug)]
pub struct RingShape<'a> {
    /// The degree of the ring.
    pub degree: usize,
    /// All primes of the parameter set, in their order; at most 64.
    pub primes: &'a [Modulus],
}

impl RingShape<'_> {
    /// The primes of a basis; `None` if it names one that does not exist.
    pub(super) fn primes_of(&self, basis: u64) -> Option<impl Iterator<Item = Modulus>> {
        let count = 64 - basis.leading_zeros() as usize;
        let primes = self.primes.get(..count)?.iter().enumerate();
        Some(primes.filter(move |(i, _)| (basis >> i) & 1 == 1).map(|(_, &q)| q))
    }

    /// Bytes of one polynomial over a basis; `None` if it names a prime that does not exist.
    pub(super) fn packed_len(&self, basis: u64) -> Option<u64> {
        Some(self.primes_of(basis)?.map(|q| packed_len(self.degree, q) as u64).sum())
    }

    /// Bytes of one polynomial over all primes.
    pub(super) fn all_packed_len(&self) -> u64 {
        self.primes.iter().map(|&q| packed_len(self.degree, q) as u64).sum()
    }
}
