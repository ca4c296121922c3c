//! A model of the family `gk-bert`: its shape, its integer matrices, and the checks that tie them
//! together. There is no file access here; the host reads files and hands over slices.

pub mod config;
pub mod linear;
pub mod weights;

use alloc::vec::Vec;

pub use config::{Config, Kernel, LayerRanges, Window};
pub use linear::Linear;
pub use weights::{
    AttentionWeights, Element, FeedForwardWeights, HeadWeights, LayerWeights, Tensor,
};

use crate::{Error, TensorName};

/// A checked model.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    config: Config,
    layers: Vec<LayerWeights>,
    head: HeadWeights,
}

impl Model {
    /// Reads the matrices named in the model card through `find`.
    ///
    /// # Errors
    /// If the configuration is not supported, a tensor is missing or has another shape, a matrix
    /// that writes to the residual stream is not centred, or a canary's column is not zero.
    pub fn from_tensors<'a>(
        config: Config,
        find: &dyn Fn(TensorName) -> Option<Tensor<'a>>,
    ) -> Result<Self, Error> {
        config.check()?;
        let layers = (0..config.layers.len())
            .map(|layer| weights::layer(find, &config, layer))
            .collect::<Result<_, _>>()?;
        let read = |name, shape| {
            weights::matrix(find, TensorName::Single(name), shape, config.weight_frac_bits)
        };
        let head = HeadWeights {
            dense: read("head.dense", [config.width, config.width])?,
            classes: read("head.classes", [config.width, config.classes])?,
        };
        Ok(Self { config, layers, head })
    }

    /// The shape and the ranges.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The blocks.
    #[must_use]
    pub fn layers(&self) -> &[LayerWeights] {
        &self.layers
    }

    /// The classifier.
    #[must_use]
    pub const fn head(&self) -> &HeadWeights {
        &self.head
    }
}
