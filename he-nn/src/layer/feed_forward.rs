//! The gated feed-forward network `(n · Wx) ∘ gelu(n · Wg) · Wo`.
//!
//! Rows `u + 2·(kind + 2·f)`: tokens below `T/2` for `u = 0` and the others for `u = 1`; gates for
//! kind 0, values for kind 1.

use alloc::vec::Vec;

use he_core::circuit::polynomial;
use he_core::eval::mul_values;
use he_core::refresh::Refresh;

use super::assembly::Assembly;
use super::normalisation::joined;
use crate::Error;
use crate::approx::{error_linear, error_linear_slope};
use crate::layer::update::Linears;
use crate::layout::{Layout, factor_scale, low_half, row, upper_half};
use crate::model::{Config, FeedForwardWeights, Linear};

/// The digit of the kind.
pub(crate) const KIND: usize = 1;
const GATE: usize = 0;

/// Gates and values in slots, for the way back.
#[expect(missing_debug_implementations, reason = "ciphertexts need not have any")]
pub struct Gates<E: Refresh> {
    layout: Layout<3>,
    domain: f64,
    /// Gates and values as they came.
    x: E::Ciphertext,
    /// Gates alone, as polynomials take them.
    gates: E::Ciphertext,
    /// `gelu(gate)` in the gates' slots.
    units: E::Ciphertext,
}

/// What to add to the residual stream, mask row included, the level that was reached, and the gates. `rows`
/// are the normalised features and a row of zeros; canaries are added to the mask row.
///
/// # Errors
/// If a key is missing or rows do not fit.
pub fn feed_forward<E: Refresh>(
    eval: &E,
    config: &Config,
    (layer, weights): (usize, &FeedForwardWeights),
    largest_gate: f64,
    rows: &E::Rows,
    linears: &mut Linears<'_, E>,
) -> Result<(E::Rows, usize, Gates<E>), Error> {
    let (width, hidden, tokens) = (config.width, config.hidden, config.tokens);
    let layout = Layout::new([2, 2, hidden], tokens, eval.rows_per_pack())?;
    let inner = Assembly::new(width + 1, 2 * hidden + 1, config.weight_frac_bits)
        .with(0, 0, &weights.gate, 1)
        .with(0, hidden, &weights.value, 1)
        .with_identity(width, 2 * hidden, 1)
        .finish();
    let product = eval.matmul(rows, &inner)?;
    let features =
        eval.select(rows, &(0..width).map(|f| alloc::vec![row(f)]).collect::<Vec<_>>())?;
    let product = linears.output(eval, config, (Linear::Gates(layer), &features), product)?;
    let sums = layout.pack(|[u, kind, f]| {
        let index = kind * hidden + f;
        alloc::vec![if u == 0 { row(index) } else { upper_half(index, tokens) }]
    });
    let x = low_half(eval, &eval.select(&product, &sums)?, linears.levels.next(eval)?)?;
    let (slots, gates) = gated(eval, layout, largest_gate, x)?;

    let units: Vec<_> = (0..hidden).map(|f| joined(&layout, GATE, f, tokens)).collect();
    let units = eval.select(&eval.slots_to_rows(&slots)?, &units)?;
    let outer = Assembly::new(hidden, width + 1, config.weight_frac_bits)
        .with(0, 0, &weights.output, 1)
        .with_identity(hidden - 1, width, 1)
        .finish();
    let update = eval.matmul(&units, &outer)?;
    let update = linears.output(eval, config, (Linear::Units(layer), &units), update)?;
    // The canary that came in goes out through the mask row, too.
    let both = eval.concat(&update, &eval.select(&product, &[alloc::vec![row(2 * hidden)]])?)?;
    let mut sums: Vec<_> = (0..width).map(|f| alloc::vec![row(f)]).collect();
    sums.push(alloc::vec![row(width), row(width + 1)]);
    Ok((eval.select(&both, &sums)?, eval.level(&slots), gates))
}

/// Derivatives by gates and by values over that by their product: `value · gelu'(gate)` and `gelu(gate)`, both in kind 0
/// alone and at one level and scale.
pub(crate) struct Slopes<E: Refresh> {
    pub(crate) by_gate: E::Ciphertext,
    pub(crate) by_value: E::Ciphertext,
}

/// The slopes of a network.
///
/// # Errors
/// If a key is missing or no level is left.
pub(crate) fn slopes<E: Refresh>(eval: &E, tape: &Gates<E>) -> Result<Slopes<E>, Error> {
    let Gates { layout, domain, x, gates, units } = tape;
    let slope = error_linear_slope(*domain)?;
    let level = eval.level(gates).saturating_sub(slope.depth());
    let scale = factor_scale(eval, x, level);
    let slope = polynomial::evaluate(eval, gates, &slope, scale)?;
    let values = eval.rotate(&eval.drop_level(x, level + 1)?, layout.step(KIND))?;
    let is_gate = layout.values(|[_, kind, _], _| if kind == GATE { 1.0 } else { 0.0 });
    let values = mul_values(eval, &values, &is_gate, eval.scale(x))?;
    let by_gate = eval.mul_rescaled(&slope, &values)?;
    let units = eval.drop_level(units, eval.level(&by_gate) + 1)?;
    let by_value = mul_values(eval, &units, &is_gate, eval.scale(&by_gate))?;
    Ok(Slopes { by_gate, by_value })
}

/// `gelu(gate) · value` in the gates' slots.
fn gated<E: Refresh>(
    eval: &E,
    layout: Layout<3>,
    largest_gate: f64,
    x: E::Ciphertext,
) -> Result<(E::Ciphertext, Gates<E>), Error> {
    let unit = error_linear(largest_gate)?;
    let mask = layout.values(|[_, kind, _], _| if kind == GATE { 1.0 } else { 0.0 });
    let scale = polynomial::input_scale(eval, eval.level(&x) - 1, unit.domain());
    let gates = mul_values(eval, &x, &mask, scale)?;
    let level = eval.level(&gates).saturating_sub(unit.depth());
    let units = polynomial::evaluate(eval, &gates, &unit, factor_scale(eval, &x, level))?;
    let values = eval.rotate(&eval.drop_level(&x, eval.level(&units))?, layout.step(KIND))?;
    let product = eval.mul_rescaled(&units, &values)?;
    Ok((product, Gates { layout, domain: largest_gate, x, gates, units }))
}
