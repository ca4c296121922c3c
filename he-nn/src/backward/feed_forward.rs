//! Back through the gated feed-forward network, with one product: its factors are made of what the
//! forward pass left.

use alloc::vec::Vec;

use he_core::refresh::Refresh;

use crate::Error;
use crate::backward::linears::Linears;
use crate::backward::normalisation::joined;
use crate::layer::assembly::Assembly;
use crate::layer::feed_forward::{Gates, KIND, Slopes, slopes};
use crate::layer::normalisation;
use crate::layout::{Layout, low_half, mul_to, row, upper_half};
use crate::model::{Config, FeedForwardWeights, Linear};

/// The derivative by the normalised stream as `d` rows of a product, from that by what the network adds to the
/// stream, in halves.
///
/// # Errors
/// If a key is missing or rows do not fit.
pub fn feed_forward<E: Refresh>(
    eval: &E,
    config: &Config,
    (layer, weights): (usize, &FeedForwardWeights),
    tape: &Gates<E>,
    halves: &E::Rows,
    linears: &mut Linears<'_, '_, '_, E>,
) -> Result<E::Rows, Error> {
    let (width, hidden, tokens) = (config.width, config.hidden, config.tokens);
    let layout = units_layout(eval, config)?;
    let outer = Assembly::new(width, hidden, config.weight_frac_bits)
        .with_transposed(0, 0, &weights.output, 1)
        .finish();
    let stream = joined(eval, config, halves)?;
    let units = eval.matmul(&stream, &outer)?;
    let units = linears.input(eval, config, (Linear::Units(layer), &stream), units)?;
    let sums =
        layout.pack(|[u, _, f]| alloc::vec![if u == 0 { row(f) } else { upper_half(f, tokens) }]);
    let level = linears.bootstraps.levels().next(eval)?;
    let g = low_half(eval, &eval.select(&units, &sums)?, level)?;
    let Slopes { by_gate, by_value } = slopes(eval, tape)?;
    let slopes = eval.add(&by_gate, &eval.rotate(&by_value, -layout.step(KIND))?)?;
    let g = mul_to(eval, &g, &slopes, eval.default_scale())?;

    let kinds = (0..2).flat_map(|kind| (0..hidden).map(move |f| (kind, f)));
    let sums: Vec<_> =
        kinds.map(|(kind, f)| normalisation::joined(&layout, kind, f, tokens)).collect();
    let both = eval.select(&eval.slots_to_rows(&g)?, &sums)?;
    through_gates(eval, config, (layer, weights), &both, linears)
}

/// Rows `u + 2·(kind + 2·f)` of a pack of units.
pub(crate) fn units_layout<E: Refresh>(eval: &E, config: &Config) -> Result<Layout<3>, Error> {
    Layout::new([2, 2, config.hidden], config.tokens, eval.rows_per_pack())
}

/// The derivative by the normalised stream as `d` rows of a product, from those by gates, then by values.
pub(crate) fn through_gates<E: Refresh>(
    eval: &E,
    config: &Config,
    (layer, weights): (usize, &FeedForwardWeights),
    both: &E::Rows,
    linears: &mut Linears<'_, '_, '_, E>,
) -> Result<E::Rows, Error> {
    let (width, hidden) = (config.width, config.hidden);
    let inner = Assembly::new(2 * hidden, width, config.weight_frac_bits)
        .with_transposed(0, 0, &weights.gate, 1)
        .with_transposed(hidden, 0, &weights.value, 1)
        .finish();
    let product = eval.matmul(both, &inner)?;
    linears.input(eval, config, (Linear::Gates(layer), both), product)
}
