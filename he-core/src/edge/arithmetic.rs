//! Arithmetic of one base prime with few reductions, for cores where each costs.
//!
//! Base primes have about 25 bits, which leaves seven bits of a word unused. So the inverse transform
//! reduces only products, and sums every third pass. What comes out is what
//! [`NttTable`] computes, bit for bit.

use crate::modulus::{Factor, Modulus};
use crate::ntt::NttTable;

/// One base prime with its roots of unity, borrowed from flash or from an [`NttTable`].
#[derive(Clone, Copy, Debug)]
pub struct EdgeRing<'a> {
    modulus: Modulus,
    /// `−q^−1 mod 2^32`.
    negated_inverse: u32,
    /// `2^64 / N mod q`.
    entry: u32,
    /// One with Shoup's quotient: the product with it is a reduction.
    one: Factor,
    /// `−2^31 mod q`.
    offset: u32,
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
            negated_inverse: inverse.wrapping_neg(),
            entry,
            one: modulus.factor(1),
            offset: modulus.neg(modulus.reduce(1 << 31)),
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
            *x = self.modulus.mul_factor(self.multiply(*x, self.entry), self.one);
        }
    }

    /// `a · b / 2^32`, below `2q`, for any word `a` and `b < q`. After Montgomery.
    #[inline]
    pub(super) const fn multiply(&self, a: u32, b: u32) -> u32 {
        let product = a as u64 * b as u64;
        let multiple = low(product).wrapping_mul(self.negated_inverse);
        low((product + multiple as u64 * self.modulus.value() as u64) >> 32)
    }

    /// `m − x` for any `m` and `x < q`.
    #[inline]
    pub(super) const fn difference(&self, m: i32, x: u32) -> u32 {
        let q = self.modulus.value();
        // With the top bit flipped `m` is `m + 2^31`, which the offset takes back.
        let shifted = self.shrink(m.cast_unsigned() ^ (1 << 31));
        let sum = shifted + self.offset + q - x;
        subtract_once(subtract_once(sum, 2 * q), q)
    }

    /// `N` times the inverse transform, from words below `2q` to residues.
    pub(super) fn inverse(&self, limb: &mut [u32]) {
        let q = self.modulus.value();
        let limit = u32::MAX / q;
        // Every word is below `bound · q`.
        let mut bound = 2;
        let (mut half, mut groups) = (1, limb.len() / 2);
        if limb.len().trailing_zeros() % 2 == 1 {
            self.pass_of_one(limb);
            bound = 4;
            (half, groups) = (2, groups / 2);
        }
        while groups > 0 {
            if bound > limit / 4 {
                for x in &mut *limb {
                    *x = self.shrink(*x);
                }
                bound = 2;
            }
            self.pass_of_two(limb, half, groups, bound);
            bound *= 4;
            half *= 4;
            groups /= 4;
        }
        for x in limb {
            *x = subtract_once(self.shrink(*x), q);
        }
    }

    /// The first layer alone.
    fn pass_of_one(&self, limb: &mut [u32]) {
        let roots = &self.inverse_roots[limb.len() / 2..];
        let (pairs, _) = limb.as_chunks_mut();
        for ([a, b], &root) in pairs.iter_mut().zip(roots) {
            let difference = *a + 2 * self.modulus.value() - *b;
            (*a, *b) = (*a + *b, self.multiply_lazily(difference, root));
        }
    }

    /// Two layers at once, the first on `groups` groups of `2 · half` words below `bound · q`.
    fn pass_of_two(&self, limb: &mut [u32], half: usize, groups: usize, bound: u32) {
        let (pairs, _) = self.inverse_roots[groups..2 * groups].as_chunks();
        let seconds = &self.inverse_roots[groups / 2..groups];
        let lift = bound * self.modulus.value();
        let roots = pairs.iter().zip(seconds);
        if half == 1 {
            let (blocks, _) = limb.as_chunks_mut();
            for (block, (&first, &second)) in blocks.iter_mut().zip(roots) {
                *block = self.butterflies(*block, first, second, lift);
            }
            return;
        }
        for (block, (&first, &second)) in limb.chunks_exact_mut(4 * half).zip(roots) {
            let (left, right) = block.split_at_mut(2 * half);
            let ((x0, x1), (x2, x3)) = (left.split_at_mut(half), right.split_at_mut(half));
            for ((x0, x1), (x2, x3)) in x0.iter_mut().zip(x1).zip(x2.iter_mut().zip(x3)) {
                [*x0, *x1, *x2, *x3] = self.butterflies([*x0, *x1, *x2, *x3], first, second, lift);
            }
        }
    }

    /// Two butterflies on neighbours, then two across: from words below `lift` to words below
    /// `4 · lift`.
    #[inline]
    fn butterflies(
        &self,
        [x0, x1, x2, x3]: [u32; 4],
        first: [Factor; 2],
        second: Factor,
        lift: u32,
    ) -> [u32; 4] {
        let (s0, s1) = (x0 + x1, x2 + x3);
        let d0 = self.multiply_lazily(x0 + lift - x1, first[0]);
        let d1 = self.multiply_lazily(x2 + lift - x3, first[1]);
        [
            s0 + s1,
            d0 + d1,
            self.multiply_lazily(s0 + 2 * lift - s1, second),
            self.multiply_lazily(d0 + 2 * self.modulus.value() - d1, second),
        ]
    }

    /// `x · f`, below `2q`, for any word `x`.
    #[inline]
    const fn multiply_lazily(&self, x: u32, f: Factor) -> u32 {
        let quotient = low((x as u64 * f.quotient() as u64) >> 32);
        x.wrapping_mul(f.value()).wrapping_sub(quotient.wrapping_mul(self.modulus.value()))
    }

    /// `x` reduced to below `2q`.
    #[inline]
    const fn shrink(&self, x: u32) -> u32 {
        self.multiply_lazily(x, self.one)
    }
}

/// `x − y` if that is not negative, else `x`; for `x` below `2^31`.
#[inline]
const fn subtract_once(x: u32, y: u32) -> u32 {
    let difference = x.wrapping_sub(y);
    difference.wrapping_add(y & (difference >> 31).wrapping_neg())
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the low half is what is asked for")]
const fn low(x: u64) -> u32 {
    x as u32
}
