//! Normalisation of the residual stream: `x / √(mean(x²))`, which is all that is left of a layer norm
//! on a stream whose mean is zero and with gains folded into the next matrix.
//!
//! Rows `u + 2·(c + 4·f)`: tokens below `T/2` for `u = 0` and the others for `u = 1`, three copies
//! of the stream for `c < 3`, and for `c = 3` rows that are zero for tokens of the sentence and
//! whose squares sum to `3·d` for padding: so the mean square is that of the stream, plus 1 for
//! padding, and safe in every slot.

use alloc::vec::Vec;

use he_core::circuit::polynomial;
use he_core::eval::mul_values;
use he_core::refresh::{Refresh, Term};

use crate::Error;
use crate::approx::inverse_root;
use crate::layout::{
    Layout, broadcast, factor_scale, low_half, negated, row, sum_rotations, to_upper_half,
    upper_half,
};
use crate::model::{Config, Window};

/// Copies of the stream.
pub const COPIES: usize = 3;
/// The digits.
pub(crate) const HALF: usize = 0;
pub(crate) const COPY: usize = 1;
pub(crate) const FEATURE: usize = 2;

/// Whether there may be padding among the tokens of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// The last row of the stream is the mask.
    Masked,
    /// Every token is the first one of a sentence.
    None,
}

/// A residual stream in slots, with the inverse root of its mean squares.
#[expect(missing_debug_implementations, reason = "ciphertexts need not have any")]
pub struct Normalisation<E: Refresh> {
    pub(crate) layout: Layout<3>,
    pub(crate) stream: E::Ciphertext,
    pub(crate) root: E::Ciphertext,
    tokens: usize,
}

/// The layout of one residual stream: rows `u + 2·(c + 4·f)`.
///
/// # Errors
/// If the model does not fill a pack.
pub fn layout<E: Refresh>(eval: &E, config: &Config) -> Result<Layout<3>, Error> {
    Layout::new([2, COPIES + 1, config.width], config.tokens, eval.rows_per_pack())
}

/// Brings the stream's features to slots, in all three copies, as a real ciphertext at `level`.
///
/// # Errors
/// If a key is missing or rows do not fit.
pub fn refresh<E: Refresh>(
    eval: &E,
    config: &Config,
    stream: &E::Rows,
    padding: Padding,
    level: usize,
) -> Result<E::Ciphertext, Error> {
    let (width, tokens) = (config.width, config.tokens);
    let layout = layout(eval, config)?;
    let helpers = match padding {
        Padding::Masked => squares(COPIES * width, width),
        Padding::None => Vec::new(),
    };
    let half = |u, index| if u == 0 { row(index) } else { upper_half(index, tokens) };
    let sums = layout.pack(|[u, c, f]| {
        if c < COPIES {
            return alloc::vec![half(u, f)];
        }
        let times = helpers.get(f).copied().unwrap_or(0);
        alloc::vec![negated(half(u, width), tokens); times]
    });
    let mut constants = Vec::new();
    for (f, &times) in helpers.iter().enumerate() {
        let times = u32::try_from(times).map_err(|_| Error::Unsupported("too many features"))?;
        constants.extend([0, 1].map(|u| (layout.row([u, COPIES, f]), f64::from(times))));
    }
    let rows = eval.add_constants(&eval.select(stream, &sums)?, &constants)?;
    low_half(eval, &rows, level)
}

impl<E: Refresh> Normalisation<E> {
    /// Brings the stream to slots at `level` and finds the inverse root of every token's mean square.
    ///
    /// # Errors
    /// If a key is missing or rows do not fit.
    pub fn new(
        eval: &E,
        config: &Config,
        stream: &E::Rows,
        window: Window,
        padding: Padding,
        level: usize,
    ) -> Result<Self, Error> {
        let layout = layout(eval, config)?;
        let stream = refresh(eval, config, stream, padding, level)?;
        let square = eval.mul_rescaled(&stream, &stream)?;
        let count = layout.size(COPY) * layout.size(FEATURE);
        let sum = sum_rotations(eval, &square, layout.step(COPY), 1..count)?;
        let terms = u32::try_from(COPIES * config.width);
        let terms = terms.map_err(|_| Error::Unsupported("too many features"))?;
        let mean = eval.with_scale(&sum, eval.scale(&sum) * f64::from(terms));
        let root = inverse_root(window)?;
        let mean = polynomial::prepare(eval, &mean, root.domain())?;
        let level = eval.level(&mean).saturating_sub(root.depth());
        let scale = factor_scale(eval, &stream, level);
        let root = polynomial::evaluate(eval, &mean, &root, scale)?;
        Ok(Self { layout, stream, root, tokens: config.tokens })
    }

