//! What is claimed of a noise source, and the cut-offs of the health tests that follow from it.
//!
//! Everything here is computed by the compiler; no board needs floating point for it.

/// What a sample of a noise source is, and how much entropy it is claimed to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    bits: u32,
    sixteenths: u32,
    alarm_bits: u32,
}

impl Claim {
    /// Samples of `bits` bits (1 to 8) with at least `sixteenths`/16 bits of min-entropy each, whose
    /// health tests raise a false alarm with a probability of at most `2^-alarm_bits` (20 to 40).
    ///
    /// # Panics
    /// If a number is out of its range, or more entropy is claimed than a sample has bits.
    #[must_use]
    pub const fn new(bits: u32, sixteenths: u32, alarm_bits: u32) -> Self {
        assert!(alarm_bits >= 20 && alarm_bits <= 40, "SP 800-90B, 4.4 recommends 20 to 40");
        Self::with_any_alarm(bits, sixteenths, alarm_bits)
    }

    pub(crate) const fn with_any_alarm(bits: u32, sixteenths: u32, alarm_bits: u32) -> Self {
        assert!(bits >= 1 && bits <= 8, "a sample has 1 to 8 bits");
        assert!(sixteenths >= 1 && sixteenths <= 16 * bits, "more entropy than bits");
        Self { bits, sixteenths, alarm_bits }
    }

    /// Samples that hold 320 bits of min-entropy: a seed of 256 bits, and 64 more so that the seed
    /// has full entropy (SP 800-90B, section 3.1.5.1.2).
    #[must_use]
    pub const fn samples_of_a_seed(self) -> u32 {
        (320 * 16u32).div_ceil(self.sixteenths)
    }
}

/// The numbers at which the two health tests raise an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cutoffs {
    /// The length of a run of equal samples (section 4.4.1).
    pub repetition: u32,
    /// Samples of a window (section 4.4.2).
    pub window: u32,
    /// How many samples of a window equal its first, that one included.
    pub proportion: u32,
}

impl Cutoffs {
    /// Those of a claim.
    #[must_use]
    pub const fn of(claim: Claim) -> Self {
        let window = if claim.bits == 1 { 1024 } else { 512 };
        let repetition = 1 + (16 * claim.alarm_bits).div_ceil(claim.sixteenths);
        let proportion = 1 + critical_binomial(window, claim.sixteenths, claim.alarm_bits);
        Self { repetition, window, proportion }
    }
}

/// 2^(-1/16).
const SIXTEENTH_ROOT_OF_HALF: f64 = 0.957_603_280_698_573_6;

/// The least `c` with `P(X > c) <= 2^-alarm_bits`, for `X` successes in `trials` trials that succeed
/// with probability `2^(-sixteenths/16)`.
const fn critical_binomial(trials: u32, sixteenths: u32, alarm_bits: u32) -> u32 {
    let mut p = 1.0;
    let mut i = 0;
    while i < sixteenths {
        p *= SIXTEENTH_ROOT_OF_HALF;
        i += 1;
    }
    let odds = p / (1.0 - p);
    let start = mode(trials, p);
    let total = sum(trials, odds, start, 0) + sum(trials, 1.0 / odds, trials - start, 0) - 1.0;
    let mut limit = total;
    let mut i = 0;
    while i < alarm_bits {
        limit /= 2.0;
        i += 1;
    }
    let mut c = start;
    while sum(trials, odds, start, c + 1 - start) > limit {
        c += 1;
    }
    c
}

/// A most likely number of successes.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in 0 ..= trials")]
const fn mode(trials: u32, p: f64) -> u32 {
    let mode = (trials as f64 * p) as u32;
    if mode < trials { mode } else { trials - 1 }
}

/// The sum of the probabilities of `from + skip`, `from + skip + 1`, … `trials` successes, in units of
/// that of `from` successes: next over this is `(trials - k) / (k + 1) * odds`.
const fn sum(trials: u32, odds: f64, from: u32, skip: u32) -> f64 {
    let (mut term, mut sum, mut k) = (1.0, 0.0, from);
    while k <= trials && term > 0.0 {
        if k >= from + skip {
            sum += term;
        }
        term *= (trials - k) as f64 / (k + 1) as f64 * odds;
        k += 1;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proportion(bits: u32, sixteenths: u32, alarm_bits: u32) -> u32 {
        Cutoffs::of(Claim::new(bits, sixteenths, alarm_bits)).proportion
    }

    /// SP 800-90B, table 2, at 2^-20; claims there that are no sixteenths are left out.
    #[test]
    fn the_cutoffs_are_those_of_the_standard() {
        assert_eq!(proportion(1, 16, 20), 589);
        assert_eq!([8, 16, 32, 64, 128].map(|h| proportion(8, h, 20)), [410, 311, 177, 62, 13]);
        assert_eq!(Cutoffs::of(Claim::new(8, 128, 20)).repetition, 4);
        assert_eq!(Cutoffs::of(Claim::new(1, 16, 20)).repetition, 21);
    }

    /// `1 + c` for the least `c` with `scipy.stats.binom.sf(c, W, 2**(-h/16)) <= 2.0**-a`.
    #[test]
    fn the_cutoffs_are_those_of_another_implementation() {
        let cases = [
            (1, 16, 40, 625),
            (1, 1, 30, 1014),
            (1, 4, 30, 928),
            (8, 128, 40, 19),
            (8, 64, 30, 71),
            (8, 32, 30, 190),
            (8, 1, 20, 509),
            (8, 3, 40, 496),
            (4, 40, 33, 150),
        ];
        for (bits, sixteenths, alarm_bits, expected) in cases {
            assert_eq!(proportion(bits, sixteenths, alarm_bits), expected, "{bits} {sixteenths}");
        }
    }
}
