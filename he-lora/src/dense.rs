//! Matrices of which every entry is trained: an encrypted update `D` of a frozen matrix, by its diagonals.
//!
//! `y = x D` comes beside the integer product with the frozen matrix, `g_x = g Dᵀ` beside that with its transpose, and the
//! gradient of `D` is `Σ_t x_t ⊗ g_t`. Features are the highest digit of a slot, so `x_(f−k)` is a rotation by `k` features.
//! With `d` features a copy has the diagonals of `K = d/4` distances: copy `c` of ciphertext `k` has, at feature `f` and at every
//! token, `D[f − k, f + K c]`. Then
//!
//! * `Σ_k x(f − k) D[f − k, f + K c]` is the part of `y` that copy `c` has, at `K c` features before its place;
//! * `g` at the same places (`g(f + K c)` in copy `c`) times rotations of the same diagonals is a part of `g_x`, in its place;
//! * `x(f − k) g(f + K c)`, summed over tokens, is the gradient of the diagonal.
//!
//! Copies are added where rows are made of slots, for free; so each product of a matrix is one sum of `K` products with one
//! relinearisation, at one level, and its rotations are those of its input, which matrices share. The diagonal method is that
//! of Halevi and Shoup, *Algorithms in `HElib`* (CRYPTO 2014).
//!
//! At rest a diagonal takes one place of each block of `T` slots ([`Grid::pack`]): an optimizer is elementwise, so it runs on
//! such ciphertexts as they are ([`crate::adamw::update`]).

mod places;

use alloc::vec::Vec;

use he_core::complex::Complex;
use he_core::eval::Evaluator;
use he_core::refresh::{Refresh, Term};
use he_nn::Error;
use he_nn::layer::assembly::as_product;
use he_nn::layout::{Layout, row, upper_half};
use he_nn::model::Config;

/// Copies of a feature.
pub const COPIES: usize = 4;

/// Which features a copy holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Of a matrix's input: feature `f` in its place in every copy.
    Input,
    /// Of its output: in copy `c` feature `f + K c` in the place of `f`.
    Output,
}

/// Where inputs, outputs and diagonals of square matrices of one size are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    layout: Layout<3>,
    tokens: usize,
    width: usize,
}

impl Grid {
    /// For matrices of `width × width` entries.
    ///
    /// # Errors
    /// If four copies of so many features do not fill a pack, or their diagonals do not share a block of slots.
    pub fn new<E: Refresh>(eval: &E, width: usize) -> Result<Self, Error> {
        Self::of_rows(eval.rows_per_pack(), eval.tokens(), width)
    }

