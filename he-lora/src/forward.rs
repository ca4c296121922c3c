//! The adapter in the forward pass: `scaling · Σ_r up_r · ⟨down_r, x⟩`, all three projections and
//! all tokens at once.

use alloc::vec::Vec;

use he_core::eval::mul_values;
use he_core::refresh::Refresh;
use he_nn::Error;
use he_nn::layer::normalisation::{joined, layout};
use he_nn::layer::update::Updates;
use he_nn::layout::sum_pairs;
use he_nn::model::Config;

use crate::adapter::Adapter;
use crate::plain::PROJECTIONS;

/// Levels to leave to the caller beyond those of the way back to rows.
const SPARE: usize = 1;
/// Levels that an update takes.
const DEPTH: usize = 2;

/// The level to encrypt an adapter at, under parameters whose rows are at `rows_level`
/// ([`Refresh::rows_level`]).
#[must_use]
pub const fn level(rows_level: usize) -> usize {
    rows_level + SPARE + DEPTH
}

impl<E: Refresh> Updates<E> for Adapter<E> {
    fn projections(
        &self,
        eval: &E,
        config: &Config,
        layer: usize,
        input: &E::Ciphertext,
    ) -> Result<(E::Rows, Vec<E::Ciphertext>), Error> {
        let layout = layout(eval, config)?;
        let (mut update, inner) = self.update(eval, layer, input)?;
        if layer + 1 == config.layers.len() {
            let is_asked = |c, u, token| c != 0 || (u == 0 && token == 0);
            let mask =
                layout.values(|[u, c, _], token| if is_asked(c, u, token) { 1.0 } else { 0.0 });
            update = mul_values(eval, &update, &mask, eval.default_scale())?;
        }
        let place = |c: usize, f: usize| joined(&layout, c, f, config.tokens);
        let places = (0..PROJECTIONS).flat_map(|c| (0..config.width).map(move |f| place(c, f)));
        let rows = eval.select(&eval.slots_to_rows(&update)?, &places.collect::<Vec<_>>())?;
        Ok((rows, inner))
    }
}

impl<E: Refresh> Adapter<E> {
    /// Updates of queries, keys and values in copies 0, 1 and 2, from the input in all three, and `⟨down_r, x⟩`
    /// for each `r`. At least the level of rows is left, and one more.
    fn update(
        &self,
        eval: &E,
        layer: usize,
        input: &E::Ciphertext,
    ) -> Result<(E::Ciphertext, Vec<E::Ciphertext>), Error> {
        let layer = self.layers.get(layer);
        let layer = layer.ok_or(Error::Unsupported("the adapter has fewer layers"))?;
        let top = eval.level(input).min(level(eval.rows_level()));
        let x = eval.drop_level(input, top)?;
        let products = layer.down.iter();
        let products = products.map(|down| eval.mul_rescaled(&x, &eval.drop_level(down, top)?));
        let products = products.collect::<Result<Vec<_>, _>>()?;
        let inner = sum_pairs(eval, &products, self.step, 1..self.width)?;
        let up = layer.up.iter().map(|up| eval.drop_level(up, top - 1));
        let up = up.collect::<Result<Vec<_>, _>>()?;
        let pairs: Vec<_> = inner.iter().zip(&up).collect();
        let update = eval.dot_rescaled(&pairs)?;
        Ok((eval.with_scale(&update, eval.scale(&update) / self.scaling), inner))
    }
}
