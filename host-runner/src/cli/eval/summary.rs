//! What an evaluation reports, sentence by sentence and in all.

use core::fmt;

use serde::Serialize;

use crate::precision;

/// The plaintext model over a file, as JSON.
#[derive(Debug, Serialize)]
pub(super) struct ClearSummary {
    sentences: usize,
    correct: usize,
    accuracy: f64,
}

impl ClearSummary {
    pub(super) fn new(sentences: usize, correct: usize) -> Self {
        Self { sentences, correct, accuracy: precision::ratio(correct, sentences) }
    }

    pub(super) fn print(&self) {
        println!("{} of {} correct: {:.4}", self.correct, self.sentences, self.accuracy);
    }
}

/// One sentence under encryption.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Outcome {
    pub(super) sentence: String,
    pub(super) label: usize,
    pub(super) predicted: usize,
    pub(super) plain_predicted: usize,
    pub(super) logits: Vec<f64>,
    pub(super) plain_logits: Vec<f64>,
    pub(super) error_bits: f64,
    pub(super) plain_margin: f64,
    pub(super) canary: f64,
    pub(super) seconds: f64,
}

impl Outcome {
    /// Whether the two labels differ by more than the error accounts for: an error of `e` in each
    /// score moves their difference by at most `2e`.
    fn is_unexplained(&self) -> bool {
        let reach = 2.0 * (-self.error_bits).exp2();
        self.predicted != self.plain_predicted && self.plain_margin > reach
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.predicted == self.label { "right" } else { "wrong" };
        let (label, predicted, plain) = (self.label, self.predicted, self.plain_predicted);
        write!(f, "{verdict}: label {label}, encrypted {predicted}, plaintext {plain}, ")?;
        write!(f, "2^-{:.1}, {:.1} s  {}", self.error_bits, self.seconds, self.sentence)
    }
}

/// Encrypted answers over a file, as JSON.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    sentences: usize,
    refused: usize,
    correct: usize,
    accuracy: f64,
    plain_correct: usize,
    agreements: usize,
    unexplained: usize,
    worst_error_bits: f64,
    median_error_bits: f64,
    median_seconds: f64,
    results: Vec<Outcome>,
}

impl Summary {
    /// Of `sentences` sentences those with results were answered; the canary refused the others.
    pub(super) fn new(sentences: usize, results: Vec<Outcome>) -> Self {
        let count = |f: fn(&Outcome) -> bool| results.iter().filter(|outcome| f(outcome)).count();
        let bits: Vec<f64> = results.iter().map(|outcome| outcome.error_bits).collect();
        let seconds: Vec<f64> = results.iter().map(|outcome| outcome.seconds).collect();
        let correct = count(|outcome| outcome.predicted == outcome.label);
        Self {
            sentences,
            refused: sentences - results.len(),
            correct,
            accuracy: precision::ratio(correct, sentences),
            plain_correct: count(|outcome| outcome.plain_predicted == outcome.label),
            agreements: count(|outcome| outcome.predicted == outcome.plain_predicted),
            unexplained: count(Outcome::is_unexplained),
            worst_error_bits: bits.iter().copied().fold(f64::INFINITY, f64::min),
            median_error_bits: precision::median(&bits),
            median_seconds: precision::median(&seconds),
            results,
        }
    }

    pub(super) fn print(&self) {
        println!(
            "{} of {} correct: {:.4} (plaintext model: {} correct, {} agreements)",
            self.correct, self.sentences, self.accuracy, self.plain_correct, self.agreements
        );
        println!("refused: {}; unexplained differences: {}", self.refused, self.unexplained);
        println!(
            "error: median 2^-{:.1}, worst 2^-{:.1}; median {:.1} s a sentence",
            self.median_error_bits, self.worst_error_bits, self.median_seconds
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(predicted: usize, plain: usize, error_bits: f64, plain_margin: f64) -> Outcome {
        Outcome {
            sentence: String::new(),
            label: 1,
            predicted,
            plain_predicted: plain,
            logits: Vec::new(),
            plain_logits: Vec::new(),
            error_bits,
            plain_margin,
            canary: 1.0,
            seconds: 1.0,
        }
    }

    #[test]
    fn a_difference_within_the_error_is_explained_and_others_are_not() {
        let results =
            vec![outcome(1, 1, 9.0, 3.0), outcome(0, 1, 6.0, 1.0 / 64.0), outcome(0, 1, 8.0, 1.0)];
        let summary = Summary::new(4, results);
        assert_eq!((summary.refused, summary.correct, summary.agreements), (1, 1, 1));
        assert_eq!(summary.unexplained, 1);
        assert!((summary.worst_error_bits - 6.0).abs() < 1e-12);
        assert!((summary.median_error_bits - 8.0).abs() < 1e-12);
    }
}
