//! One number for each pair: distances and scores, their polynomial, and the way back to all features.
//!
//! They are sums over features, of `G` variants, in slots that hold one number for each feature. So variant `g` takes
//! the positions `f ≡ g (mod G)`, one ciphertext holds all of them, lower tokens in the real part and upper ones in the
//! imaginary part, and two polynomials evaluate `T²·H` exponentials.

use alloc::vec::Vec;

use he_core::bootstrap::dft;
use he_core::circuit::chebyshev::Chebyshev;
use he_core::circuit::polynomial;
use he_core::refresh::Refresh;

use super::{Both, FEATURE, WideAttention};
use crate::Error;
use crate::layout::sum_rotations;

impl WideAttention {
    /// The polynomial of sums over all features, one number for each pair.
    pub(super) fn evaluated<E: Refresh>(
        &self,
        eval: &E,
        terms: &[E::Ciphertext],
        p: &Chebyshev,
    ) -> Result<Both<E>, Error> {
        let level = eval.level(&terms[0]) - 1;
        let input = polynomial::input_scale(eval, level, p.domain());
        // Halved, because both parts come doubled from sums with the conjugate.
        let merged = self.merged(eval, terms, input / 2.0)?;
        let [low, high] = dft::split(eval, &merged)?;
        let value = |x: &E::Ciphertext| {
            let x = eval.with_scale(x, 2.0 * eval.scale(x));
            polynomial::evaluate(eval, &x, p, eval.default_scale())
        };
        Ok(Both { low: value(&low)?, high: value(&high)? })
    }

    /// `q − k` of every variant.
    pub(super) fn differences<E: Refresh>(
        &self,
        eval: &E,
        queries: &Both<E>,
        keys: &[Both<E>],
    ) -> Result<Vec<Both<E>>, Error> {
        let difference = |g| {
            let [for_low, for_high] = self.sources(keys, g);
            let low = eval.sub(&queries.low, for_low)?;
            Ok(Both { low, high: eval.sub(&queries.high, for_high)? })
        };
        (0..self.variants).map(difference).collect()
    }

    /// `q ∘ k` of every variant, lower tokens in the real part and upper ones in the imaginary.
    pub(super) fn products<E: Refresh>(
        &self,
        eval: &E,
        queries: &Both<E>,
        keys: &[Both<E>],
    ) -> Result<Vec<E::Ciphertext>, Error> {
        let high = eval.mul_i(&queries.high);
        let product = |g| {
            let [for_low, for_high] = self.sources(keys, g);
            Ok(eval.dot_rescaled(&[(&queries.low, for_low), (&high, for_high)])?)
        };
        (0..self.variants).map(product).collect()
    }

    /// Sums over all features, that of variant `g` where `f ≡ g (mod G)`; one level down, at `to`.
    ///
    /// `Σ_k rot_k(V_k)` with `V_k = Σ_g [f ≡ g + k] Z_g` sums windows of `G` features; rotations by
    /// multiples of `G` do the rest.
    pub(crate) fn merged<E: Refresh>(
        &self,
        eval: &E,
        distances: &[E::Ciphertext],
        to: f64,
    ) -> Result<E::Ciphertext, Error> {
        let masks = self.feature_masks(eval, &distances[0], to)?;
        let step = self.layout.step(FEATURE);
        let mut total: Option<E::Ciphertext> = None;
        for k in (0..self.variants).rev() {
            let shifted = |(g, z)| (z, &masks[(g + k) % self.variants]);
            let pairs: Vec<_> = distances.iter().enumerate().map(shifted).collect();
            let part = eval.rescale(&eval.dot_plain(&pairs)?)?;
            total = Some(match total {
                None => part,
                Some(total) => eval.add(&part, &eval.rotate(&total, step)?)?,
            });
        }
        let total = total.ok_or(Error::Unsupported("no variants"))?;
        sum_rotations(eval, &total, step, self.variants..self.layout.size(FEATURE))
    }

    /// The inverse: for each `g`, the value where `f ≡ g (mod G)` in every place; one level down.
    pub(crate) fn spread<E: Refresh>(
        &self,
        eval: &E,
        a: &E::Ciphertext,
    ) -> Result<Vec<E::Ciphertext>, Error> {
        let masks = self.feature_masks(eval, a, eval.default_scale())?;
        let step = self.layout.step(FEATURE);
        let steps: Vec<isize> = (0..self.variants).map(|k| step * k.cast_signed()).collect();
        let rotated = eval.rotate_many(a, &steps)?;
        let one = |g: usize| {
            let shifted = |(k, a)| (a, &masks[(g + self.variants - k) % self.variants]);
            let pairs: Vec<_> = rotated.iter().enumerate().map(shifted).collect();
            Ok(eval.rescale(&eval.dot_plain(&pairs)?)?)
        };
        (0..self.variants).map(one).collect()
    }

    /// 1 where `f ≡ m (mod G)`, for each `m`; a product with `like` rescales to the scale `to`.
    fn feature_masks<E: Refresh>(
        &self,
        eval: &E,
        like: &E::Ciphertext,
        to: f64,
    ) -> Result<Vec<E::Plaintext>, Error> {
        let level = eval.level(like);
        let scale = to * eval.step(level) / eval.scale(like);
        let mask = |m| {
            let is_here = |f: usize| if f % self.variants == m { 1.0 } else { 0.0 };
            Ok(eval.encode(&self.layout.values(|[_, _, f], _| is_here(f)), level, scale)?)
        };
        (0..self.variants).map(mask).collect()
    }
}

/// `(q − k)²` of every variant, lower tokens in the real part and upper ones in the imaginary.
pub(super) fn distances<E: Refresh>(
    eval: &E,
    differences: &[Both<E>],
) -> Result<Vec<E::Ciphertext>, Error> {
    let square = |Both { low, high }: &Both<E>| {
        Ok(eval.dot_rescaled(&[(low, low), (&eval.mul_i(high), high)])?)
    };
    differences.iter().map(square).collect()
}
