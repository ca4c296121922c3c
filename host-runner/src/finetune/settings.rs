//! What a run of fine-tuning is declared with.

use anyhow::{Result, ensure};
use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use clap::ValueEnum;
use he_lora::adamw::{AdamW, Schedule};
use he_lora::parameters::{Parameters, PerKind, Shape, Side, Vector};
use he_lora::training::{PerMatrix, Training};
use he_nn::model::Config;
use serde::{Deserialize, Serialize};

use crate::objective::Objective;

/// What all gradients are multiplied by, and those of squares of all scores, which are twice as steep.
const GAIN: i32 = 8;
const SQUARED_GAIN: i32 = 4;
/// Besides: as the largest gradients of trained models differ.
const PROJECTIONS: [f64; 3] = [1.0, 1.0, 4.0];
const CLASSES: f64 = 0.25;
const MATRICES: f64 = 1.0;
/// The learning rate of whole matrices is so much of the others': an entry of a product of rank 2 moves by less, too.
const MATRICES_RATE: f64 = 0.1;
/// The largest learning rate if none is named: a part for each example of a batch, and the most. Steps that are twice as
/// many from gradients of half as many examples go too far at the same rate.
const RATE_AN_EXAMPLE: f64 = 0.00125;
const MOST_RATE: f64 = 0.01;
/// What is added to squares of gained gradients, and the largest of these: of batches of eight or more, and of smaller
/// ones, whose means are of fewer gradients and vary more.
const EPSILON: f64 = 1.0 / 64.0;
const LIMIT: f64 = 8.0;
const SMALL_BATCH_LIMIT: f64 = 16.0;
/// The degree of the inverse root.
const DEGREE: usize = 63;
/// The largest difference of a score and the mean of scores.
const LARGEST_SCORE: f64 = 4.0;
/// Half the width of the first columns of classes: not zero, so that the layers before them learn from the first step.
const FIRST_CLASSES: f64 = 0.09;

/// A projection of the attention.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// Queries.
    Q,
    /// Keys.
    K,
    /// Values.
    V,
}

/// How the learning rate changes.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Fall {
    /// Not at all.
    Constant,
    /// To 0 on a line.
    Linear,
    /// To 0 on half a cosine.
    Cosine,
}

/// Everything that a run depends on besides the model and the examples.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Settings {
    /// Whether all matrices are trained, in place of an adapter.
    #[serde(default)]
    pub full: bool,
    /// What labels are, and what is minimised.
    pub loss: Objective,
    /// The rank of every update.
    pub rank: usize,
    /// Updates are multiplied by `alpha / rank`.
    pub alpha: f64,
    /// The projections that are trained; the head always is.
    pub targets: Vec<Target>,
    /// How often the examples are gone through.
    pub epochs: u32,
    /// Examples of an iteration.
    pub batch: usize,
    /// The largest learning rate.
    pub rate: f64,
    /// What it is multiplied by for queries and keys, whose distances are the kernel's exponents.
    pub exponent_rate: f64,
    /// How it falls.
    pub schedule: Fall,
    /// Iterations in which it rises.
    pub warmup: u32,
    /// What is taken off the parameters, as a part of the learning rate.
    pub weight_decay: f64,
    /// What the order of examples and the first parameters are drawn from.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            full: false,
            loss: Objective::CrossEntropy,
            rank: 2,
            alpha: 2.0,
            targets: vec![Target::Q, Target::K, Target::V],
            epochs: 1,
            batch: 8,
            rate: Self::rate_of(8),
            exponent_rate: 1.0,
            schedule: Fall::Linear,
            warmup: 0,
            weight_decay: 0.0,
            seed: 1,
        }
    }
}

impl Settings {
    /// The largest learning rate for batches of so many examples, if none is named.
    #[must_use]
    pub fn rate_of(batch: usize) -> f64 {
        u32::try_from(batch).map_or(MOST_RATE, |n| MOST_RATE.min(RATE_AN_EXAMPLE * f64::from(n)))
    }

    /// What `keygen --finetune` makes the keys for: a rank, or whole matrices.
    #[must_use]
    pub fn keys(&self) -> String {
        if self.full { "full".to_owned() } else { self.rank.to_string() }
    }

    /// Checks what no other part would.
    ///
    /// # Errors
    /// If a number is out of range; the message names it and its range.
    pub fn check(&self, examples: usize) -> Result<()> {
        let batch = self.batch;
        ensure!((1..=64).contains(&batch), "a batch has 1 to 64 examples, not {batch}");
        ensure!(
            examples >= batch,
            "{examples} examples do not fill a batch of {batch}; lower --batch"
        );
        ensure!(self.epochs >= 1, "--epochs must be at least 1");
        let positive = |x: f64| x > 0.0 && x.is_finite();
        ensure!(positive(self.alpha), "--alpha must be a positive number");
        ensure!(positive(self.rate) && self.rate <= 1.0, "--rate must be in 0 to 1");
        let part = self.exponent_rate;
        ensure!((0.0..=1.0).contains(&part), "--exponent-rate must be in 0 to 1");
        ensure!((0.0..1.0).contains(&self.weight_decay), "--weight-decay must be in 0 to 1");
        Ok(())
    }

    /// The iterations of a run: batches are whole, so an epoch leaves out what does not fill one.
    ///
    /// # Errors
    /// If there are more than `2^32`.
    pub fn iterations(&self, examples: usize) -> Result<u32> {
        Ok(self.epochs * u32::try_from(examples / self.batch)?)
    }

