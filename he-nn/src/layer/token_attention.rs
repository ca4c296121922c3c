//! Attention of the first token alone, which is all that the head reads.
//!
//! Rows `kind + 4·(u + 2·(h + H·f))`: tokens below `T/2` for `u = 0` and the others for `u = 1`; keys for kind 0,
//! values for kind 1, the mask for kind 2, the first token's queries for kind 3. A Gaussian kernel takes the
//! difference `q_0 − k_j`, which is linear and so computed on rows, for kind 0 and nothing for kind 3.

use alloc::vec::Vec;

use he_core::circuit::chebyshev::Chebyshev;
use he_core::circuit::polynomial;
use he_core::complex::Complex;
use he_core::eval::mul_values;
use he_core::refresh::Refresh;

use crate::Error;
use crate::approx::exponential;
use crate::layer::assembly::as_product;
use crate::layer::softmax::Softmax;
use crate::layout::{Layout, broadcast, low_half, row, sum_rotations, upper_half};
use crate::levels::Levels;
use crate::model::{Config, Kernel};

/// The digits.
pub(crate) const KIND: usize = 0;
pub(crate) const HALF: usize = 1;
pub(crate) const FEATURE: usize = 3;
/// Kinds of rows.
pub(crate) const KEY: usize = 0;
pub(crate) const VALUE: usize = 1;
pub(crate) const MASK: usize = 2;
pub(crate) const QUERY: usize = 3;

/// Keys or differences, values, mask and queries in slots with their weights, for the way back.
#[expect(missing_debug_implementations, reason = "ciphertexts need not have any")]
pub struct TokenKernel<E: Refresh> {
    pub(crate) layout: Layout<4>,
    /// All kinds.
    pub(crate) x: E::Ciphertext,
    /// The weights of values in the keys' slots.
    pub(crate) weights: Weights<E>,
}

/// What values are multiplied by.
pub(crate) enum Weights<E: Refresh> {
    /// `exp(−|difference|²)`, without the mask.
    Kernel(E::Ciphertext),
    /// Shares of a softmax, with the mask and 0 in the slots of other kinds, and the attention's output in every place
    /// of its rows.
    Shares { shares: E::Ciphertext, out: E::Rows },
}

/// The attention's output for the first token, zero in other places: rows of `d` features, the level
/// that was reached, and the kernel. `rows` are differences and values, `d` each, and the mask at index `mask`. A softmax
/// takes keys for differences, `d` queries right before the mask, and another bootstrap.
///
/// # Errors
/// If a key is missing or rows do not fit.
pub fn token_attention<E: Refresh>(
    eval: &E,
    config: &Config,
    kernel: &Kernel,
    rows: &E::Rows,
    mask: usize,
    levels: &mut Levels<'_>,
) -> Result<(E::Rows, usize, TokenKernel<E>), Error> {
    let (width, depth, tokens) = (config.width, config.head_width(), config.tokens);
    let layout = Layout::new([4, 2, config.heads, depth], tokens, eval.rows_per_pack())?;
    let is_softmax = matches!(kernel, Kernel::Softmax { .. });
    let sums = layout.pack(|[kind, u, h, f]| {
        let index = match kind {
            KEY => h * depth + f,
            VALUE => width + h * depth + f,
            MASK => mask,
            _ if is_softmax => mask - width + h * depth + f,
            _ => return Vec::new(),
        };
        alloc::vec![if u == 0 { row(index) } else { upper_half(index, tokens) }]
    });
    let x = low_half(eval, &eval.select(rows, &sums)?, levels.next(eval)?)?;
    let token = Token { eval, layout, tokens, x: &x };
    let all = (0..width).map(|i| (i / depth, i % depth));
    Ok(match *kernel {
        Kernel::Gaussian { exponent } => {
            let kernel = token.evaluated(&eval.mul_rescaled(&x, &x)?, &exponential(exponent)?)?;
            let (out, level) = token.totals(&token.times_masked_values(&kernel)?, all)?;
            (out, level, TokenKernel { layout, x, weights: Weights::Kernel(kernel) })
        }
        Kernel::Softmax { score, sum } => {
            let shares = token.shares(config, &Softmax::new(score, sum)?, levels)?;
            let values = eval.drop_level(&x, eval.level(&shares))?;
            let values = eval.rotate(&values, layout.step(KIND))?;
            let (out, level) = token.totals(&eval.mul_rescaled(&shares, &values)?, all)?;
            let weights = Weights::Shares { shares, out: broadcast(eval, &out)? };
            (out, level, TokenKernel { layout, x, weights })
        }
    })
}

