//! The calls: their numbers, their arguments, and how they end.
//!
//! A call has two words: the number of the operation, and the address of a block of 40 bytes in the
//! caller's memory, at a multiple of eight. It returns one word, a [`Status`].
//!
//! | bytes of a block | field |
//! |---|---|
//! | 4 | version, 1 |
//! | 4 | index: which ciphertext, for `Encrypt`; else zero |
//! | 8, 8 | input: address and length; zeros if the operation has none |
//! | 8, 8 | output: address and length; zeros if the operation has none |
//!
//! | operation | input | output |
//! |---|---|---|
//! | 0 `Status` | | 16 bytes: version, state (1: provisioned), faults caught, stack left dirty |
//! | 1 `Provision` | | |
//! | 2 `Begin` | the sentence's pieces, 2 bytes each, 1 to 64 of them | the first 68 bytes of the upload |
//! | 3 `Encrypt` | 4096 coefficients, 4 bytes each | the next 25,600 bytes of it |
//! | 4 `Finish` | | the last 16 bytes of it |
//! | 5 `Answer` | a frame from the server, 48 to 16,432 bytes | 144 bytes, see [`RESULT`] |
//! | 6 `Wipe` | | |
//!
//! The secrets come from the vault's own memory, or by a link of its own, so `Provision` has no argument. Numbers are
//! little-endian, as in every format here.

use he_core::edge::{BASE_PRIMES, DEGREE};
use he_core::wire::Header;
use he_firmware::model::TOKENS;

/// The version of the table.
pub const VERSION: u32 = 1;

/// Bytes of a message: one edge polynomial.
pub const MESSAGE: usize = 4 * DEGREE;
/// Bytes of an upload before its first ciphertext: header, number of ciphertexts, seed of masks.
pub const HEAD: usize = Header::BYTES + 4 + 32;
/// Bytes of a ciphertext: 25 bits for each coefficient and prime.
pub const CIPHERTEXT: usize = BASE_PRIMES * DEGREE * 25 / 8;
/// Bytes of what `Status` tells.
pub const REPORT: usize = 16;

/// Bytes of what `Answer` tells: a kind, then its fields.
///
/// | kind | fields |
/// |---|---|
/// | 0: progress | 4: stage; 4: stages; 4: milliseconds; 4: bytes of its name, at most 32; the name |
/// | 1: refusal | 4: code; 8: what would be needed; 4: bytes of the reason, at most 120; the reason |
/// | 2: answer | 8: scale, a double; 4 each: the scores and the canary, times the scale |
pub const RESULT: usize = 144;

/// What can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Operation {
    /// How things are.
    Status = 0,
    /// Take the secrets from memory, or from the key authority and keep them. Once, until the next `Wipe`.
    Provision = 1,
    /// Begin an exchange with the server, and its upload.
    Begin = 2,
    /// Encrypt the next message of the upload.
    Encrypt = 3,
    /// End the upload.
    Finish = 4,
    /// Authenticate a frame of the server's, and decrypt it if it is the answer.
    Answer = 5,
    /// Forget the secrets, those that are kept without power, too.
    Wipe = 6,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Status {
    /// As it should.
    Done = 0,
    /// There is no such operation.
    Operation = 1,
    /// The block is of another version.
    Version = 2,
    /// A range is not wholly memory that the caller may use so, or is misaligned, or overlaps the output.
    Pointer = 3,
    /// A range has a length that the operation does not take.
    Length = 4,
    /// An index or a message is out of range.
    Argument = 5,
    /// Not now: nothing is provisioned, or it already is, or no upload has begun.
    State = 6,
    /// A frame was altered, or is for another key, exchange or parameter set.
    Frame = 7,
    /// The answer's canary is broken.
    Canary = 8,
    /// The answer has another number of entries than the model has outputs.
    Entries = 9,
    /// There is no randomness, no number for the exchange, or no memory that keeps secrets.
    Exhausted = 10,
    /// The link to the key authority failed.
    Link = 11,
}

/// The lengths that an operation takes, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lengths {
    /// Least and most of the input, and what they are a multiple of, as is the address.
    pub input: (usize, usize, usize),
    /// The output.
    pub output: usize,
}

impl Operation {
    /// All of them, by number.
    pub const ALL: [Self; 7] = [
        Self::Status,
        Self::Provision,
        Self::Begin,
        Self::Encrypt,
        Self::Finish,
        Self::Answer,
        Self::Wipe,
    ];

