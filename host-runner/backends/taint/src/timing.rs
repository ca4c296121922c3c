//! Whether a routine takes the same time for a fixed secret and for random ones, by Student's t-test.
//!
//! After Reparaz, Balasch and Verbauwhede, *Dude, is my code constant time?* (DATE 2017). Where its memory
//! lies changes a routine's time as well, so a sample is not one run but the difference of two means over many
//! runs from the same places, and places are drawn anew for each. A large `|t|` is evidence of a
//! difference; a small one on a busy machine is evidence of little.

use core::time::Duration;
use std::time::Instant;

use crate::routines::{Prepare, SECRET};

/// Differences that are compared with nought.
const ROUNDS: u32 = 12;
/// Prepared runs of a round, half of them on the fixed secret.
const PREPARED: usize = 32;

/// The statistic, and how many measurements it is made from.
pub(crate) fn statistic(prepare: Prepare, time: Duration) -> (f64, usize) {
    let mut random = Generator(0x9E37_79B9_7F4A_7C15);
    let rounds = (0..ROUNDS).map(|_| round(prepare, time / ROUNDS, &mut random));
    let (differences, counts): (Vec<f64>, Vec<usize>) = rounds.unzip();
    (student(&differences), counts.iter().sum())
}

/// How much longer the fixed secret takes than random ones, in seconds, and the number of measurements.
fn round(prepare: Prepare, time: Duration, random: &mut Generator) -> (f64, usize) {
    let mut fixed = PREPARED / 2;
    let mut runs: Vec<_> = (0..PREPARED)
        .map(|i| {
            // Fixed ones are at random places among the others.
            let is_fixed = random.below(PREPARED - i) < fixed;
            fixed -= usize::from(is_fixed);
            let mut byte = || if is_fixed { 0x5A } else { random.next().to_le_bytes()[7] };
            let secret: Vec<u8> = (0..SECRET).map(|_| byte()).collect();
            (is_fixed, prepare(&secret))
        })
        .collect();
    let mut times: Vec<(bool, f64)> = Vec::new();
    let end = Instant::now() + time;
    while Instant::now() < end {
        // In random order, so that what drifts meets both.
        let (is_fixed, run) = &mut runs[random.below(PREPARED)];
        let start = Instant::now();
        run();
        times.push((*is_fixed, start.elapsed().as_secs_f64()));
    }
    // The longest were interrupted.
    times.sort_by(|a, b| a.1.total_cmp(&b.1));
    times.truncate(times.len() * 4 / 5);
    let mean_of = |wanted| {
        let of = times.iter().filter(|(is_fixed, _)| *is_fixed == wanted);
        mean(&of.map(|&(_, time)| time).collect::<Vec<_>>())
    };
    (mean_of(true) - mean_of(false), times.len())
}

/// The mean of a sample over what it is off by; 0 where the sample is too small or all alike.
fn student(sample: &[f64]) -> f64 {
    let (mean, count) = (mean(sample), count(sample));
    let squares: f64 = sample.iter().map(|x| (x - mean) * (x - mean)).sum();
    let off = (squares / (count - 1.0) / count).sqrt();
    if off > 0.0 { mean / off } else { 0.0 }
}

fn mean(sample: &[f64]) -> f64 {
    sample.iter().sum::<f64>() / count(sample).max(1.0)
}

fn count(sample: &[f64]) -> f64 {
    sample.iter().map(|_| 1.0).sum()
}

/// Knuth's linear congruential generator: the high bits are random enough to choose by.
struct Generator(u64);

impl Generator {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap_or_default() % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statistic_is_the_mean_in_units_of_its_deviation() {
        // The variance of 0 … 9 is 55/6, a tenth of that is that of a mean.
        let sample: Vec<f64> = (0..10).map(f64::from).collect();
        assert!((student(&sample) - 4.5 / (55.0_f64 / 60.0).sqrt()).abs() < 1e-9);
        let centred: Vec<f64> = sample.iter().map(|x| x - 4.5).collect();
        assert!(student(&centred).abs() < 1e-9);
        assert_eq!((student(&[]), student(&[1.0]), student(&[1.0, 1.0])), (0.0, 0.0, 0.0));
    }
}
