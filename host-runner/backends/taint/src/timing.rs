//! Whether a routine takes the same time for a fixed secret and for random ones, by Welch's t-test.
//!
//! After Reparaz, Balasch and Verbauwhede, *Dude, is my code constant time?* (DATE 2017). A large `|t|` is
//! evidence of a difference; a small one on a busy machine is evidence of little.

use core::time::Duration;
use std::time::Instant;

use crate::routines::{Prepare, SECRET};

/// Prepared runs of each kind that are timed in turns.
const PREPARED: usize = 16;

/// The statistic, and how many measurements it is made from.
pub(crate) fn statistic(prepare: Prepare, time: Duration) -> (f64, usize) {
    let mut bytes = Generator(0x9E37_79B9_7F4A_7C15);
    let mut runs: Vec<_> = (0..2 * PREPARED)
        .map(|i| {
            let is_fixed = i.is_multiple_of(2);
            let mut byte = || if is_fixed { 0x5A } else { bytes.next().to_le_bytes()[7] };
            let secret: Vec<u8> = (0..SECRET).map(|_| byte()).collect();
            (is_fixed, prepare(&secret))
        })
        .collect();
    let mut times: Vec<(bool, f64)> = Vec::new();
    let end = Instant::now() + time;
    while Instant::now() < end {
        // In random order, so that what drifts meets both.
        let chosen = usize::try_from(bytes.next() >> 59).unwrap_or_default() % runs.len();
        let (is_fixed, run) = &mut runs[chosen];
        let start = Instant::now();
        run();
        times.push((*is_fixed, start.elapsed().as_secs_f64()));
    }
    times.sort_by(|a, b| a.1.total_cmp(&b.1));
    let kept = usize::max(2, times.len() * 4 / 5);
    times.truncate(kept);
    let of = |wanted| -> Vec<f64> {
        times.iter().filter(|(is_fixed, _)| *is_fixed == wanted).map(|&(_, time)| time).collect()
    };
    (welch(&of(true), &of(false)), times.len())
}

/// Welch's statistic for the difference of two means; 0 where a sample is too small for one.
fn welch(a: &[f64], b: &[f64]) -> f64 {
    if a.len() < 2 || b.len() < 2 {
        return 0.0;
    }
    let ((a_mean, a_share), (b_mean, b_share)) = (mean_and_share(a), mean_and_share(b));
    let spread = (a_share + b_share).sqrt();
    if spread == 0.0 { 0.0 } else { (a_mean - b_mean) / spread }
}

/// The mean, and the variance of the mean.
fn mean_and_share(sample: &[f64]) -> (f64, f64) {
    let count = sample.iter().map(|_| 1.0).sum::<f64>();
    let mean = sample.iter().sum::<f64>() / count;
    let squares: f64 = sample.iter().map(|x| (x - mean) * (x - mean)).sum();
    (mean, squares / (count - 1.0) / count)
}

/// Knuth's linear congruential generator: the high bits are random enough to choose by.
struct Generator(u64);

impl Generator {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_samples_differ_by_nothing_and_shifted_ones_by_their_shift() {
        let sample: Vec<f64> = (0..100).map(|i| f64::from(i % 10)).collect();
        let shifted: Vec<f64> = sample.iter().map(|x| x + 5.0).collect();
        assert!(welch(&sample, &sample).abs() < 1e-9);
        // The variance of 0 … 9 is 8.25, a hundredth of 100/99 of it is that of a mean.
        let expected = -5.0 / (2.0 * 8.25 / 99.0_f64).sqrt();
        assert!((welch(&sample, &shifted) - expected).abs() < 1e-9);
        assert_eq!(welch(&sample, &[]), 0.0);
    }
}
