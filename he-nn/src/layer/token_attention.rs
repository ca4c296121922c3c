//! Gaussian-kernel attention of the first token alone, which is all that the head reads.
//!
//! The difference `q_0 − k_j` is linear in the rows, so it is computed there. Rows
//! `kind + 4·(u + 2·(h + H·f))`: tokens below `T/2` for `u = 0` and the others for `u = 1`; the
//! difference for kind 0, values for kind 1, the mask for kind 2.

use alloc::vec::Vec;

use he_core::circuit::polynomial;
use he_core::eval::mul_values;
use he_core::refresh::Refresh;

use crate::Error;
use crate::approx::exponential;
use crate::layout::{Layout, low_half, row, sum_rotations, upper_half};
use crate::model::Config;

/// The digits.
pub(crate) const KIND: usize = 0;
pub(crate) const HALF: usize = 1;
pub(crate) const FEATURE: usize = 3;
/// Kinds of rows.
pub(crate) const DIFFERENCE: usize = 0;
pub(crate) const VALUE: usize = 1;
pub(crate) const MASK: usize = 2;

/// Differences, values and mask in slots with the kernel, for the way back.
#[expect(missing_debug_implementations, reason = "ciphertexts need not have any")]
pub struct TokenKernel<E: Refresh> {
    pub(crate) layout: Layout<4>,
    /// All kinds.
    pub(crate) x: E::Ciphertext,
    /// `exp(−|difference|²)` in the differences' slots.
    pub(crate) kernel: E::Ciphertext,
}

/// The attention's output for the first token, zero in other places: rows of `d` features, the level
/// that was reached, and the kernel. `rows` are differences and values, `d` each, and the mask at index `mask`.
/// The bootstrap is to `level`.
///
/// # Errors
/// If a key is missing or rows do not fit.
pub fn token_attention<E: Refresh>(
    eval: &E,
    config: &Config,
    largest_exponent: f64,
    rows: &E::Rows,
    mask: usize,
    level: usize,
) -> Result<(E::Rows, usize, TokenKernel<E>), Error> {
    let (width, depth, tokens) = (config.width, config.head_width(), config.tokens);
    let layout = Layout::new([4, 2, config.heads, depth], tokens, eval.rows_per_pack())?;
    let sums = layout.pack(|[kind, u, h, f]| {
        let index = match kind {
            DIFFERENCE => h * depth + f,
            VALUE => width + h * depth + f,
            MASK => mask,
            _ => return Vec::new(),
        };
        alloc::vec![if u == 0 { row(index) } else { upper_half(index, tokens) }]
    });
    let x = low_half(eval, &eval.select(rows, &sums)?, level)?;
    let (out, kernel) = weighted_values(eval, &layout, tokens, largest_exponent, &x)?;

    let halves = |i: usize, u| layout.row([DIFFERENCE, u, i / depth, i % depth]);
    let both = |i| alloc::vec![row(halves(i, 0)), row(halves(i, 1))];
    let sums =
        eval.select(&eval.slots_to_rows(&out)?, &(0..width).map(both).collect::<Vec<_>>())?;
    let tape = TokenKernel { layout, x, kernel };
    Ok((sums, eval.level(&out), tape))
}

/// `Σ_j exp(−|difference_j|²) · mask_j · value_j` over the tokens of each half, in the slot of the
/// half's first token; 0 elsewhere. And the exponentials.
fn weighted_values<E: Refresh>(
    eval: &E,
    layout: &Layout<4>,
    tokens: usize,
    largest_exponent: f64,
    x: &E::Ciphertext,
) -> Result<(E::Ciphertext, E::Ciphertext), Error> {
    let exp = exponential(largest_exponent)?;
    let square = eval.mul_rescaled(x, x)?;
    let is_difference = layout.values(|[kind, ..], _| indicator(kind == DIFFERENCE));
    let scale = polynomial::input_scale(eval, eval.level(&square) - 1, exp.domain());
    let square = mul_values(eval, &square, &is_difference, scale)?;
    let distance = sum_rotations(eval, &square, layout.step(FEATURE), 1..layout.size(FEATURE))?;
    let kernel = polynomial::evaluate(eval, &distance, &exp, eval.default_scale())?;

    let low = eval.drop_level(x, eval.level(&kernel) + 1)?;
    let step = layout.step(KIND);
    let aligned = eval.rotate_many(&low, &[step, 2 * step])?;
    let [values, mask] = &aligned[..] else {
        return Err(Error::Unsupported("not two rotations came back"));
    };
    let values = eval.mul_rescaled(values, mask)?;
    let weighted = eval.mul_rescaled(&kernel, &values)?;
    let total = sum_rotations(eval, &weighted, 1, 1..tokens / 2)?;
    let is_result = layout.values(|[kind, ..], token| indicator(kind == DIFFERENCE && token == 0));
    Ok((mul_values(eval, &total, &is_result, eval.default_scale())?, kernel))
}

pub(crate) const fn indicator(holds: bool) -> f64 {
    if holds { 1.0 } else { 0.0 }
}
