//! The one error of this crate.

use core::fmt;

use crate::names::TensorName;

/// Everything that can go wrong because of *data*: a sentence, a model file, a ciphertext.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// The sentence has no piece at all.
    EmptySentence,
    /// The sentence has more pieces than the model has tokens.
    SentenceTooLong {
        /// Pieces that fit, special ones included.
        limit: usize,
    },
    /// A compiled vocabulary or an embedding table that is not what it claims to be.
    Malformed(&'static str),
    /// A configuration that this family of models does not have.
    Unsupported(&'static str),
    /// The model has no such tensor.
    MissingTensor(TensorName),
    /// A tensor has another shape than the configuration asks for.
    TensorShape {
        /// Which tensor.
        tensor: TensorName,
        /// Rows and columns that it should have.
        expected: [usize; 2],
        /// Rows and columns that it has.
        found: [usize; 2],
    },
    /// A matrix that writes to the residual stream has a row whose sum is not zero.
    NotCentred {
        /// Which tensor.
        tensor: TensorName,
        /// The row.
        row: usize,
    },
    /// A column that carries a canary is not zero.
    NotZero {
        /// Which tensor.
        tensor: TensorName,
        /// The column.
        column: usize,
    },
    /// The result's canary has another value than the one that went in: some value left the
    /// range of an approximation, or the result is not an answer to this question.
    Refused {
        /// The canary, which should be 1.
        canary: f32,
    },
    /// Who asked for the work gave it up.
    GivenUp,
    /// An operation on ciphertexts failed.
    Core(he_core::Error),
}

impl From<he_core::Error> for Error {
    fn from(error: he_core::Error) -> Self {
        Self::Core(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptySentence => f.write_str("the sentence is empty"),
            Self::SentenceTooLong { limit } => {
                write!(f, "the sentence has more than {} word pieces", limit.saturating_sub(2))
            }
            Self::Malformed(why) => write!(f, "malformed data: {why}"),
            Self::Unsupported(why) => write!(f, "unsupported model: {why}"),
            Self::MissingTensor(tensor) => write!(f, "the model has no tensor {tensor}"),
            Self::TensorShape { tensor, expected, found } => {
                write!(f, "tensor {tensor} has shape {found:?}, not {expected:?}")
            }
            Self::NotCentred { tensor, row } => {
                write!(f, "row {row} of tensor {tensor} does not sum to zero")
            }
            Self::NotZero { tensor, column } => {
                write!(f, "column {column} of tensor {tensor} carries a canary and is not zero")
            }
            Self::Refused { canary } => {
                write!(f, "refused: the canary is {canary} instead of 1")
            }
            Self::GivenUp => f.write_str("the work was given up"),
            Self::Core(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for Error {}
