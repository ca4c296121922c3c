//! The adapter in the forward pass: `scaling · Σ_r up_r · ⟨down_r, x⟩`, all three projections and
//! all tokens at once.

use he_core::refresh::Refresh;
use he_nn::Error;
use he_nn::forward::QkvUpdate;
use he_nn::layout::sum_rotations;

use crate::adapter::Adapter;

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

impl<E: Refresh> QkvUpdate<E> for Adapter<E> {
    fn update(
        &self,
        eval: &E,
        layer: usize,
        input: &E::Ciphertext,
    ) -> Result<E::Ciphertext, Error> {
        let layer = self.layers.get(layer);
        let layer = layer.ok_or(Error::Unsupported("the adapter has fewer layers"))?;
        let top = eval.level(input).min(level(eval.rows_level()));
        let x = eval.drop_level(input, top)?;
        let mut inner = alloc::vec::Vec::with_capacity(layer.rank());
        for down in &layer.down {
            let down = eval.drop_level(down, top)?;
            let product = eval.mul_rescaled(&x, &down)?;
            inner.push(sum_rotations(eval, &product, self.step, 1..self.width)?);
        }
        let up = layer.up.iter().map(|up| eval.drop_level(up, top - 1));
        let up = up.collect::<Result<alloc::vec::Vec<_>, _>>()?;
        let pairs: alloc::vec::Vec<_> = inner.iter().zip(&up).collect();
        let update = eval.dot_rescaled(&pairs)?;
        Ok(eval.with_scale(&update, eval.scale(&update) / self.scaling))
    }
}
