//! Levels and scales without ciphertexts: the rules by which every operation moves them, shared by
//! the evaluators that hold no cryptography.

use alloc::vec::Vec;

use super::SCALE_TOLERANCE;
use crate::Error;
use crate::eval::refresh::{Term, Weights};
use crate::ntt::bit_reversed;

/// Where a ciphertext is on the modulus chain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Position {
    /// Rescales left above the base.
    pub level: usize,
    /// What slots hold the values times.
    pub scale: f64,
}

/// What an evaluator without cryptography knows of a parameter set.
#[derive(Clone, Debug)]
pub struct Shape {
    slots: usize,
    steps: Vec<f64>,
    default_scale: f64,
    rows: Option<RowShape>,
}

/// What rows of tokens look like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowShape {
    /// `T`, a power of two of at least 2.
    pub tokens: usize,
    /// Fractional bits of the model's weights.
    pub frac_bits: u32,
    /// The scale of a product of rows and weights, which a bootstrap takes, as it does its multiples by
    /// powers of two.
    pub product_scale: f64,
    /// Levels that slots-to-rows consumes.
    pub rows_level: usize,
    /// The level after a bootstrap.
    pub computing_level: usize,
}

impl Shape {
    /// `slots` complex slots; `steps[l − 1]` is `Q_l / Q_(l−1)`.
    ///
    /// # Errors
    /// If `slots` is not a power of two or a step or the scale is not above 1.
    pub fn new(slots: usize, steps: Vec<f64>, default_scale: f64) -> Result<Self, Error> {
        if !slots.is_power_of_two() {
            return Err(Error::InvalidParameters("slots must be a power of two"));
        }
        if !(steps.iter().all(|&step| step > 1.0) && default_scale > 1.0) {
            return Err(Error::InvalidParameters("steps and scales must be above one"));
        }
        Ok(Self { slots, steps, default_scale, rows: None })
    }

    /// The nominal chain of the big ring: 14 levels of 40 bits below 11 of 50.
    ///
    /// # Errors
    /// If `slots` is not a power of two.
    pub fn nominal(slots: usize) -> Result<Self, Error> {
        let steps = (1..=25).map(|level| libm::exp2(if level <= 14 { 40.0 } else { 50.0 }));
        Self::new(slots, steps.collect(), libm::exp2(40.0))
    }

    /// With rows.
    ///
    /// # Errors
    /// If the tokens do not divide the slots or a level is above the top.
    pub fn with_rows(self, rows: RowShape) -> Result<Self, Error> {
        let fits = rows.tokens.is_power_of_two() && (2..=2 * self.slots).contains(&rows.tokens);
        if !fits || rows.rows_level.max(rows.computing_level) > self.top() {
            return Err(Error::InvalidParameters("rows do not fit the chain"));
        }
        Ok(Self { rows: Some(rows), ..self })
    }

    /// `N/2`.
    #[must_use]
    pub const fn slots(&self) -> usize {
        self.slots
    }

    /// The highest level.
    #[must_use]
    pub const fn top(&self) -> usize {
        self.steps.len()
    }

    /// The scale that circuits return to.
    #[must_use]
    pub const fn default_scale(&self) -> f64 {
        self.default_scale
    }

    /// `Q_level / Q_(level−1)`; 1 outside the chain.
    #[must_use]
    pub fn step(&self, level: usize) -> f64 {
        let below = level.checked_sub(1);
        below.and_then(|index| self.steps.get(index)).copied().unwrap_or(1.0)
    }

    /// The rows.
    ///
    /// # Errors
    /// If the shape has none.
    pub fn rows(&self) -> Result<&RowShape, Error> {
        self.rows.as_ref().ok_or(Error::InvalidParameters("this shape has no rows"))
    }

    /// `K = N/T` rows fill the slots; 0 without rows.
    #[must_use]
    pub fn rows_per_pack(&self) -> usize {
        self.rows.map_or(0, |rows| 2 * self.slots / rows.tokens)
    }

    /// A position that exists on the chain.
    pub(super) fn place(&self, level: usize, scale: f64) -> Result<Position, Error> {
        if level > self.top() {
            return Err(Error::LevelExhausted { needed: level, left: self.top() });
        }
        Ok(Position { level, scale })
    }

    /// One level down.
    pub(super) fn rescale(&self, a: Position) -> Result<Position, Error> {
        let level = a.level.checked_sub(1).ok_or(Error::LevelExhausted { needed: 1, left: 0 })?;
        Ok(Position { level, scale: a.scale / self.step(a.level) })
    }
}

