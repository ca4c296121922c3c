//! Seam 2: what a circuit may do to a ciphertext of `N/2` complex slots.
//!
//! Circuits are written once against [`Evaluator`] and run on three implementations: `Clear`
//! (plain slots, with levels and scales), `Count` (no values, only operations and costs) and `Cpu`
//! (CKKS). Scales are tracked exactly and never repaired in silence: `mul` multiplies them,
//! `rescale` divides by [`Evaluator::step`], and `adjust` moves a ciphertext to a chosen lower
//! level *and* scale, which is how operands of different history are aligned.
//!
//! [`refresh::Refresh`] is the second half of the seam: rows of tokens, products with integer
//! matrices, and bootstrapping.

pub mod clear;
// Its counters are atomic: it is for machines that plan, not for the smallest ones.
#[cfg(target_has_atomic = "ptr")]
pub mod count;
pub mod position;
pub mod refresh;
pub mod steps;

use alloc::vec::Vec;

use self::steps::GiantSteps;
use crate::Error;
use crate::complex::Complex;

/// The largest relative difference of two scales that are treated as equal.
pub const SCALE_TOLERANCE: f64 = 1.0 / (1u64 << 30) as f64;

/// What a circuit may do to a ciphertext.
pub trait Evaluator: Sync {
    /// An encrypted vector of [`Self::slots`] complex numbers.
    type Ciphertext: Clone + Send + Sync;
    /// An encoded vector, at one level and scale.
    type Plaintext: Send + Sync;

    /// `N/2`.
    fn slots(&self) -> usize;

    /// The scale that circuits return to: `2^40`.
    fn default_scale(&self) -> f64;

    /// `Q_level / Q_(level−1)`: what a rescale from `level` divides the scale by.
    fn step(&self, level: usize) -> f64;

    /// Rescales left above the base.
    fn level(&self, a: &Self::Ciphertext) -> usize;

    /// The scale: slots hold the values times this.
    fn scale(&self, a: &Self::Ciphertext) -> f64;

    /// The same ciphertext read with another scale: divides every value by `scale / self.scale(a)`
    /// at no cost.
    #[must_use]
    fn with_scale(&self, a: &Self::Ciphertext, scale: f64) -> Self::Ciphertext;

    /// Encodes at most [`Self::slots`] values; missing ones are zero.
    ///
    /// # Errors
    /// If there are too many values or one does not fit.
    fn encode(
        &self,
        values: &[Complex],
        level: usize,
        scale: f64,
    ) -> Result<Self::Plaintext, Error>;

    /// `a + b`, at the lower of the two levels.
    ///
    /// # Errors
    /// If the scales differ.
    fn add(&self, a: &Self::Ciphertext, b: &Self::Ciphertext) -> Result<Self::Ciphertext, Error>;

    /// `a − b`, at the lower of the two levels.
    ///
    /// # Errors
    /// If the scales differ.
    fn sub(&self, a: &Self::Ciphertext, b: &Self::Ciphertext) -> Result<Self::Ciphertext, Error>;

    /// `−a`.
    #[must_use]
    fn neg(&self, a: &Self::Ciphertext) -> Self::Ciphertext;

    /// `a + value` in every slot.
    #[must_use]
    fn add_scalar(&self, a: &Self::Ciphertext, value: f64) -> Self::Ciphertext;

    /// `a + p`.
    ///
    /// # Errors
    /// If levels or scales differ.
    fn add_plain(
        &self,
        a: &Self::Ciphertext,
        p: &Self::Plaintext,
    ) -> Result<Self::Ciphertext, Error>;

    /// `a · value`, with `value` rounded to a multiple of `1 / scale`; the result's scale is
    /// `scale` times that of `a`. With `scale = 1` and an integer this is exact and free.
    #[must_use]
    fn mul_scalar(&self, a: &Self::Ciphertext, value: f64, scale: f64) -> Self::Ciphertext;

    /// `i · a`, exact and free.
    #[must_use]
    fn mul_i(&self, a: &Self::Ciphertext) -> Self::Ciphertext;

    /// `a · b` at the lower of the two levels, relinearised, not rescaled.
    ///
    /// # Errors
    /// If a key is missing.
    fn mul(&self, a: &Self::Ciphertext, b: &Self::Ciphertext) -> Result<Self::Ciphertext, Error> {
        self.dot(&[(a, b)])
    }

