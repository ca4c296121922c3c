//! The continuous health tests of SP 800-90B, section 4.4: repetition count and adaptive proportion.

use crate::claim::Cutoffs;

/// What a health test found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alarm {
    /// The source repeats a sample again and again.
    Repetition,
    /// The source prefers a sample.
    Proportion,
}

/// Both tests, fed one sample after another.
#[derive(Debug, Clone)]
pub struct Health {
    cutoffs: Cutoffs,
    last: u8,
    run: u32,
    first: u8,
    seen: u32,
    equal: u32,
}

impl Health {
    /// Tests that have seen nothing.
    #[must_use]
    pub const fn new(cutoffs: Cutoffs) -> Self {
        Self { cutoffs, last: 0, run: 0, first: 0, seen: 0, equal: 0 }
    }

    /// Looks at the next sample.
    ///
    /// # Errors
    /// What is wrong with the source. The caller must not use its samples any more.
    pub fn feed(&mut self, sample: u8) -> Result<(), Alarm> {
        self.run = if self.run > 0 && sample == self.last { self.run + 1 } else { 1 };
        self.last = sample;
        if self.seen == 0 {
            self.first = sample;
            self.equal = 0;
        }
        self.equal += u32::from(sample == self.first);
        self.seen = (self.seen + 1) % self.cutoffs.window;
        if self.run >= self.cutoffs.repetition {
            return Err(Alarm::Repetition);
        }
        if self.equal >= self.cutoffs.proportion {
            return Err(Alarm::Proportion);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claim::Claim;
    use chacha20::ChaCha20Rng;
    use chacha20::rand_core::{Rng, SeedableRng};

    const FAIR: Cutoffs = Cutoffs::of(Claim::new(1, 16, 30));
    const BYTES: Cutoffs = Cutoffs::of(Claim::new(8, 64, 30));

    fn rng(seed: u8) -> ChaCha20Rng {
        ChaCha20Rng::from_seed([seed; 32])
    }

    /// The first alarm within so many samples, and when it comes.
    fn alarm(
        cutoffs: Cutoffs,
        samples: u32,
        mut source: impl FnMut() -> u8,
    ) -> Option<(u32, Alarm)> {
        let mut health = Health::new(cutoffs);
        (1..=samples).find_map(|i| Some((i, health.feed(source()).err()?)))
    }

    #[test]
    fn a_stuck_source_is_caught_at_the_cutoff_and_not_before() {
        for (cutoffs, sample) in [(FAIR, 0), (FAIR, 1), (BYTES, 0), (BYTES, 0xff)] {
            let found = alarm(cutoffs, 1024, || sample);
            assert_eq!(found, Some((cutoffs.repetition, Alarm::Repetition)));
        }
    }

    #[test]
    fn a_source_that_dies_is_caught_within_one_cutoff() {
        let (mut rng, mut count) = (rng(1), 0);
        let found = alarm(BYTES, 20_000, || {
            count += 1;
            if count > 10_000 { 7 } else { rng.next_u32().to_le_bytes()[0] }
        });
        let (at, alarm) = found.unwrap();
        assert!(at <= 10_000 + BYTES.repetition && alarm == Alarm::Repetition, "{at} {alarm:?}");
    }

    #[test]
    fn a_source_with_a_short_period_is_caught_in_the_first_window() {
        for period in 2..=(BYTES.window - 1) / BYTES.proportion {
            let mut count = 0;
            let found = alarm(BYTES, BYTES.window, || {
                count += 1;
                u8::try_from(count % period).unwrap()
            });
            assert!(matches!(found, Some((_, Alarm::Proportion))), "{period}: {found:?}");
        }
    }

    #[test]
    fn single_bits_that_alternate_pass_because_half_of_them_is_what_is_claimed() {
        let mut bit = 0;
        assert_eq!(alarm(FAIR, 1 << 16, || (bit ^= 1, bit).1), None);
    }

    /// Three of four samples are ones. A window that begins with a one expects 768 of them and its
    /// cut-off is 609, 11 standard deviations below; one that begins with a zero expects 257.
    #[test]
    fn a_biased_source_is_caught_in_three_of_four_windows() {
        let mut rng = rng(2);
        let caught = (0..2000)
            .filter(|_| alarm(FAIR, 1024, || u8::from(!rng.next_u32().is_multiple_of(4))).is_some())
            .count();
        // Mean 1500, standard deviation 19.4; five of them.
        assert!((1403..=1597).contains(&caught), "{caught} of 2000 windows");
    }

    /// How often each test raises an alarm in so many samples when it goes on afterwards.
    fn alarms(cutoffs: Cutoffs, samples: u32, rng: &mut impl Rng) -> [u32; 2] {
        let (mut health, mut found) = (Health::new(cutoffs), [0; 2]);
        for _ in 0..samples / 64 {
            let bits = rng.next_u64();
            for i in 0..64 {
                match health.feed(((bits >> i) & 1) as u8) {
                    Ok(()) => {}
                    Err(Alarm::Repetition) => {
                        found[0] += 1;
                        health.run = 1;
                    }
                    Err(Alarm::Proportion) => {
                        found[1] += 1;
                        health.seen = 0;
                    }
                }
            }
        }
        found
    }

    /// At a false alarm of 2^-10 a fair coin shows 11 equal sides in a row once in `2^11 - 1` tosses,
    /// and a window of 1024 tosses ends in an alarm with probability
    /// `P(1 + B(1023, 1/2) >= 563) = 8.78e-4` (`scipy.stats.binom.sf(561, 1023, 0.5)`).
    #[test]
    fn a_fair_source_raises_alarms_as_often_as_it_should() {
        let cutoffs = Cutoffs::of(Claim::with_any_alarm(1, 16, 10));
        assert_eq!((cutoffs.repetition, cutoffs.proportion), (11, 563));
        let samples = 1 << 25;
        let [repetitions, proportions] = alarms(cutoffs, samples, &mut rng(3));
        let near = |found: u32, mean: f64| (f64::from(found) - mean).abs() < 5.0 * mean.sqrt();
        assert!(near(repetitions, f64::from(samples) / 2047.0), "{repetitions} repetitions");
        assert!(near(proportions, f64::from(samples) / 1024.0 * 8.78e-4), "{proportions} windows");
    }

    #[test]
    fn a_good_source_raises_none_at_the_usual_rate() {
        let mut rng = rng(4);
        assert_eq!(alarm(FAIR, 1 << 22, || (rng.next_u32() & 1) as u8), None);
        assert_eq!(alarm(BYTES, 1 << 22, || rng.next_u32().to_le_bytes()[0]), None);
    }
}
