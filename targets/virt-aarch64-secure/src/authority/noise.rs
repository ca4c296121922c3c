//! Seeds from the processor's random number instruction.

use core::arch::asm;

use he_entropy::{Claim, Generator, Noise, Silent};
use key_authority::Error;
use rand_core::TryRng;

/// `RNDR` (Arm ARM, K.a, C5.2.19), 64 bits at a time.
struct Rndr {
    word: u64,
    left: u32,
}

impl Noise for Rndr {
    /// The instruction gives the output of a generator that a noise source seeds (its section
    /// demands SP 800-90A and B of the processor's maker), not noise; so half of it is claimed.
    const CLAIM: Claim = Claim::new(8, 64, 30);

    fn sample(&mut self) -> Result<u8, Silent> {
        if self.left == 0 {
            self.word = rndr().ok_or(Silent)?;
            self.left = 8;
        }
        self.left -= 1;
        let [sample, ..] = self.word.to_le_bytes();
        self.word >>= 8;
        Ok(sample)
    }
}

/// The next 64 bits, if the processor has the instruction and it has them.
fn rndr() -> Option<u64> {
    let features: u64;
    // SAFETY: reads which instructions there are.
    unsafe { asm!("mrs {}, id_aa64isar0_el1", out(reg) features, options(nomem, nostack)) };
    if features >> 60 == 0 {
        return None;
    }
    let (word, is_valid): (u64, u64);
    // SAFETY: the processor has the register; it says in its flags whether the word is one.
    unsafe {
        asm!("mrs {}, s3_3_c2_c4_0", "cset {}, ne", out(reg) word, out(reg) is_valid,
            options(nomem, nostack));
    }
    (is_valid == 1).then_some(word)
}

/// A seed of the processor's, through health tests.
///
/// # Errors
/// [`Error::Entropy`] if the processor has no such instruction, or what it gives is not healthy.
pub fn seed_of_processor() -> Result<[u8; 32], Error> {
    let noise = Rndr { word: 0, left: 0 };
    let mut generator = Generator::start(noise).map_err(|_| Error::Entropy)?;
    let mut seed = [0; 32];
    generator.try_fill_bytes(&mut seed).map_err(|_| Error::Entropy)?;
    Ok(seed)
}
