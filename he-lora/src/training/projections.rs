//! Gradients of the updates of queries, keys and values, and what goes on from them.
//!
//! Rows `u + 2·(c + 4·f)`: derivatives by queries, keys and values for `c = 0, 1, 2`, as the forward pass
//! has its updates; for `c = 3` what their frozen matrices pass on.

use alloc::vec::Vec;

use he_core::eval::mul_values;
use he_core::refresh::Refresh;
use he_nn::Error;
use he_nn::backward::bootstraps::Bootstraps;
use he_nn::layer::normalisation::layout;
use he_nn::layout::{Layout, mul_to, row, sum_pairs, sum_rotations, upper_half};
use he_nn::model::Config;

use super::Training;
use super::back::{Gradients, accumulate};
use crate::adapter::LayerAdapter;
use crate::parameters::{HEAD, Side, Vector};

/// The digits.
const COPY: usize = 1;
const FEATURE: usize = 2;

/// One layer on the way back.
pub(super) struct Projections<'a, E: Refresh> {
    pub(super) eval: &'a E,
    pub(super) config: &'a Config,
    pub(super) training: &'a Training,
    pub(super) layer: usize,
    /// None of rank 0.
    pub(super) adapter: Option<&'a LayerAdapter<E>>,
    /// The normalised input, in three copies.
    pub(super) input: &'a E::Ciphertext,
    /// `⟨down_r, n⟩` for each `r`.
    pub(super) inner: &'a [E::Ciphertext],
}

impl<E: Refresh> Projections<'_, E> {
    /// Brings three or four times `d` rows of a product to slots; a single row after three times
    /// `d`, the canary, to the first feature of the head's copy.
    pub(super) fn packed(
        &self,
        rows: &E::Rows,
        bootstraps: &mut Bootstraps<'_, '_, E>,
    ) -> Result<E::Ciphertext, Error> {
        let (eval, width, tokens) = (self.eval, self.config.width, self.config.tokens);
        let copies = eval.row_count(rows) / width;
        let has_canary = eval.row_count(rows) > copies * width;
        let sums = self.layout()?.pack(|[u, c, f]| match (u, c) {
            (0, HEAD) if has_canary && f == 0 => alloc::vec![row(copies * width)],
            _ if c >= copies => Vec::new(),
            (0, _) => alloc::vec![row(c * width + f)],
            _ => alloc::vec![upper_half(c * width + f, tokens)],
        });
        bootstraps.low_half(eval, &eval.select(rows, &sums)?)
    }

    /// Adds the gradients of the layer's vectors, token by token; returns `s ⟨up_r, g⟩` for each `r`.
    pub(super) fn gradients(
        &self,
        g: &E::Ciphertext,
        gradients: &mut Gradients<E>,
    ) -> Result<Vec<E::Ciphertext>, Error> {
        let (eval, layout, scale) = (self.eval, self.layout()?, self.eval.default_scale());
        let width = self.config.width;
        let Some(adapter) = self.adapter else { return Ok(Vec::new()) };
        let scaled = |x: &E::Ciphertext| eval.with_scale(x, eval.scale(x) / self.training.scaling);
        let products = adapter.up.iter().map(|up| mul_to(eval, up, g, scale));
        let products = products.collect::<Result<Vec<_>, _>>()?;
        let weights = sum_pairs(eval, &products, layout.step(FEATURE), 1..width)?;
        let weights: Vec<_> = weights.iter().map(scaled).collect();
        for (r, (weight, inner)) in weights.iter().zip(self.inner).enumerate() {
            let by_down = mul_to(eval, weight, self.input, scale)?;
            let by_up = mul_to(eval, &scaled(inner), g, scale)?;
            for (side, x) in [(Side::Down, by_down), (Side::Up, by_up)] {
                let vector = Vector::Projection { layer: self.layer, projection: 0, side, r };
                accumulate(eval, gradients, vector, x)?;
            }
        }
        Ok(weights)
    }

    /// The derivative by the input in the first copy: what frozen matrices and updates pass on, `passed` those of whole
    /// matrices. Other copies hold other sums.
    pub(super) fn input(
        &self,
        g: &E::Ciphertext,
        weights: &[E::Ciphertext],
        passed: Option<E::Ciphertext>,
    ) -> Result<E::Ciphertext, Error> {
        let (eval, layout) = (self.eval, self.layout()?);
        let down = self.adapter.iter().flat_map(|adapter| &adapter.down);
        let updates = match passed {
            Some(passed) => passed,
            None => eval.dot_rescaled(&weights.iter().zip(down).collect::<Vec<_>>())?,
        };
        let is_frozen = layout.values(|[_, c, _], _| if c == HEAD { 1.0 } else { 0.0 });
        let frozen = eval.drop_level(g, eval.level(&updates) + 1)?;
        let frozen = mul_values(eval, &frozen, &is_frozen, eval.scale(&updates))?;
        let both = eval.add(&updates, &frozen)?;
        sum_rotations(eval, &both, layout.step(COPY), 1..layout.size(COPY))
    }

    fn layout(&self) -> Result<Layout<3>, Error> {
        layout(self.eval, self.config)
    }
}
