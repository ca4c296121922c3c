//! The training state in one ciphertext: packed before it is encrypted.
//!
//! Slots are `j + T·(c + 4·f)`: copy `c` and feature `f` as in [`he_nn::layer::normalisation::layout`], and
//! `j = kind·T/4 + place`.

use alloc::vec;
use alloc::vec::Vec;

use he_core::complex::Complex;
use he_core::eval::mul_values;
use he_core::refresh::Refresh;
use he_nn::Error;

use crate::parameters::{HEAD, Parameters, PerKind, Shape, Vector};

/// Copies of a feature.
pub(crate) const COPIES: usize = 4;

/// What a quarter of a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Parameters.
    Parameter,
    /// The mean of gradients.
    Mean,
    /// The mean of their squares.
    Square,
    /// The gradient of the next step.
    Gradient,
}

const KINDS: [Kind; 4] = [Kind::Parameter, Kind::Mean, Kind::Square, Kind::Gradient];

/// Where the numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    shape: Shape,
    pub(crate) tokens: usize,
}

impl Places {
    /// For an evaluator whose packs the model fills.
    ///
    /// # Errors
    /// If it does not.
    pub fn new<E: Refresh>(eval: &E, shape: Shape) -> Result<Self, Error> {
        Self::of_slots(eval.slots(), eval.tokens(), shape)
    }

    /// For so many slots and tokens.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn of_slots(slots: usize, tokens: usize, shape: Shape) -> Result<Self, Error> {
        if COPIES * tokens * shape.width() != slots || 4 * shape.places() > tokens {
            return Err(Error::Unsupported("the state does not fill the slots"));
        }
        Ok(Self { shape, tokens })
    }

    /// How many vectors there are.
    #[must_use]
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// The rotation that brings a kind to the place of parameters.
    #[must_use]
    pub const fn step(&self, kind: Kind) -> isize {
        (kind as usize * (self.tokens / 4)).cast_signed()
    }

    /// Slots by kind, and whether a number is there.
    pub fn values(&self, value: impl Fn(Kind, bool) -> f64) -> Vec<Complex> {
        let places = self.shape.places();
        self.slots(|j, _, _| value(KINDS[4 * j / self.tokens], j % (self.tokens / 4) < places))
    }

    /// Slots with a number for each vector, in the places of its parameters, zero elsewhere.
    #[must_use]
    pub fn parameters(&self, value: impl Fn(Vector) -> f64) -> Vec<Complex> {
        let mut numbers = Parameters::zeros(self.shape);
        for vector in self.shape.vectors() {
            numbers.vector_mut(vector).fill(value(vector));
        }
        self.pack(Kind::Parameter, &numbers)
    }

    /// The slots of one kind of state, zero elsewhere.
    #[must_use]
    pub fn pack(&self, kind: Kind, numbers: &Parameters) -> Vec<Complex> {
        let mut slots = vec![Complex::ZERO; COPIES * self.tokens * self.shape.width()];
        for vector in self.shape.vectors() {
            let (copy, place) = self.shape.place(vector);
            for (f, &x) in numbers.vector(vector).iter().enumerate() {
                let block = self.tokens * (copy + COPIES * f);
                slots[block + self.step(kind).cast_unsigned() + place] = Complex::real(x);
            }
        }
        slots
    }

    /// The numbers of one kind, from all slots; those that are not trained are zero, whatever noise is there.
    ///
    /// # Errors
    /// If there are too few slots.
    pub fn read(&self, kind: Kind, slots: &[Complex]) -> Result<Parameters, Error> {
        let mut numbers = Parameters::zeros(self.shape);
        for vector in self.shape.vectors() {
            let (copy, place) = self.shape.place(vector);
            let entries = numbers.vector_mut(vector).iter_mut().enumerate();
            for (f, x) in entries.filter(|(f, _)| self.shape.is_trained(vector, *f)) {
                let block = self.tokens * (copy + COPIES * f);
                let slot = slots.get(block + self.step(kind).cast_unsigned() + place);
                *x = slot.ok_or(Error::Unsupported("too few slots"))?.re;
            }
        }
        Ok(numbers)
    }

    /// The canary of one kind, from all slots, if there is one.
    #[must_use]
    pub fn canary(&self, kind: Kind, slots: &[Complex]) -> Option<f64> {
        let (copy, place) = self.shape.canary()?;
        let slot = self.tokens * copy + self.step(kind).cast_unsigned() + place;
        slots.get(slot).map(|z| z.re)
    }

    /// Slots by place in the block, copy and feature.
    pub(crate) fn slots(&self, value: impl Fn(usize, usize, usize) -> f64) -> Vec<Complex> {
        let all = COPIES * self.tokens * self.shape.width();
        let slot = |s: usize| {
            let block = s / self.tokens;
            value(s % self.tokens, block % COPIES, block / COPIES)
        };
        (0..all).map(|s| Complex::real(slot(s))).collect()
    }

    /// Slot 0 of the block of a copy, or of several.
    fn first(&self, value: impl Fn(usize, usize) -> f64) -> Vec<Complex> {
        self.slots(|j, c, f| if j == 0 { value(c, f) } else { 0.0 })
    }

    /// The slots from slot 0 of copy `from` in the places of vectors in copy `to`.
    pub(crate) const fn distance(&self, from: usize, to: usize) -> isize {
        self.tokens.cast_signed() * (to.cast_signed() - from.cast_signed())
    }
}

