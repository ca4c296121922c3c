//! Arithmetic modulo one prime below `2^31`.
//!
//! Residues are `u32` in `[0, q)`, on the way in and on the way out. Nothing here branches on
//! them. One 32-bit word serves devices, hosts and GPUs alike, so all agree bit for bit.

mod signed;

pub(crate) use signed::{SignedFactor, SignedModulus, butterflies};

/// An odd modulus `2 < q < 2^31`, with what its reductions need.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Modulus {
    value: u32,
    /// `⌊2^64 / q⌋`.
    ratio: u64,
}

/// A residue that many others are multiplied by, with Shoup's quotient `⌊value · 2^32 / q⌋`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Factor {
    value: u32,
    quotient: u32,
}

impl Factor {
    /// The residue itself.
    #[inline]
    #[must_use]
    pub const fn value(self) -> u32 {
        self.value
    }

    /// `⌊value · 2^32 / q⌋`.
    #[inline]
    #[must_use]
    pub const fn quotient(self) -> u32 {
        self.quotient
    }
}

impl Modulus {
    /// The largest supported width.
    pub const MAX_BITS: u32 = 31;

    /// Wraps `value`, or returns `None` if it is even, too small or too wide.
    #[must_use]
    pub const fn new(value: u32) -> Option<Self> {
        if value < 3 || value.is_multiple_of(2) || value >> Self::MAX_BITS != 0 {
            return None;
        }
        // `q` is odd, so `⌊2^64 / q⌋ = ⌊(2^64 − 1) / q⌋`.
        Some(Self { value, ratio: u64::MAX / value as u64 })
    }

    /// The modulus as a number.
    #[inline]
    #[must_use]
    pub const fn value(self) -> u32 {
        self.value
    }

    /// `⌊2^64 / q⌋`, for kernels that reduce in their own way.
    #[inline]
    #[must_use]
    pub const fn ratio(self) -> u64 {
        self.ratio
    }

    /// `a + b`.
    #[inline]
    #[must_use]
    pub const fn add(self, a: u32, b: u32) -> u32 {
        self.reduce_once(a + b)
    }

    /// `a − b`.
    #[inline]
    #[must_use]
    pub const fn sub(self, a: u32, b: u32) -> u32 {
        self.reduce_once(a + self.value - b)
    }

    /// `−a`.
    #[inline]
    #[must_use]
    pub const fn neg(self, a: u32) -> u32 {
        self.sub(0, a)
    }

    /// `a · b`.
    #[inline]
    #[must_use]
    pub const fn mul(self, a: u32, b: u32) -> u32 {
        self.reduce(a as u64 * b as u64)
    }

    /// `a · f`, cheaper than [`Self::mul`]; `a` may be any word.
    #[inline]
    #[must_use]
    pub const fn mul_factor(self, a: u32, f: Factor) -> u32 {
        let quotient = high(a as u64 * f.quotient as u64);
        self.reduce_once(a.wrapping_mul(f.value).wrapping_sub(quotient.wrapping_mul(self.value)))
    }

    /// `a · 2^32`: Montgomery's form of `a`.
    #[inline]
    #[must_use]
    pub const fn montgomery(self, a: u32) -> u32 {
        self.reduce((a as u64) << 32)
    }

    /// `base^exponent`; the exponent is public.
    #[must_use]
    pub const fn pow_vartime(self, base: u32, mut exponent: u32) -> u32 {
        let (mut power, mut product) = (base, 1);
        while exponent > 0 {
            if exponent % 2 == 1 {
                product = self.mul(product, power);
            }
            power = self.mul(power, power);
            exponent /= 2;
        }
        product
    }

    /// `a^−1` for a prime modulus and `a ≠ 0`, by Fermat's theorem.
    #[must_use]
    pub const fn inverse(self, a: u32) -> u32 {
        self.pow_vartime(a, self.value - 2)
    }

    /// Prepares `value` as a [`Factor`].
    #[must_use]
    pub const fn factor(self, value: u32) -> Factor {
        let quotient = ((value as u64) << 32) / self.value as u64;
        Factor { value, quotient: low(quotient) }
    }

