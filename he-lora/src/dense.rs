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
use he_nn::layout::{Layout, low_half, row, to_upper_half, upper_half};
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
        let tokens = eval.tokens();
        let layout = Layout::new([2, COPIES, width], tokens, eval.rows_per_pack())?;
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

    /// Brings up to four vectors of features of all tokens to slots at `level`, each in one copy.
    ///
    /// # Errors
    /// If a key is missing, or the rows or the level do not fit.
    pub fn enter<E: Refresh>(
        &self,
        eval: &E,
        config: &Config,
        vectors: &[&E::Rows],
        level: usize,
    ) -> Result<E::Ciphertext, Error> {
        let mut all: Option<E::Rows> = None;
        for rows in vectors {
            let rows = as_product(eval, config, rows)?;
            all = Some(match all {
                None => rows,
                Some(all) => eval.concat(&all, &rows)?,
            });
        }
        let sums = self.layout.pack(|[u, c, f]| match (c < vectors.len(), c * self.width + f) {
            (false, _) => Vec::new(),
            (true, index) if u == 0 => alloc::vec![row(index)],
            (true, index) => alloc::vec![upper_half(index, self.tokens)],
        });
        let all = all.ok_or(Error::Unsupported("no vectors"))?;
        low_half(eval, &eval.select(&all, &sums)?, level)
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
        let features = |c| if side == Side::Output { self.span() * c } else { 0 };
        let step = |c: usize| {
            let copies = from.cast_signed() - c.cast_signed();
            self.tokens.cast_signed() * copies + self.feature_step() * features(c).cast_signed()
        };
        let turned = eval.rotate_many(vectors, &[0, 1, 2, 3].map(step))?;
        let scale = mask_scale(eval, vectors, eval.default_scale());
        let mask = |c| {
            let one = self.slots(|_, copy, _| if copy == c { 1.0 } else { 0.0 });
            eval.encode(&one, eval.level(vectors), scale)
        };
        let masks = (0..COPIES).map(mask).collect::<Result<Vec<_>, _>>()?;
        let pairs: Vec<_> = turned.iter().zip(&masks).collect();
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

    /// The rows of a product: an output's, or an input's from the transposed diagonals.
    ///
    /// # Errors
    /// If the level is too low.
    pub fn leave<E: Refresh>(
        &self,
        eval: &E,
        z: &E::Ciphertext,
        side: Side,
    ) -> Result<E::Rows, Error> {
        let sum = |f: usize| -> Vec<Term> {
            let of_copy = |c: usize| {
                let back = if side == Side::Output { self.span() * c } else { 0 };
                let place = |u| self.layout.row([u, c, (f + self.width - back) % self.width]);
                [row(place(0)), to_upper_half(place(1), self.tokens)]
            };
            (0..COPIES).flat_map(of_copy).collect()
        };
        let sums: Vec<_> = (0..self.width).map(sum).collect();
        Ok(eval.select(&eval.slots_to_rows(z)?, &sums)?)
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

/// `a + i b`: the products of two matrices are summed and gathered as those of one.
///
/// # Errors
/// If the scales differ.
pub fn paired<E: Evaluator>(
    eval: &E,
    a: &[E::Ciphertext],
    b: &[E::Ciphertext],
) -> Result<Vec<E::Ciphertext>, Error> {
    a.iter().zip(b).map(|(a, b)| Ok(eval.add(a, &eval.mul_i(b))?)).collect()
}

/// The scale of a mask that takes `x` to the scale `to`, one level down.
fn mask_scale<E: Evaluator>(eval: &E, x: &E::Ciphertext, to: f64) -> f64 {
    to * eval.step(eval.level(x)) / eval.scale(x)
}
