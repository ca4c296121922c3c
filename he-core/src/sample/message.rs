//! Seeds for one message that cannot repeat for another, whatever fails.
//!
//! Two messages under one mask give away their difference. So a seed depends on a counter, on fresh
//! randomness *and* on the message: with a dead random number generator and a counter that was
//! rolled back, the same seeds can return only for the same message, which shows that it is the
//! same and nothing else. This is the idea of synthetic initialisation vectors (Rogaway and
//! Shrimpton, *A Provable-Security Treatment of the Key-Wrap Problem*, EUROCRYPT 2006).

use zeroize::Zeroize;

use super::keyed::{HASH, KeyedHash, prf};
use super::{Purpose, SecretSeed, Seed};

/// What the key of the pseudorandom function is derived as.
const MESSAGE_SEEDS: u32 = u32::from_le_bytes(*b"siv1");

/// The seeds of one message.
#[expect(missing_debug_implementations, reason = "a secret is not printed")]
pub struct MessageSeeds {
    /// What the masks are expanded from; sent with the ciphertexts.
    pub mask: Seed,
    /// What the errors are expanded from; never leaves the device.
    pub error: SecretSeed,
}

impl MessageSeeds {
    /// Seeds for the message with this `digest`.
    ///
    /// `key` is a long-term secret seed for this purpose; `counter` should never come back, and
    /// `fresh` should be random: each protects against the failure of the other.
    #[must_use]
    pub fn derive(
        key: &SecretSeed,
        counter: u64,
        fresh: &[u8; 32],
        digest: &MessageDigest,
    ) -> Self {
        let mut input = [0; 60];
        input[..HASH].copy_from_slice(&digest.0.finish());
        input[16..24].copy_from_slice(&counter.to_le_bytes());
        input[24..56].copy_from_slice(fresh);
        let mut output = prf(&key.derive_any(MESSAGE_SEEDS, 0), &input);
        let (mut mask, mut error) = ([0; Seed::BYTES], [0; SecretSeed::BYTES]);
        mask.copy_from_slice(&output[..32]);
        error.copy_from_slice(&output[32..]);
        let seeds = Self { mask: Seed::new(mask), error: SecretSeed::new(error) };
        input.zeroize();
        output.zeroize();
        error.zeroize();
        seeds
    }
}

/// A keyed digest of a message, fed in any pieces.
#[expect(missing_debug_implementations, reason = "a secret is not printed")]
pub struct MessageDigest(KeyedHash);

impl MessageDigest {
    /// An empty message under the same `key` that the seeds are derived with.
    #[must_use]
    pub fn new(key: &SecretSeed) -> Self {
        Self(KeyedHash::new(key, Purpose::DigestKey))
    }

    /// Appends bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}
