//! What every [`Evaluator`] has to do, as a suite that any of them can be put through.
//!
//! Each function panics with the law that is broken. Values are of absolute value one or less, so
//! the tolerance is absolute and relative at once.

use alloc::vec::Vec;
use core::fmt;

use crate::Error;
use crate::circuit::chebyshev::Chebyshev;
use crate::circuit::polynomial::{evaluate, input_scale};
use crate::complex::Complex;
use crate::eval::Evaluator;

/// Encrypts values at a level and scale.
pub type Encrypt<'a, E> =
    dyn Fn(&[Complex], usize, f64) -> Result<<E as Evaluator>::Ciphertext, Error> + 'a;
/// Decrypts all slots.
pub type Decrypt<'a, E> = dyn Fn(&<E as Evaluator>::Ciphertext) -> Result<Vec<Complex>, Error> + 'a;

/// An evaluator with the keys to look at what it does.
pub struct Subject<'a, E: Evaluator> {
    /// The evaluator.
    pub eval: &'a E,
    /// Makes inputs.
    pub encrypt: &'a Encrypt<'a, E>,
    /// Shows results.
    pub decrypt: &'a Decrypt<'a, E>,
    /// Where inputs are: at least 3, and all steps up to there are near the default scale.
    pub level: usize,
    /// Rotations that have a key.
    pub rotations: &'a [isize],
    /// Errors have to be below `2^-bits`.
    pub bits: f64,
}

impl<E: Evaluator> fmt::Debug for Subject<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Subject");
        shown.field("level", &self.level).field("rotations", &self.rotations);
        shown.field("bits", &self.bits).finish_non_exhaustive()
    }
}

/// The whole suite.
///
/// # Errors
/// What the evaluator answers where it must not fail.
///
/// # Panics
/// If a law is broken.
pub fn all<E: Evaluator>(subject: &Subject<'_, E>) -> Result<(), Error> {
    sums(subject)?;
    products(subject)?;
    plain_operands(subject)?;
    scalars(subject)?;
    adjustment(subject)?;
    mixed_levels(subject)?;
    automorphisms(subject)?;
    polynomial(subject)?;
    errors(subject)
}

impl<E: Evaluator> Subject<'_, E> {
    fn input(&self, seed: usize) -> Result<(Vec<Complex>, E::Ciphertext), Error> {
        let values = values(self.eval.slots(), seed);
        let encrypted = (self.encrypt)(&values, self.level, self.eval.default_scale())?;
        Ok((values, encrypted))
    }

    /// Compares every slot, the level and the scale.
    fn expect(
        &self,
        law: &str,
        a: &E::Ciphertext,
        (level, scale): (usize, f64),
        value: impl Fn(usize) -> Complex,
    ) -> Result<(), Error> {
        assert_eq!(self.eval.level(a), level, "{law}: level");
        let drift = (self.eval.scale(a) / scale - 1.0).abs();
        assert!(drift < 1e-14, "{law}: scale off by {drift:e}");
        let found = (self.decrypt)(a)?;
        assert_eq!(found.len(), self.eval.slots(), "{law}: slots");
        let errors = found.iter().enumerate().map(|(j, &found)| (found - value(j)).abs());
        let error = errors.fold(0.0, f64::max);
        assert!(error < libm::exp2(-self.bits), "{law}: off by 2^{:.1}", libm::log2(error));
        Ok(())
    }

    /// The position of an input.
    fn fresh(&self) -> (usize, f64) {
        (self.level, self.eval.default_scale())
    }

    /// The position of a rescaled product of inputs.
    fn product(&self) -> (usize, f64) {
        let scale = self.eval.default_scale();
        (self.level - 1, scale * scale / self.eval.step(self.level))
    }
}

/// Complex numbers of absolute value up to one, different for every seed.
fn values(slots: usize, seed: usize) -> Vec<Complex> {
    let value = |j: usize| {
        let radius = libm::cos((j * (seed + 3)) as f64);
        Complex::root_of_unity((j * j + 5 * seed) as f64 / 37.0).scaled(radius)
    };
    (0..slots).map(value).collect()
}

/// `+`, `−` and multiplication by `i` and `−1`.
///
/// # Errors
/// As [`all`].
///
/// # Panics
/// As [`all`].
pub fn sums<E: Evaluator>(subject: &Subject<'_, E>) -> Result<(), Error> {
    let Subject { eval, .. } = subject;
    let ((x, a), (y, b)) = (subject.input(0)?, subject.input(1)?);
    let fresh = subject.fresh();
    subject.expect("decryption inverts encryption", &a, fresh, |j| x[j])?;
    subject.expect("a + b", &eval.add(&a, &b)?, fresh, |j| x[j] + y[j])?;
    subject.expect("a − b", &eval.sub(&a, &b)?, fresh, |j| x[j] - y[j])?;
    subject.expect("−a", &eval.neg(&a), fresh, |j| -x[j])?;
    subject.expect("a + c", &eval.add_scalar(&a, -0.75), fresh, |j| x[j] - Complex::real(0.75))?;
    subject.expect("i·a", &eval.mul_i(&a), fresh, |j| x[j] * Complex::new(0.0, 1.0))
}

