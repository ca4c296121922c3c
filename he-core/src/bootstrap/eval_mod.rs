//! Reduction modulo the base modulus, by a sine.
//!
//! After the modulus is raised a coefficient is `t = m + q·I` with `|I| < K`. The slots hold
//! `y = t / (K q)`, and `sin(2πt/q) = sin(2πm/q)` is nearly `2πm/q` for small `m`. It is computed as
//! a cosine of `2π(Ky − 1/4)` by a Chebyshev series for a `2^d`-th of the angle, followed by `d`
//! double angles `2c² − 1`. After Han and Ki, *Better Bootstrapping for Approximate Homomorphic
//! Encryption* (CT-RSA 2020), without their choice of nodes.
//!
//! A double angle multiplies an error by up to 4, but near the zeros of the sine by less: by 41 for
//! three. With `K = 16`, degree 31 and three double angles the sine is exact to 30 bits for every
//! `|I| ≤ 15`, and to 15 for `|I| = 16`. The sine itself is off by `(2πm/q)²/6` of its value: 13.3 bits for `m = 2^-8 q`.

use core::f64::consts::PI;

use crate::Error;
use crate::circuit::chebyshev::Chebyshev;
use crate::circuit::polynomial::evaluate;
use crate::eval::Evaluator;

/// The largest `|m / q|` for which the series is fitted.
const MARGIN: f64 = 1.0 / 16.0;

/// A sine of large arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct EvalMod {
    /// `cos(2π(Ky − 1/4) / 2^d)`.
    series: Chebyshev,
    /// `d`.
    doublings: usize,
}

impl EvalMod {
    /// For `|I| < k`, by a series of this degree and so many double angles.
    ///
    /// # Errors
    /// If `k` is zero.
    pub fn new(k: u16, doublings: u16, degree: usize) -> Result<Self, Error> {
        let k = f64::from(k);
        let reach = (k - 1.0 + MARGIN) / k;
        let angle = move |y: f64| 2.0 * PI * (k * y - 0.25) / libm::exp2(f64::from(doublings));
        let series = Chebyshev::fit(|y| libm::cos(angle(y)), (-reach, reach), degree)?;
        Ok(Self { series, doublings: usize::from(doublings) })
    }

    /// Levels that it consumes.
    #[must_use]
    pub const fn depth(&self) -> usize {
        self.series.depth() + self.doublings
    }

    /// `sin(2πKy)` in every slot, at exactly the scale `to_scale`.
    ///
    /// The scale of `y` and `to_scale` should be near the steps of the levels used.
    ///
    /// # Errors
    /// If there are too few levels, the scale of `y` is too large or a key is missing.
    pub fn apply<E: Evaluator>(
        &self,
        eval: &E,
        y: &E::Ciphertext,
        to_scale: f64,
    ) -> Result<E::Ciphertext, Error> {
        let (needed, left) = (self.depth(), eval.level(y));
        let bottom = left.checked_sub(needed).ok_or(Error::LevelExhausted { needed, left })?;
        // A squaring takes the scale `s` to `s² / step`.
        let first = bottom + self.doublings;
        let scale = (bottom + 1..=first)
            .fold(to_scale, |scale, level| libm::sqrt(scale * eval.step(level)));
        let mut cosine = evaluate(eval, y, &self.series, scale)?;
        for _ in 0..self.doublings {
            let doubled = eval.mul_rescaled(&eval.mul_scalar(&cosine, 2.0, 1.0), &cosine)?;
            cosine = eval.add_scalar(&doubled, -1.0);
        }
        Ok(eval.with_scale(&cosine, to_scale))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::eval::clear::Clear;
    use crate::eval::position::Shape;

    const SLOTS: usize = 1 << 12;

    /// Eleven levels with steps of 50 bits, up to three percent off.
    fn clear() -> Clear {
        let step = |i: u32| libm::exp2(50.0) * (0.97 + f64::from(i * 7 % 11) / 170.0);
        Clear::new(Shape::new(SLOTS, (0..11).map(step).collect(), libm::exp2(40.0)).unwrap())
    }

    /// `(I, m/q)` for all multiples and all fractions up to `2^-8`.
    fn arguments() -> Vec<(f64, f64)> {
        let multiple = |i: usize| i as f64 - 15.0;
        let fraction = |i: usize| (i as f64 / 65.0 - 1.0) / 256.0;
        (0..31 * 131).map(|i| (multiple(i % 31), fraction(i / 31))).collect()
    }

    #[test]
    fn the_sine_has_30_bits_at_every_multiple_and_13_bits_of_the_message() {
        let (clear, eval_mod) = (clear(), EvalMod::new(16, 3, 31).unwrap());
        let arguments = arguments();
        let values: Vec<_> = arguments.iter().map(|(i, m)| (i + m) / 16.0).collect();
        let y = clear.encrypt_real(&values, 10, libm::exp2(49.9)).unwrap();
        let to_scale = libm::exp2(49.35);
        let sine = eval_mod.apply(&clear, &y, to_scale).unwrap();
        assert_eq!((clear.level(&sine), clear.scale(&sine)), (2, to_scale));

        let (mut error, mut bend) = (0.0, 0.0);
        for (&(_, m), value) in arguments.iter().zip(sine.values()) {
            error = f64::max(error, (value.re - libm::sin(2.0 * PI * m)).abs());
            bend = f64::max(bend, (value.re / (2.0 * PI) - m).abs() * 256.0);
        }
        assert!(error < libm::exp2(-30.0), "sine: 2^{}", libm::log2(error));
        assert!(bend < libm::exp2(-13.2), "message: 2^{}", libm::log2(bend));
    }

    #[test]
    fn a_multiple_beyond_the_range_still_has_a_bounded_error() {
        let (clear, eval_mod) = (clear(), EvalMod::new(16, 3, 31).unwrap());
        let y = clear.encrypt_real(&[16.0 / 16.0, -16.0 / 16.0], 8, libm::exp2(50.0)).unwrap();
        let sine = eval_mod.apply(&clear, &y, libm::exp2(50.0)).unwrap();
        assert!(sine.values()[..2].iter().all(|value| value.re.abs() < libm::exp2(-15.0)));
    }

    #[test]
    fn eight_levels_are_needed() {
        let (clear, eval_mod) = (clear(), EvalMod::new(16, 3, 31).unwrap());
        let y = clear.encrypt_real(&[0.0], 7, libm::exp2(50.0)).unwrap();
        let exhausted = eval_mod.apply(&clear, &y, libm::exp2(50.0));
        assert_eq!(exhausted, Err(Error::LevelExhausted { needed: 8, left: 7 }));
    }
}
