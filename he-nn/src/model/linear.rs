//! The linear layers of a model, by name.

use alloc::vec::Vec;

use super::Config;

/// A linear layer of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linear {
    /// Queries, keys and values of a layer, from 0.
    Projections(usize),
    /// The output of a layer's attention.
    Output(usize),
    /// Gates, then values of a layer's feed-forward network.
    Gates(usize),
    /// The output of a layer's feed-forward network.
    Units(usize),
    /// The dense layer of the head.
    Dense,
}

impl Linear {
    /// Those of a model, in the order of a pass.
    #[must_use]
    pub fn all(config: &Config) -> Vec<Self> {
        let of_layer = |l| [Self::Projections(l), Self::Output(l), Self::Gates(l), Self::Units(l)];
        (0..config.layers.len()).flat_map(of_layer).chain([Self::Dense]).collect()
    }

    /// How many times `d` features go in and come out.
    #[must_use]
    pub const fn blocks(self, config: &Config) -> [usize; 2] {
        let hidden = config.hidden / config.width;
        match self {
            Self::Projections(_) => [1, 3],
            Self::Output(_) | Self::Dense => [1, 1],
            Self::Gates(_) => [1, 2 * hidden],
            Self::Units(_) => [hidden, 1],
        }
    }
}