    /// The operation with this number.
    #[must_use]
    pub fn parse(number: u32) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }

    /// What it takes.
    #[must_use]
    pub const fn lengths(self) -> Lengths {
        const FRAME: usize = Header::BYTES + Header::TAG;
        const NONE: (usize, usize, usize) = (0, 0, 1);
        let (input, output) = match self {
            Self::Status => (NONE, REPORT),
            Self::Provision | Self::Wipe => (NONE, 0),
            Self::Begin => ((2, 2 * TOKENS, 2), HEAD),
            Self::Encrypt => ((MESSAGE, MESSAGE, 4), CIPHERTEXT),
            Self::Finish => (NONE, Header::TAG),
            Self::Answer => ((FRAME, FRAME + 16 * 1024, 1), RESULT),
        };
        Lengths { input, output }
    }
}

impl Status {
    /// The status with this number. An unknown number is as good as a refusal.
    #[must_use]
    pub fn parse(number: u32) -> Self {
        const ALL: [Status; 12] = [
            Status::Done,
            Status::Operation,
            Status::Version,
            Status::Pointer,
            Status::Length,
            Status::Argument,
            Status::State,
            Status::Frame,
            Status::Canary,
            Status::Entries,
            Status::Exhausted,
            Status::Link,
        ];
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        ALL.get(index).copied().unwrap_or(Self::Operation)
    }
}

/// A range of addresses, as a caller states it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// The first address.
    pub start: u64,
    /// Bytes.
    pub length: u64,
}

/// The arguments of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// [`VERSION`].
    pub version: u32,
    /// Which ciphertext.
    pub index: u32,
    /// What the operation reads.
    pub input: Span,
    /// What it writes.
    pub output: Span,
}

impl Default for Block {
    fn default() -> Self {
        let (input, output) = (Span::default(), Span::default());
        Self { version: VERSION, index: 0, input, output }
    }
}

impl Block {
    /// Bytes of a block.
    pub const BYTES: usize = 40;
    /// What its address is a multiple of.
    pub const ALIGN: usize = 8;

    /// The block as it lies in memory.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(&self.version.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.index.to_le_bytes());
        let words = [self.input.start, self.input.length, self.output.start, self.output.length];
        for (to, word) in bytes[8..].chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Reads a block, whatever it says.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let half = |at: usize| u32::from_le_bytes(core::array::from_fn(|i| bytes[at + i]));
        let word = |at: usize| u64::from_le_bytes(core::array::from_fn(|i| bytes[at + i]));
        Self {
            version: half(0),
            index: half(4),
            input: Span { start: word(8), length: word(16) },
            output: Span { start: word(24), length: word(32) },
        }
    }
}

/// A block where it must lie.
#[derive(Debug)]
#[repr(C, align(8))]
pub struct Placed([u8; Block::BYTES]);

impl Placed {
    /// The block, in memory.
    #[must_use]
    pub fn new(block: &Block) -> Self {
        Self(block.to_bytes())
    }

    /// Its address, for a call while it lives.
    #[must_use]
    pub fn address(&self) -> usize {
        self.0.as_ptr().expose_provenance()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use he_core::wire::{Answer, UploadShape};
    use he_firmware::model::{CIPHERTEXTS, CLASSES, rings};

    #[test]
    fn an_upload_in_pieces_is_as_long_as_a_whole_one() {
        let primes = rings().map(|ring| ring.modulus());
        let count = u32::try_from(CIPHERTEXTS).unwrap();
        let body = UploadShape { degree: DEGREE, primes, count }.length();
        let whole = Header::BYTES + usize::try_from(body).unwrap() + Header::TAG;
        assert_eq!(HEAD + CIPHERTEXTS * CIPHERTEXT + Header::TAG, whole);
    }

    #[test]
    fn an_answer_of_the_model_fits_the_longest_input() {
        let body = Answer::length(DEGREE, CLASSES + 1, rings()[0].modulus());
        let (_, most, _) = Operation::Answer.lengths().input;
        assert!(Header::BYTES + usize::try_from(body).unwrap() + Header::TAG <= most);
    }

    #[test]
    fn numbers_are_read_as_they_are_written() {
        for (number, operation) in (0..).zip(Operation::ALL) {
            assert_eq!(operation as u32, number);
            assert_eq!(Operation::parse(number), Some(operation));
        }
        assert_eq!((Operation::parse(7), Operation::parse(u32::MAX)), (None, None));
        for number in 0..12 {
            assert_eq!(Status::parse(number) as u32, number);
        }
        assert_eq!(
            (Status::parse(12), Status::parse(u32::MAX)),
            (Status::Operation, Status::Operation)
        );
        let (input, output) = (Span { start: 1, length: 2 }, Span { start: u64::MAX, length: 3 });
        let block = Block { version: 7, index: 8, input, output };
        assert_eq!(Block::from_bytes(&block.to_bytes()), block);
    }
}