    /// `x mod q` for any `x < 2^64`, after Barrett: the quotient is exact or one too small.
    #[inline]
    #[must_use]
    pub const fn reduce(self, x: u64) -> u32 {
        let quotient = ((x as u128 * self.ratio as u128) >> 64) as u64;
        self.reduce_once(low(x.wrapping_sub(quotient.wrapping_mul(self.value as u64))))
    }

    /// `x mod q`, in `[0, q)`, for a signed `x`.
    #[inline]
    #[must_use]
    pub const fn reduce_signed(self, x: i64) -> u32 {
        // `mask` is all ones exactly when `x` is negative, so `magnitude` is `|x|`.
        let mask = (x >> 63).cast_unsigned();
        let magnitude = (x.cast_unsigned() ^ mask).wrapping_sub(mask);
        let r = self.reduce(magnitude);
        let m = low(mask);
        (r & !m) | (self.neg(r) & m)
    }

    /// The representative of `a` in `(−q/2, q/2)`.
    #[inline]
    #[must_use]
    pub const fn centred(self, a: u32) -> i32 {
        let half = (self.value - 1) / 2;
        // All ones exactly when `a > half`.
        let mask = ((half.wrapping_sub(a)).cast_signed() >> 31).cast_unsigned();
        a.wrapping_sub(self.value & mask).cast_signed()
    }

    /// `x mod q` for `x < 2q`.
    #[inline]
    const fn reduce_once(self, x: u32) -> u32 {
        debug_assert!(x < 2 * self.value);
        let reduced = x.wrapping_sub(self.value);
        // The top bit of `reduced` is set exactly when `x < q`, for `q < 2^31`.
        reduced.wrapping_add(self.value & (reduced >> 31).wrapping_neg())
    }
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the low half is what is asked for")]
const fn low(x: u64) -> u32 {
    x as u32
}

#[inline]
const fn high(x: u64) -> u32 {
    low(x >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Moduli at the edges of the range, and one of each usual width.
    const VALUES: [u32; 5] = [3, 97, 0x1fe_0001, 0x3ffc_0001, (1 << 31) - 1];

    #[test]
    fn agrees_with_wide_remainders() {
        for q in VALUES {
            let modulus = Modulus::new(q).unwrap();
            let samples = [0, 1, 2, q / 2, q / 2 + 1, q - 2, q - 1].map(|x| x % q);
            for a in samples {
                for b in samples {
                    let (wide_a, wide_b, wide_q) = (u64::from(a), u64::from(b), u64::from(q));
                    assert_eq!(u64::from(modulus.add(a, b)), (wide_a + wide_b) % wide_q);
                    assert_eq!(u64::from(modulus.sub(a, b)), (wide_a + wide_q - wide_b) % wide_q);
                    assert_eq!(u64::from(modulus.mul(a, b)), wide_a * wide_b % wide_q);
                    assert_eq!(modulus.mul_factor(a, modulus.factor(b)), modulus.mul(a, b));
                }
            }
            assert_eq!(u64::from(modulus.reduce(u64::MAX)), u64::MAX % u64::from(q));
        }
    }

    #[test]
    fn signed_reduction_and_centring_undo_each_other() {
        for q in VALUES {
            let modulus = Modulus::new(q).unwrap();
            for x in [0, 1, -1, i64::from(q / 2), -i64::from(q / 2)] {
                assert_eq!(i64::from(modulus.centred(modulus.reduce_signed(x))), x);
            }
            for x in [i64::MIN, i64::MIN + 1, i64::MAX, -5_000_000_000_000] {
                let expected = i128::from(x).rem_euclid(i128::from(q));
                assert_eq!(i128::from(modulus.reduce_signed(x)), expected);
            }
        }
    }

    #[test]
    fn inverses_multiply_to_one() {
        let modulus = Modulus::new(0x3ffc_0001).unwrap();
        for a in [1, 2, 12345, 0x3ffc_0000] {
            assert_eq!(modulus.mul(a, modulus.inverse(a)), 1);
        }
    }

    #[test]
    fn refuses_what_it_cannot_hold() {
        for value in [0, 1, 2, 1 << 20, 1 << 31, u32::MAX] {
            assert_eq!(Modulus::new(value), None);
        }
    }
}
