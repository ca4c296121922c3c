//! The one error of this crate.

use core::fmt;

/// Why there are no keys.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Error {
    /// The order is not one, byte by byte.
    Order(&'static str),
    /// The order names a parameter set that this authority does not make keys for.
    Parameters,
    /// The order asks for a key that must not exist, or the library refused something else.
    Refused(he_core::Error),
    /// There is no randomness.
    Entropy,
    /// The other side ended the session.
    Ended,
    /// The device's link failed.
    Link,
}

impl From<he_core::Error> for Error {
    fn from(error: he_core::Error) -> Self {
        Self::Refused(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Order(what) => write!(f, "the order is malformed: {what}"),
            Self::Parameters => f.write_str("no keys are made for these parameters"),
            Self::Refused(error) => write!(f, "refused: {error}"),
            Self::Entropy => f.write_str("there is no randomness"),
            Self::Ended => f.write_str("the session was ended"),
            Self::Link => f.write_str("the device's link failed"),
        }
    }
}

impl core::error::Error for Error {}