    /// The stream in its copies, and the inverse root in all slots of a token.
    #[must_use]
    pub const fn factors(&self) -> (&E::Ciphertext, &E::Ciphertext) {
        (&self.stream, &self.root)
    }

    /// The normalised stream, in every copy.
    ///
    /// # Errors
    /// If a key is missing.
    pub fn slots(&self, eval: &E) -> Result<E::Ciphertext, Error> {
        Ok(eval.mul_rescaled(&self.stream, &self.root)?)
    }

    /// The normalised stream as rows: the features, then a row of zeros (canary). With it comes the
    /// level that was reached.
    ///
    /// # Errors
    /// If a key is missing.
    pub fn rows(&self, eval: &E) -> Result<(E::Rows, usize), Error> {
        let slots = self.slots(eval)?;
        let rows = eval.slots_to_rows(&slots)?;
        let width = self.layout.size(FEATURE);
        let mut sums: Vec<_> = (0..width).map(|f| self.joined(0, f)).collect();
        sums.push(self.joined(COPIES, width - 1));
        Ok((eval.select(&rows, &sums)?, eval.level(&slots)))
    }

    /// For a layer that only the first token leaves: rows of the normalised stream, of its first
    /// token in every place, of the first token before normalisation and zeros in other places, and a
    /// row of zeros (canary).
    ///
    /// # Errors
    /// If a key is missing.
    pub fn first_token_rows(&self, eval: &E) -> Result<(E::Rows, usize), Error> {
        let is_first = |u: usize, t: usize| u == 0 && t == 0;
        let scaled = self.layout.values(|[u, c, _], t| match c {
            0 => 1.0,
            1 if is_first(u, t) => 1.0,
            _ => 0.0,
        });
        let plain =
            self.layout.values(|[u, c, _], t| if c == 2 && is_first(u, t) { 1.0 } else { 0.0 });
        let level = eval.level(&self.root).saturating_sub(1);
        let scale = factor_scale(eval, &self.stream, level);
        let factor = mul_values(eval, &self.root, &scaled, scale)?;
        let plain = eval.encode(&plain, eval.level(&factor), eval.scale(&factor))?;
        let factor = eval.add_plain(&factor, &plain)?;
        let slots = eval.mul_rescaled(&self.stream, &factor)?;
        let rows = eval.slots_to_rows(&slots)?;
        let width = self.layout.size(FEATURE);
        let first = |c| (0..width).map(move |f| alloc::vec![row(self.layout.row([0, c, f]))]);
        let firsts = eval.select(&rows, &first(1).collect::<Vec<_>>())?;
        let all: Vec<_> = (0..width).map(|f| self.joined(0, f)).collect();
        let rest = first(2).chain([self.joined(COPIES, width - 1)]).collect::<Vec<_>>();
        let inputs = eval.concat(&eval.select(&rows, &all)?, &broadcast(eval, &firsts)?)?;
        Ok((eval.concat(&inputs, &eval.select(&rows, &rest)?)?, eval.level(&slots)))
    }

    /// All tokens of a feature, from both halves.
    fn joined(&self, c: usize, f: usize) -> Vec<Term> {
        joined(&self.layout, c, f, self.tokens)
    }
}

/// All tokens of a feature, from the rows of both halves.
#[must_use]
pub fn joined(layout: &Layout<3>, middle: usize, f: usize, tokens: usize) -> Vec<Term> {
    let upper = to_upper_half(layout.row([1, middle, f]), tokens);
    alloc::vec![row(layout.row([0, middle, f])), upper]
}

/// Numbers whose squares sum to `total`, none above `√largest_square`, largest first.
fn squares(total: usize, largest_square: usize) -> Vec<usize> {
    let mut left = total;
    let mut numbers = Vec::new();
    while left > 0 {
        let number = left.min(largest_square).isqrt();
        numbers.push(number);
        left -= number * number;
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_sum_to_the_total_and_leave_a_row_for_the_canary() {
        for width in [16, 32, 64, 128, 256] {
            let numbers = squares(COPIES * width, width);
            assert_eq!(numbers.iter().map(|n| n * n).sum::<usize>(), COPIES * width);
            assert!(numbers.len() < width && numbers[0] * numbers[0] <= width);
        }
    }
}
