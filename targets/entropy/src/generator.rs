//! Seeds from noise, bytes from seeds, and the refusal to go on without noise.

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use core::fmt;
use rand_core::{TryCryptoRng, TryRng};
use sha2::{Digest, Sha256};
use zeroize::Zeroize;

use crate::claim::{Claim, Cutoffs};
use crate::health::{Alarm, Health};

/// A board's source of noise, before any conditioning of the board's own if that can be switched off.
///
/// A source of single bits is best read eight bits a sample: bits that alternate pass the health
/// tests as bits, and are a stuck source as bytes.
pub trait Noise {
    /// What is claimed of a sample.
    const CLAIM: Claim;

    /// The next sample, in the low bits that the claim names.
    ///
    /// # Errors
    /// [`Silent`] if none came in the time in which one should.
    fn sample(&mut self) -> Result<u8, Silent>;
}

/// The source gave no sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silent;

/// Why there are no random bytes, now or ever again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The source gave no sample.
    Silent,
    /// A health test raised an alarm.
    Unhealthy(Alarm),
    /// The samples of a seed were those of the seed before.
    Replayed,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silent => "the noise source is silent",
            Self::Unhealthy(Alarm::Repetition) => "the noise source repeats a sample",
            Self::Unhealthy(Alarm::Proportion) => "the noise source prefers a sample",
            Self::Replayed => "the noise source repeats its samples",
        })
    }
}

impl core::error::Error for Failure {}

/// Least samples that are tested before the first byte is given (SP 800-90B, section 4.3).
const STARTUP: u32 = 1024;
/// Bytes after which a seed is used up.
const BYTES_OF_A_SEED: usize = 1 << 16;
/// Requests after which a seed is used up.
const REQUESTS_OF_A_SEED: u32 = 1 << 10;
const HASH: usize = 32;

/// A generator of random bytes on a source of noise.
///
/// The key is replaced at each request before any output leaves ("fast key erasure", Bernstein 2017),
/// so what the generator holds tells nothing of what it gave. It cannot be copied or printed.
#[expect(missing_debug_implementations, reason = "a secret is not printed")]
pub struct Generator<N> {
    noise: N,
    health: Health,
    key: [u8; HASH],
    /// Digest of the samples of the last seed.
    samples: [u8; HASH],
    bytes: usize,
    requests: u32,
    failure: Option<Failure>,
}

impl<N: Noise> Generator<N> {
    const CUTOFFS: Cutoffs = Cutoffs::of(N::CLAIM);

    /// Tests at least 1024 samples, and makes the first seed of all of them.
    ///
    /// # Errors
    /// What is wrong with the source; nothing is left to ask for bytes then.
    pub fn start(noise: N) -> Result<Self, Failure> {
        let mut generator = Self {
            noise,
            health: Health::new(Self::CUTOFFS),
            key: [0; HASH],
            samples: [0; HASH],
            bytes: 0,
            requests: 0,
            failure: None,
        };
        // At least two, so that a source that replays a seed's samples never starts.
        for _ in 0..STARTUP.div_ceil(N::CLAIM.samples_of_a_seed()).max(2) {
            generator.reseed()?;
        }
        Ok(generator)
    }

    /// Mixes a fresh seed into the key, whether or not the one in use is used up.
    ///
    /// # Errors
    /// What is or was wrong with the source.
    pub fn reseed(&mut self) -> Result<(), Failure> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let Err(failure) = self.try_reseed() else { return Ok(()) };
        self.failure = Some(failure);
        self.wipe();
        Err(failure)
    }

    fn try_reseed(&mut self) -> Result<(), Failure> {
        let mut hash = Sha256::new();
        for _ in 0..N::CLAIM.samples_of_a_seed() {
            let sample = self.noise.sample().map_err(|Silent| Failure::Silent)?;
            self.health.feed(sample).map_err(Failure::Unhealthy)?;
            hash.update([sample]);
        }
        let mut samples: [u8; HASH] = hash.finalize().into();
        // Both digests are secret, but that they are equal ends it all.
        if samples == self.samples {
            return Err(Failure::Replayed);
        }
        let key = Sha256::new().chain_update(b"he-entropy 1").chain_update(self.key);
        self.key = key.chain_update(samples).finalize().into();
        self.samples = samples;
        samples.zeroize();
        (self.bytes, self.requests) = (BYTES_OF_A_SEED, REQUESTS_OF_A_SEED);
        Ok(())
    }
}

impl<N> Generator<N> {
    fn wipe(&mut self) {
        self.key.zeroize();
        self.samples.zeroize();
    }
}

impl<N> Drop for Generator<N> {
    fn drop(&mut self) {
        self.wipe();
    }
}

impl<N: Noise> TryRng for Generator<N> {
    type Error = Failure;

    fn try_next_u32(&mut self) -> Result<u32, Failure> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Failure> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Failure> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        if self.bytes == 0 || self.requests == 0 {
            self.reseed()?;
        }
        self.bytes = self.bytes.saturating_sub(bytes.len());
        self.requests -= 1;
        let mut cipher = ChaCha20::new(&self.key.into(), &[0; 12].into());
        self.key.fill(0);
        cipher.apply_keystream(&mut self.key);
        bytes.fill(0);
        cipher.apply_keystream(bytes);
        Ok(())
    }
}

