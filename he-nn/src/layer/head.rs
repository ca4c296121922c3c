//! The classifier on the first token: dense layer, hyperbolic tangent, classes.
//!
//! Rows `u + 2·(c + 4·f)` with `u = 0` only: the dense layer's features for every class `c`, and the
//! canary in feature 0 of `c = 3`. So the answer has class `c` in row `2·c` and the canary in row
//! [`CANARY_ROW`], token 0 each.

use alloc::vec::Vec;

use he_core::circuit::polynomial;
use he_core::eval::mul_values;
use he_core::refresh::{Halves, Refresh};

use super::assembly::Assembly;
use super::normalisation;
use crate::Error;
use crate::approx::tangent;
use crate::layout::{row, sum_rotations};
use crate::model::{Config, HeadWeights};

/// The row of the answer whose token 0 is the canary, 1 if all is well.
pub const CANARY_ROW: usize = 6;

/// The row of the answer whose token 0 is the score of a class.
#[must_use]
pub const fn class_row(class: usize) -> usize {
    2 * class
}

/// The digit of the feature, and the value of the copy's digit that holds the canary.
const FEATURE: usize = 2;
const CANARY: usize = 3;

/// The answer in slots. `rows` are normalised features and a row of zeros, `mask` a row at the
/// scale of a product whose token 0 is 1.
///
/// # Errors
/// If a key is missing or rows do not fit.
pub fn classify<E: Refresh>(
    eval: &E,
    config: &Config,
    weights: &HeadWeights,
    rows: &E::Rows,
    mask: &E::Rows,
) -> Result<E::Ciphertext, Error> {
    let (width, classes) = (config.width, config.classes);
    let layout = normalisation::layout(eval, config)?;
    let dense = Assembly::new(width + 1, width + 1, config.weight_frac_bits)
        .with(0, 0, &weights.dense, 1)
        .with_identity(width, width, 1)
        .finish();
    let dense = eval.concat(&eval.matmul(rows, &dense)?, mask)?;
    let sums = layout.pack(|[u, c, f]| match (u, c, f) {
        (0, CANARY, 0) => alloc::vec![row(width), row(width + 1)],
        (0, c, f) if c < classes => alloc::vec![row(f)],
        _ => Vec::new(),
    });
    let mut slots = eval.rows_to_slots(&eval.select(&dense, &sums)?, Halves::Low)?;
    let x = slots.pop().ok_or(Error::Unsupported("no slots came back"))?;

    let tanh = tangent(config.tanh)?;
    let hidden = polynomial::prepare(eval, &x, tanh.domain())?;
    let hidden = polynomial::evaluate(eval, &hidden, &tanh, eval.default_scale())?;
    let unit = libm::ldexp(1.0, -config.weight_frac_bits.cast_signed());
    let weight = |c: usize, f: usize| {
        let entry = weights.classes.entries.get(f * classes + c).copied();
        entry.map_or(0.0, |w| f64::from(w) * unit)
    };
    let is_first = |u: usize, token: usize| u == 0 && token == 0;
    let scores = layout.values(
        |[u, c, f], token| {
            if is_first(u, token) && c < classes { weight(c, f) } else { 0.0 }
        },
    );
    let canary = layout.values(
        |[u, c, f], token| {
            if is_first(u, token) && c == CANARY && f == 0 { 1.0 } else { 0.0 }
        },
    );
    let scale = eval.default_scale();
    let scores = mul_values(eval, &hidden, &scores, scale)?;
    let x = eval.drop_level(&x, eval.level(&hidden))?;
    let canary = mul_values(eval, &x, &canary, scale)?;
    let terms = eval.add(&scores, &canary)?;
    sum_rotations(eval, &terms, layout.step(FEATURE), 1..layout.size(FEATURE))
}
