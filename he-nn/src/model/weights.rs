//! The integer matrices of a model, checked by name, shape and structure.

use alloc::vec::Vec;

use he_core::refresh::Weights;

use super::config::Config;
use crate::{Error, TensorName};

/// The type of a tensor's entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// Signed bytes.
    I8,
    /// Signed 16-bit words, little-endian.
    I16,
}

/// A matrix in a model file: its shape and its bytes, row-major.
#[derive(Clone, Copy, Debug)]
pub struct Tensor<'a> {
    /// The lengths of the dimensions.
    pub shape: &'a [usize],
    /// The type of the entries.
    pub element: Element,
    /// The entries.
    pub bytes: &'a [u8],
}

impl Tensor<'_> {
    fn entries(&self) -> Vec<i32> {
        match self.element {
            Element::I8 => self.bytes.iter().map(|&b| i32::from(b.cast_signed())).collect(),
            Element::I16 => {
                let (words, _) = self.bytes.as_chunks::<2>();
                words.iter().map(|&w| i32::from(i16::from_le_bytes(w))).collect()
            }
        }
    }
}

/// The matrices of an attention block; each is `width × width`, `y = x · W`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttentionWeights {
    /// To queries, with the kernel's width folded in; head `h` has columns `h·D .. (h+1)·D`.
    pub query: Weights,
    /// To keys, with the kernel's width folded in.
    pub key: Weights,
    /// To values; the last column is zero (canary).
    pub value: Weights,
    /// Back to the residual stream; every row sums to zero.
    pub output: Weights,
}

/// The matrices of a gated feed-forward network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedForwardWeights {
    /// `width × hidden`; the last column is zero (canary).
    pub value: Weights,
    /// `width × hidden`.
    pub gate: Weights,
    /// `hidden × width`; every row sums to zero.
    pub output: Weights,
}

/// The matrices of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerWeights {
    /// The attention.
    pub attention: AttentionWeights,
    /// The feed-forward network.
    pub feed_forward: FeedForwardWeights,
}

/// The matrices of the classifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadWeights {
    /// `width × width`.
    pub dense: Weights,
    /// `width × classes`.
    pub classes: Weights,
}

/// Reads the matrix `tensor`.
///
/// # Errors
/// If it is missing or has another shape.
pub(super) fn matrix<'a>(
    find: &dyn Fn(TensorName) -> Option<Tensor<'a>>,
    tensor: TensorName,
    expected: [usize; 2],
    frac_bits: u32,
) -> Result<Weights, Error> {
    let found = find(tensor).ok_or(Error::MissingTensor(tensor))?;
    let shape = match *found.shape {
        [rows, columns] => [rows, columns],
        [columns] => [1, columns],
        _ => [0, 0],
    };
    let [inputs, outputs] = expected;
    let entries = found.entries();
    if shape != expected || entries.len() != inputs * outputs {
        return Err(Error::TensorShape { tensor, expected, found: shape });
    }
    Ok(Weights { inputs, outputs, entries, frac_bits })
}

pub(super) fn layer<'a>(
    find: &dyn Fn(TensorName) -> Option<Tensor<'a>>,
    config: &Config,
    layer: usize,
) -> Result<LayerWeights, Error> {
    let name = |part| TensorName::Layer { layer, part };
    let read = |part, shape| matrix(find, name(part), shape, config.weight_frac_bits);
    let square = [config.width, config.width];
    let weights = LayerWeights {
        attention: AttentionWeights {
            query: read("attention.query", square)?,
            key: read("attention.key", square)?,
            value: read("attention.value", square)?,
            output: read("attention.output", square)?,
        },
        feed_forward: FeedForwardWeights {
            value: read("feed_forward.value", [config.width, config.hidden])?,
            gate: read("feed_forward.gate", [config.width, config.hidden])?,
            output: read("feed_forward.output", [config.hidden, config.width])?,
        },
    };
    require_centred(&weights.attention.output, name("attention.output"))?;
    require_centred(&weights.feed_forward.output, name("feed_forward.output"))?;
    require_zero(&weights.attention.value, name("attention.value"))?;
    require_zero(&weights.feed_forward.value, name("feed_forward.value"))?;
    Ok(weights)
}

fn require_centred(weights: &Weights, tensor: TensorName) -> Result<(), Error> {
    let mut rows = weights.entries.chunks_exact(weights.outputs);
    match rows.position(|row| row.iter().sum::<i32>() != 0) {
        Some(row) => Err(Error::NotCentred { tensor, row }),
        None => Ok(()),
    }
}

fn require_zero(weights: &Weights, tensor: TensorName) -> Result<(), Error> {
    let column = weights.outputs - 1;
    if weights.entries.iter().skip(column).step_by(weights.outputs).any(|&w| w != 0) {
        return Err(Error::NotZero { tensor, column });
    }
    Ok(())
}
