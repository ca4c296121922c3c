//! The bootstraps of the way back, and a number that says whether a derivative left their range.
//!
//! A bootstrap's sine bends what is large and folds what is larger, and no polynomial after it would notice. So the slots
//! that come back are kept, `Σ (x / 128)²` is taken of them slot by slot, and the sum over all slots of its fourth power,
//! `(x / 128)^8` of a derivative that stands out, is 0 to the last bit that counts, or not. What is folded lies beyond 128 in
//! three places of four, and takes others with it.

use alloc::vec::Vec;
use core::fmt;

use he_core::refresh::Refresh;

use crate::Error;
use crate::layout::{low_half, sum_rotations};
use crate::levels::Levels;

/// The largest derivative that leaves no trace in the guard, whatever else there is.
pub const RANGE: f64 = 32.0;
/// What derivatives are divided by.
const UNIT: f64 = 128.0;
/// Levels of the guard.
const DEPTH: usize = 4;

/// Bootstraps of derivatives.
pub struct Bootstraps<'a, 'b, E: Refresh> {
    levels: &'a mut Levels<'b>,
    packs: Vec<E::Ciphertext>,
    /// `Σ (x / 128)²` in each slot.
    squares: Option<E::Ciphertext>,
}

impl<E: Refresh> fmt::Debug for Bootstraps<'_, '_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bootstraps {{ levels: {:?} }}", self.levels)
    }
}

impl<'a, 'b, E: Refresh> Bootstraps<'a, 'b, E> {
    /// To these levels.
    pub const fn new(levels: &'a mut Levels<'b>) -> Self {
        Self { levels, packs: Vec::new(), squares: None }
    }

    /// The levels of bootstraps that are not watched.
    pub const fn levels(&mut self) -> &mut Levels<'b> {
        self.levels
    }

    /// Bootstraps a pack of derivatives of which only tokens below `T/2` are wanted.
    ///
    /// # Errors
    /// If a key is missing, or the rows or the level do not fit.
    pub fn low_half(&mut self, eval: &E, rows: &E::Rows) -> Result<E::Ciphertext, Error> {
        let x = low_half(eval, rows, self.levels.next(eval)?)?;
        self.watch(eval, &x)?;
        Ok(x)
    }

    /// Watches derivatives at the default scale.
    ///
    /// # Errors
    /// If the level is too low.
    pub fn watch(&mut self, eval: &E, x: &E::Ciphertext) -> Result<(), Error> {
        self.packs.push(eval.drop_level(x, eval.rows_level() + DEPTH)?);
        Ok(())
    }

    /// Squares what was watched since the last time, which is then no longer kept.
    ///
    /// # Errors
    /// If a key is missing.
    pub fn square(&mut self, eval: &E) -> Result<(), Error> {
        let packs = core::mem::take(&mut self.packs);
        let sum = eval.dot_rescaled(&packs.iter().map(|x| (x, x)).collect::<Vec<_>>())?;
        let sum = eval.with_scale(&sum, eval.scale(&sum) * (UNIT * UNIT));
        self.squares = Some(match self.squares.take() {
            None => sum,
            Some(others) => eval.add(&others, &sum)?,
        });
        Ok(())
    }

    /// The guard in every slot, at the level of rows and the default scale, if anything was squared.
    ///
    /// # Errors
    /// If a key is missing.
    pub fn guard(&self, eval: &E) -> Result<Option<E::Ciphertext>, Error> {
        let Some(squares) = &self.squares else { return Ok(None) };
        let fourth = eval.mul_rescaled(squares, squares)?;
        let level = eval.level(&fourth).saturating_sub(1);
        let scale = libm::sqrt(eval.default_scale() * eval.step(level));
        let fourth = eval.adjust(&fourth, level, scale)?;
        let eighth = eval.mul_rescaled(&fourth, &fourth)?;
        Ok(Some(sum_rotations(eval, &eighth, 1, 1..eval.slots())?))
    }
}
