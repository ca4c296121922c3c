//! A keyed hash and a pseudorandom function, from Poly1305 and `ChaCha20`.

use chacha20::cipher::Array;
use poly1305::Poly1305;
use poly1305::universal_hash::{KeyInit, UniversalHash};
use zeroize::Zeroize;

use super::{Keystream, Purpose, SecretSeed};

/// Bytes of a hash.
pub(crate) const HASH: usize = 16;

/// Poly1305 of RFC 8439, fed in any pieces.
///
/// Its key is used for many messages, so a hash must not leave this crate: it is the input of
/// [`prf`], and the two together are a pseudorandom function of the message.
pub(crate) struct KeyedHash {
    hash: Poly1305,
    pending: [u8; HASH],
    filled: usize,
}

impl KeyedHash {
    pub(crate) fn new(seed: &SecretSeed, purpose: Purpose) -> Self {
        let mut stream = Keystream::secret(seed, purpose, 0, 0);
        let mut key = [0; 32];
        key.copy_from_slice(&stream.next_block()[..32]);
        let hash = Poly1305::new((&key).into());
        key.zeroize();
        Self { hash, pending: [0; HASH], filled: 0 }
    }

    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        if self.filled > 0 {
            let (head, rest) = bytes.split_at(bytes.len().min(HASH - self.filled));
            self.pending[self.filled..self.filled + head.len()].copy_from_slice(head);
            self.filled += head.len();
            bytes = rest;
            if self.filled < HASH {
                return;
            }
            self.hash.update(&[Array(self.pending)]);
        }
        let (blocks, rest) = Array::slice_as_chunks(bytes);
        self.hash.update(blocks);
        self.pending[..rest.len()].copy_from_slice(rest);
        self.filled = rest.len();
    }

    pub(crate) fn finish(&self) -> [u8; HASH] {
        self.hash.clone().compute_unpadded(&self.pending[..self.filled]).0
    }
}

impl Drop for KeyedHash {
    fn drop(&mut self) {
        self.pending.zeroize();
    }
}

/// A pseudorandom function of inputs of one length: the cascade of Bellare, Canetti and Krawczyk
/// (*Pseudorandom functions revisited*, FOCS 1996). The `ChaCha20` block keyed by the last output takes
/// 12 bytes at a time in its nonce.
///
/// Inputs under one key must have one length, a multiple of 12.
pub(crate) fn prf(key: &SecretSeed, input: &[u8]) -> [u8; 64] {
    debug_assert!(!input.is_empty() && input.len().is_multiple_of(12));
    let mut output = [0; 64];
    output[..32].copy_from_slice(key.bytes());
    let (parts, _) = input.as_chunks::<12>();
    for part in parts {
        let (words, _) = part.as_chunks();
        let nonce = core::array::from_fn(|i| u32::from_le_bytes(words[i]));
        let mut state = [0; 32];
        state.copy_from_slice(&output[..32]);
        output.copy_from_slice(Keystream::new(&state, nonce).next_block());
        state.zeroize();
    }
    output
}
