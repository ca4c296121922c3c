//! The whole run in the clear: the same examples in the same order, the same polynomial in the optimizer.
//!
//! Functions of the model are exact here; what leaves the ranges that its approximations are declared for is
//! reported, since under encryption it would destroy the run.

use alloc::collections::BTreeMap;

use anyhow::{Context, Result};
use he_lora::adamw::Moments;
use he_lora::parameters::{Parameters, Side, Vector};
use he_lora::plain;
use he_lora::reference::{self, Example};
use he_lora::training::Training;
use he_nn::reference::{embed, forward_with};
use rayon::prelude::*;
use serde::Serialize;

use super::settings::Settings;
use crate::clear;
use crate::dataset;
use crate::import::ModelFolder;
use crate::precision;

/// An example as numbers.
#[derive(Clone, Debug)]
pub struct Prepared {
    embedding: Vec<f64>,
    length: usize,
    label: usize,
}

/// What a run in the clear found.
#[expect(missing_debug_implementations, reason = "holds a person's weights")]
pub struct Rehearsed {
    /// The trained numbers.
    pub parameters: Parameters,
    /// What there is to be said.
    pub report: Report,
}

/// A rehearsal as JSON.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The mean loss of each iteration's batch, before the iteration.
    pub losses: Vec<f64>,
    /// The part of the optimizer's window that squares of gradients filled, at most; beyond 1 a run fails.
    pub window: f64,
    /// The part of its range that differences of scores filled, at most; beyond 1 a run fails.
    pub scores: f64,
    /// What left a range that the model declares, in how many examples, at worst.
    pub beyond: BTreeMap<String, usize>,
}

/// Takes sentences out that the model has no room for; returns how many.
///
/// # Errors
/// If the vocabulary is not whole.
pub fn take_long(folder: &ModelFolder, examples: &mut Vec<dataset::Example>) -> Result<usize> {
    let (tokenizer, before) = (folder.tokenizer()?, examples.len());
    let mut ids = vec![0; folder.model().config().tokens];
    examples.retain(|example| {
        let length = tokenizer.sentence(&example.sentence, &mut ids);
        !matches!(length, Err(he_nn::Error::SentenceTooLong { .. }))
    });
    Ok(before - examples.len())
}

/// Sentences as numbers.
///
/// # Errors
/// If a sentence is empty or too long; the message has its number.
pub fn prepare(folder: &ModelFolder, examples: &[dataset::Example]) -> Result<Vec<Prepared>> {
    let (tokenizer, table) = (folder.tokenizer()?, folder.embedding()?);
    let tokens = folder.model().config().tokens;
    let one = |(example, number): (&dataset::Example, usize)| {
        let mut ids = vec![0; tokens];
        let length = tokenizer.sentence(&example.sentence, &mut ids);
        let length = length.with_context(|| format!("in sentence {number}"))?;
        let embedding = embed(&table, &ids[..length], tokens);
        Ok(Prepared { embedding, length, label: example.label })
    };
    examples.iter().zip(1..).map(one).collect()
}

