//! The evaluator on plain slots: every circuit runs on it unchanged, with levels, scales and errors
//! as the scheme has them and without its noise.

mod rows;

use alloc::vec::Vec;

pub use self::rows::ClearRows;
use super::Evaluator;
use super::position::{Position, Shape, sum};
use crate::Error;
use crate::complex::Complex;

/// Evaluates on plain slots.
#[derive(Clone, Debug)]
pub struct Clear {
    shape: Shape,
}

/// What [`Clear`] has for a ciphertext and for a plaintext.
#[derive(Clone, Debug, PartialEq)]
pub struct ClearVector {
    /// One for each slot, not multiplied by the scale.
    values: Vec<Complex>,
    position: Position,
}

impl Clear {
    /// On slots and a chain of this shape.
    #[must_use]
    pub const fn new(shape: Shape) -> Self {
        Self { shape }
    }

    /// The shape.
    #[must_use]
    pub const fn shape(&self) -> &Shape {
        &self.shape
    }

    /// A vector at any position; missing values are zero.
    ///
    /// # Errors
    /// If there are too many values or the level is not on the chain.
    pub fn encrypt(
        &self,
        values: &[Complex],
        level: usize,
        scale: f64,
    ) -> Result<ClearVector, Error> {
        let slots = self.shape.slots();
        if values.len() > slots {
            return Err(Error::WrongLength { expected: slots, found: values.len() });
        }
        let position = self.shape.place(level, scale)?;
        let mut values = values.to_vec();
        values.resize(slots, Complex::ZERO);
        Ok(ClearVector { values, position })
    }

    /// [`Self::encrypt`] of real values.
    ///
    /// # Errors
    /// As there.
    pub fn encrypt_real(
        &self,
        values: &[f64],
        level: usize,
        scale: f64,
    ) -> Result<ClearVector, Error> {
        let values: Vec<_> = values.iter().copied().map(Complex::real).collect();
        self.encrypt(&values, level, scale)
    }
}

impl ClearVector {
    /// The value of every slot.
    #[must_use]
    pub fn values(&self) -> &[Complex] {
        &self.values
    }

    /// The level and the scale.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.position
    }

    fn map(&self, f: impl Fn(Complex) -> Complex) -> Self {
        Self { values: self.values.iter().copied().map(f).collect(), position: self.position }
    }

    /// Slot by slot, where `f` has the scales already in mind.
    fn zip(
        &self,
        other: &Self,
        position: Position,
        f: impl Fn(Complex, Complex) -> Complex,
    ) -> Self {
        let pairs = self.values.iter().zip(&other.values);
        Self { values: pairs.map(|(&a, &b)| f(a, b)).collect(), position }
    }
}

impl Evaluator for Clear {
    type Ciphertext = ClearVector;
    type Plaintext = ClearVector;

    fn slots(&self) -> usize {
        self.shape.slots()
    }

    fn default_scale(&self) -> f64 {
        self.shape.default_scale()
    }

    fn step(&self, level: usize) -> f64 {
        self.shape.step(level)
    }

    fn level(&self, a: &ClearVector) -> usize {
        a.position.level
    }

    fn scale(&self, a: &ClearVector) -> f64 {
        a.position.scale
    }

    fn with_scale(&self, a: &ClearVector, scale: f64) -> ClearVector {
        let factor = a.position.scale / scale;
        let position = Position { scale, ..a.position };
        ClearVector { position, ..a.map(|value| value.scaled(factor)) }
    }

    fn encode(&self, values: &[Complex], level: usize, scale: f64) -> Result<ClearVector, Error> {
        self.encrypt(values, level, scale)
    }

    fn add(&self, a: &ClearVector, b: &ClearVector) -> Result<ClearVector, Error> {
        // Like the scheme, which adds what the slots hold, not what it means.
        let drift = b.position.scale / a.position.scale;
        Ok(a.zip(b, a.position.add(b.position)?, |x, y| x + y.scaled(drift)))
    }

    fn sub(&self, a: &ClearVector, b: &ClearVector) -> Result<ClearVector, Error> {
        self.add(a, &self.neg(b))
    }

    fn neg(&self, a: &ClearVector) -> ClearVector {
        a.map(|value| -value)
    }

    fn add_scalar(&self, a: &ClearVector, value: f64) -> ClearVector {
        a.map(|slot| slot + Complex::real(value))
    }

    fn add_plain(&self, a: &ClearVector, p: &ClearVector) -> Result<ClearVector, Error> {
        a.position.same_level(p.position)?;
        self.add(a, p)
    }

    fn mul_scalar(&self, a: &ClearVector, value: f64, scale: f64) -> ClearVector {
        let rounded = libm::round(value * scale) / scale;
        let position = Position { scale: a.position.scale * scale, ..a.position };
        ClearVector { position, ..a.map(|slot| slot.scaled(rounded)) }
    }

    fn mul_i(&self, a: &ClearVector) -> ClearVector {
        a.map(|value| Complex::new(-value.im, value.re))
    }

    fn dot(&self, pairs: &[(&ClearVector, &ClearVector)]) -> Result<ClearVector, Error> {
        let position = sum(pairs.iter().map(|(a, b)| Ok(a.position.mul(b.position))))?;
        let mut values = alloc::vec![Complex::ZERO; self.shape.slots()];
        for (a, b) in pairs {
            let drift = a.position.mul(b.position).scale / position.scale;
            for (total, (&x, &y)) in values.iter_mut().zip(a.values.iter().zip(&b.values)) {
                *total += (x * y).scaled(drift);
            }
        }
        Ok(ClearVector { values, position })
    }

    fn dot_plain(&self, pairs: &[(&ClearVector, &ClearVector)]) -> Result<ClearVector, Error> {
        let first = pairs.first().ok_or(Error::WrongLength { expected: 1, found: 0 })?;
        for (a, p) in pairs {
            a.position.same_level(p.position)?;
            first.0.position.same_level(p.position)?;
        }
        self.dot(pairs)
    }

    fn rescale(&self, a: &ClearVector) -> Result<ClearVector, Error> {
        Ok(ClearVector { values: a.values.clone(), position: self.shape.rescale(a.position)? })
    }

    fn adjust(&self, a: &ClearVector, level: usize, scale: f64) -> Result<ClearVector, Error> {
        Ok(ClearVector { values: a.values.clone(), position: a.position.adjust(level, scale)? })
    }

    fn rotate_many(&self, a: &ClearVector, steps: &[isize]) -> Result<Vec<ClearVector>, Error> {
        let rotated = |&step: &isize| {
            let mut out = a.clone();
            let left = step.rem_euclid(out.values.len().cast_signed()).cast_unsigned();
            out.values.rotate_left(left);
            out
        };
        Ok(steps.iter().map(rotated).collect())
    }

    fn conjugate(&self, a: &ClearVector) -> Result<ClearVector, Error> {
        Ok(a.map(Complex::conjugate))
    }
}
