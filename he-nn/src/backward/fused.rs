//! Back through the head's normalisation and the units of the last feed-forward network, with one bootstrap.
//!
//! The derivative by a stream, `g_x = r g − r² n m` with `m = mean(x∘g)`, is linear in `g` and `n`, so a product may come
//! before it: `g_x Wᵀ = r (g Wᵀ) − r² m (n Wᵀ)`. After the last attention both halves of the tokens hold the same
//! sentences, so one of them has room for `g` and `n` themselves. Rows of the pack, with the digits of feed-forward networks
//! and with those of normalisations: `g Wᵀ` and `n Wᵀ` are kinds 0 and 1 of `u = 0`, `g` and `n` are copies 0 and 1 of
//! `u = 1`. So a rotation by one kind brings each `n` to its `g`, and one formula serves both.

use alloc::vec::Vec;

use he_core::eval::mul_values;
use he_core::refresh::Refresh;

use crate::Error;
use crate::backward::feed_forward::{through_gates, units_layout};
use crate::backward::linears::Linears;
use crate::layer::assembly::Assembly;
use crate::layer::feed_forward::{Gates, KIND, Slopes, slopes};
use crate::layer::normalisation::{FEATURE, HALF, Normalisation};
use crate::layout::{factor_scale, mul_to, row, sum_rotations, to_upper_half};
use crate::model::{Config, FeedForwardWeights};

/// The derivative by the normalised stream before the network as `d` rows of a product, and that by the stream after it, which
/// the head takes: in slots, in copy 0 of `u = 1` alone. From rows of a product: the derivative by the head's input, `d`
/// rows and their product with `Woutᵀ`; and that input as it is, with a row of zeros. Sentences take turns over places.
///
/// # Errors
/// If a key is missing or rows do not fit.
pub fn fused<E: Refresh>(
    eval: &E,
    config: &Config,
    weights: (usize, &FeedForwardWeights),
    (tape, gates): (&Normalisation<E>, &Gates<E>),
    (by_input, input): (&E::Rows, &E::Rows),
    linears: &mut Linears<'_, '_, '_, E>,
) -> Result<(E::Rows, E::Ciphertext), Error> {
    let (width, hidden, tokens) = (config.width, config.hidden, config.tokens);
    let layout = units_layout(eval, config)?;
    let both = Assembly::new(width + 1, width + hidden, config.weight_frac_bits)
        .with_identity(0, 0, width)
        .with_transposed(0, width, &weights.1.output, 1)
        .finish();
    let rows = eval.concat(by_input, &eval.matmul(input, &both)?)?;
    let sums = layout.pack(|[u, kind, f]| match u {
        0 => alloc::vec![row(kind * (width + hidden) + width + f)],
        _ if f % 2 == 0 => alloc::vec![row(kind * (width + hidden) + f / 2)],
        _ => Vec::new(),
    });
    let g = linears.bootstraps.low_half(eval, &eval.select(&rows, &sums)?)?;

    let Slopes { by_gate, by_value } = slopes(eval, gates)?;
    let step = layout.step(KIND);
    let n = eval.rotate(&g, step)?;
    let along = along(eval, tape, &g)?;
    // So that products with slopes are at the default scale.
    let level = eval.level(&along).saturating_sub(1).min(eval.level(&by_gate));
    let scale = factor_scale(eval, &by_gate, level);
    let along = mul_to(eval, &along, &n, scale)?;
    let by_stream = eval.sub(&mul_to(eval, &tape.root, &g, scale)?, &along)?;
    let by_stream = eval.drop_level(&by_stream, level)?;

    let by_value = eval.mul_rescaled(&by_stream, &by_value)?;
    let by_value = eval.rotate(&by_value, -step)?;
    let by_both = eval.add(&eval.mul_rescaled(&by_stream, &by_gate)?, &by_value)?;
    let place = |i: usize| {
        let index = layout.row([0, i / hidden, i % hidden]);
        alloc::vec![row(index), to_upper_half(index, tokens)]
    };
    let sums: Vec<_> = (0..2 * hidden).map(place).collect();
    let both = eval.select(&eval.slots_to_rows(&by_both)?, &sums)?;
    Ok((through_gates(eval, config, weights, &both, linears)?, by_stream))
}

/// `r² mean(x∘g)` in every slot.
fn along<E: Refresh>(
    eval: &E,
    tape: &Normalisation<E>,
    g: &E::Ciphertext,
) -> Result<E::Ciphertext, Error> {
    let Normalisation { layout, stream, root, .. } = tape;
    let is_here = layout.values(|[u, c, _], _| if (u, c) == (1, 0) { 1.0 } else { 0.0 });
    let stream = mul_values(eval, stream, &is_here, eval.default_scale())?;
    let products = eval.mul_rescaled(&stream, g)?;
    let features = layout.size(FEATURE);
    let rows = layout.row([0, 0, features]);
    let sum = sum_rotations(eval, &products, layout.step(HALF), 1..rows)?;
    let features = u32::try_from(features).map_err(|_| Error::Unsupported("too many features"))?;
    let mean = eval.with_scale(&sum, eval.scale(&sum) * f64::from(features));
    Ok(eval.mul_rescaled(&mean, &eval.mul_rescaled(root, root)?)?)
}
