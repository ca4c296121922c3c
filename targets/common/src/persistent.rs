//! What a board makes of a noise source and a few pages of flash: randomness, numbers, kept secrets.

use embedded_storage::nor_flash::NorFlash;
use he_entropy::{Generator, Noise};
use he_storage::{Counter, DeviceKey, Error, Monotonic, Vault};
use rand_core::TryRng;

use crate::machine::{Entropy, Exhausted, Memory};

/// Pages of flash, each pair or single page a flash of its own. All but the slots belong where nobody
/// outside the board can read or write.
#[derive(Debug)]
pub struct Pages<F> {
    /// One page: the device's key.
    pub key: F,
    /// Two pages: the least version of sealed secrets that is accepted.
    pub version: F,
    /// Two pages: numbers given out.
    pub numbers: F,
    /// Two pages: the sealed secrets.
    pub slots: F,
}

/// The generator, the counter and the vault of a board.
#[expect(missing_debug_implementations, reason = "a secret is not printed")]
pub struct Persistent<N, F> {
    generator: Generator<N>,
    key: DeviceKey,
    numbers: Counter<F>,
    vault: Vault<F, F>,
}

impl<N: Noise, F: NorFlash> Persistent<N, F> {
    /// Tests the noise, and opens the pages; on a new board makes its key and begins to count.
    ///
    /// # Errors
    /// What the board lacks, for good.
    pub fn open(noise: N, pages: Pages<F>) -> Result<Self, Exhausted> {
        let mut generator = Generator::start(noise).map_err(|_| Exhausted::Randomness)?;
        let Pages { key: mut page, version, mut numbers, slots } = pages;
        let key = DeviceKey::open(&mut page, &mut generator).map_err(memory)?;
        let version = Monotonic::begin(version, 0).map_err(memory)?;
        let mut vault = Vault::new(slots, version).map_err(memory)?;
        if matches!(Counter::open(&mut numbers), Err(Error::Absent)) {
            // Numbers begin again, so no secrets may be left that they were used with.
            vault.wipe().map_err(memory)?;
        }
        let numbers = Counter::begin(numbers, 1).map_err(|_| Exhausted::Numbers)?;
        Ok(Self { generator, key, numbers, vault })
    }
}

impl<N: Noise, F: NorFlash> Entropy for Persistent<N, F> {
    fn fresh(&mut self) -> Result<[u8; 32], Exhausted> {
        let mut bytes = [0; 32];
        self.generator.try_fill_bytes(&mut bytes).map_err(|_| Exhausted::Randomness)?;
        Ok(bytes)
    }

    fn sequence(&mut self) -> Result<u64, Exhausted> {
        self.numbers.number().map_err(|_| Exhausted::Numbers)
    }
}

impl<N: Noise, F: NorFlash> Memory for Persistent<N, F> {
    fn recall(&mut self, secrets: &mut [u8]) -> Result<bool, Exhausted> {
        self.vault.open(&self.key, secrets).map_err(memory)
    }

    fn keep(&mut self, secrets: &mut [u8], first: u64) -> Result<(), Exhausted> {
        let skipped = self.numbers.skip_to(first).map_err(|_| Exhausted::Numbers);
        let stored = self.vault.store(&self.key, &mut self.generator, secrets).map_err(memory);
        skipped.and(stored)
    }

    fn forget(&mut self) -> Result<(), Exhausted> {
        self.vault.wipe().map_err(memory)
    }
}

const fn memory(_: Error) -> Exhausted {
    Exhausted::Memory
}

#[cfg(test)]
mod tests {
    use super::*;
    use he_entropy::{Claim, Silent};
    use he_storage::simulated::Simulated;

    const LENGTH: usize = 64;
    type Flash = Simulated<512, 4, 256>;

    /// Noise of a linear congruential generator, for tests of everything but randomness.
    struct Weak(u64);

    impl Noise for Weak {
        const CLAIM: Claim = Claim::new(8, 64, 30);

        fn sample(&mut self) -> Result<u8, Silent> {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            Ok(self.0.to_be_bytes()[0])
        }
    }

    struct Dead;

    impl Noise for Dead {
        const CLAIM: Claim = Weak::CLAIM;

        fn sample(&mut self) -> Result<u8, Silent> {
            Err(Silent)
        }
    }

    /// The flash of a board; starts it.
    fn start(pages: &mut [Flash; 4], seed: u64) -> Persistent<Weak, &mut Flash> {
        let [key, version, numbers, slots] = pages;
        Persistent::open(Weak(seed), Pages { key, version, numbers, slots }).unwrap()
    }

    #[test]
    fn secrets_and_numbers_outlive_restarts() {
        let mut pages = [const { Flash::new() }; 4];
        let mut board = start(&mut pages, 1);
        let mut secrets = [0; LENGTH];
        assert_eq!(board.recall(&mut secrets), Ok(false));
        secrets.fill(5);
        board.keep(&mut secrets, 1000).unwrap();
        assert_eq!(secrets, [0; LENGTH]);
        let mut last = board.sequence().unwrap();
        assert_eq!(last, 1000);
        for seed in 2..10 {
            let mut board = start(&mut pages, seed);
            assert_eq!(board.recall(&mut secrets), Ok(true));
            assert_eq!(secrets, [5; LENGTH]);
            let number = board.sequence().unwrap();
            assert!(number > last);
            last = number;
        }
    }

    #[test]
    fn what_is_forgotten_stays_forgotten_and_its_numbers_do_not_come_again() {
        let mut pages = [const { Flash::new() }; 4];
        let mut board = start(&mut pages, 1);
        let mut secrets = [5; LENGTH];
        assert_eq!(board.recall(&mut [0; LENGTH]), Ok(false));
        board.keep(&mut secrets, 1).unwrap();
        let number = board.sequence().unwrap();
        board.forget().unwrap();
        assert_eq!(board.recall(&mut secrets), Ok(false));
        let mut board = start(&mut pages, 2);
        assert_eq!(board.recall(&mut secrets), Ok(false));
        board.keep(&mut [6; LENGTH], 1).unwrap();
        assert!(board.sequence().unwrap() > number);
    }

    #[test]
    fn secrets_whose_counter_was_lost_are_lost_as_well() {
        let mut pages = [const { Flash::new() }; 4];
        let mut board = start(&mut pages, 1);
        let mut secrets = [5; LENGTH];
        assert_eq!(board.recall(&mut [0; LENGTH]), Ok(false));
        board.keep(&mut secrets, 1).unwrap();
        pages[2] = Flash::new();
        assert_eq!(start(&mut pages, 2).recall(&mut secrets), Ok(false));
        assert_eq!((secrets, *pages[3].bytes()), ([0; LENGTH], [0xff; 512]));
    }

    #[test]
    fn a_board_without_noise_makes_no_key_and_keeps_nothing() {
        let mut pages = [const { Flash::new() }; 4];
        let [key, version, numbers, slots] = &mut pages;
        let opened = Persistent::open(Dead, Pages { key, version, numbers, slots });
        assert_eq!(opened.err(), Some(Exhausted::Randomness));
        assert!(pages.iter_mut().all(|page| *page.bytes() == [0xff; 512]));
    }
}