impl Position {
    /// Of a sum.
    pub(super) fn add(self, other: Self) -> Result<Self, Error> {
        equal_scales(self.scale, other.scale)?;
        Ok(Self { level: self.level.min(other.level), scale: self.scale })
    }

    /// Of a product.
    pub(super) fn mul(self, other: Self) -> Self {
        Self { level: self.level.min(other.level), scale: self.scale * other.scale }
    }

    /// With a plaintext, whose level must be the same.
    pub(super) fn same_level(self, plain: Self) -> Result<Self, Error> {
        if self.level != plain.level {
            return Err(Error::LevelExhausted { needed: plain.level, left: self.level });
        }
        Ok(plain)
    }

    /// After [`super::Evaluator::adjust`].
    pub(super) fn adjust(self, level: usize, scale: f64) -> Result<Self, Error> {
        if level > self.level {
            return Err(Error::LevelExhausted { needed: level, left: self.level });
        }
        if level == self.level {
            equal_scales(self.scale, scale)?;
        }
        Ok(Self { level, scale })
    }
}

/// Refuses two scales that differ.
pub(crate) fn equal_scales(left: f64, right: f64) -> Result<(), Error> {
    if (left / right - 1.0).abs() <= SCALE_TOLERANCE {
        Ok(())
    } else {
        Err(Error::ScaleMismatch { left, right })
    }
}

/// The position of a sum of terms.
pub(super) fn sum(
    mut terms: impl Iterator<Item = Result<Position, Error>>,
) -> Result<Position, Error> {
    let first = terms.next().ok_or(Error::WrongLength { expected: 1, found: 0 })??;
    terms.try_fold(first, |total, term| total.add(term?))
}

impl RowShape {
    /// The scale of rows before a product with weights.
    #[must_use]
    pub fn input_scale(&self) -> f64 {
        self.product_scale / self.weight_scale()
    }

    fn weight_scale(&self) -> f64 {
        weight_scale(self.frac_bits)
    }

    /// The slot of row `row` and token `token`, in either half.
    #[must_use]
    pub const fn slot(&self, row: usize, token: usize) -> usize {
        let half = self.tokens / 2;
        let token = if half > 1 { token % half } else { 0 };
        bit_reversed(token, half) + half * row
    }
}

/// `2^frac_bits`.
pub(super) fn weight_scale(frac_bits: u32) -> f64 {
    libm::exp2(f64::from(frac_bits))
}

impl Shape {
    /// Refuses anything but a pack of products that fills or divides the slots.
    pub(super) fn check_pack(&self, rows: usize, scale: f64) -> Result<(), Error> {
        let all = self.rows_per_pack();
        if !rows.is_power_of_two() || rows > all {
            return Err(Error::WrongLength { expected: all, found: rows });
        }
        let product_scale = self.rows()?.product_scale;
        let gain = libm::exp2(libm::round(libm::log2(scale / product_scale)));
        equal_scales(scale, product_scale * gain.max(1.0))
    }

    /// Where a bootstrap to `level` arrives.
    pub(super) fn refreshed(&self, level: usize) -> Result<Position, Error> {
        let rows = self.rows()?;
        if !(rows.rows_level..=rows.computing_level).contains(&level) {
            return Err(Error::LevelExhausted { needed: level, left: rows.computing_level });
        }
        self.place(level, self.default_scale())
    }

    /// The level that slots at this scale need for slots-to-rows: one more, if the scale has to be
    /// brought to that of rows first.
    pub(super) fn descent_level(&self, scale: f64) -> Result<usize, Error> {
        let is_aligned = equal_scales(scale, self.default_scale()).is_ok();
        Ok(self.rows()?.rows_level + usize::from(!is_aligned))
    }

    /// Refuses slots too low for slots-to-rows.
    pub(super) fn check_descent(&self, at: Position) -> Result<(), Error> {
        let needed = self.descent_level(at.scale)?;
        if at.level < needed {
            return Err(Error::LevelExhausted { needed, left: at.level });
        }
        Ok(())
    }
}

/// Refuses a list of the wrong length.
pub(crate) const fn same_length(expected: usize, found: usize) -> Result<(), Error> {
    if expected == found { Ok(()) } else { Err(Error::WrongLength { expected, found }) }
}

/// Refuses a matrix that does not take these rows or has not the entries it claims.
pub(super) fn check_weights(rows: usize, weights: &Weights) -> Result<(), Error> {
    same_length(weights.inputs, rows)?;
    same_length(weights.inputs * weights.outputs, weights.entries.len())
}

/// Refuses a shift outside `0 .. 2T`.
pub(super) const fn check_shift(tokens: usize, term: Term) -> Result<(), Error> {
    if term.shift < 2 * tokens { Ok(()) } else { Err(Error::ValueOutOfRange) }
}