impl<N: Noise> TryCryptoRng for Generator<N> {}

#[cfg(test)]
mod tests {
    use super::*;
    use chacha20::ChaCha20Rng;
    use chacha20::rand_core::{Rng, SeedableRng};

    /// What becomes of the sample of a number.
    type Fault = fn(u32) -> Result<u8, Silent>;

    /// Good samples until one number is reached, then faulty ones.
    struct Source {
        rng: ChaCha20Rng,
        taken: u32,
        good: u32,
        fault: Fault,
    }

    impl Noise for Source {
        const CLAIM: Claim = Claim::new(8, 64, 30);

        fn sample(&mut self) -> Result<u8, Silent> {
            self.taken += 1;
            let sample = self.rng.next_u32().to_le_bytes()[0];
            if self.taken > self.good { (self.fault)(self.taken) } else { Ok(sample) }
        }
    }

    fn source(seed: u8, good: u32, fault: Fault) -> Source {
        Source { rng: ChaCha20Rng::from_seed([seed; 32]), taken: 0, good, fault }
    }

    fn good(seed: u8) -> Generator<Source> {
        Generator::start(source(seed, u32::MAX, |_| Err(Silent))).unwrap()
    }

    const DRAW: u32 = 80;
    const STARTED: u32 = 1040;

    #[test]
    fn the_first_seed_is_made_of_at_least_1024_samples() {
        assert_eq!(Source::CLAIM.samples_of_a_seed(), DRAW);
        assert_eq!(good(1).noise.taken, STARTED);
    }

    #[test]
    fn sources_that_are_dead_stuck_or_periodic_never_start() {
        let cases: [(Fault, Failure); 5] = [
            (|_| Err(Silent), Failure::Silent),
            (|_| Ok(0), Failure::Unhealthy(Alarm::Repetition)),
            (|_| Ok(0xff), Failure::Unhealthy(Alarm::Repetition)),
            (|i| Ok((i % 2) as u8), Failure::Unhealthy(Alarm::Proportion)),
            (|i| Ok((i % DRAW) as u8), Failure::Replayed),
        ];
        for (fault, expected) in cases {
            assert_eq!(Generator::start(source(1, 0, fault)).err(), Some(expected));
        }
        // One fault of each in the very last sample or stretch of the start-up counts as well.
        let late = Generator::start(source(1, STARTED - 1, |_| Err(Silent)));
        assert_eq!(late.err(), Some(Failure::Silent));
    }

    #[test]
    fn a_source_that_dies_later_ends_the_generator_for_good() {
        // Alive again after 200 samples, which must not help.
        let fault = |i| if i < STARTED + 200 { Ok(5) } else { Ok(u8::from(i % 3 == 0)) };
        let mut generator = Generator::start(source(2, STARTED, fault)).unwrap();
        let mut bytes = [0; 1024];
        for _ in 0..BYTES_OF_A_SEED / bytes.len() {
            assert_eq!(generator.try_fill_bytes(&mut bytes), Ok(()));
        }
        let failure = Failure::Unhealthy(Alarm::Repetition);
        for _ in 0..300 {
            assert_eq!(generator.try_fill_bytes(&mut bytes), Err(failure));
            assert_eq!(generator.reseed(), Err(failure));
        }
        assert_eq!((generator.key, generator.samples), ([0; 32], [0; 32]));
    }

    #[test]
    fn seeds_are_used_up_by_bytes_and_by_requests() {
        let mut generator = good(3);
        let mut taken = |count: usize, length: usize| {
            for _ in 0..count {
                generator.try_fill_bytes(&mut [0; 4096][..length]).unwrap();
            }
            generator.noise.taken
        };
        assert_eq!(taken(16, 4096), STARTED);
        assert_eq!(taken(1, 0), STARTED + DRAW);
        assert_eq!(taken(1023, 1), STARTED + DRAW);
        assert_eq!(taken(1, 1), STARTED + 2 * DRAW);
    }

    #[test]
    fn output_differs_between_requests_seeds_and_sources() {
        let words = |generator: &mut Generator<Source>| generator.try_next_u64().unwrap();
        let (mut one, mut same, mut other) = (good(4), good(4), good(5));
        let first = words(&mut one);
        assert_eq!(first, words(&mut same));
        assert_ne!(first, words(&mut other));
        assert_ne!(first, words(&mut one));
        same.reseed().unwrap();
        assert_ne!(words(&mut one), words(&mut same));
    }

    #[test]
    fn the_key_that_made_an_output_is_gone_when_it_leaves() {
        let mut generator = good(6);
        let before = generator.key;
        let mut output = [0; 32];
        generator.try_fill_bytes(&mut output).unwrap();
        let mut stream = [0; 64];
        ChaCha20::new(&before.into(), &[0; 12].into()).apply_keystream(&mut stream);
        assert_eq!((&stream[..32], &stream[32..]), (&generator.key[..], &output[..]));
    }
}
