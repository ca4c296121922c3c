//! The names that tensors have in a model file.

use core::fmt;

/// A tensor by the name it has in the model file, such as `layers.0.attention.query`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TensorName {
    /// A tensor that exists once.
    Single(&'static str),
    /// A tensor of a layer.
    Layer {
        /// The layer, from 0.
        layer: usize,
        /// The rest of the name.
        part: &'static str,
    },
}

impl fmt::Display for TensorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Single(name) => f.write_str(name),
            Self::Layer { layer, part } => write!(f, "layers.{layer}.{part}"),
        }
    }
}
