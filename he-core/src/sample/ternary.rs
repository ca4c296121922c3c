//! Ternary polynomials, two bits a coefficient, in constant time.

use super::{Keystream, Purpose, SecretSeed};
use crate::Error;
use crate::modulus::Modulus;
use zeroize::Zeroize;

/// A secret polynomial with coefficients −1, 0 and 1, on bytes of the caller's: an array on a
/// device, a `Vec` elsewhere. Four coefficients a byte, the first in the low bits, each stored as
/// itself plus one. It can be neither printed nor copied, and is erased on drop.
#[expect(missing_debug_implementations, reason = "a secret is not printed")]
pub struct Ternary<B: AsRef<[u8]> + AsMut<[u8]>> {
    bytes: B,
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Ternary<B> {
    /// Uniform coefficients: each value has probability 1/3 up to 2^−32.
    #[must_use]
    pub fn uniform(seed: &SecretSeed, index: u32, mut bytes: B) -> Self {
        let mut keystream = Keystream::secret(seed, Purpose::Ternary, index, 0);
        for group in bytes.as_mut().chunks_mut(4) {
            let mut words = keystream.next_words();
            for (byte, words) in group.iter_mut().zip(words.chunks_exact(4)) {
                *byte = words.iter().rev().fold(0, |byte, &word| (byte << 2) | third(word));
            }
            words.zeroize();
        }
        Self { bytes }
    }

    /// Uniform coefficients again, twenty from 64 random bits: for a polynomial that serves once. Each
    /// twenty have one of their `3^20` values with the same probability up to 2^−64.
    #[must_use]
    pub fn frugal(seed: &SecretSeed, index: u32, mut bytes: B) -> Self {
        let mut keystream = Keystream::secret(seed, Purpose::FrugalTernary, index, 0);
        for group in bytes.as_mut().chunks_mut(40) {
            let mut words = keystream.next_words();
            let (pairs, _) = words.as_chunks::<2>();
            for (bytes, &[low, high]) in group.chunks_mut(5).zip(pairs) {
                let mut fraction = (u64::from(high) << 32) | u64::from(low);
                for byte in bytes {
                    *byte = 0;
                    for place in 0..4 {
                        // The digits of a fraction to base 3, the first one first.
                        let product = u128::from(fraction) * 3;
                        *byte |= product.to_le_bytes()[8] << (2 * place);
                        fraction = fraction.wrapping_mul(3);
                    }
                }
            }
            words.zeroize();
        }
        Self { bytes }
    }

    /// Exactly `weight` coefficients that are not zero, uniform among all such polynomials up to a
    /// statistical distance of 2^−47, by selection sampling (Knuth, *The Art of Computer
    /// Programming* 2, 3.4.2, algorithm S). Time depends on the degree only.
    ///
    /// # Errors
    /// If `weight` exceeds the degree.
    pub fn with_weight(
        seed: &SecretSeed,
        index: u32,
        weight: usize,
        mut bytes: B,
    ) -> Result<Self, Error> {
        let degree = 4 * bytes.as_ref().len();
        if weight > degree {
            return Err(Error::WrongLength { expected: degree, found: weight });
        }
        let mut keystream = Keystream::secret(seed, Purpose::SparseTernary, index, 0);
        let (mut wanted, mut left) = (widen(weight), widen(degree));
        for byte in bytes.as_mut() {
            // Four coefficients of three words, and four words to spare.
            let mut words = keystream.next_words();
            let mut packed = 0;
            for (place, words) in words.chunks_exact(4).enumerate() {
                let random = (u64::from(words[1]) << 32) | u64::from(words[0]);
                // All coefficients left are chosen when as many are wanted, so the weight is exact.
                let chosen = below(scaled(random, left), wanted);
                wanted -= chosen;
                left -= 1;
                let sign = u64::from(words[2] & 1) << 1;
                packed |= ((chosen & 1).wrapping_mul(sign) + (1 - chosen)) << (2 * place);
            }
            *byte = packed.to_le_bytes()[0];
            words.zeroize();
        }
        Ok(Self { bytes })
    }

    /// Coefficients from elsewhere, packed as described above.
    ///
    /// # Errors
    /// If a pair of bits is not a coefficient; only whether there is one becomes visible.
    pub fn from_packed(bytes: B) -> Result<Self, Error> {
        let bad = bytes.as_ref().iter().fold(0, |bad, byte| bad | (byte & (byte >> 1) & 0x55));
        let ternary = Self { bytes };
        if bad == 0 { Ok(ternary) } else { Err(Error::Malformed("not a ternary secret")) }
    }

    /// The packed coefficients, to provision a device with.
    #[must_use]
    pub fn packed(&self) -> &[u8] {
        self.bytes.as_ref()
    }

    /// The number of coefficients.
    #[must_use]
    pub fn degree(&self) -> usize {
        4 * self.bytes.as_ref().len()
    }

    /// The coefficients in order.
    pub fn coefficients(&self) -> impl Iterator<Item = i32> {
        let bytes = self.bytes.as_ref().iter();
        bytes.flat_map(|&byte| [0, 2, 4, 6].map(|shift| i32::from((byte >> shift) & 3) - 1))
    }

    /// Writes the coefficients as signed words.
    ///
    /// # Panics
    /// If `out` is not as long as the degree.
    pub(crate) fn words(&self, out: &mut [u32]) {
        assert_eq!(out.len(), self.degree());
        for (out, &byte) in out.as_chunks_mut().0.iter_mut().zip(self.bytes.as_ref()) {
            *out = [0, 2, 4, 6].map(|shift| ((u32::from(byte) >> shift) & 3).wrapping_sub(1));
        }
    }

    /// Writes the coefficients as residues modulo `q`.
    ///
    /// # Panics
    /// If `out` is not as long as the degree.
    pub fn residues(&self, q: Modulus, out: &mut [u32]) {
        assert_eq!(out.len(), self.degree());
        for (out, byte) in out.chunks_exact_mut(4).zip(self.bytes.as_ref()) {
            for (place, out) in out.iter_mut().enumerate() {
                let shifted = u32::from((byte >> (2 * place)) & 3);
                // Zero becomes q − 1, and one and two become zero and one.
                let borrow = shifted.wrapping_sub(1);
                *out = borrow.wrapping_add(q.value() & (borrow >> 31).wrapping_neg());
            }
        }
    }
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Drop for Ternary<B> {
    fn drop(&mut self) {
        self.bytes.as_mut().zeroize();
    }
}

/// `⌊3 · word / 2^32⌋`.
const fn third(word: u32) -> u8 {
    (3 * word as u64).to_le_bytes()[4]
}

/// `⌊random · bound / 2^64⌋`: nearly uniform below `bound`.
const fn scaled(random: u64, bound: u64) -> u64 {
    ((random as u128 * bound as u128) >> 64) as u64
}

/// One if `a < b`, else zero, for numbers below `2^63`.
const fn below(a: u64, b: u64) -> u64 {
    a.wrapping_sub(b) >> 63
}

const fn widen(x: usize) -> u64 {
    x as u64
}
