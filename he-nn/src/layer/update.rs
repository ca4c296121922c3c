//! Encrypted updates of linear layers: what a pass adds to products with frozen matrices.

use alloc::vec::Vec;

use he_core::refresh::Refresh;

use crate::Error;
use crate::layer::assembly::as_product;
use crate::layout::rows_of;
use crate::levels::Levels;
use crate::model::{Config, Linear};

/// Updates of linear layers.
pub trait Updates<E: Refresh> {
    /// What to add to queries, keys and values of `layer`, `d` rows each, from its normalised input: slots of rows
    /// `u + 2·(c + 4·f)`, the same for `c = 0, 1, 2`. In the last layer queries of the first token, zero in other places. With
    /// them what the way back needs besides the input.
    ///
    /// # Errors
    /// If a key is missing or no level is left.
    fn projections(
        &self,
        eval: &E,
        config: &Config,
        layer: usize,
        input: &E::Ciphertext,
    ) -> Result<(E::Rows, Vec<E::Ciphertext>), Error>;

    /// What to add to the output of another layer, from the rows of its input; none if it is not trained.
    ///
    /// # Errors
    /// If a key is missing or no level is left.
    fn linear(
        &self,
        eval: &E,
        config: &Config,
        layer: (Linear, &E::Rows),
        levels: &mut Levels<'_>,
    ) -> Result<Option<Updated<E>>, Error> {
        let _ = (eval, config, layer, levels);
        Ok(None)
    }
}

/// What an update gives.
#[expect(missing_debug_implementations, reason = "ciphertexts need not have any")]
pub struct Updated<E: Refresh> {
    /// To be added to the layer's output.
    pub rows: E::Rows,
    /// What the way back needs.
    pub input: Input<E>,
}

/// The input of a layer that has an update, in slots.
#[expect(missing_debug_implementations, reason = "ciphertexts need not have any")]
pub struct Input<E: Refresh> {
    /// Of which layer.
    pub linear: Linear,
    /// One ciphertext for each block of features.
    pub blocks: Vec<E::Ciphertext>,
}

/// The linear layers of a pass, in order.
#[expect(missing_debug_implementations, reason = "holds an interface")]
pub struct Linears<'a, E: Refresh> {
    /// None if all of them are frozen.
    pub updates: Option<&'a dyn Updates<E>>,
    /// Of the bootstraps from here on.
    pub levels: Levels<'a>,
    /// Of those layers that had an update, in order of execution.
    pub inputs: Vec<Input<E>>,
}

impl<'a, E: Refresh> Linears<'a, E> {
    /// All frozen.
    #[must_use]
    pub const fn frozen(levels: Levels<'a>) -> Self {
        Self { updates: None, levels, inputs: Vec::new() }
    }

    /// The output of a layer, with its update: from rows that begin with its input, and a product that begins with its
    /// output.
    ///
    /// # Errors
    /// If a key is missing or no level is left.
    pub fn output(
        &mut self,
        eval: &E,
        config: &Config,
        (linear, rows): (Linear, &E::Rows),
        product: E::Rows,
    ) -> Result<E::Rows, Error> {
        let Some(updates) = self.updates else { return Ok(product) };
        let [inputs, _] = linear.blocks(config);
        let input = eval.select(rows, &rows_of(0..inputs * config.width))?;
        let updated = updates.linear(eval, config, (linear, &input), &mut self.levels)?;
        let Some(Updated { rows, input }) = updated else { return Ok(product) };
        self.inputs.push(input);
        added(eval, config, &product, &rows)
    }
}

/// A product with rows added to its first ones.
///
/// # Errors
/// If there are more of them than of the product.
pub fn added<E: Refresh>(
    eval: &E,
    config: &Config,
    product: &E::Rows,
    rows: &E::Rows,
) -> Result<E::Rows, Error> {
    let (all, some) = (eval.row_count(product), eval.row_count(rows));
    let mut places = rows_of(0..some);
    places.resize(all, Vec::new());
    Ok(eval.add_rows(product, &eval.select(&as_product(eval, config, rows)?, &places)?)?)
}