    /// `Σ a_i · b_i`, relinearised once, not rescaled; at the lowest level of all operands.
    ///
    /// # Errors
    /// If the products' scales differ or a key is missing.
    fn dot(
        &self,
        pairs: &[(&Self::Ciphertext, &Self::Ciphertext)],
    ) -> Result<Self::Ciphertext, Error>;

    /// `a · b` at the lower of the two levels, relinearised and rescaled.
    ///
    /// # Errors
    /// If a key is missing or no level is left.
    fn mul_rescaled(
        &self,
        a: &Self::Ciphertext,
        b: &Self::Ciphertext,
    ) -> Result<Self::Ciphertext, Error> {
        self.dot_rescaled(&[(a, b)])
    }

    /// [`Self::dot`] and [`Self::rescale`]; one division for both costs less than two.
    ///
    /// # Errors
    /// If the products' scales differ, a key is missing or no level is left.
    fn dot_rescaled(
        &self,
        pairs: &[(&Self::Ciphertext, &Self::Ciphertext)],
    ) -> Result<Self::Ciphertext, Error> {
        self.rescale(&self.dot(pairs)?)
    }

    /// `a · p`, not rescaled.
    ///
    /// # Errors
    /// If the levels differ.
    fn mul_plain(
        &self,
        a: &Self::Ciphertext,
        p: &Self::Plaintext,
    ) -> Result<Self::Ciphertext, Error> {
        self.dot_plain(&[(a, p)])
    }

    /// `Σ a_i · p_i`, not rescaled.
    ///
    /// # Errors
    /// If levels or products' scales differ.
    fn dot_plain(
        &self,
        pairs: &[(&Self::Ciphertext, &Self::Plaintext)],
    ) -> Result<Self::Ciphertext, Error>;

    /// To the next level down; the scale is divided by [`Self::step`].
    ///
    /// # Errors
    /// If no level is left.
    fn rescale(&self, a: &Self::Ciphertext) -> Result<Self::Ciphertext, Error>;

    /// To a strictly lower `level` at exactly `scale` (or at the same level and scale).
    ///
    /// # Errors
    /// If `level` is above that of `a`, or equal with another scale.
    fn adjust(
        &self,
        a: &Self::Ciphertext,
        level: usize,
        scale: f64,
    ) -> Result<Self::Ciphertext, Error>;

    /// To a lower or equal `level` at the same scale.
    ///
    /// # Errors
    /// If `level` is above that of `a`.
    fn drop_level(&self, a: &Self::Ciphertext, level: usize) -> Result<Self::Ciphertext, Error> {
        self.adjust(a, level, self.scale(a))
    }

    /// Rotations to the left: slot `j` of the result `k` holds slot `j + k`, cyclically. What the
    /// rotations have in common is computed once (hoisting).
    ///
    /// # Errors
    /// If a key is missing.
    fn rotate_many(
        &self,
        a: &Self::Ciphertext,
        steps: &[isize],
    ) -> Result<Vec<Self::Ciphertext>, Error>;

    /// One rotation to the left.
    ///
    /// # Errors
    /// If the key is missing.
    fn rotate(&self, a: &Self::Ciphertext, step: isize) -> Result<Self::Ciphertext, Error> {
        let mut rotated = self.rotate_many(a, &[step])?;
        rotated.pop().ok_or(Error::WrongLength { expected: 1, found: 0 })
    }

    /// The complex conjugate in every slot.
    ///
    /// # Errors
    /// If the key is missing.
    fn conjugate(&self, a: &Self::Ciphertext) -> Result<Self::Ciphertext, Error>;

    /// A sum of rotations, rescaled.
    ///
    /// # Errors
    /// If the sum is empty, its plaintexts are not at the level of `a` and all at one scale, a key is
    /// missing or no level is left.
    fn giant_steps(
        &self,
        a: &Self::Ciphertext,
        steps: &GiantSteps<Self::Plaintext>,
    ) -> Result<Self::Ciphertext, Error> {
        steps::apply(self, a, steps)
    }
}

/// The product with a plain vector, brought to exactly the scale `to` one level down: how masks
/// and diagonal weights are applied.
///
/// # Errors
/// If no level is left.
pub fn mul_values<E: Evaluator>(
    eval: &E,
    a: &E::Ciphertext,
    values: &[Complex],
    to: f64,
) -> Result<E::Ciphertext, Error> {
    let level = eval.level(a);
    let p = eval.encode(values, level, to * eval.step(level) / eval.scale(a))?;
    eval.rescale(&eval.mul_plain(a, &p)?)
}
