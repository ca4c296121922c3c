//! The negacyclic number-theoretic transform: multiplication in `Z_q[X] / (X^N + 1)`.
//!
//! Forward takes coefficients in order and leaves evaluations in bit-reversed order, place `j`
//! holding the value at `ψ^(2·rev(j) + 1)`; inverse undoes it. So a product never needs a bit reversal. After Longa and Naehrig, *Speeding up the
//! number theoretic transform* (<https://eprint.iacr.org/2016/504>), algorithms 1 and 2, with
//! Shoup's multiplication and complete reductions throughout.

use crate::modulus::{Factor, Modulus};

/// The twiddle factors of one prime, borrowed from whoever keeps them: flash, a static or a `Vec`.
#[derive(Clone, Copy, Debug)]
pub struct NttTable<'a> {
    modulus: Modulus,
    /// `ψ^rev(i)`, for a primitive `2N`-th root of unity `ψ`.
    roots: &'a [Factor],
    /// `ψ^−rev(i)`.
    inverse_roots: &'a [Factor],
    inverse_degree: Factor,
}

impl<'a> NttTable<'a> {
    /// Fills the two buffers, each of `N` factors, and wraps them.
    ///
    /// Returns `None` unless `N` is a power of two, the buffers have the same length and
    /// `psi` is a primitive `2N`-th root of unity.
    #[must_use]
    pub fn new(
        modulus: Modulus,
        psi: u32,
        roots: &'a mut [Factor],
        inverse_roots: &'a mut [Factor],
    ) -> Option<Self> {
        let degree = roots.len();
        let degree_word = u32::try_from(degree).ok()?;
        let minus_one = modulus.value() - 1;
        let order_is_right = modulus.pow_vartime(psi, degree_word) == minus_one;
        if !degree.is_power_of_two() || inverse_roots.len() != degree || !order_is_right {
            return None;
        }
        // `ψ^N = −1`, so `ψ^−1 = −ψ^(N−1)`.
        let inverse_psi = modulus.sub(0, modulus.pow_vartime(psi, degree_word - 1));
        fill(modulus, psi, roots);
        fill(modulus, inverse_psi, inverse_roots);
        let inverse_degree = modulus.factor(modulus.pow_vartime(degree_word, modulus.value() - 2));
        Some(Self { modulus, roots, inverse_roots, inverse_degree })
    }

    /// Wraps factors that [`Self::new`] has filled, wherever they have been kept since.
    ///
    /// # Panics
    /// If the two lengths differ.
    #[must_use]
    pub const fn from_filled(
        modulus: Modulus,
        roots: &'a [Factor],
        inverse_roots: &'a [Factor],
        inverse_degree: Factor,
    ) -> Self {
        assert!(roots.len() == inverse_roots.len());
        Self { modulus, roots, inverse_roots, inverse_degree }
    }

    /// The prime.
    #[inline]
    #[must_use]
    pub const fn modulus(&self) -> Modulus {
        self.modulus
    }

    /// `N`.
    #[inline]
    #[must_use]
    pub const fn degree(&self) -> usize {
        self.roots.len()
    }

    /// `ψ^rev(i)`, for kernels that transform in their own way.
    #[inline]
    #[must_use]
    pub const fn roots(&self) -> &'a [Factor] {
        self.roots
    }

    /// `ψ^−rev(i)`.
    #[inline]
    #[must_use]
    pub const fn inverse_roots(&self) -> &'a [Factor] {
        self.inverse_roots
    }

    /// `N^−1`.
    #[inline]
    #[must_use]
    pub const fn inverse_degree(&self) -> Factor {
        self.inverse_degree
    }

    /// Coefficients to evaluations, in place.
    ///
    /// # Panics
    /// If `limb` does not have `N` words.
    pub fn forward(&self, limb: &mut [u32]) {
        assert_eq!(limb.len(), self.roots.len());
        let q = self.modulus;
        let mut half = limb.len() / 2;
        let mut groups = 1;
        while half > 0 {
            for (group, &root) in
                limb.chunks_exact_mut(2 * half).zip(&self.roots[groups..2 * groups])
            {
                let (left, right) = group.split_at_mut(half);
                for (a, b) in left.iter_mut().zip(right) {
                    let t = q.mul_factor(*b, root);
                    (*a, *b) = (q.add(*a, t), q.sub(*a, t));
                }
            }
            half /= 2;
            groups *= 2;
        }
    }

    /// Evaluations to coefficients, in place.
    ///
    /// # Panics
    /// If `limb` does not have `N` words.
    pub fn inverse(&self, limb: &mut [u32]) {
        assert_eq!(limb.len(), self.roots.len());
        let q = self.modulus;
        let mut half = 1;
        let mut groups = limb.len() / 2;
        while groups > 0 {
            for (group, &root) in
                limb.chunks_exact_mut(2 * half).zip(&self.inverse_roots[groups..2 * groups])
            {
                let (left, right) = group.split_at_mut(half);
                for (a, b) in left.iter_mut().zip(right) {
                    (*a, *b) = (q.add(*a, *b), q.mul_factor(q.sub(*a, *b), root));
                }
            }
            half *= 2;
            groups /= 2;
        }
        for x in limb {
            *x = q.mul_factor(*x, self.inverse_degree);
        }
    }
}

