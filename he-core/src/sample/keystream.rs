//! The `ChaCha20` keystream, a block or four at a time.

use chacha20::ChaChaCore;
use chacha20::R20;
use chacha20::cipher::{KeyIvInit, StreamCipherCore};
use chacha20::variants::Ietf;
use zeroize::Zeroize;

use super::{Purpose, SecretSeed, Seed};

/// Bytes of one `ChaCha20` block.
pub(crate) const BLOCK: usize = 64;

/// Blocks made in one call, so that wide processors work on several.
const BATCH: usize = 4;

type Block = chacha20::cipher::Block<ChaChaCore<R20, Ietf>>;

/// A keystream in little-endian bytes; its state and buffer are erased on drop.
pub(crate) struct Keystream {
    core: ChaChaCore<R20, Ietf>,
    blocks: [Block; BATCH],
    /// Blocks of the buffer already handed out.
    used: usize,
}

impl Keystream {
    pub(crate) fn public(seed: &Seed, domain: u32, index: u32, prime: u32) -> Self {
        debug_assert!(domain >> 31 == 0, "public domains leave the top bit to secrets");
        Self::new(seed.as_bytes(), [domain, index, prime])
    }

    pub(crate) fn secret(seed: &SecretSeed, purpose: Purpose, index: u32, extra: u32) -> Self {
        Self::new(seed.bytes(), [purpose as u32, index, extra])
    }

    pub(super) fn new(key: &[u8; 32], nonce: [u32; 3]) -> Self {
        let mut bytes = [0; 12];
        for (bytes, word) in bytes.chunks_exact_mut(4).zip(nonce) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        let core = ChaChaCore::new(key.into(), (&bytes).into());
        Self { core, blocks: [Block::default(); BATCH], used: BATCH }
    }

    /// The next 64 bytes.
    pub(crate) fn next_block(&mut self) -> &[u8; BLOCK] {
        if self.used == BATCH {
            self.core.write_keystream_blocks(&mut self.blocks);
            self.used = 0;
        }
        self.used += 1;
        self.blocks[self.used - 1].as_ref()
    }

    /// The next 64 bytes as 16 words.
    pub(crate) fn next_words(&mut self) -> [u32; BLOCK / 4] {
        let (bytes, _) = self.next_block().as_chunks();
        core::array::from_fn(|i| u32::from_le_bytes(bytes[i]))
    }
}

impl Drop for Keystream {
    fn drop(&mut self) {
        for block in &mut self.blocks {
            block.as_mut_slice().zeroize();
        }
    }
}
