//! Seeds, and what is expanded from them: uniform residues, ternary secrets, errors.
//!
//! The expander is the `ChaCha20` keystream of RFC 8439. The key is the seed; the nonce is three
//! little-endian words: what the stream is for, the index of the object, and the prime (zero where
//! there is none). So every limb of every object has a stream of its own and can be made again
//! without the others. Public and secret seeds are different types, and no purpose that secret
//! seeds serve can be asked of a public one.

mod error;
mod keyed;
mod keystream;
mod message;
mod ternary;
mod uniform;

use rand_core::CryptoRng;
use zeroize::Zeroize;

pub use error::{ERROR_BOUND, ERROR_VARIANCE, errors, errors_each};
pub use message::{MessageDigest, MessageSeeds};
pub use ternary::Ternary;
pub use uniform::{uniform, uniform_each};

pub(crate) use keyed::{HASH, KeyedHash, prf};
pub(crate) use keystream::Keystream;

/// What a public stream is for: the first word of its nonce.
pub mod domain {
    /// The masks of edge ciphertexts, in evaluation form.
    pub const EDGE_MASK: u32 = 1;
    /// The masks of evaluation keys, in evaluation form.
    pub const EVALUATION_KEY: u32 = 2;
    /// The mask of a public key, in evaluation form.
    pub const PUBLIC_KEY: u32 = 3;
    /// The masks of seeded ciphertexts of the big ring, in evaluation form.
    pub const CIPHERTEXT: u32 = 4;
}

/// What a secret stream is for. The top bit keeps these apart from every public domain.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum Purpose {
    Error = 0x8000_0001,
    Ternary = 0x8000_0002,
    SparseTernary = 0x8000_0003,
    Derive = 0x8000_0004,
    DigestKey = 0x8000_0005,
    FrameHash = 0x8000_0006,
    FrugalTernary = 0x8000_0007,
}

/// The seed of public masks. Whoever reads a ciphertext may know it; it is never used for two.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Seed([u8; Self::BYTES]);

impl Seed {
    /// The length of a seed.
    pub const BYTES: usize = 32;

    /// Wraps 32 bytes, which must not have been used for another object.
    #[must_use]
    pub const fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// A fresh seed.
    #[must_use]
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; Self::BYTES];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// The bytes, for the wire.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

/// The seed of secrets and errors. It can be neither printed nor copied, and is erased on drop.
#[expect(missing_debug_implementations, reason = "a secret is not printed")]
pub struct SecretSeed([u8; Self::BYTES]);

impl SecretSeed {
    /// The length of a seed.
    pub const BYTES: usize = 32;

    /// Wraps 32 bytes of full entropy; the caller erases the original.
    #[must_use]
    pub const fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// A fresh seed.
    #[must_use]
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut seed = Self([0; Self::BYTES]);
        rng.fill_bytes(&mut seed.0);
        seed
    }

    /// Another secret seed for the object `index` of a kind that the caller numbers below 2^24: how a
    /// key authority gets all of its secrets from one master seed.
    ///
    /// # Panics
    /// If `kind` is not below 2^24.
    #[must_use]
    pub fn derive(&self, kind: u32, index: u32) -> Self {
        assert!(kind >> 24 == 0, "larger kinds are for this crate");
        self.derive_any(kind, index)
    }

    /// The same for any kind; this crate's are four letters.
    pub(crate) fn derive_any(&self, kind: u32, index: u32) -> Self {
        let mut stream = Keystream::secret(self, Purpose::Derive, index, kind);
        let mut seed = Self([0; Self::BYTES]);
        seed.0.copy_from_slice(&stream.next_block()[..Self::BYTES]);
        seed
    }

    pub(crate) const fn bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl Drop for SecretSeed {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests;