/// What weights are made from.
struct Token<'a, E: Refresh> {
    eval: &'a E,
    layout: Layout<4>,
    tokens: usize,
    x: &'a E::Ciphertext,
}

impl<E: Refresh> Token<'_, E> {
    /// The polynomial of sums over the features of kind 0, in all of its places.
    fn evaluated(&self, terms: &E::Ciphertext, p: &Chebyshev) -> Result<E::Ciphertext, Error> {
        let (eval, layout) = (self.eval, self.layout);
        let scale = polynomial::input_scale(eval, eval.level(terms) - 1, p.domain());
        let terms = mul_values(eval, terms, &only(&layout, KEY), scale)?;
        let sum = sum_rotations(eval, &terms, layout.step(FEATURE), 1..layout.size(FEATURE))?;
        Ok(polynomial::evaluate(eval, &sum, p, eval.default_scale())?)
    }

    /// `kernel_j · mask_j · value_j`, where the kernel is.
    fn times_masked_values(&self, kernel: &E::Ciphertext) -> Result<E::Ciphertext, Error> {
        let eval = self.eval;
        let low = eval.drop_level(self.x, eval.level(kernel) + 1)?;
        let step = self.layout.step(KIND);
        let aligned = eval.rotate_many(&low, &[step, 2 * step])?;
        let [values, mask] = &aligned[..] else {
            return Err(Error::Unsupported("not two rotations came back"));
        };
        let values = eval.mul_rescaled(values, mask)?;
        Ok(eval.mul_rescaled(kernel, &values)?)
    }

    /// `exp(q·k_j) · mask_j` over its sum in every head, with a bootstrap of the sums.
    fn shares(
        &self,
        config: &Config,
        softmax: &Softmax,
        levels: &mut Levels<'_>,
    ) -> Result<E::Ciphertext, Error> {
        let (eval, layout, x) = (self.eval, self.layout, self.x);
        let step = layout.step(KIND);
        let queries = eval.rotate(x, step * QUERY.cast_signed())?;
        let exp = self.evaluated(&eval.mul_rescaled(x, &queries)?, &softmax.exp)?;
        let mask = eval.drop_level(x, eval.level(&exp) + 1)?;
        let mask = eval.rotate(&mask, step * MASK.cast_signed())?;
        let mask = mul_values(eval, &mask, &only(&layout, KEY), eval.default_scale())?;
        let exp = eval.mul_rescaled(&exp, &mask)?;

        let (sums, _) = self.totals(&exp, (0..config.heads).map(|h| (h, 0)))?;
        let places = layout.pack(|[_, _, h, _]| alloc::vec![row(h)]);
        let sums = as_product(eval, config, &broadcast(eval, &sums)?)?;
        let sums = eval.select(&sums, &places)?;
        let sums = low_half(eval, &sums, levels.next(eval)?)?;
        Ok(eval.mul_rescaled(&exp, &softmax.invert(eval, &sums)?)?)
    }

    /// Sums of kind 0 over all tokens, at the first place of a row for each head and feature asked for; and the level
    /// that was reached.
    fn totals(
        &self,
        terms: &E::Ciphertext,
        rows: impl Iterator<Item = (usize, usize)>,
    ) -> Result<(E::Rows, usize), Error> {
        let (eval, layout) = (self.eval, self.layout);
        let total = sum_rotations(eval, terms, 1, 1..self.tokens / 2)?;
        let is_result = layout.values(|[kind, ..], t| indicator(kind == KEY && t == 0));
        let total = mul_values(eval, &total, &is_result, eval.default_scale())?;
        let half = |u, (h, f)| row(layout.row([KEY, u, h, f]));
        let sums: Vec<_> = rows.map(|place| alloc::vec![half(0, place), half(1, place)]).collect();
        let sums = eval.select(&eval.slots_to_rows(&total)?, &sums)?;
        Ok((sums, eval.level(&total)))
    }
}

/// 1 in the slots of a kind.
pub(crate) fn only(layout: &Layout<4>, wanted: usize) -> Vec<Complex> {
    layout.values(|[kind, ..], _| indicator(kind == wanted))
}

pub(crate) const fn indicator(holds: bool) -> f64 {
    if holds { 1.0 } else { 0.0 }
}
