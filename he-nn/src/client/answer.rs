//! Decrypted numbers to a label, or a refusal.
//!
//! A canary goes through the whole computation beside the sentence. If a value left the range of an
//! approximation anywhere, the ciphertext that held it is noise, and so is the canary; then there
//! is no answer. What is made here of a decryption is for the owner of the key alone: numbers that
//! carry the noise of a ciphertext can reveal the key to whoever also holds the ciphertext.

use zeroize::Zeroize;

use crate::Error;

/// How far the canary may be from 1. Honest answers are within `2^-6`.
pub const TOLERANCE: f32 = 1.0 / 32.0;

/// The classes' scores for one sentence, checked against the canary. Zeroized on drop.
#[expect(missing_debug_implementations, reason = "a decryption is private")]
pub struct Answer<const CLASSES: usize> {
    logits: [f32; CLASSES],
    canary: f32,
}

impl<const CLASSES: usize> Answer<CLASSES> {
    /// Reads decrypted coefficients that stand for values times `scale`.
    ///
    /// # Errors
    /// If the canary is further than [`TOLERANCE`] from 1.
    pub fn new(logits: [i32; CLASSES], canary: i32, scale: f64) -> Result<Self, Error> {
        let value = |x: i32| to_f32(f64::from(x) / scale);
        let canary = value(canary);
        // Not `>`: what is not a number is refused, too.
        if (canary - 1.0).abs() <= TOLERANCE {
            return Ok(Self { logits: logits.map(value), canary });
        }
        Err(Error::Refused { canary })
    }

    /// The class with the highest score.
    #[must_use]
    pub fn label(&self) -> usize {
        let mut best = 0;
        for (class, logit) in self.logits.iter().enumerate() {
            if *logit > self.logits[best] {
                best = class;
            }
        }
        best
    }

    /// The scores.
    #[must_use]
    pub const fn logits(&self) -> &[f32; CLASSES] {
        &self.logits
    }

    /// The canary as it came back: 1, apart from noise.
    #[must_use]
    pub const fn canary(&self) -> f32 {
        self.canary
    }

    /// `exp(logit)`, normalised.
    #[must_use]
    pub fn probabilities(&self) -> [f32; CLASSES] {
        let largest = self.logits.iter().fold(f32::NEG_INFINITY, |m, &x| m.max(x));
        let powers = self.logits.map(|x| libm::expf(x - largest));
        let sum: f32 = powers.iter().sum();
        powers.map(|p| p / sum)
    }
}

impl<const CLASSES: usize> Drop for Answer<CLASSES> {
    fn drop(&mut self) {
        self.logits.zeroize();
        self.canary.zeroize();
    }
}

#[expect(clippy::cast_possible_truncation, reason = "rounding to single precision is meant")]
const fn to_f32(x: f64) -> f32 {
    x as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_is_the_highest_score_and_probabilities_sum_to_one() {
        let answer = Answer::new([-100, 300, 20], 256, 256.0).ok().unwrap();
        assert_eq!(answer.label(), 1);
        let p = answer.probabilities();
        assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!((p[1] / p[0] - libm::expf(400.0 / 256.0)).abs() < 1e-5);
    }

    #[test]
    fn a_wrong_canary_is_refused() {
        assert!(Answer::new([0, 1], 1032, 1024.0).is_ok());
        for canary in [0, -1024, 2048, i32::MAX, i32::MIN, 1024 + 33, 1024 - 33] {
            assert!(matches!(Answer::new([0, 1], canary, 1024.0), Err(Error::Refused { .. })));
        }
        assert!(Answer::new([0, 1], 0, 0.0).is_err());
    }
}
