//! Why a sentence has no label.

use core::fmt;

use crate::line::LineError;
use crate::machine::Exhausted;

/// What can go wrong on the device.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Error {
    /// A link failed.
    Link(embedded_io::ErrorKind),
    /// The other side closed a link.
    Closed,
    /// The operator's line is longer than this many bytes.
    LineTooLong(usize),
    /// The operator's line is not UTF-8.
    NotText,
    /// Somebody else holds the device's buffers.
    BuffersInUse,
    /// The board has no randomness, no numbers left, or no memory for secrets.
    Exhausted(Exhausted),
    /// A frame that is not what it should be.
    Core(he_core::Error),
    /// The sentence, the model in flash, or the answer's canary.
    Model(he_nn::Error),
    /// The server will not answer; its reason went to the operator.
    Refused {
        /// The server's code.
        code: u32,
    },
}

impl Error {
    /// Whether the device cannot go on to the next sentence: a link is gone or out of step.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Link(_) | Self::Closed | Self::BuffersInUse | Self::Exhausted(_) | Self::Core(_)
        )
    }
}

impl From<Exhausted> for Error {
    fn from(error: Exhausted) -> Self {
        Self::Exhausted(error)
    }
}

impl From<he_core::Error> for Error {
    fn from(error: he_core::Error) -> Self {
        Self::Core(error)
    }
}

impl From<he_nn::Error> for Error {
    fn from(error: he_nn::Error) -> Self {
        Self::Model(error)
    }
}

impl<E: embedded_io::Error> From<LineError<E>> for Error {
    fn from(error: LineError<E>) -> Self {
        match error {
            LineError::Link(error) => Self::Link(error.kind()),
            LineError::Closed => Self::Closed,
            LineError::TooLong { capacity } => Self::LineTooLong(capacity),
            LineError::NotText { .. } => Self::NotText,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(kind) => write!(f, "a link failed: {kind:?}"),
            Self::Closed => f.write_str("the other side closed the link"),
            Self::LineTooLong(limit) => write!(f, "the line has more than {limit} bytes"),
            Self::NotText => f.write_str("the line is not UTF-8 text"),
            Self::BuffersInUse => f.write_str("the device's buffers are in use"),
            Self::Exhausted(Exhausted::Randomness) => f.write_str("no randomness to encrypt with"),
            Self::Exhausted(Exhausted::Numbers) => f.write_str("no number for the exchange"),
            Self::Exhausted(Exhausted::Memory) => f.write_str("the kept secrets cannot be used"),
            Self::Core(error) => f.write_str(of_core(error)),
            Self::Model(error) => of_model(error, f),
            Self::Refused { code } => write!(f, "the server refused with code {code}"),
        }
    }
}

// The libraries' own words would bring the formatting of floating point along, 20 KB of flash.

fn of_core(error: &he_core::Error) -> &'static str {
    match error {
        he_core::Error::Malformed(why) | he_core::Error::InvalidParameters(why) => why,
        he_core::Error::ResidueOutOfRange { .. } => "a residue is not below its prime",
        he_core::Error::WrongLength { .. } => "an answer of the wrong length",
        _ => "an operation on ciphertexts failed",
    }
}

fn of_model(error: &he_nn::Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match error {
        he_nn::Error::EmptySentence => f.write_str("the sentence is empty"),
        he_nn::Error::SentenceTooLong { limit } => {
            write!(f, "the sentence has more than {} word pieces", limit.saturating_sub(2))
        }
        he_nn::Error::Malformed(why) | he_nn::Error::Unsupported(why) => f.write_str(why),
        he_nn::Error::Refused { .. } => f.write_str("refused: the answer's canary is broken"),
        he_nn::Error::Core(error) => f.write_str(of_core(error)),
        _ => f.write_str("the model in flash is not this client's"),
    }
}