    /// The same for packs of so many rows of tokens.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn of_rows(rows: usize, tokens: usize, width: usize) -> Result<Self, Error> {
        let layout = Layout::new([2, COPIES, width], tokens, rows)?;
        let fits = width.is_power_of_two() && width >= COPIES && width / COPIES <= tokens;
        match fits {
            true => Ok(Self { layout, tokens, width }),
            false => Err(Error::Unsupported("the diagonals of a matrix do not share a block")),
        }
    }

    /// `K`: the diagonals of a copy.
    #[must_use]
    pub const fn span(&self) -> usize {
        self.width / COPIES
    }

    /// How many matrices one ciphertext holds at rest.
    #[must_use]
    pub const fn held(&self) -> usize {
        self.tokens / self.span()
    }

    /// The slots of at most [`Self::held`] matrices, row-major from inputs to outputs.
    ///
    /// # Errors
    /// If there are more, or one has another size.
    pub fn pack(&self, matrices: &[&[f64]]) -> Result<Vec<Complex>, Error> {
        let size = self.width * self.width;
        if matrices.len() > self.held() || matrices.iter().any(|matrix| matrix.len() != size) {
            return Err(Error::Unsupported("matrices of another number or size"));
        }
        Ok(self.slots(|place, c, f| {
            let matrix = matrices.get(place / self.span());
            matrix.map_or(0.0, |matrix| matrix[self.entry(place % self.span(), c, f)])
        }))
    }

    /// Matrix `index`, from all slots.
    ///
    /// # Errors
    /// If there are too few.
    pub fn read(&self, index: usize, slots: &[Complex]) -> Result<Vec<f64>, Error> {
        let mut matrix = alloc::vec![0.0; self.width * self.width];
        for k in 0..self.span() {
            for (c, f) in (0..COPIES).flat_map(|c| (0..self.width).map(move |f| (c, f))) {
                let slot = self.tokens * (c + COPIES * f) + index * self.span() + k;
                let slot = slots.get(slot).ok_or(Error::Unsupported("too few slots"))?;
                matrix[self.entry(k, c, f)] = slot.re;
            }
        }
        Ok(matrix)
    }

    /// The pack of up to four vectors of features of all tokens, `d` rows each, that a bootstrap brings to slots, each in
    /// one copy.
    ///
    /// # Errors
    /// If there are more or none.
    pub fn pack_rows<E: Refresh>(
        &self,
        eval: &E,
        config: &Config,
        vectors: &E::Rows,
    ) -> Result<E::Rows, Error> {
        let (rows, count) = (as_product(eval, config, vectors)?, eval.row_count(vectors));
        if count > COPIES * self.width || !count.is_multiple_of(self.width) {
            return Err(Error::Unsupported("one to four vectors of features enter a product"));
        }
        let sums = self.layout.pack(|[u, c, f]| match c * self.width + f {
            index if index >= count => Vec::new(),
            index if u == 0 => alloc::vec![row(index)],
            index => alloc::vec![upper_half(index, self.tokens)],
        });
        Ok(eval.select(&rows, &sums)?)
    }

    /// The vector in copy `from` to all copies, as this side of a matrix has it: a level and three or four rotations.
    ///
    /// # Errors
    /// If a key is missing or no level is left.
    pub fn copied<E: Refresh>(
        &self,
        eval: &E,
        vectors: &E::Ciphertext,
        from: usize,
        side: Side,
    ) -> Result<E::Ciphertext, Error> {
        let placed = self.placed(eval, vectors, from, side)?;
        self.weighted(eval, &placed, (side, eval.default_scale()), |_| 1.0)
    }

    /// What [`Self::weighted`] takes the copies from.
    ///
    /// # Errors
    /// If a key is missing.
    pub(crate) fn placed<E: Refresh>(
        &self,
        eval: &E,
        vectors: &E::Ciphertext,
        from: usize,
        side: Side,
    ) -> Result<Vec<E::Ciphertext>, Error> {
        let step = |c: usize| {
            let copies = from.cast_signed() - c.cast_signed();
            let features = self.ahead(side, c).cast_signed();
            self.tokens.cast_signed() * copies + self.feature_step() * features
        };
        Ok(eval.rotate_many(vectors, &[0, 1, 2, 3].map(step))?)
    }

    /// A vector in all copies, each of its features times a number, at `scale`.
    ///
    /// # Errors
    /// If no level is left.
    pub(crate) fn weighted<E: Refresh>(
        &self,
        eval: &E,
        placed: &[E::Ciphertext],
        (side, scale): (Side, f64),
        weight: impl Fn(usize) -> f64,
    ) -> Result<E::Ciphertext, Error> {
        let mask = |(c, x): (usize, &E::Ciphertext)| {
            let of = |f| weight((f + self.ahead(side, c)) % self.width);
            let weights = self.slots(|_, copy, f| if copy == c { of(f) } else { 0.0 });
            eval.encode(&weights, eval.level(x), mask_scale(eval, x, scale))
        };
        let masks = placed.iter().enumerate().map(mask).collect::<Result<Vec<_>, _>>()?;
        let pairs: Vec<_> = placed.iter().zip(&masks).collect();
        Ok(eval.rescale(&eval.dot_plain(&pairs)?)?)
    }

    /// The rotations of an input that [`product`] takes, or of an output with [`Self::transposed`] diagonals.
    ///
    /// # Errors
    /// If a key is missing.
    pub fn turns<E: Refresh>(
        &self,
        eval: &E,
        x: &E::Ciphertext,
        side: Side,
    ) -> Result<Vec<E::Ciphertext>, Error> {
        let step = match side {
            Side::Input => -self.feature_step(),
            Side::Output => self.feature_step(),
        };
        let steps: Vec<_> = (0..self.span()).map(|k| step * k.cast_signed()).collect();
        Ok(eval.rotate_many(x, &steps)?)
    }

    /// The diagonals of the transposed matrix, for an output.
    ///
    /// # Errors
    /// If a key is missing.
    pub fn transposed<E: Refresh>(
        &self,
        eval: &E,
        diagonals: &[E::Ciphertext],
    ) -> Result<Vec<E::Ciphertext>, Error> {
        let turned = |(k, x): (usize, &E::Ciphertext)| {
            if k == 0 {
                return Ok(x.clone());
            }
            Ok(eval.rotate(x, self.feature_step() * k.cast_signed())?)
        };
        diagonals.iter().enumerate().map(turned).collect()
    }

    /// The rows of a product: an output's, or an input's from the transposed diagonals. In halves: `d` rows of the lower
    /// tokens, then `d` of the upper ones in the lower ones' place.
    ///
    /// # Errors
    /// If the level is too low.
    pub fn leave<E: Refresh>(
        &self,
        eval: &E,
        z: &E::Ciphertext,
        side: Side,
    ) -> Result<E::Rows, Error> {
        let sum = |(u, f): (usize, usize)| -> Vec<Term> {
            let of_copy = |c: usize| {
                let back = self.ahead(side, c);
                row(self.layout.row([u, c, (f + self.width - back) % self.width]))
            };
            (0..COPIES).map(of_copy).collect()
        };
        let places = (0..2).flat_map(|u| (0..self.width).map(move |f| (u, f)));
        Ok(eval.select(&eval.slots_to_rows(z)?, &places.map(sum).collect::<Vec<_>>())?)
    }

    /// How many features copy `c` is ahead of a slot's own.
    const fn ahead(&self, side: Side, c: usize) -> usize {
        match side {
            Side::Input => 0,
            Side::Output => self.span() * c,
        }
    }

    /// The entry that diagonal `k` of copy `c` has at feature `f`.
    const fn entry(&self, k: usize, c: usize, f: usize) -> usize {
        let input = (f + self.width - k) % self.width;
        input * self.width + (f + self.span() * c) % self.width
    }

    /// The rotation to the next feature.
    const fn feature_step(&self) -> isize {
        (COPIES * self.tokens).cast_signed()
    }

    /// Slots by place in the block, copy and feature.
    fn slots(&self, value: impl Fn(usize, usize, usize) -> f64) -> Vec<Complex> {
        let slot = |s: usize| {
            let block = s / self.tokens;
            value(s % self.tokens, block % COPIES, block / COPIES)
        };
        (0..COPIES * self.tokens * self.width).map(|s| Complex::real(slot(s))).collect()
    }
}

