//! The state of full fine-tuning besides that of the classes: updates, means and squares at rest, two ciphertexts as real
//! and imaginary part of one.

use alloc::vec::Vec;

use he_core::complex::Complex;
use he_core::refresh::{Halves, Refresh};
use he_nn::Error;
use he_nn::layer::assembly::as_product;
use he_nn::layout::at_scale;
use he_nn::levels::Levels;
use he_nn::model::Config;

use super::NO_MATRIX;
use crate::adamw::{self, AdamW};
use crate::dense::Grid;
use crate::matrices::{Matrices, Order};

/// Updates, means and squares.
const KINDS: usize = 3;

/// How much there is of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    matrices: usize,
    held: usize,
}

impl Size {
    /// That of all matrices of a model.
    ///
    /// # Errors
    /// As [`Grid::new`].
    pub fn new<E: Refresh>(eval: &E, config: &Config) -> Result<Self, Error> {
        Ok(Self::of(&Grid::new(eval, config.width)?, config))
    }

    /// The same for a grid.
    #[must_use]
    pub fn of(grid: &Grid, config: &Config) -> Self {
        Self { matrices: Order::new(config).count(), held: grid.held() }
    }

    /// Ciphertexts of one kind at rest.
    #[must_use]
    pub const fn rest(self) -> usize {
        self.matrices.div_ceil(self.held)
    }

    /// Ciphertexts of the state.
    #[must_use]
    pub const fn ciphertexts(self) -> usize {
        (KINDS * self.rest()).div_ceil(2)
    }

    /// The first ciphertexts of a state, which hold all updates.
    #[must_use]
    pub const fn updates(self) -> usize {
        self.rest().div_ceil(2)
    }
}

/// The slots of a state's ciphertexts: updates, means and squares.
///
/// # Errors
/// If the matrices have another size.
pub fn pack(grid: &Grid, numbers: [&Matrices; KINDS]) -> Result<Vec<Vec<Complex>>, Error> {
    let mut rest = Vec::new();
    for numbers in numbers {
        let all: Vec<_> = (0..numbers.count()).map(|index| numbers.matrix(index)).collect();
        for held in all.chunks(grid.held()) {
            rest.push(grid.pack(held)?);
        }
    }
    let both = |pair: &[Vec<Complex>]| match pair {
        [a, b] => a.iter().zip(b).map(|(a, b)| Complex { re: a.re, im: b.re }).collect(),
        _ => pair.concat(),
    };
    Ok(rest.chunks(2).map(both).collect())
}

/// Kind `kind` of numbers, 0 for updates, 1 for means and 2 for squares, from the slots of a state's ciphertexts; or, with 0, a
/// gradient from those of its own.
///
/// # Errors
/// If there are too few.
pub fn read(
    grid: &Grid,
    config: &Config,
    kind: usize,
    slots: &[Vec<Complex>],
) -> Result<Matrices, Error> {
    let (mut numbers, size) = (Matrices::zeros(config), Size::of(grid, config));
    for index in 0..numbers.count() {
        let rest = kind * size.rest() + index / grid.held();
        let slots = slots.get(rest / 2).ok_or(NO_MATRIX)?;
        let part = |z: &Complex| if rest.is_multiple_of(2) { z.re } else { z.im };
        let slots: Vec<_> = slots.iter().map(|z| Complex::real(part(z))).collect();
        let matrix = grid.read(index % grid.held(), &slots)?;
        numbers.matrix_mut(index).copy_from_slice(&matrix);
    }
    Ok(numbers)
}

/// Brings ciphertexts of a state, or of gradients, to slots: two for each.
///
/// # Errors
/// If a key is missing or the level is too low.
pub fn refresh<E: Refresh>(
    eval: &E,
    config: &Config,
    pairs: &[E::Ciphertext],
    levels: &mut Levels<'_>,
) -> Result<Vec<E::Ciphertext>, Error> {
    let mut all = Vec::new();
    for pair in pairs {
        let rows = as_product(eval, config, &eval.slots_to_rows(pair)?)?;
        all.extend(eval.rows_to_slots_at(&rows, Halves::Both, levels.next(eval)?)?);
    }
    Ok(all)
}

/// The state after step `number`, from 1: from all ciphertexts of the state as [`refresh`] gives them, and those of the sum
/// of the gradients of `examples` examples. It takes a level more than [`adamw::update`].
///
/// # Errors
/// If there are too few, a key is missing or no level is left.
pub fn step<E: Refresh>(
    eval: &E,
    (size, optimizer): (Size, &AdamW),
    number: u32,
    state: &[E::Ciphertext],
    (gradients, examples): (&[E::Ciphertext], u32),
) -> Result<Vec<E::Ciphertext>, Error> {
    let rest = size.rest();
    let [mut theta, mut mean, mut square] = [(); KINDS].map(|()| Vec::with_capacity(rest));
    for i in 0..rest {
        let of = |kind| state.get(kind * rest + i).ok_or(NO_MATRIX);
        let sum = gradients.get(i).ok_or(NO_MATRIX)?;
        let sum = eval.with_scale(sum, eval.scale(sum) * f64::from(examples));
        let gradient = at_scale(eval, &sum, eval.default_scale())?;
        let all = [of(0)?, of(1)?, of(2)?, &gradient];
        let [a, b, c] = adamw::update(eval, optimizer, number, all)?;
        theta.push(a);
        mean.push(b);
        square.push(c);
    }
    let all: Vec<_> = theta.into_iter().chain(mean).chain(square).collect();
    let both = |pair: &[E::Ciphertext]| match pair {
        [a, b] => Ok(eval.add(a, &eval.mul_i(b))?),
        _ => pair.first().cloned().ok_or(NO_MATRIX),
    };
    all.chunks(2).map(both).collect()
}
