//! The call table: what the normal world may ask the secure world for, by SMC.
//!
//! Fast calls of 64 bits in the range of trusted operating systems (SMC Calling Convention, Arm DEN 0028,
//! section 6): the number in `x0`, arguments in `x1` and `x2`, results in `x0` to `x3`; all other
//! registers come back as they were. Memory is named by its physical address.
//!
//! | call | arguments | results after the status |
//! |---|---|---|
//! | [`STATUS`] | | version of this table; bytes of secure RAM in use at most, so far |
//! | [`BEGIN`] | order: address, bytes | bytes of everything public |
//! | [`NEXT`] | buffer: address, bytes | bytes written; file, see [`pack`]; [`STARTS`], [`DONE`] |
//! | [`PROVISION`] | | |
//! | [`WIPE`] | | |
//!
//! One call names one range at most, so ranges cannot overlap each other.

use key_authority::Error;
use key_authority::file::File;

/// The version of this table.
pub const VERSION: u64 = 1;

/// How things are.
pub const STATUS: u64 = 0xf200_0000;
/// Takes an order and makes secrets. Once, until the next [`WIPE`].
pub const BEGIN: u64 = 0xf200_0001;
/// Goes on with what is public: fills a buffer, or less where a file ends.
pub const NEXT: u64 = 0xf200_0002;
/// Sends the device its secrets, over the secure world's own serial port. Before the first
/// [`NEXT`], or after the last.
pub const PROVISION: u64 = 0xf200_0003;
/// Forgets everything.
pub const WIPE: u64 = 0xf200_0004;

/// Test images only: counts the places of secure RAM that hold the bytes of `x1` and `x2`, each
/// given with its bits flipped.
pub const TEST_SCAN: u64 = 0xf200_0010;
/// Test images only: the authority panics.
pub const TEST_PANIC: u64 = 0xf200_0011;

/// Between the authority and the monitor: the results of a call.
pub const RETURN: u64 = 0xf200_0020;
/// Between the authority and the monitor: it cannot go on.
pub const PANICKED: u64 = 0xf200_0021;

/// The version of the calling convention, 1.2.
pub const SMCCC_VERSION: u64 = 0x8000_0000;

/// Longest buffer of [`NEXT`], bytes.
pub const LONGEST_BUFFER: u64 = 16 << 20;

/// In the last result of [`NEXT`]: these are the first bytes of a file.
pub const STARTS: u64 = 1;
/// In the last result of [`NEXT`]: everything public has been sent.
pub const DONE: u64 = 2;

/// How a call ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(i64)]
pub enum Status {
    /// As it should.
    Done = 0,
    /// There is no such call.
    NotSupported = -1,
    /// A range is not wholly memory of the normal world, or too long, or empty.
    Range = -3,
    /// Not now: nothing has begun, or something has, or all was sent.
    State = -16,
    /// The order is malformed.
    Order = -17,
    /// No keys are made for these parameters.
    Parameters = -18,
    /// A key that must not exist.
    Refused = -19,
    /// There is no randomness.
    Entropy = -20,
    /// The device's link failed.
    Link = -21,
    /// The authority panicked and was wiped. Until the next [`WIPE`].
    Dead = -22,
}

impl Status {
    /// The status in a register.
    #[must_use]
    pub const fn word(self) -> u64 {
        (self as i64).cast_unsigned()
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error {
            Error::Order(_) => Self::Order,
            Error::Parameters => Self::Parameters,
            Error::Refused(_) => Self::Refused,
            Error::Entropy => Self::Entropy,
            Error::Ended => Self::State,
            Error::Link => Self::Link,
        }
    }
}

/// A file in one register.
#[must_use]
pub fn pack(file: File) -> u64 {
    let (kind, number) = file.numbers();
    u64::from(kind) << 32 | u64::from(number)
}

/// The file in a register.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "the two halves")]
pub fn unpack(word: u64) -> Option<File> {
    File::from_numbers((word >> 32) as u32, word as u32)
}
