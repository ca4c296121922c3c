//! The one error of this crate.

use core::fmt;

/// Everything that can go wrong because of *data*; misuse of a kernel panics instead.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// The operation needs more levels than the ciphertext has left.
    LevelExhausted {
        /// Levels required.
        needed: usize,
        /// Levels left.
        left: usize,
    },
    /// Operand scales differ by more than the allowed relative error.
    ScaleMismatch {
        /// The scale of the first operand.
        left: f64,
        /// The scale of the second operand.
        right: f64,
    },
    /// There is no evaluation key of this kind, or none for so high a level.
    MissingKey(&'static str),
    /// There is no evaluation key for an automorphism, or none for so high a level.
    MissingGaloisKey {
        /// The exponent `g` of `X → X^g`.
        galois: u32,
    },
    /// A list has the wrong number of entries.
    WrongLength {
        /// How many there should be.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// A parameter set that cannot be built or is not secure.
    InvalidParameters(&'static str),
    /// Bytes from outside that are not what they claim to be.
    Malformed(&'static str),
    /// A residue that is not below its prime.
    ResidueOutOfRange {
        /// The prime.
        modulus: u32,
    },
    /// A value does not fit the range that its encoding has.
    ValueOutOfRange,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LevelExhausted { needed, left } => write!(f, "need {needed} levels, {left} left"),
            Self::ScaleMismatch { left, right } => write!(f, "scales differ: {left} and {right}"),
            Self::MissingKey(kind) => write!(f, "no key for {kind}"),
            Self::MissingGaloisKey { galois } => {
                write!(f, "no key for the Galois element {galois}")
            }
            Self::WrongLength { expected, found } => {
                write!(f, "expected {expected} entries, found {found}")
            }
            Self::InvalidParameters(why) => write!(f, "invalid parameters: {why}"),
            Self::Malformed(why) => write!(f, "malformed data: {why}"),
            Self::ResidueOutOfRange { modulus } => {
                write!(f, "a residue is not below its prime {modulus}")
            }
            Self::ValueOutOfRange => f.write_str("a value does not fit its encoding"),
        }
    }
}

impl core::error::Error for Error {}