/// The turns of an input and the diagonals of a matrix.
pub type Factors<'a, C> = (&'a [C], &'a [C]);

/// The sum of the products of inputs' [`Grid::turns`] and matrices' [`Grid::diagonals`]: one level down.
///
/// # Errors
/// If the scales differ, a key is missing or no level is left.
pub fn product<E: Evaluator>(
    eval: &E,
    terms: &[Factors<'_, E::Ciphertext>],
) -> Result<E::Ciphertext, Error> {
    let pairs: Vec<_> = terms.iter().flat_map(|(x, w)| x.iter().zip(w.iter())).collect();
    Ok(eval.dot_rescaled(&pairs)?)
}

/// The products that [`Grid::gathered`] sums to the gradient of a matrix, from the turns of its input and the derivative by its
/// output: one level down.
///
/// # Errors
/// If a key is missing or no level is left.
pub fn gradient<E: Evaluator>(
    eval: &E,
    x: &[E::Ciphertext],
    g: &E::Ciphertext,
) -> Result<Vec<E::Ciphertext>, Error> {
    x.iter().map(|x| Ok(eval.mul_rescaled(x, g)?)).collect()
}

/// The scale of a mask that takes `x` to the scale `to`, one level down.
fn mask_scale<E: Evaluator>(eval: &E, x: &E::Ciphertext, to: f64) -> f64 {
    to * eval.step(eval.level(x)) / eval.scale(x)
}
