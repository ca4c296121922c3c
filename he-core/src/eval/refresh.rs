//! Rows of tokens, and the way between rows and slots: the coefficient-domain linear layer fused
//! with the slots-to-coefficients-first bootstrap, as a seam.
//!
//! A row is an encrypted polynomial `Σ_t x_t Y^t` in `R_T = Z[Y]/(Y^T + 1)`: one feature of `T`
//! tokens. Rows live at the bottom of the modulus chain, where products with integer matrices,
//! copies and shifts `Y^s` cost nothing but additions. [`Refresh::rows_to_slots`] packs up to `N/T`
//! rows and bootstraps them; [`Refresh::slots_to_rows`] is the way back.
//!
//! Slot order: row `ρ`, token `t` is in the half `t div (T/2)` at slot `rev(t mod T/2) + (T/2)·ρ`,
//! with `rev` the bit reversal of `log2(T/2)` bits.
//!
//! After Bae, Cheon, Hanrot, Park, Stehlé, *Plaintext-Ciphertext Matrix Multiplication and FHE
//! Bootstrapping: Fast and Fused* (CRYPTO 2024).

use alloc::vec::Vec;

use crate::Error;
use crate::eval::Evaluator;

/// An integer matrix `inputs × outputs`, row-major, that stands for `entries / 2^frac_bits`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weights {
    /// Rows of the matrix: features in.
    pub inputs: usize,
    /// Columns of the matrix: features out.
    pub outputs: usize,
    /// `inputs · outputs` entries; `|w| < 2^17`.
    pub entries: Vec<i32>,
    /// Fractional bits of every entry.
    pub frac_bits: u32,
}

/// `sign · Y^shift · row`, one term of a new row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// The index of the row.
    pub row: usize,
    /// Multiplication by `Y^shift`: token `t` moves to `t + shift`, with a change of sign where it
    /// passes `T`. In `0 .. 2T`.
    pub shift: usize,
}

/// Which half of the tokens is wanted in slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halves {
    /// Tokens below `T/2` only: one sine evaluation instead of two.
    Low,
    /// Both.
    Both,
}

/// The way between slots and rows.
pub trait Refresh: Evaluator {
    /// Encrypted rows.
    type Rows: Clone + Send + Sync;

    /// `T`, a power of two.
    fn tokens(&self) -> usize;

    /// How many rows there are.
    fn row_count(&self, rows: &Self::Rows) -> usize;

    /// How many rows fill the slots: `N/T`.
    fn rows_per_pack(&self) -> usize {
        2 * self.slots() / self.tokens()
    }

    /// New rows, each a sum of shifted old ones; an empty sum is the zero row. Free.
    ///
    /// # Errors
    /// If an index or a shift is out of range.
    fn select(&self, rows: &Self::Rows, sums: &[Vec<Term>]) -> Result<Self::Rows, Error>;

    /// The rows of `a` followed by those of `b`.
    ///
    /// # Errors
    /// If the scales differ.
    fn concat(&self, a: &Self::Rows, b: &Self::Rows) -> Result<Self::Rows, Error>;

    /// `a + b`, row by row.
    ///
    /// # Errors
    /// If counts or scales differ.
    fn add_rows(&self, a: &Self::Rows, b: &Self::Rows) -> Result<Self::Rows, Error>;

    /// Adds `value` to every token of each listed row.
    ///
    /// # Errors
    /// If an index is out of range or a value does not fit.
    fn add_constants(
        &self,
        a: &Self::Rows,
        constants: &[(usize, f64)],
    ) -> Result<Self::Rows, Error>;

    /// `out[g] = Σ_f w[f][g] · x[f]`, exact on the integers; the scale grows by `2^frac_bits`.
    ///
    /// # Errors
    /// If the count does not match the matrix.
    fn matmul(&self, x: &Self::Rows, weights: &Weights) -> Result<Self::Rows, Error>;

    /// Rows read from slots at any level of at least [`Self::rows_level`], or above it if they are not
    /// at [`Evaluator::default_scale`]: row `ρ` has tokens below
    /// `T/2` from the real part and the others from the imaginary part. The scale of the result is
    /// that of an input, so that a product with weights of the model's width is at the scale that
    /// [`Self::rows_to_slots`] takes.
    ///
    /// # Errors
    /// If the level is too low.
    fn slots_to_rows(&self, z: &Self::Ciphertext) -> Result<Self::Rows, Error>;

    /// Levels that `slots_to_rows` consumes.
    fn rows_level(&self) -> usize;

    /// The highest level that a bootstrap can return to.
    fn computing_level(&self) -> usize;

    /// Packs [`Self::rows_per_pack`] rows or a smaller power of two, each the output of one product
    /// at the parameters' scale for products or that times a power of two, and bootstraps them: real values at [`Evaluator::default_scale`] and `level`, one ciphertext
    /// for each half asked for. The slots of fewer rows come first and repeat. A lower level costs
    /// less, and so may fewer rows.
    ///
    /// # Errors
    /// If the count or the scale is wrong, or `level` is not one of [`Self::rows_level`] to
    /// [`Self::computing_level`].
    fn rows_to_slots_at(
        &self,
        rows: &Self::Rows,
        halves: Halves,
        level: usize,
    ) -> Result<Vec<Self::Ciphertext>, Error>;

    /// [`Self::rows_to_slots_at`] the computing level.
    ///
    /// # Errors
    /// As there.
    fn rows_to_slots(
        &self,
        rows: &Self::Rows,
        halves: Halves,
    ) -> Result<Vec<Self::Ciphertext>, Error> {
        self.rows_to_slots_at(rows, halves, self.computing_level())
    }
}
