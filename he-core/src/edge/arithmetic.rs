//! Arithmetic of one base prime with few reductions, for cores where each costs.
//!
//! Base primes have about 25 bits, which leaves six bits of a signed word unused. So the inverse
//! transform works on signed words, reduces products to `(−q/2, 3q/2)` and sums every third pass
//! only: a butterfly is an addition, a subtraction and three multiplications. What comes out is what
//! [`NttTable`] computes, bit for bit.

use crate::modulus::{Factor, Modulus};
use crate::ntt::NttTable;

/// One base prime with its roots of unity, borrowed from flash or from an [`NttTable`].
#[derive(Clone, Copy, Debug)]
pub struct EdgeRing<'a> {
    modulus: Modulus,
    /// `q^−1 mod 2^32`.
    inverse: u32,
    /// `2^64 / N mod q`.
    entry: u32,
    /// `⌊2^32 / q⌋`.
    reciprocal: i32,
    /// `ψ^−rev(i)`.
    inverse_roots: &'a [Factor],
}

impl<'a> EdgeRing<'a> {
    /// The largest supported width of a prime: one pass takes three bits.
    pub const MAX_BITS: u32 = 29;

    /// Wraps the powers `ψ^−rev(i)` of a primitive `2N`-th root of unity modulo a prime.
    ///
    /// `None` unless the prime has at most [`Self::MAX_BITS`] bits, there are `N ≥ 2` roots, a power
    /// of two, and `ψ` has the right order.
    #[must_use]
    pub const fn new(modulus: Modulus, inverse_roots: &'a [Factor]) -> Option<Self> {
        let degree = inverse_roots.len();
        let q = modulus.value();
        if q >> Self::MAX_BITS != 0 || !degree.is_power_of_two() || degree < 2 || degree >= 1 << 17
        {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "below 2^17")]
        let degree_word = degree as u32;
        let inverse_psi = inverse_roots[degree / 2].value();
        if modulus.pow_vartime(inverse_psi, degree_word) != q - 1 {
            return None;
        }
        // Newton's iteration doubles the correct bits of q^−1, of which q itself has three.
        let mut inverse = q;
        let mut bits = 3;
        while bits < 32 {
            inverse = inverse.wrapping_mul(2u32.wrapping_sub(q.wrapping_mul(inverse)));
            bits *= 2;
        }
        let word = modulus.reduce(1 << 32);
        let entry = modulus.mul(modulus.mul(word, word), modulus.inverse(degree_word));
        Some(Self {
            modulus,
            inverse,
            entry,
            reciprocal: modulus.factor(1).quotient().cast_signed(),
            inverse_roots,
        })
    }

    /// The same for a prime whose tables exist; `None` if it is too wide.
    #[must_use]
    pub const fn of(table: &NttTable<'a>) -> Option<Self> {
        Self::new(table.modulus(), table.inverse_roots())
    }

    /// The prime.
    #[must_use]
    pub const fn modulus(&self) -> Modulus {
        self.modulus
    }

    /// `N`.
    #[must_use]
    pub const fn degree(&self) -> usize {
        self.inverse_roots.len()
    }

    /// Coefficients to evaluations, with inverse roots only: on level `g ≤ i < 2g` the root
    /// `ψ^rev(i)` is `−ψ^−rev(3g − 1 − i)`.
    pub(super) fn forward(&self, limb: &mut [u32]) {
        let q = self.modulus;
        let mut half = limb.len() / 2;
        let mut groups = 1;
        while half > 0 {
            let roots = self.inverse_roots[groups..2 * groups].iter().rev();
            for (group, &root) in limb.chunks_exact_mut(2 * half).zip(roots) {
                let (left, right) = group.split_at_mut(half);
                for (a, b) in left.iter_mut().zip(right) {
                    let t = q.mul_factor(*b, root);
                    (*a, *b) = (q.sub(*a, t), q.add(*a, t));
                }
            }
            half /= 2;
            groups *= 2;
        }
    }

    /// Multiplies by `2^32 / N`: what a Montgomery product and an inverse transform take away.
    pub(super) fn enter(&self, limb: &mut [u32]) {
        for x in limb {
            *x = self.canonical(self.multiply(*x, self.entry).cast_signed());
        }
    }

    /// `a · b / 2^32`, for residues `a` and `b`, in `(−q, q)` as a signed word. After Montgomery.
    #[inline]
    pub(super) const fn multiply(&self, a: u32, b: u32) -> u32 {
        let product = a as u64 * b as u64;
        let multiple = low(product).wrapping_mul(self.inverse);
        // The low halves are equal, so the difference of the high halves is exact.
        high(product).wrapping_sub(high(multiple as u64 * self.modulus.value() as u64))
    }

    /// The residue of `m − x` for any `m` and any signed word `x`.
    #[inline]
    pub(super) const fn difference(&self, m: i32, x: u32) -> u32 {
        self.canonical(self.shrink(m) - self.shrink(x.cast_signed()))
    }

    /// `N` times the inverse transform, from signed words in `(−q, q)` to signed words that are to be
    /// reduced.
    pub(super) fn inverse(&self, limb: &mut [u32]) {
        let limit = (1 << 31) / self.modulus.value();
        // Every word is at most `bound · q` in absolute value.
        let mut bound = 1;
        let (mut half, mut groups) = (1, limb.len() / 2);
        if limb.len().trailing_zeros() % 2 == 1 {
            self.pass_of_one(limb);
            bound = 2;
            (half, groups) = (2, groups / 2);
        }
        while groups > 0 {
            if 4 * bound > limit {
                for x in &mut *limb {
                    *x = self.shrink(x.cast_signed()).cast_unsigned();
                }
                bound = 1;
            }
            self.pass_of_two(limb, half, groups);
            bound *= 4;
            half *= 4;
            groups /= 4;
        }
    }

    /// The first layer alone.
    fn pass_of_one(&self, limb: &mut [u32]) {
        let roots = &self.inverse_roots[limb.len() / 2..];
        let (pairs, _) = limb.as_chunks_mut();
        for (pair, &root) in pairs.iter_mut().zip(roots) {
            let [a, b] = pair.map(u32::cast_signed);
            *pair = [a + b, self.root(root).multiply(a - b)].map(i32::cast_unsigned);
        }
    }

    /// Two layers at once, the first on `groups` groups of `2 · half` words.
    fn pass_of_two(&self, limb: &mut [u32], half: usize, groups: usize) {
        let (pairs, _) = self.inverse_roots[groups..2 * groups].as_chunks();
        let seconds = &self.inverse_roots[groups / 2..groups];
        let roots = pairs.iter().zip(seconds).map(|(&[first, other], &second)| {
            [self.root(first), self.root(other), self.root(second)]
        });
        if half == 1 {
            let (blocks, _) = limb.as_chunks_mut();
            for (block, roots) in blocks.iter_mut().zip(roots) {
                *block = butterflies(*block, roots);
            }
            return;
        }
        for (block, roots) in limb.chunks_exact_mut(4 * half).zip(roots) {
            let (left, right) = block.split_at_mut(2 * half);
            let ((x0, x1), (x2, x3)) = (left.split_at_mut(half), right.split_at_mut(half));
            for ((x0, x1), (x2, x3)) in x0.iter_mut().zip(x1).zip(x2.iter_mut().zip(x3)) {
                [*x0, *x1, *x2, *x3] = butterflies([*x0, *x1, *x2, *x3], roots);
            }
        }
    }

    /// A root of unity for signed words.
    #[inline]
    const fn root(&self, root: Factor) -> SignedFactor {
        let quotient = root.quotient().cast_signed();
        // The quotient has its top bit set exactly when the root is above `q/2`.
        let value =
            root.value().wrapping_sub(self.modulus.value() & (quotient >> 31).cast_unsigned());
        SignedFactor { value: value.cast_signed(), quotient, q: self.modulus.value() }
    }

    /// `x` reduced to `(−q, q)`.
    #[inline]
    const fn shrink(&self, x: i32) -> i32 {
        // The rounded quotient is right or one off, towards zero.
        let quotient = ((x as i64 * self.reciprocal as i64 + (1 << 31)) >> 32).cast_unsigned();
        x.wrapping_sub(low(quotient).wrapping_mul(self.modulus.value()).cast_signed())
    }

    /// The residue of `x`.
    #[inline]
    pub(super) const fn canonical(&self, x: i32) -> u32 {
        add_if_negative(self.shrink(x), self.modulus.value()).cast_unsigned()
    }
}

/// A constant factor in `(−q/2, q/2)` and `⌊value · 2^32 / q⌋`.
#[derive(Clone, Copy)]
struct SignedFactor {
    value: i32,
    quotient: i32,
    q: u32,
}

impl SignedFactor {
    /// `x` times the factor, in `(−q/2, 3q/2)`, for any `x`.
    #[inline]
    const fn multiply(self, x: i32) -> i32 {
        let quotient = high((x as i64 * self.quotient as i64).cast_unsigned());
        let product = x.cast_unsigned().wrapping_mul(self.value.cast_unsigned());
        product.wrapping_sub(quotient.wrapping_mul(self.q)).cast_signed()
    }
}

/// Two butterflies on neighbours, then two across. From words up to `b ≥ q` in absolute value they
/// make words up to `4b`.
#[inline]
fn butterflies(block: [u32; 4], roots: [SignedFactor; 3]) -> [u32; 4] {
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

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the low half is what is asked for")]
const fn low(x: u64) -> u32 {
    x as u32
}

#[inline]
const fn high(x: u64) -> u32 {
    low(x >> 32)
}