/// Runs all iterations; `done` hears of each with its loss.
///
/// # Errors
/// If settings and model do not fit each other.
pub fn run(
    folder: &ModelFolder,
    settings: &Settings,
    examples: &[Prepared],
    done: &mut dyn FnMut(u32, f64),
) -> Result<Rehearsed> {
    let iterations = settings.iterations(examples.len())?;
    let training = settings.training(folder.model().config(), iterations)?;
    let root = training.optimizer.inverse_root()?;
    let zeros = || Parameters::zeros(training.shape);
    let mut moments = Moments { mean: zeros(), square: zeros() };
    let mut parameters = settings.first(training.shape);
    let mut report = Report::default();
    for number in 1..=iterations {
        let batch = settings.batch(examples.len(), number);
        let part = 1.0 / f64::from(u32::try_from(batch.len())?);
        let outcomes: Vec<_> = batch
            .par_iter()
            .map(|&i| examples[i].evaluate(folder, &training, &parameters))
            .collect();
        let mut mean = zeros();
        let mut loss = 0.0;
        for outcome in &outcomes {
            training.accumulate(&mut mean, &outcome.gradient, part);
            loss += part * outcome.loss;
            report.scores = report.scores.max(outcome.spread / training.largest_score);
            for what in &outcome.beyond {
                *report.beyond.entry(what.clone()).or_default() += 1;
            }
        }
        let limit = training.optimizer.limit;
        let inverse_root = |x: f64| root.eval(x);
        training.optimizer.apply(number, &mut parameters, &mut moments, &mean, &inverse_root);
        let correction = 1.0 - training.optimizer.square_decay.powi(number.cast_signed());
        let largest = moments.square.numbers().iter().fold(0.0, |m: f64, v| m.max(v / correction));
        report.window = report.window.max(largest / limit);
        report.losses.push(loss);
        done(number, loss);
    }
    Ok(Rehearsed { parameters, report })
}

/// The part of the examples that the adapted model classifies as people did.
#[must_use]
pub fn accuracy(
    folder: &ModelFolder,
    training: &Training,
    parameters: &Parameters,
    examples: &[Prepared],
) -> f64 {
    let is_right = |example: &Prepared| {
        let scores = example.outcome(folder, training, parameters).scores;
        usize::from(precision::largest(&scores) == example.label)
    };
    precision::ratio(examples.par_iter().map(is_right).sum(), examples.len())
}

/// What an iteration takes from an example.
struct Evaluated {
    gradient: Parameters,
    loss: f64,
    spread: f64,
    beyond: Vec<String>,
}

impl Prepared {
    fn outcome(
        &self,
        folder: &ModelFolder,
        training: &Training,
        parameters: &Parameters,
    ) -> reference::Outcome {
        let mut label = vec![0.0; training.shape.classes()];
        if let Some(place) = label.get_mut(self.label) {
            *place = 1.0;
        }
        let example = Example { embedding: &self.embedding, length: self.length, label: &label };
        reference::evaluate(folder.model(), parameters, training.scaling, example, training.loss)
    }

    fn evaluate(
        &self,
        folder: &ModelFolder,
        training: &Training,
        parameters: &Parameters,
    ) -> Evaluated {
        let outcome = self.outcome(folder, training, parameters);
        let mean = outcome.scores.iter().sum::<f64>()
            / f64::from(u32::try_from(outcome.scores.len()).unwrap_or(1));
        let spread = outcome.scores.iter().fold(0.0, |m: f64, z| m.max((z - mean).abs()));
        let model = folder.model();
        let update = |layer: usize, projection: usize, x: &[f64], y: &mut [f64]| {
            apply(training, parameters, (model.layers().len(), layer, projection), x, y);
        };
        let trace = forward_with(model, &self.embedding, self.length, &update);
        let beyond = clear::beyond_ranges(model.config(), &trace);
        // Without the numbers, so that cases can be counted.
        let name = |text: &String| text.split(" is ").next().unwrap_or(text).to_owned();
        let beyond = beyond.iter().map(name).collect();
        Evaluated { gradient: outcome.gradient, loss: outcome.loss, spread, beyond }
    }
}

/// Adds the update of a projection of one of `layers` layers to its output, or of the head's dense layer.
fn apply(
    training: &Training,
    parameters: &Parameters,
    (layers, layer, projection): (usize, usize, usize),
    x: &[f64],
    y: &mut [f64],
) {
    for r in 0..training.shape.rank() {
        let vector = |side| match layer < layers {
            true => parameters.vector(Vector::Projection { layer, projection, side, r }),
            false => parameters.vector(Vector::Dense { side, r }),
        };
        plain::apply(vector(Side::Down), vector(Side::Up), training.scaling, x, y);
    }
}
