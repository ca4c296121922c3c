//! Back through the Gaussian attention of the first token.
//!
//! The pack has the layout of the forward one: the derivative by the output for kinds 0 and 1, and that by
//! the stream for kind 3. What goes back to rows: derivatives by the differences `q_0 − k_j` (kind 0), by
//! the values (kind 1), by the query (kind 2) and by the stream (kind 3), the last two at the first
//! token only.

use alloc::vec::Vec;

use he_core::eval::mul_values;
use he_core::refresh::{Refresh, Term};

use crate::Error;
use crate::backward::normalisation::joined;
use crate::layer::assembly::Assembly;
use crate::layer::token_attention::{
    DIFFERENCE, FEATURE, HALF, KIND, MASK, TokenKernel, VALUE, indicator,
};
use crate::layout::{low_half, mul_to, row, sum_rotations, to_upper_half, upper_half};
use crate::model::{AttentionWeights, Config};

/// The kind that the stream passes through.
const STREAM: usize = 3;

/// Derivatives of all tokens: by differences, values and queries, `d` rows each in this order, and by the stream
/// in halves; from that by the stream after the attention, in halves. The bootstrap is to `level`.
///
/// # Errors
/// If a key is missing or rows do not fit.
pub fn token_attention<E: Refresh>(
    eval: &E,
    config: &Config,
    weights: &AttentionWeights,
    tape: &TokenKernel<E>,
    halves: &E::Rows,
    level: usize,
) -> Result<(E::Rows, E::Rows), Error> {
    let (width, depth, tokens) = (config.width, config.head_width(), config.tokens);
    let layout = tape.layout;
    let output = Assembly::new(width, 2 * width, config.weight_frac_bits)
        .with_transposed(0, 0, &weights.output, 1)
        .with_identity(0, width, width)
        .finish();
    let sums = layout.pack(|[kind, u, h, f]| {
        let index = match kind {
            DIFFERENCE | VALUE => h * depth + f,
            STREAM => width + h * depth + f,
            _ => return Vec::new(),
        };
        alloc::vec![if u == 0 { row(index) } else { upper_half(index, tokens) }]
    });
    let rows = eval.matmul(&joined(eval, config, halves)?, &output)?;
    let g = low_half(eval, &eval.select(&rows, &sums)?, level)?;
    let out = derivatives(eval, tape, tokens, &g)?;

    let rows = eval.slots_to_rows(&out)?;
    let index = |kind: usize, u: usize, i: usize| layout.row([kind, u, i / depth, i % depth]);
    let whole = |i: usize| {
        let (kind, i) = (i / width, i % width);
        alloc::vec![row(index(kind, 0, i)), to_upper_half(index(kind, 1, i), tokens)]
    };
    let half = |i: usize| alloc::vec![row(index(STREAM, i / width, i % width))];
    let projections: Vec<Vec<Term>> = (0..3 * width).map(whole).collect();
    let stream: Vec<Vec<Term>> = (0..2 * width).map(half).collect();
    Ok((eval.select(&rows, &projections)?, eval.select(&rows, &stream)?))
}

/// All four kinds.
fn derivatives<E: Refresh>(
    eval: &E,
    tape: &TokenKernel<E>,
    tokens: usize,
    g: &E::Ciphertext,
) -> Result<E::Ciphertext, Error> {
    let TokenKernel { layout, x, kernel } = tape;
    let (scale, kind_step) = (eval.default_scale(), layout.step(KIND));
    let only = |wanted| layout.values(move |[kind, ..], _| indicator(kind == wanted));
    let mask = eval.drop_level(x, eval.level(kernel) + 1)?;
    let mask = eval.rotate(&mask, kind_step * MASK.cast_signed())?;
    let mask = mul_values(eval, &mask, &only(DIFFERENCE), scale)?;
    let weights = eval.mul_rescaled(kernel, &mask)?;

    // ⟨g, v_j⟩, where the differences are.
    let products = mul_to(eval, x, g, scale)?;
    let by_weight = sum_rotations(eval, &products, layout.step(FEATURE), 1..layout.size(FEATURE))?;
    let by_weight = eval.rotate(&by_weight, kind_step * VALUE.cast_signed())?;
    let along = mul_to(eval, x, &by_weight, scale)?;
    let along = eval.with_scale(&eval.neg(&along), eval.scale(&along) / 2.0);
    let by_difference = mul_to(eval, &along, &weights, scale)?;
    let by_value = mul_to(eval, g, &weights, scale)?;

    let total = sum_rotations(eval, &by_difference, 1, 1..tokens / 2)?;
    let total = sum_rotations(eval, &total, layout.step(HALF), 1..2)?;
    let first = |wanted: usize| {
        layout.values(move |[kind, u, ..], t| indicator(kind == wanted && u == 0 && t == 0))
    };
    let by_query = mul_values(eval, &total, &first(DIFFERENCE), scale)?;
    let stream = eval.drop_level(g, eval.level(&by_query) + 1)?;
    let stream = mul_values(eval, &stream, &first(STREAM), scale)?;
    let by_value = eval.rotate(&by_value, -kind_step * VALUE.cast_signed())?;
    let by_query = eval.rotate(&by_query, -kind_step * MASK.cast_signed())?;
    let out = eval.add(&eval.add(&by_difference, &by_value)?, &by_query)?;
    Ok(eval.add(&out, &stream)?)
}
