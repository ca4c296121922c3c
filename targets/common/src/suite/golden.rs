//! Digests of what must come out the same everywhere.

/// One `name digest` a line; written by `golden.py`, which shares no code with the project.
pub(super) const TEXT: &str = include_str!("../../golden.txt");

/// The same for slots, written by `slots.py`.
const SLOTS: &str = include_str!("../../slots.txt");

/// FNV-1a of Fowler, Noll and Vo, 64 bits: tells different bytes apart, resists nobody.
#[derive(Debug, Clone, Copy)]
pub(super) struct Digest(u64);

impl Digest {
    pub(super) const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub(super) fn words(&mut self, words: &[u32]) {
        for word in words {
            self.bytes(&word.to_le_bytes());
        }
    }

    pub(super) const fn value(self) -> u64 {
        self.0
    }
}

/// Whether the files have this digest for `name`.
pub(super) fn agrees(name: &str, digest: Digest) -> bool {
    let mut lines = TEXT.lines().chain(SLOTS.lines());
    let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|hex| u64::from_str_radix(hex, 16).ok()) == Some(digest.value())
}

/// All digests as this machine computes them.
#[cfg(test)]
pub(super) fn computed() -> [(&'static str, u64); 6] {
    use super::{crypto, numbers, small, text};
    let mut seen = Digest::new();
    crypto::encrypt_golden(|_, limb| seen.words(limb)).unwrap();
    [
        (numbers::UNIFORM, numbers::uniform_digest().value()),
        (numbers::TERNARY, numbers::ternary_digest().value()),
        (numbers::ERRORS, numbers::errors_digest().value()),
        (text::MESSAGES, text::messages_digest().unwrap().value()),
        (crypto::NAME, seen.value()),
        (small::NAME, small::digest().unwrap().value()),
    ]
}
