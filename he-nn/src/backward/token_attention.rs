//! Back through the attention of the first token.
//!
//! The pack has the layout of the forward one: the derivative `g` by the output for kinds 0 and 1, for a softmax the
//! output for kind 2, and the derivative by the stream for kind 3. What goes back to rows: derivatives by the
//! differences `q_0 − k_j` or the keys (kind 0), by the values (kind 1), by the query (kind 2) and by the stream
//! (kind 3), the last two at the first token only.
//!
//! Of a softmax, the derivative by the score of token `j` is `p_j ⟨g, v_j − out⟩`, for `out = Σ p_l v_l`.

use alloc::vec::Vec;

use he_core::eval::mul_values;
use he_core::refresh::{Refresh, Term};

use crate::Error;
use crate::backward::linears::Linears;
use crate::backward::normalisation::joined;
use crate::layer::assembly::{Assembly, as_product};
use crate::layer::token_attention::{
    FEATURE, HALF, KEY, KIND, MASK, QUERY, TokenKernel, VALUE, Weights, indicator, only,
};
use crate::layout::{mul_to, row, sum_rotations, to_upper_half, upper_half};
use crate::model::{AttentionWeights, Config, Linear};

/// The kind that the stream passes through.
const STREAM: usize = 3;

/// Derivatives of all tokens: by differences or keys, values and queries, `d` rows each in this order, and by the stream
/// in halves; from that by the stream after the attention, in halves.
///
/// # Errors
/// If a key is missing or rows do not fit.
pub fn token_attention<E: Refresh>(
    eval: &E,
    config: &Config,
    weights: &AttentionWeights,
    tape: &TokenKernel<E>,
    halves: &E::Rows,
    linears: &mut Linears<'_, '_, '_, E>,
) -> Result<(E::Rows, E::Rows), Error> {
    let (width, depth, tokens) = (config.width, config.head_width(), config.tokens);
    let layout = tape.layout;
    let is_softmax = matches!(tape.weights, Weights::Shares { .. });
    let output = Assembly::new(width, 2 * width, config.weight_frac_bits)
        .with_transposed(0, 0, &weights.output, 1)
        .with_identity(0, width, width)
        .finish();
    let sums = layout.pack(|[kind, u, h, f]| {
        let index = match kind {
            KEY | VALUE => h * depth + f,
            STREAM => width + h * depth + f,
            _ if is_softmax => 2 * width + h * depth + f,
            _ => return Vec::new(),
        };
        alloc::vec![if u == 0 { row(index) } else { upper_half(index, tokens) }]
    });
    let (stream, last) = (joined(eval, config, halves)?, config.layers.len() - 1);
    let rows = eval.matmul(&stream, &output)?;
    let mut rows = linears.input(eval, config, (Linear::Output(last), &stream), rows)?;
    if let Weights::Shares { out, .. } = &tape.weights {
        rows = eval.concat(&rows, &as_product(eval, config, out)?)?;
    }
    let g = linears.bootstraps.low_half(eval, &eval.select(&rows, &sums)?)?;
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
    let (layout, scale) = (tape.layout, eval.default_scale());
    let kind_step = layout.step(KIND);
    let (weights, by_key, query_terms) = match &tape.weights {
        Weights::Kernel(kernel) => {
            let weights = masked(eval, tape, kernel)?;
            let along = mul_to(eval, &tape.x, &by_weight(eval, tape, &tape.x, g)?, scale)?;
            let along = eval.with_scale(&eval.neg(&along), eval.scale(&along) / 2.0);
            let by_difference = mul_to(eval, &along, &weights, scale)?;
            (weights, by_difference.clone(), by_difference)
        }
        Weights::Shares { shares, .. } => {
            let values = eval.sub(&tape.x, &eval.rotate(g, kind_step)?)?;
            let queries = eval.rotate(&tape.x, kind_step * QUERY.cast_signed())?;
            let by_weight = by_weight(eval, tape, &values, g)?;
            let [by_key, by_query] = [&queries, &tape.x]
                .map(|x| mul_to(eval, &mul_to(eval, x, &by_weight, scale)?, shares, scale));
            (shares.clone(), by_key?, by_query?)
        }
    };
    let by_value = mul_to(eval, g, &weights, scale)?;

    let total = sum_rotations(eval, &query_terms, 1, 1..tokens / 2)?;
    let total = sum_rotations(eval, &total, layout.step(HALF), 1..2)?;
    let first = |wanted: usize| {
        layout.values(move |[kind, u, ..], t| indicator(kind == wanted && u == 0 && t == 0))
    };
    let by_query = mul_values(eval, &total, &first(KEY), scale)?;
    let stream = eval.drop_level(g, eval.level(&by_query) + 1)?;
    let stream = mul_values(eval, &stream, &first(STREAM), scale)?;
    let by_value = eval.rotate(&by_value, -kind_step * VALUE.cast_signed())?;
    let by_query = eval.rotate(&by_query, -kind_step * MASK.cast_signed())?;
    let out = eval.add(&eval.add(&by_key, &by_value)?, &by_query)?;
    Ok(eval.add(&out, &stream)?)
}

/// The kernel where the mask is.
fn masked<E: Refresh>(
    eval: &E,
    tape: &TokenKernel<E>,
    kernel: &E::Ciphertext,
) -> Result<E::Ciphertext, Error> {
    let mask = eval.drop_level(&tape.x, eval.level(kernel) + 1)?;
    let mask = eval.rotate(&mask, tape.layout.step(KIND) * MASK.cast_signed())?;
    let mask = mul_values(eval, &mask, &only(&tape.layout, KEY), eval.default_scale())?;
    Ok(eval.mul_rescaled(kernel, &mask)?)
}

/// `⟨g, v_j⟩` for kind 0, with `v` among the kinds of `values`.
fn by_weight<E: Refresh>(
    eval: &E,
    tape: &TokenKernel<E>,
    values: &E::Ciphertext,
    g: &E::Ciphertext,
) -> Result<E::Ciphertext, Error> {
    let (layout, scale) = (tape.layout, eval.default_scale());
    let products = mul_to(eval, values, g, scale)?;
    let sums = sum_rotations(eval, &products, layout.step(FEATURE), 1..layout.size(FEATURE))?;
    Ok(eval.rotate(&sums, layout.step(KIND) * VALUE.cast_signed())?)
}
