//! Linear layers on the way back: products with transposed matrices, and what encrypted updates add to them.

use core::fmt;

use he_core::refresh::Refresh;

use crate::Error;
use crate::backward::bootstraps::Bootstraps;
use crate::backward::normalisation::joined;
use crate::layer::update::added;
use crate::layout::rows_of;
use crate::model::{Config, Linear};

/// Updates of linear layers, on the way back.
pub trait UpdatesBack<E: Refresh> {
    /// What to add to the derivative by the input of a layer, from the rows of that by its output, of all tokens: in halves;
    /// none if the layer is not trained.
    ///
    /// # Errors
    /// If a key is missing or no level is left.
    fn linear(
        &mut self,
        eval: &E,
        config: &Config,
        layer: (Linear, &E::Rows),
        bootstraps: &mut Bootstraps<'_, '_, E>,
    ) -> Result<Option<E::Rows>, Error>;
}

/// The linear layers of a way back, in order.
pub struct Linears<'a, 'b, 'c, E: Refresh> {
    /// All of the way.
    pub bootstraps: &'a mut Bootstraps<'b, 'c, E>,
    /// None if all layers are frozen.
    pub updates: Option<&'a mut dyn UpdatesBack<E>>,
}

impl<E: Refresh> fmt::Debug for Linears<'_, '_, '_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Linears {{ bootstraps: {:?} }}", self.bootstraps)
    }
}

impl<'a, 'b, 'c, E: Refresh> Linears<'a, 'b, 'c, E> {
    /// All frozen.
    pub const fn frozen(bootstraps: &'a mut Bootstraps<'b, 'c, E>) -> Self {
        Self { bootstraps, updates: None }
    }

    /// The derivative by the input of a layer, with what its update adds: from rows that begin with that by its output, and a
    /// product that begins with that by its input.
    ///
    /// # Errors
    /// As [`UpdatesBack::linear`].
    pub fn input(
        &mut self,
        eval: &E,
        config: &Config,
        layer: (Linear, &E::Rows),
        product: E::Rows,
    ) -> Result<E::Rows, Error> {
        match self.update(eval, config, layer)? {
            None => Ok(product),
            Some(halves) => added(eval, config, &product, &joined(eval, config, &halves)?),
        }
    }

    /// The same in halves.
    ///
    /// # Errors
    /// As [`UpdatesBack::linear`].
    pub fn input_halves(
        &mut self,
        eval: &E,
        config: &Config,
        layer: (Linear, &E::Rows),
        product: E::Rows,
    ) -> Result<E::Rows, Error> {
        match self.update(eval, config, layer)? {
            None => Ok(product),
            Some(halves) => added(eval, config, &product, &halves),
        }
    }

    fn update(
        &mut self,
        eval: &E,
        config: &Config,
        (linear, rows): (Linear, &E::Rows),
    ) -> Result<Option<E::Rows>, Error> {
        let Some(updates) = &mut self.updates else { return Ok(None) };
        let [_, outputs] = linear.blocks(config);
        let rows = eval.select(rows, &rows_of(0..outputs * config.width))?;
        updates.linear(eval, config, (linear, &rows), self.bootstraps)
    }
}