/// Products of ciphertexts and their sums, before and after a rescale.
///
/// # Errors
/// As [`all`].
///
/// # Panics
/// As [`all`].
pub fn products<E: Evaluator>(subject: &Subject<'_, E>) -> Result<(), Error> {
    let Subject { eval, .. } = subject;
    let ((x, a), (y, b)) = (subject.input(2)?, subject.input(3)?);
    let (level, scale) = subject.fresh();
    let product = eval.mul(&a, &b)?;
    subject.expect("a·b", &product, (level, scale * scale), |j| x[j] * y[j])?;
    let rescaled = eval.rescale(&product)?;
    subject.expect("a·b rescaled", &rescaled, subject.product(), |j| x[j] * y[j])?;
    let dot = eval.rescale(&eval.dot(&[(&a, &b), (&a, &a), (&b, &a)])?)?;
    let sum = |j: usize| x[j] * y[j] + x[j] * x[j] + y[j] * x[j];
    subject.expect("Σ a·b", &dot, subject.product(), sum)?;
    let dot = eval.dot_rescaled(&[(&a, &b), (&a, &a), (&b, &a)])?;
    subject.expect("Σ a·b in one division", &dot, subject.product(), sum)
}

/// Sums and products with plain vectors.
///
/// # Errors
/// As [`all`].
///
/// # Panics
/// As [`all`].
pub fn plain_operands<E: Evaluator>(subject: &Subject<'_, E>) -> Result<(), Error> {
    let Subject { eval, .. } = subject;
    let ((x, a), (y, b)) = (subject.input(4)?, subject.input(5)?);
    let (level, scale) = subject.fresh();
    let weights = [values(eval.slots(), 6), values(eval.slots() / 2, 7)];
    let weight = |i: usize, j: usize| weights[i].get(j).copied().unwrap_or_default();
    let p = eval.encode(&weights[0], level, scale)?;
    let q = eval.encode(&weights[1], level, scale)?;
    let sum = eval.add_plain(&a, &q)?;
    subject.expect("a + p", &sum, (level, scale), |j| x[j] + weight(1, j))?;
    let product = eval.mul_plain(&a, &p)?;
    subject.expect("a·p", &product, (level, scale * scale), |j| x[j] * weight(0, j))?;
    let dot = eval.rescale(&eval.dot_plain(&[(&a, &p), (&b, &q)])?)?;
    let value = |j: usize| x[j] * weight(0, j) + y[j] * weight(1, j);
    subject.expect("Σ a·p", &dot, subject.product(), value)
}

/// Scalars, and scales that are only read differently.
///
/// # Errors
/// As [`all`].
///
/// # Panics
/// As [`all`].
pub fn scalars<E: Evaluator>(subject: &Subject<'_, E>) -> Result<(), Error> {
    let Subject { eval, .. } = subject;
    let (x, a) = subject.input(8)?;
    let (level, scale) = subject.fresh();
    let scaled = eval.rescale(&eval.mul_scalar(&a, -0.3, scale))?;
    subject.expect("a·c", &scaled, subject.product(), |j| x[j].scaled(-0.3))?;
    let tripled = eval.mul_scalar(&a, 3.0, 1.0);
    let third = eval.with_scale(&tripled, 3.0 * scale);
    subject.expect("a·3 read at three times the scale", &third, (level, 3.0 * scale), |j| x[j])?;
    let halved = eval.with_scale(&a, 2.0 * scale);
    subject.expect("a at twice the scale", &halved, (level, 2.0 * scale), |j| x[j].scaled(0.5))
}

/// `adjust` and `drop_level` hit every level below and the exact scale.
///
/// # Errors
/// As [`all`].
///
/// # Panics
/// As [`all`].
pub fn adjustment<E: Evaluator>(subject: &Subject<'_, E>) -> Result<(), Error> {
    let Subject { eval, .. } = subject;
    let (x, a) = subject.input(9)?;
    let (top, scale) = subject.fresh();
    for level in 0..top {
        for factor in [1.0, 0.737, 1.91] {
            let adjusted = eval.adjust(&a, level, scale * factor)?;
            assert!(eval.scale(&adjusted).to_bits() == (scale * factor).to_bits());
            subject.expect("adjust", &adjusted, (level, scale * factor), |j| x[j])?;
        }
        let dropped = eval.drop_level(&a, level)?;
        subject.expect("drop_level", &dropped, (level, scale), |j| x[j])?;
    }
    subject
        .expect("adjust to the same place", &eval.adjust(&a, top, scale)?, (top, scale), |j| x[j])
}

