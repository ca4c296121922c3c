//! Arithmetic of one base prime with few reductions, for cores where each costs.
//!
//! Base primes have about 25 bits, which leaves six bits of a signed word unused. So the transforms
//! work on signed words, reduce products to `(−q/2, 3q/2)` and sums every third pass of the inverse
//! only: a butterfly is an addition, a subtraction and three multiplications. What comes out is what
//! [`NttTable`] computes, bit for bit.

use crate::modulus::{Factor, Modulus, SignedFactor, SignedModulus, butterflies};
use crate::ntt::NttTable;

/// One base prime with its roots of unity, borrowed from flash or from an [`NttTable`].
#[derive(Clone, Copy, Debug)]
pub struct EdgeRing<'a> {
    modulus: SignedModulus,
    /// `2^64 / N mod q`.
    entry: u32,
    /// `ψ^−rev(i)`.
    inverse_roots: &'a [Factor],
}

impl<'a> EdgeRing<'a> {
    /// The largest supported width of a prime: one pass takes three bits.
    pub const MAX_BITS: u32 = SignedModulus::MAX_BITS;

    /// Wraps the powers `ψ^−rev(i)` of a primitive `2N`-th root of unity modulo a prime.
    ///
    /// `None` unless the prime has at most [`Self::MAX_BITS`] bits, there are `N ≥ 2` roots, a power
    /// of two, and `ψ` has the right order.
    #[must_use]
    pub const fn new(modulus: Modulus, inverse_roots: &'a [Factor]) -> Option<Self> {
        let degree = inverse_roots.len();
        let q = modulus.value();
        let Some(signed) = SignedModulus::new(modulus) else { return None };
        if !degree.is_power_of_two() || degree < 2 || degree >= 1 << 17 {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "below 2^17")]
        let degree_word = degree as u32;
        let inverse_psi = inverse_roots[degree / 2].value();
        if modulus.pow_vartime(inverse_psi, degree_word) != q - 1 {
            return None;
        }
        let word = modulus.reduce(1 << 32);
        let entry = modulus.mul(modulus.mul(word, word), modulus.inverse(degree_word));
        Some(Self { modulus: signed, entry, inverse_roots })
    }

    /// The same for a prime whose tables exist; `None` if it is too wide.
    #[must_use]
    pub const fn of(table: &NttTable<'a>) -> Option<Self> {
        Self::new(table.modulus(), table.inverse_roots())
    }

    /// The prime.
    #[must_use]
    pub const fn modulus(&self) -> Modulus {
        self.modulus.modulus()
    }

    /// `N`.
    #[must_use]
    pub const fn degree(&self) -> usize {
        self.inverse_roots.len()
    }

    /// Coefficients to evaluations, with inverse roots only: on level `g ≤ i < 2g` the root
    /// `ψ^rev(i)` is `−ψ^−rev(3g − 1 − i)`. No sum is reduced before the end: compilers make branches
    /// of such reductions, and these are of secrets.
    pub(super) fn forward(&self, limb: &mut [u32]) {
        let q = u64::from(self.modulus().value());
        // Every word is at most `bound / 2 · q` in absolute value; a product is at most `3/2 · q`.
        let mut bound = 2;
        let (mut half, mut groups) = (limb.len() / 2, 1);
        while half > 0 {
            if (bound + 3) * q > 1 << 32 {
                self.shrink(limb);
                bound = 2;
            }
            let roots = self.inverse_roots[groups..2 * groups].iter().rev();
            for (group, &root) in limb.chunks_exact_mut(2 * half).zip(roots) {
                let (root, (left, right)) = (self.modulus.root(root), group.split_at_mut(half));
                for (a, b) in left.iter_mut().zip(right) {
                    let (x, t) = (a.cast_signed(), root.multiply(b.cast_signed()));
                    (*a, *b) = ((x - t).cast_unsigned(), (x + t).cast_unsigned());
                }
            }
            bound += 3;
            half /= 2;
            groups *= 2;
        }
        limb.iter_mut().for_each(|x| *x = self.canonical(x.cast_signed()));
    }

    /// Multiplies by `2^32 / N`: what a Montgomery product and an inverse transform take away.
    pub(super) fn enter(&self, limb: &mut [u32]) {
        for x in limb {
            *x = self.canonical(self.multiply(*x, self.entry).cast_signed());
        }
    }

    /// `a · b / 2^32`, for residues `a` and `b`, in `(−q, q)` as a signed word.
    #[inline]
    pub(super) const fn multiply(&self, a: u32, b: u32) -> u32 {
        self.modulus.multiply(a, b).cast_unsigned()
    }

    /// The residue of `m − x` for any `m` and any signed word `x`.
    #[inline]
    pub(super) const fn difference(&self, m: i32, x: u32) -> u32 {
        self.modulus.difference(m, x.cast_signed())
    }

    /// The residue of `x`.
    #[inline]
    pub(super) const fn canonical(&self, x: i32) -> u32 {
        self.modulus.canonical(x)
    }

    /// `N` times the inverse transform, from signed words in `(−q, q)` to signed words that are to be
    /// reduced.
    pub(super) fn inverse(&self, limb: &mut [u32]) {
        let limit = (1 << 31) / self.modulus().value();
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
                self.shrink(limb);
                bound = 1;
            }
            self.pass_of_two(limb, half, groups);
            bound *= 4;
            half *= 4;
            groups /= 4;
        }
    }

    /// Brings signed words to `(−q, q)`.
    fn shrink(&self, limb: &mut [u32]) {
        limb.iter_mut().for_each(|x| *x = self.modulus.shrink(x.cast_signed()).cast_unsigned());
    }

    /// The first layer alone.
    fn pass_of_one(&self, limb: &mut [u32]) {
        let roots = &self.inverse_roots[limb.len() / 2..];
        let (pairs, _) = limb.as_chunks_mut();
        for (pair, &root) in pairs.iter_mut().zip(roots) {
            let [a, b] = pair.map(u32::cast_signed);
            *pair = [a + b, self.modulus.root(root).multiply(a - b)].map(i32::cast_unsigned);
        }
    }

    /// Two layers at once, the first on `groups` groups of `2 · half` words.
    fn pass_of_two(&self, limb: &mut [u32], half: usize, groups: usize) {
        let (pairs, _) = self.inverse_roots[groups..2 * groups].as_chunks();
        let seconds = &self.inverse_roots[groups / 2..groups];
        let roots = pairs.iter().zip(seconds).map(|(&[first, other], &second)| {
            [self.modulus.root(first), self.modulus.root(other), self.modulus.root(second)]
        });
        match half {
            1 => pass_between::<1>(limb, roots),
            4 => pass_between::<4>(limb, roots),
            16 => pass_between::<16>(limb, roots),
            64 => pass_between::<64>(limb, roots),
            256 => pass_between::<256>(limb, roots),
            _ => pass_across(limb, half, roots),
        }
    }
}