impl Places {
    /// The rotation to the next feature.
    pub(crate) const fn feature_step(&self) -> isize {
        (COPIES * self.tokens).cast_signed()
    }

    /// The gradient `value` of the canary at its place, from slot 0 of the head's copy of feature 0 at the default
    /// scale, if there is one. One level down.
    pub(crate) fn canary_gradient<E: Refresh>(
        &self,
        eval: &E,
        x: &E::Ciphertext,
        value: f64,
    ) -> Result<Option<E::Ciphertext>, Error> {
        let Some((copy, place)) = self.shape.canary() else { return Ok(None) };
        let mask = self.first(|c, f| if c == copy && f == 0 { value } else { 0.0 });
        let x = mul_values(eval, x, &mask, eval.default_scale())?;
        Ok(Some(eval.rotate(&x, -(self.step(Kind::Gradient) + place.cast_signed()))?))
    }

    /// Gathers gradients at their places: each comes with its vector, where any projection stands for all
    /// three of its layer and side, and any class for all of them. They lie in slot 0 of blocks: in copy
    /// `c` those of projection or class `c`, in copy 0 those of the dense layer. All else is left out.
    /// At the default scale, a level below the lowest.
    pub(crate) fn gather<E: Refresh>(
        &self,
        eval: &E,
        gains: &PerKind,
        gradients: &[(Vector, E::Ciphertext)],
    ) -> Result<E::Ciphertext, Error> {
        let level = gradients.iter().map(|(_, x)| eval.level(x)).min().unwrap_or(0);
        let mut total: Option<E::Ciphertext> = None;
        for (vector, x) in gradients {
            let x = eval.drop_level(x, level)?;
            for moved in self.moves(*vector) {
                let mask = self.first(|c, f| {
                    if moved.copies.contains(&c) { moved.gain(self, gains, f, c) } else { 0.0 }
                });
                let x = mul_values(eval, &x, &mask, eval.default_scale())?;
                let x = eval.rotate(&x, -(self.step(Kind::Gradient) + moved.by))?;
                total = Some(match total {
                    None => x,
                    Some(total) => eval.add(&total, &x)?,
                });
            }
        }
        total.ok_or(Error::Unsupported("no gradients"))
    }

    /// How the gradients that lie where that of `vector` does come to their places.
    fn moves(&self, vector: Vector) -> Vec<Move> {
        let one = |vector, copies: core::ops::Range<usize>| {
            let (home, place) = self.shape.place(vector);
            let home = if copies.len() > 1 { copies.start } else { home };
            let by = place.cast_signed() + self.distance(copies.start, home);
            Move { vector, copies, by }
        };
        match vector {
            Vector::Projection { .. } => vec![one(vector, 0..HEAD)],
            Vector::Dense { .. } => vec![one(vector, 0..1)],
            Vector::Class(_) => {
                (0..self.shape.classes()).map(|k| one(Vector::Class(k), k..k + 1)).collect()
            }
        }
    }
}

/// What moves a gradient.
struct Move {
    vector: Vector,
    /// Copies that it is taken from.
    copies: core::ops::Range<usize>,
    /// Slots to the right, besides those to the place of gradients.
    by: isize,
}

impl Move {
    /// What feature `f` of copy `c` is multiplied by: 0 if it is not trained.
    fn gain(&self, places: &Places, gains: &PerKind, f: usize, c: usize) -> f64 {
        let vector = match self.vector {
            Vector::Projection { layer, side, r, .. } => {
                Vector::Projection { layer, projection: c, side, r }
            }
            other => other,
        };
        if places.shape.is_trained(vector, f) { gains.of(vector) } else { 0.0 }
    }
}