/// Operands at different levels meet at the lower one.
///
/// # Errors
/// As [`all`].
///
/// # Panics
/// As [`all`].
pub fn mixed_levels<E: Evaluator>(subject: &Subject<'_, E>) -> Result<(), Error> {
    let Subject { eval, .. } = subject;
    let ((x, a), (y, b)) = (subject.input(10)?, subject.input(11)?);
    let (top, scale) = subject.fresh();
    for level in 1..top {
        let low = eval.adjust(&b, level, scale)?;
        for sum in [eval.add(&a, &low)?, eval.add(&low, &a)?] {
            subject.expect("a + lower b", &sum, (level, scale), |j| x[j] + y[j])?;
        }
        let product = eval.rescale(&eval.mul(&a, &low)?)?;
        let place = (level - 1, scale * scale / eval.step(level));
        subject.expect("a · lower b", &product, place, |j| x[j] * y[j])?;
    }
    Ok(())
}

/// Rotations, hoisted or not, and the conjugation.
///
/// # Errors
/// As [`all`].
///
/// # Panics
/// As [`all`].
pub fn automorphisms<E: Evaluator>(subject: &Subject<'_, E>) -> Result<(), Error> {
    let Subject { eval, rotations, .. } = subject;
    let (x, a) = subject.input(12)?;
    let slots = eval.slots().cast_signed();
    let from = |j: usize, step: isize| (j.cast_signed() + step).rem_euclid(slots).cast_unsigned();
    let hoisted = eval.rotate_many(&a, rotations)?;
    assert_eq!(hoisted.len(), rotations.len());
    for (&step, hoisted) in rotations.iter().zip(&hoisted) {
        subject.expect("rotate_many", hoisted, subject.fresh(), |j| x[from(j, step)])?;
        let single = eval.rotate(&a, step)?;
        subject.expect("rotate", &single, subject.fresh(), |j| x[from(j, step)])?;
    }
    subject.expect("rotate by nothing", &eval.rotate(&a, 0)?, subject.fresh(), |j| x[j])?;
    let conjugate = eval.conjugate(&a)?;
    subject.expect("conjugate", &conjugate, subject.fresh(), |j| x[j].conjugate())
}

/// A series of degree 7 in 3 levels.
///
/// # Errors
/// As [`all`].
///
/// # Panics
/// As [`all`].
pub fn polynomial<E: Evaluator>(subject: &Subject<'_, E>) -> Result<(), Error> {
    let Subject { eval, level, .. } = subject;
    let series = Chebyshev::fit(libm::exp, (-1.5, 1.0), 7)?;
    let x: Vec<_> = values(eval.slots(), 13).iter().map(|x| Complex::real(x.re)).collect();
    let a = (subject.encrypt)(&x, *level, input_scale(*eval, *level, series.domain()))?;
    let scale = eval.default_scale();
    let value = evaluate(*eval, &a, &series, scale)?;
    subject.expect("p(a)", &value, (level - 3, scale), |j| Complex::real(series.eval(x[j].re)))
}

/// Wrong levels and scales are refused, never repaired.
///
/// # Errors
/// As [`all`].
///
/// # Panics
/// As [`all`].
pub fn errors<E: Evaluator>(subject: &Subject<'_, E>) -> Result<(), Error> {
    let Subject { eval, .. } = subject;
    let (x, a) = subject.input(14)?;
    let (level, scale) = subject.fresh();
    let other = eval.with_scale(&a, 1.001 * scale);
    assert!(eval.add(&a, &other).is_err(), "a sum of different scales");
    assert!(eval.sub(&a, &other).is_err(), "a difference of different scales");
    assert!(eval.dot(&[(&a, &a), (&a, &other)]).is_err(), "a dot product of different scales");
    assert!(eval.dot(&[]).is_err() && eval.dot_plain(&[]).is_err(), "an empty sum");
    let bottom = eval.adjust(&a, 0, scale)?;
    assert!(eval.rescale(&bottom).is_err(), "a rescale of the base");
    assert!(eval.adjust(&bottom, 1, scale).is_err(), "an adjustment upwards");
    assert!(eval.adjust(&a, level, 1.5 * scale).is_err(), "another scale at the same level");
    let low = eval.encode(&x, level - 1, scale)?;
    assert!(eval.add_plain(&a, &low).is_err(), "a plain summand of another level");
    assert!(eval.mul_plain(&a, &low).is_err(), "a plain factor of another level");
    let too_many = values(eval.slots() + 1, 0);
    assert!(eval.encode(&too_many, level, scale).is_err(), "more values than slots");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::clear::Clear;
    use crate::eval::position::Shape;

    #[test]
    fn the_evaluator_in_the_clear_conforms() {
        let steps = [1.01, 0.98, 0.97, 1.02].map(|off: f64| off * libm::exp2(40.0));
        let clear = Clear::new(Shape::new(16, steps.to_vec(), libm::exp2(40.0)).unwrap());
        let subject = Subject {
            eval: &clear,
            encrypt: &|values, level, scale| clear.encrypt(values, level, scale),
            decrypt: &|a| Ok(a.values().to_vec()),
            level: 4,
            rotations: &[1, 5, -3, 15],
            bits: 36.0,
        };
        all(&subject).unwrap();
    }
}