/// A pass on words that are `HALF` apart: a distance that small cores have room for in an instruction.
fn pass_between<const HALF: usize>(
    limb: &mut [u32],
    roots: impl Iterator<Item = [SignedFactor; 3]>,
) {
    let (quarters, _) = limb.as_chunks_mut::<HALF>();
    let (blocks, _) = quarters.as_chunks_mut();
    for ([x0, x1, x2, x3], roots) in blocks.iter_mut().zip(roots) {
        for i in 0..HALF {
            [x0[i], x1[i], x2[i], x3[i]] = butterflies([x0[i], x1[i], x2[i], x3[i]], roots);
        }
    }
}

/// The same for words that are further apart.
fn pass_across(limb: &mut [u32], half: usize, roots: impl Iterator<Item = [SignedFactor; 3]>) {
    for (block, roots) in limb.chunks_exact_mut(4 * half).zip(roots) {
        let (left, right) = block.split_at_mut(2 * half);
        let ((x0, x1), (x2, x3)) = (left.split_at_mut(half), right.split_at_mut(half));
        for ((x0, x1), (x2, x3)) in x0.iter_mut().zip(x1).zip(x2.iter_mut().zip(x3)) {
            [*x0, *x1, *x2, *x3] = butterflies([*x0, *x1, *x2, *x3], roots);
        }
    }
}
