//! Uniform residues by rejection: public, so in variable time.

use super::Seed;
use super::keystream::{BLOCK, Keystream};
use crate::modulus::Modulus;

/// Words of one keystream block.
const WORDS: usize = BLOCK / 4;

/// Fills `out` with uniform residues below `q`: the words of the stream `(domain, index, q)`, masked
/// to the bit length of `q`, in order, without those that are not below `q`.
pub fn uniform(seed: &Seed, domain: u32, index: u32, q: Modulus, out: &mut [u32]) {
    UniformStream::new(seed, domain, index, q).fill(out);
}

/// The same residues piece by piece, for devices that have no room for all of them.
#[expect(missing_debug_implementations, reason = "the position in a stream says nothing useful")]
pub struct UniformStream {
    keystream: Keystream,
    bound: u32,
    mask: u32,
    /// The current block; the words from `next` on are unused.
    words: [u32; WORDS],
    next: usize,
}

impl UniformStream {
    /// Starts at the first residue.
    #[must_use]
    pub fn new(seed: &Seed, domain: u32, index: u32, q: Modulus) -> Self {
        let bound = q.value();
        Self {
            keystream: Keystream::public(seed, domain, index, bound),
            bound,
            mask: u32::MAX >> bound.leading_zeros(),
            words: [0; WORDS],
            next: WORDS,
        }
    }

    /// The next `out.len()` residues.
    pub fn fill(&mut self, out: &mut [u32]) {
        let mut filled = 0;
        while filled < out.len() {
            if self.next == WORDS {
                self.words = self.keystream.next_words();
                self.next = 0;
            }
            while self.next < WORDS && filled < out.len() {
                let candidate = self.words[self.next] & self.mask;
                self.next += 1;
                // Written in any case, kept if it is below the bound.
                out[filled] = candidate;
                filled += usize::from(candidate < self.bound);
            }
        }
    }
}