    /// The examples of iteration `number`, from 1, by their places in the file.
    #[must_use]
    pub fn batch(&self, examples: usize, number: u32) -> Vec<usize> {
        let an_epoch = u32::try_from(examples / self.batch).unwrap_or(u32::MAX).max(1);
        let (epoch, at) = ((number - 1) / an_epoch, (number - 1) % an_epoch);
        let mut order: Vec<usize> = (0..examples).collect();
        let mut rng = ChaCha20Rng::seed_from_u64(self.seed ^ (u64::from(epoch) << 32));
        for i in (1..examples).rev() {
            let other = usize::try_from(rng.next_u64() % (i as u64 + 1)).unwrap_or(i);
            order.swap(i, other);
        }
        order.into_iter().skip(at as usize * self.batch).take(self.batch).collect()
    }

    /// What he-lora is told.
    ///
    /// # Errors
    /// If the rank does not fit the model.
    pub fn training(&self, config: &Config, iterations: u32) -> Result<Training> {
        let (warmup, total) = (self.warmup, iterations + 1);
        let schedule = match self.schedule {
            Fall::Constant => Schedule::Constant,
            Fall::Linear => Schedule::Linear { warmup, total },
            Fall::Cosine => Schedule::Cosine { warmup, total },
        };
        let shape = match self.full {
            true => Shape::of_classes(config)?,
            false => Shape::new(self.rank, config)?,
        };
        let is_target = |i: usize| {
            self.targets
                .iter()
                .any(|target| [Target::Q, Target::K, Target::V].get(i) == Some(target))
        };
        let projections = core::array::from_fn(|i| if is_target(i) { PROJECTIONS[i] } else { 0.0 });
        let rank = f64::from(u32::try_from(self.rank)?);
        Ok(Training {
            shape,
            scaling: self.alpha / rank,
            loss: self.loss.loss(),
            gain: if self.loss == Objective::Squared { SQUARED_GAIN } else { GAIN },
            gains: PerKind { projections, dense: 1.0, classes: CLASSES },
            largest_score: LARGEST_SCORE,
            optimizer: AdamW {
                rate: self.rate,
                schedule,
                rates: PerKind {
                    projections: [self.exponent_rate, self.exponent_rate, 1.0],
                    ..PerKind::EQUAL
                },
                mean_decay: 0.9,
                square_decay: 0.99,
                weight_decay: self.weight_decay,
                epsilon: EPSILON,
                limit: if self.batch < 8 { SMALL_BATCH_LIMIT } else { LIMIT },
                degree: DEGREE,
            },
            matrices: PerMatrix { gain: MATRICES, rate: MATRICES_RATE },
        })
    }

    /// The parameters before the first iteration: rows `down` uniform within `1/√width`, columns `up` zero,
    /// columns of classes small, or zero where no label is for them: so they stay.
    #[must_use]
    pub fn first(&self, shape: Shape) -> Parameters {
        let mut rng = ChaCha20Rng::seed_from_u64(!self.seed);
        let mut parameters = Parameters::zeros(shape);
        let width = f64::from(u32::try_from(shape.width()).unwrap_or(u32::MAX));
        for vector in shape.vectors() {
            let bound = match vector {
                Vector::Projection { side: Side::Down, .. }
                | Vector::Dense { side: Side::Down, .. } => 1.0 / width.sqrt(),
                Vector::Class(k) if k > 0 && self.loss.is_real() => 0.0,
                Vector::Class(_) => FIRST_CLASSES,
                _ => 0.0,
            };
            for x in parameters.vector_mut(vector) {
                let unit = f64::from(rng.next_u32()) / f64::from(u32::MAX);
                *x = (2.0 * unit - 1.0) * bound;
            }
        }
        parameters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings { epochs: 2, batch: 3, ..Settings::default() }
    }

    #[test]
    fn an_epoch_takes_every_example_at_most_once_and_epochs_differ() {
        let settings = settings();
        assert_eq!(settings.iterations(10).unwrap(), 6);
        let epoch = |first: u32| -> Vec<usize> {
            (first..first + 3).flat_map(|n| settings.batch(10, n)).collect()
        };
        for first in [1, 4] {
            let mut all = epoch(first);
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), 9);
        }
        assert_ne!(epoch(1), epoch(4));
    }

    #[test]
    fn small_batches_have_small_rates_unless_one_is_named() {
        let rates = [1, 4, 8, 16].map(Settings::rate_of);
        let wanted = [0.00125, 0.005, 0.01, 0.01];
        assert!(rates.iter().zip(wanted).all(|(rate, wanted)| (rate - wanted).abs() < 1e-12));
    }

    #[test]
    fn what_cannot_be_trained_is_refused_by_name() {
        let with = |change: &dyn Fn(&mut Settings)| {
            let mut settings = settings();
            change(&mut settings);
            settings.check(10).unwrap_err().to_string()
        };
        assert!(settings().check(10).is_ok());
        assert!(with(&|s| s.batch = 11).contains("--batch"));
        assert!(with(&|s| s.rate = f64::NAN).contains("--rate"));
        assert!(with(&|s| s.alpha = -1.0).contains("--alpha"));
        assert!(with(&|s| s.epochs = 0).contains("--epochs"));
    }
}