/// The reversal of the `log2(count)` bits of an `index` below `count`, a power of two.
#[must_use]
pub const fn bit_reversed(index: usize, count: usize) -> usize {
    match count {
        0 | 1 => 0,
        _ => index.reverse_bits() >> (count.leading_zeros() + 1),
    }
}

/// Writes `root^rev(i)` to `powers[i]`.
fn fill(modulus: Modulus, root: u32, powers: &mut [Factor]) {
    let mut power = 1;
    for i in 0..powers.len() {
        powers[bit_reversed(i, powers.len())] = modulus.factor(power);
        power = modulus.mul(power, root);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `q = 257`, where `3` generates every non-zero residue.
    fn table<'a>(roots: &'a mut [Factor], inverse_roots: &'a mut [Factor]) -> NttTable<'a> {
        let modulus = Modulus::new(257).unwrap();
        let psi = modulus.pow_vartime(3, 128 / u32::try_from(roots.len()).unwrap());
        NttTable::new(modulus, psi, roots, inverse_roots).unwrap()
    }

    /// The product in `Z_257[X] / (X^8 + 1)` by the definition.
    fn schoolbook(a: [u32; 8], b: [u32; 8]) -> [u32; 8] {
        let q = Modulus::new(257).unwrap();
        core::array::from_fn(|k| {
            (0..8).fold(0, |sum, i| {
                let term = q.mul(a[i], b[(8 + k - i) % 8]);
                if i <= k { q.add(sum, term) } else { q.sub(sum, term) }
            })
        })
    }

    #[test]
    fn reversing_bits_twice_changes_nothing_and_halves_swap_with_parities() {
        for count in [1, 2, 8, 1 << 16] {
            for i in 0..count {
                let reversed = bit_reversed(i, count);
                assert_eq!(bit_reversed(reversed, count), i);
                assert!(count == 1 || (reversed >= count / 2) == (i % 2 == 1));
            }
        }
    }

    #[test]
    fn pointwise_product_is_the_negacyclic_product() {
        let (mut roots, mut inverse_roots) = ([Factor::default(); 8], [Factor::default(); 8]);
        let ntt = table(&mut roots, &mut inverse_roots);
        let (a, b) = ([1, 2, 3, 4, 5, 6, 7, 256], [9, 0, 250, 1, 0, 0, 31, 8]);
        let (mut x, mut y) = (a, b);
        ntt.forward(&mut x);
        ntt.forward(&mut y);
        for (x, y) in x.iter_mut().zip(y) {
            *x = Modulus::new(257).unwrap().mul(*x, y);
        }
        ntt.inverse(&mut x);
        assert_eq!(x, schoolbook(a, b));
    }

    #[test]
    fn every_degree_round_trips() {
        for log_degree in 0..=7 {
            let degree = 1 << log_degree;
            let (mut roots, mut inverse_roots) =
                ([Factor::default(); 128], [Factor::default(); 128]);
            let ntt = table(&mut roots[..degree], &mut inverse_roots[..degree]);
            let original: [u32; 128] =
                core::array::from_fn(|i| u32::try_from((i * i + 5) % 257).unwrap());
            let mut limb = original;
            ntt.forward(&mut limb[..degree]);
            ntt.inverse(&mut limb[..degree]);
            assert_eq!(limb, original, "N = {degree}");
        }
    }

    #[test]
    fn refuses_a_root_of_the_wrong_order() {
        let (mut roots, mut inverse_roots) = ([Factor::default(); 8], [Factor::default(); 8]);
        assert!(
            NttTable::new(Modulus::new(257).unwrap(), 3, &mut roots, &mut inverse_roots).is_none()
        );
    }
}
