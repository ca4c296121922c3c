//! Seeds for one message that cannot repeat for another, whatever fails.
//!
//! Two messages under one mask give away their difference. So a seed depends on a counter, on fresh
//! randomness *and* on the message: with a dead random number generator and a counter that was
//! rolled back, the same seeds can return only for the same message, which shows that it is the
//! same and nothing else. This is the idea of synthetic initialisation vectors (Rogaway and
//! Shrimpton, *A Provable-Security Treatment of the Key-Wrap Problem*, EUROCRYPT 2006).
//!
//! The message is hashed by Poly1305 under a secret key that is used for nothing else; the seeds
//! are a pseudorandom function of digest, counter and randomness. That function is the cascade of
//! Bellare, Canetti and Krawczyk (FOCS 1996): the ChaCha20 block, keyed by the previous output,
//! takes 12 bytes at a time in its nonce, and the number of steps is always the same.

use chacha20::cipher::Array;
use poly1305::Poly1305;
use poly1305::universal_hash::{KeyInit, UniversalHash};
use zeroize::Zeroize;

use super::{Keystream, Purpose, SecretSeed, Seed};

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
    pub fn derive(key: &SecretSeed, counter: u64, fresh: &[u8; 32], digest: MessageDigest) -> Self {
        let mut input = [0; 60];
        input[..16].copy_from_slice(&digest.finish());
        input[16..24].copy_from_slice(&counter.to_le_bytes());
        input[24..56].copy_from_slice(fresh);
        let root = key.derive(MESSAGE_SEEDS, 0);
        let mut state = *root.bytes();
        let mut mask = [0; Seed::BYTES];
        let mut error = [0; Seed::BYTES];
        for (step, part) in input.chunks_exact(12).enumerate() {
            let (words, _) = part.as_chunks();
            let nonce = core::array::from_fn(|i| u32::from_le_bytes(words[i]));
            let mut stream = Keystream::new(&state, nonce);
            let block = stream.next_block();
            state.copy_from_slice(&block[..32]);
            if step == input.len() / 12 - 1 {
                mask.copy_from_slice(&block[..32]);
                error.copy_from_slice(&block[32..]);
            }
        }
        let seeds = Self { mask: Seed::new(mask), error: SecretSeed::new(error) };
        input.zeroize();
        state.zeroize();
        error.zeroize();
        seeds
    }
}

/// What [`MessageSeeds::derive`] derives its key as.
const MESSAGE_SEEDS: u32 = u32::from_le_bytes(*b"siv1");

/// A keyed digest of a message, fed in any pieces.
#[expect(missing_debug_implementations, reason = "a secret is not printed")]
pub struct MessageDigest {
    hash: Poly1305,
    pending: [u8; 16],
    filled: usize,
}

impl MessageDigest {
    /// An empty message under the same `key` that the seeds are derived with.
    #[must_use]
    pub fn new(key: &SecretSeed) -> Self {
        let mut stream = Keystream::secret(key, Purpose::DigestKey, 0, 0);
        let (key, _) = stream.next_block().split_at(32);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(key);
        let hash = Poly1305::new((&bytes).into());
        bytes.zeroize();
        Self { hash, pending: [0; 16], filled: 0 }
    }

    /// Appends bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.pending[self.filled] = byte;
            self.filled += 1;
            if self.filled == self.pending.len() {
                self.hash.update(&[Array(self.pending)]);
                self.filled = 0;
            }
        }
    }

    fn finish(mut self) -> [u8; 16] {
        let hash = self.hash.clone();
        let tag = hash.compute_unpadded(&self.pending[..self.filled]).0;
        self.pending.zeroize();
        tag
    }
}

impl Drop for MessageDigest {
    fn drop(&mut self) {
        self.pending.zeroize();
    }
}
