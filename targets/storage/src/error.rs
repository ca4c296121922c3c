//! What can go wrong with what is remembered.

use core::fmt;

use embedded_storage::nor_flash::NorFlashErrorKind;

/// Why something can be neither read nor written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// The flash says so.
    Flash(NorFlashErrorKind),
    /// Pages that this cannot work on: too few, too small, or words that are too long.
    Layout,
    /// There is no number: nothing was ever written, or it was destroyed.
    Absent,
    /// No word of a page keeps what is written to it.
    Worn,
    /// All numbers are used.
    Exhausted,
    /// No random bytes.
    Randomness,
    /// Nobody has looked yet what is there.
    Closed,
    /// Sealed secrets are there, but not authentic: altered, or another device's.
    Unreadable,
    /// Sealed secrets are there, but older than the newest that the device had.
    RolledBack,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flash(_) => "the flash failed",
            Self::Layout => "pages of flash that do not fit their purpose",
            Self::Absent => "no number is stored",
            Self::Worn => "the flash is worn out",
            Self::Exhausted => "all numbers are used",
            Self::Randomness => "no randomness to seal with",
            Self::Closed => "the sealed secrets were not opened",
            Self::Unreadable => "the sealed secrets are not authentic",
            Self::RolledBack => "the sealed secrets are old ones",
        })
    }
}

impl core::error::Error for Error {}
