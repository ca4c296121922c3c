//! The classifier on the first token: dense layer, hyperbolic tangent, classes.
//!
//! Rows `u + 2·(c + 4·f)`: for `u = 0` the dense layer's features, for every class `c` and for
//! `c = 3`; for `u = 1` the canary alone, in feature 0 of `c = 3`. The answer has class `c` in row
//! `2·c` and the canary in row [`CANARY_ROW`], token 0 each.
//!
//! No bootstrap follows that would notice a hyperbolic tangent outside its range, so the canary
//! takes up `Σ (y/2)^16` over the features: below `2^-9` while all `|y| ≤ 1`, and far from 0 when
//! one is above 2.

use alloc::vec::Vec;

use he_core::circuit::polynomial;
use he_core::eval::mul_values;
use he_core::refresh::Refresh;

use super::assembly::Assembly;
use super::normalisation;
use crate::Error;
use crate::approx::tangent;
use crate::layout::{Layout, low_half, row, sum_rotations};
use crate::model::{Config, HeadWeights};

/// The row of the answer whose token 0 is the canary, 1 if all is well.
pub const CANARY_ROW: usize = 6;

/// The row of the answer whose token 0 is the score of a class.
#[must_use]
pub const fn class_row(class: usize) -> usize {
    2 * class
}

/// The digits.
const HALF: usize = 0;
const FEATURE: usize = 2;
/// The value of the copy's digit that holds the canary.
const CANARY: usize = 3;

/// The answer in slots. `rows` are normalised features and a row of zeros, `mask` a row at the
/// scale of a product whose token 0 is 1. The bootstrap is to `level`.
///
/// # Errors
/// If a key is missing or rows do not fit.
pub fn classify<E: Refresh>(
    eval: &E,
    config: &Config,
    weights: &HeadWeights,
    rows: &E::Rows,
    mask: &E::Rows,
    level: usize,
) -> Result<E::Ciphertext, Error> {
    let (width, classes) = (config.width, config.classes);
    let layout = normalisation::layout(eval, config)?;
    let dense = Assembly::new(width + 1, width + 1, config.weight_frac_bits)
        .with(0, 0, &weights.dense, 1)
        .with_identity(width, width, 1)
        .finish();
    let dense = eval.concat(&eval.matmul(rows, &dense)?, mask)?;
    let sums = layout.pack(|[u, c, f]| match (u, c, f) {
        (1, CANARY, 0) => alloc::vec![row(width), row(width + 1)],
        (0, c, f) if c < classes || c == CANARY => alloc::vec![row(f)],
        _ => Vec::new(),
    });
    let x = low_half(eval, &eval.select(&dense, &sums)?, level)?;

    let tanh = tangent(config.tanh)?;
    let hidden = polynomial::prepare(eval, &x, tanh.domain())?;
    let hidden = polynomial::evaluate(eval, &hidden, &tanh, eval.default_scale())?;
    let guard = guard(eval, &layout, &hidden)?;
    let (level, scale) = (eval.level(&guard), eval.scale(&guard));
    let unit = libm::ldexp(1.0, -config.weight_frac_bits.cast_signed());
    let weight = |c: usize, f: usize| {
        let entry = weights.classes.entries.get(f * classes + c).copied();
        entry.map_or(0.0, |w| f64::from(w) * unit)
    };
    let scores =
        layout.values(
            |[u, c, f], token| {
                if u == 0 && token == 0 && c < classes { weight(c, f) } else { 0.0 }
            },
        );
    let canary = layout.values(
        |digits, token| {
            if digits == [1, CANARY, 0] && token == 0 { 1.0 } else { 0.0 }
        },
    );
    let hidden = eval.drop_level(&hidden, level + 1)?;
    let scores = mul_values(eval, &hidden, &scores, scale)?;
    let x = eval.drop_level(&x, level + 1)?;
    let canary = mul_values(eval, &x, &canary, scale)?;
    let canary = eval.rotate(&canary, layout.step(HALF))?;
    let terms = eval.add(&eval.add(&scores, &guard)?, &canary)?;
    sum_rotations(eval, &terms, layout.step(FEATURE), 1..layout.size(FEATURE))
}

/// `(y/2)^16` in the canary's copy.
fn guard<E: Refresh>(
    eval: &E,
    layout: &Layout<3>,
    hidden: &E::Ciphertext,
) -> Result<E::Ciphertext, Error> {
    let halves = layout.values(
        |[u, c, _], token| {
            if u == 0 && token == 0 && c == CANARY { 0.5 } else { 0.0 }
        },
    );
    let mut power = mul_values(eval, hidden, &halves, eval.default_scale())?;
    for _ in 0..4 {
        power = eval.mul_rescaled(&power, &power)?;
    }
    Ok(power)
}
