//! Arithmetic on signed words that are reduced seldom, for primes that leave bits of a word unused.
//!
//! Products come out in a range around zero rather than as residues, so that sums of several fit a
//! word; what a caller lets grow, it shrinks. The shapes are those that small cores have
//! instructions for: the high half of a product, multiply and subtract.

use super::{Factor, Modulus, high, low};

/// An odd modulus of at most [`Self::MAX_BITS`] bits, for signed words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SignedModulus {
    modulus: Modulus,
    /// `q^−1 mod 2^32`.
    inverse: u32,
    /// `⌊2^32 / q⌋`.
    reciprocal: i32,
}

impl SignedModulus {
    /// The widest modulus: a sum of four words below `q` fits.
    pub(crate) const MAX_BITS: u32 = 29;

    /// `None` if the modulus is too wide.
    pub(crate) const fn new(modulus: Modulus) -> Option<Self> {
        let q = modulus.value();
        if q >> Self::MAX_BITS != 0 {
            return None;
        }
        // Newton's iteration doubles the correct bits of q^−1, of which q itself has three.
        let mut inverse = q;
        let mut bits = 3;
        while bits < 32 {
            inverse = inverse.wrapping_mul(2u32.wrapping_sub(q.wrapping_mul(inverse)));
            bits *= 2;
        }
        Some(Self { modulus, inverse, reciprocal: modulus.factor(1).quotient().cast_signed() })
    }

    /// The modulus.
    pub(crate) const fn modulus(&self) -> Modulus {
        self.modulus
    }

    /// `a · b / 2^32`, for residues `a` and `b`, in `(−q, q)`. After Montgomery.
    #[inline]
    pub(crate) const fn multiply(&self, a: u32, b: u32) -> i32 {
        let product = a as u64 * b as u64;
        let multiple = low(product).wrapping_mul(self.inverse);
        // The low halves are equal, so the difference of the high halves is exact.
        let q = self.modulus.value() as u64;
        high(product).wrapping_sub(high(multiple as u64 * q)).cast_signed()
    }

    /// `x · t / 2^32`, for any `x` and `t` in `[−q, q]`, in `[−q, q]`. After Montgomery.
    #[inline]
    pub(crate) const fn multiply_signed(&self, x: i32, t: i32) -> i32 {
        let product = (x as i64 * t as i64).cast_unsigned();
        let multiple = low(product).wrapping_mul(self.inverse).cast_signed();
        // As a signed number too, so that cores with a signed high product use it.
        let q = self.modulus.value().cast_signed();
        let rest = high((multiple as i64 * q as i64).cast_unsigned());
        high(product).wrapping_sub(rest).cast_signed()
    }

    /// The residue of `m − x` for any `m` and any `x`.
    #[inline]
    pub(crate) const fn difference(&self, m: i32, x: i32) -> u32 {
        self.canonical(self.shrink(m) - self.shrink(x))
    }

    /// A constant factor for signed words.
    #[inline]
    pub(crate) const fn root(&self, root: Factor) -> SignedFactor {
        let quotient = root.quotient().cast_signed();
        // The quotient has its top bit set exactly when the root is above `q/2`.
        let value =
            root.value().wrapping_sub(self.modulus.value() & (quotient >> 31).cast_unsigned());
        SignedFactor { value: value.cast_signed(), quotient, q: self.modulus.value() }
    }

    /// `x` reduced to `(−q, q)`.
    #[inline]
    pub(crate) const fn shrink(&self, x: i32) -> i32 {
        // The rounded quotient is right or one off, towards zero.
        let quotient = ((x as i64 * self.reciprocal as i64 + (1 << 31)) >> 32).cast_unsigned();
        x.wrapping_sub(low(quotient).wrapping_mul(self.modulus.value()).cast_signed())
    }

    /// The residue of `x`.
    #[inline]
    pub(crate) const fn canonical(&self, x: i32) -> u32 {
        add_if_negative(self.shrink(x), self.modulus.value()).cast_unsigned()
    }
}

/// A constant factor in `(−q/2, q/2)` and `⌊value · 2^32 / q⌋`.
#[derive(Clone, Copy)]
pub(crate) struct SignedFactor {
    value: i32,
    quotient: i32,
    q: u32,
}

impl SignedFactor {
    /// `x` times the factor, in `(−q/2, 3q/2)`, for any `x`.
    #[inline]
    pub(crate) const fn multiply(self, x: i32) -> i32 {
        let quotient = high((x as i64 * self.quotient as i64).cast_unsigned());
        let product = x.cast_unsigned().wrapping_mul(self.value.cast_unsigned());
        product.wrapping_sub(quotient.wrapping_mul(self.q)).cast_signed()
    }
}

/// Two butterflies on neighbours, then two across. From words up to `b ≥ q` in absolute value they
/// make words up to `4b`.
#[inline]
pub(crate) fn butterflies(block: [u32; 4], roots: [SignedFactor; 3]) -> [u32; 4] {
    let [x0, x1, x2, x3] = block.map(u32::cast_signed);
    let (s0, s1) = (x0 + x1, x2 + x3);
    let (d0, d1) = (roots[0].multiply(x0 - x1), roots[1].multiply(x2 - x3));
    let block = [s0 + s1, d0 + d1, roots[2].multiply(s0 - s1), roots[2].multiply(d0 - d1)];
    block.map(i32::cast_unsigned)
}

/// `x`, with `y` added if it is negative.
#[inline]
const fn add_if_negative(x: i32, y: u32) -> i32 {
    x.wrapping_add((y & (x >> 31).cast_unsigned()).cast_signed())
}
