//! Seeds from the processor's random number instructions.

use core::arch::x86_64::{__cpuid, __cpuid_count, _rdrand64_step, _rdseed64_step};

use he_entropy::{Claim, Generator, Noise, Silent};
use key_authority::Error;
use rand_core::TryRng;

/// Bit of `ecx` in leaf 1.
const RDRAND: u32 = 1 << 30;
/// Bit of `ebx` in leaf 7.
const RDSEED: u32 = 1 << 18;
/// How often an instruction that has nothing now is asked again.
const PATIENCE: u32 = 1000;

/// `RDSEED`, or `RDRAND` where there is no other, 64 bits at a time.
struct Processor {
    word: u64,
    left: u32,
}

impl Noise for Processor {
    /// Both give the output of a conditioner or generator, not noise (Intel, *Digital Random Number
    /// Generator Software Implementation Guide*, 3.2); so half of it is claimed.
    const CLAIM: Claim = Claim::new(8, 64, 30);

    fn sample(&mut self) -> Result<u8, Silent> {
        if self.left == 0 {
            self.word = (0..PATIENCE).find_map(|_| word()).ok_or(Silent)?;
            self.left = 8;
        }
        self.left -= 1;
        let [sample, ..] = self.word.to_le_bytes();
        self.word >>= 8;
        Ok(sample)
    }
}

/// The next 64 bits, if the processor has an instruction for it and that has them now.
fn word() -> Option<u64> {
    let mut word = 0;
    let has_rdseed = __cpuid(0).eax >= 7 && __cpuid_count(7, 0).ebx & RDSEED != 0;
    let carry = if has_rdseed {
        // SAFETY: the processor has the instruction.
        unsafe { _rdseed64_step(&mut word) }
    } else if __cpuid(1).ecx & RDRAND != 0 {
        // SAFETY: the processor has the instruction.
        unsafe { _rdrand64_step(&mut word) }
    } else {
        0
    };
    (carry == 1).then_some(word)
}

/// A seed of the processor's, through health tests.
///
/// # Errors
/// [`Error::Entropy`] if the processor has no such instruction, or what it gives is not healthy.
pub fn seed() -> Result<[u8; 32], Error> {
    let noise = Processor { word: 0, left: 0 };
    let mut generator = Generator::start(noise).map_err(|_| Error::Entropy)?;
    let mut seed = [0; 32];
    generator.try_fill_bytes(&mut seed).map_err(|_| Error::Entropy)?;
    Ok(seed)
}
