//! What goes over a wire or into a file, byte by byte.
//!
//! Everything is a frame, in little-endian order:
//!
//! | bytes | field |
//! |---|---|
//! | 4 | magic, `HELM` |
//! | 2 | version, 1 |
//! | 2 | [`Kind`] |
//! | 8 | digest of the parameter set |
//! | 8 | sequence number of the exchange; never the same twice under one key |
//! | 4 | part: the number of this frame among those of the exchange in this direction |
//! | 4 | length of the body |
//! | … | body, by kind |
//! | 16 | tag |
//!
//! A kind goes in one direction only, so kind, sequence and part together name a frame, and a reader
//! knows which one it waits for: frames that are replayed, swapped or of another exchange are refused
//! like altered ones. The tag is a pseudorandom function of all bytes before it, under a transport key
//! that device and server share: Poly1305 (RFC 8439) and then two `ChaCha20` blocks. A sequence number
//! that comes back by accident therefore costs freshness and no more. Files and the link from the key
//! authority use the key of zeros ([`TransportKey::checksum`]), which detects accidents only.
//!
//! Writers and readers work through closures and need no memory but what is passed in. Lengths are
//! checked before anything is stored, residues against their primes; a reader's result is to be used
//! only if `finish` or `read` returned it.

mod adapter;
mod answer;
pub(crate) mod bits;
mod frame;
#[cfg(feature = "alloc")]
mod limbs;
#[cfg(feature = "alloc")]
mod key;
#[cfg(feature = "alloc")]
mod pair;
mod provision;
mod residues;
#[cfg(feature = "alloc")]
mod shape;
mod status;
mod upload;

use crate::Error;
use crate::sample::SecretSeed;

pub use adapter::AdapterHead;
pub use answer::{Answer, AnswerEntry};
pub use bits::packed_len;
pub use frame::{FrameReader, FrameWriter, Link};
#[cfg(feature = "alloc")]
pub use key::{KeyChunk, KeyHead};
#[cfg(feature = "alloc")]
pub use limbs::LimbWriter;
#[cfg(feature = "alloc")]
pub use pair::{Pair, PairHead};
pub use provision::Provision;
pub use residues::Residues;
#[cfg(feature = "alloc")]
pub use shape::RingShape;
pub use status::{Progress, Refusal, Text};
#[cfg(feature = "alloc")]
pub use upload::Upload;
pub use upload::{UploadShape, UploadWriter};

/// The version that is written and read.
pub const VERSION: u16 = 1;

/// The first bytes of every frame.
pub const MAGIC: [u8; 4] = *b"HELM";

/// What a frame holds, and so who sends it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u16)]
pub enum Kind {
    /// Device to server: encrypted rows.
    Upload = 1,
    /// Server to device: the encrypted result.
    Answer = 2,
    /// Server to device: how far the work is.
    Progress = 3,
    /// Server to device: why there will be no answer.
    Refusal = 4,
    /// Key authority to device: its secrets.
    Provision = 5,
    /// Key authority to server: a part of an evaluation key.
    EvaluationKey = 6,
    /// Key authority to owner: what an owner encrypts with.
    PublicKey = 7,
    /// Owner to server: encrypted slots.
    Ciphertext = 8,
    /// Owner to server: what the ciphertexts of an adapter are.
    Adapter = 9,
    /// Device to any server: a ciphertext with slots, or a public key for them. Its body is that of
    /// [`SlotHead`](crate::slots::SlotHead).
    Slots = 10,
    /// Owner to server: what is asked of a job of training.
    Request = 11,
    /// Server to owner: what is said to that.
    Reply = 12,
}

impl Kind {
    fn parse(value: u16) -> Result<Self, Error> {
        match value {
            1 => Ok(Self::Upload),
            2 => Ok(Self::Answer),
            3 => Ok(Self::Progress),
            4 => Ok(Self::Refusal),
            5 => Ok(Self::Provision),
            6 => Ok(Self::EvaluationKey),
            7 => Ok(Self::PublicKey),
            8 => Ok(Self::Ciphertext),
            9 => Ok(Self::Adapter),
            10 => Ok(Self::Slots),
            11 => Ok(Self::Request),
            12 => Ok(Self::Reply),
            _ => Err(Error::Malformed("a frame of an unknown kind")),
        }
    }
}

/// What frames are authenticated with. It protects no ciphertext: who has it can send false frames,
/// but read nothing.
#[expect(missing_debug_implementations, reason = "a secret is not printed")]
pub struct TransportKey(SecretSeed);

impl TransportKey {
    /// The key that device and server share.
    #[must_use]
    pub const fn new(seed: SecretSeed) -> Self {
        Self(seed)
    }

    /// The key of zeros, for files and trusted links: detects accidents, not attacks.
    #[must_use]
    pub const fn checksum() -> Self {
        Self(SecretSeed::new([0; SecretSeed::BYTES]))
    }
}

/// The header of a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header {
    /// What the body is.
    pub kind: Kind,
    /// The digest of the parameter set.
    pub digest: u64,
    /// The exchange.
    pub sequence: u64,
    /// The number of the frame in the exchange.
    pub part: u32,
    /// Bytes of the body.
    pub length: u32,
}

impl Header {
    /// Bytes of a header.
    pub const BYTES: usize = 32;

    /// Bytes of a tag.
    pub const TAG: usize = 16;

    /// The header as sent.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..6].copy_from_slice(&VERSION.to_le_bytes());
        bytes[6..8].copy_from_slice(&(self.kind as u16).to_le_bytes());
        bytes[8..16].copy_from_slice(&self.digest.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.part.to_le_bytes());
        bytes[28..].copy_from_slice(&self.length.to_le_bytes());
        bytes
    }

    /// Reads a header; says nothing yet about who wrote it.
    ///
    /// # Errors
    /// If magic, version or kind are not known.
    pub fn parse(bytes: &[u8; Self::BYTES]) -> Result<Self, Error> {
        if bytes[..4] != MAGIC {
            return Err(Error::Malformed("not a frame of this project"));
        }
        if bytes[4..6] != VERSION.to_le_bytes() {
            return Err(Error::Malformed("a frame of another version"));
        }
        Ok(Self {
            kind: Kind::parse(u16::from_le_bytes([bytes[6], bytes[7]]))?,
            digest: u64::from_le_bytes(field(bytes, 8)),
            sequence: u64::from_le_bytes(field(bytes, 16)),
            part: u32::from_le_bytes(field(bytes, 24)),
            length: u32::from_le_bytes(field(bytes, 28)),
        })
    }
}

/// The `N` bytes from `start`.
fn field<const N: usize>(bytes: &[u8], start: usize) -> [u8; N] {
    core::array::from_fn(|i| bytes[start + i])
}

#[cfg(test)]
mod tests;
