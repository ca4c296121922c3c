//! The whole run in the clear: the same examples in the same order, the same polynomial in the optimizer.
//!
//! Functions of the model are exact here; what leaves the ranges that its approximations are declared for is
//! reported, since under encryption it would destroy the run.

use alloc::collections::BTreeMap;
use core::fmt;

use anyhow::{Context, Result};
use he_lora::matrices::Matrices;
use he_lora::parameters::{Parameters, Side, Vector};
use he_lora::plain;
use he_lora::reference::{Derivative, Example, Loss};
use he_lora::training::Training;
use he_nn::backward::bootstraps::RANGE;
use he_nn::model::Linear;
use he_nn::reference::{embed, forward_with};
use rayon::prelude::*;
use serde::Serialize;

use super::numbers::State;
use super::settings::Settings;
use crate::clear;
use crate::dataset;
use crate::import::ModelFolder;
use crate::objective::Objective;
use crate::precision;

/// An example as numbers.
#[derive(Clone, Debug)]
pub struct Prepared {
    embedding: Vec<f64>,
    length: usize,
    label: Vec<f64>,
}

/// What a run in the clear found.
#[expect(missing_debug_implementations, reason = "holds a person's weights")]
pub struct Rehearsed {
    /// What it came to.
    pub state: State,
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
    /// The part of the softmax's range that differences of scores filled, at most; beyond 1 a run fails. 0 without one.
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
        Ok(Prepared { embedding, length, label: example.label.clone() })
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
    let config = folder.model().config();
    let training = settings.training(config, iterations)?;
    let mut state = State::first(settings.first(training.shape), config);
    let mut report = Report::default();
    for number in 1..=iterations {
        let batch = settings.batch(examples.len(), number);
        let batch: Vec<_> = batch.into_iter().map(|place| &examples[place]).collect();
        let loss = step((folder, &training), number, &mut state, &batch, &mut report)?;
        done(number, loss);
    }
    Ok(Rehearsed { state, report })
}

/// Runs iteration `number`; returns the mean loss before it.
fn step(
    (folder, training): (&ModelFolder, &Training),
    number: u32,
    state: &mut State,
    batch: &[&Prepared],
    report: &mut Report,
) -> Result<f64> {
    let part = 1.0 / f64::from(u32::try_from(batch.len())?);
    let evaluate = |example: &&Prepared| example.evaluate(folder, training, state);
    let outcomes: Vec<_> = batch.par_iter().map(evaluate).collect();
    let (mut mean, mut loss) = (Parameters::zeros(training.shape), 0.0);
    let mut matrices = state.matrices.as_ref().map(|[updates, ..]| updates.zeroed());
    for outcome in &outcomes {
        training.accumulate(&mut mean, &outcome.gradient, part);
        if let (Some(sum), Some(gradient)) = (&mut matrices, &outcome.matrices) {
            training.accumulate_matrices(sum, gradient, part);
        }
        loss += part * outcome.loss;
        if training.loss == Loss::CrossEntropy {
            report.scores = report.scores.max(outcome.spread / training.largest_score);
        }
        for what in &outcome.beyond {
            *report.beyond.entry(what.clone()).or_default() += 1;
        }
    }
    let root = training.optimizer.inverse_root()?;
    state.step(training, number, (&mean, matrices.as_ref()), &|x: f64| root.eval(x));
    let correction = 1.0 - training.optimizer.square_decay.powi(number.cast_signed());
    let largest = state.largest_square() / correction;
    report.window = report.window.max(largest / training.optimizer.limit);
    report.losses.push(loss);
    Ok(loss)
}

/// Runs iteration `number` once more, after `state`; returns what leaves a declared range in it, which destroys a
/// state under encryption. Empty if nothing does.
///
/// # Errors
/// If the optimizer's polynomial cannot be made.
pub fn explain(
    (folder, training): (&ModelFolder, &Training),
    number: u32,
    state: &mut State,
    batch: &[&Prepared],
) -> Result<Vec<String>> {
    let mut report = Report::default();
    step((folder, training), number, state, batch, &mut report)?;
    let count = batch.len();
    let left = |(what, times): (&String, &usize)| format!("{what}, in {times} of {count} examples");
    let mut found: Vec<String> = report.beyond.iter().map(left).collect();
    for (what, part) in [("the optimizer's window", report.window), ("scores", report.scores)] {
        if part > 1.0 || part.is_nan() {
            found.push(format!("{what} left the declared range by a factor of {part:.2}"));
        }
    }
    Ok(found)
}

/// How close answers are to labels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// The part of the examples that are classified as people did.
    Accuracy(f64),
    /// The mean of the squared differences.
    SquaredError {
        /// From the answers.
        mean: f64,
        /// From the mean of the labels: who answers with that alone has learned nothing.
        constant: f64,
    },
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accuracy(part) => write!(f, "accuracy {:.1} %", 100.0 * part),
            Self::SquaredError { mean, constant } => {
                write!(f, "mean squared error {mean:.4} (of the labels' mean {constant:.4})")
            }
        }
    }
}

/// How close the adapted model's answers are to the labels of examples.
#[must_use]
pub fn measure(
    (folder, training): (&ModelFolder, &Training),
    objective: Objective,
    state: &State,
    examples: &[Prepared],
) -> Measure {
    let outcomes = || {
        examples.par_iter().map(|one| (one, state.scores(folder.model(), training, one.example())))
    };
    if objective.is_real() {
        let loss =
            |(one, scores): (&Prepared, Vec<f64>)| training.loss.evaluate(&scores, &one.label).0;
        let sum: f64 = outcomes().map(loss).sum();
        let part = precision::ratio(1, examples.len());
        let labels = || examples.iter().filter_map(|example| example.label.first());
        let middle = part * labels().sum::<f64>();
        let constant = part * labels().map(|y| (y - middle) * (y - middle)).sum::<f64>();
        return Measure::SquaredError { mean: part * sum, constant };
    }
    let right = outcomes().map(|(example, scores)| {
        usize::from(precision::largest(&scores) == precision::largest(&example.label))
    });
    Measure::Accuracy(precision::ratio(right.sum(), examples.len()))
}

/// What an iteration takes from an example.
struct Evaluated {
    gradient: Parameters,
    matrices: Option<Matrices>,
    loss: f64,
    spread: f64,
    beyond: Vec<String>,
}

impl Prepared {
    /// As plain loops take it.
    #[must_use]
    pub fn example(&self) -> Example<'_> {
        let Self { embedding, length, label } = self;
        Example { embedding, length: *length, label }
    }

    fn evaluate(&self, folder: &ModelFolder, training: &Training, state: &State) -> Evaluated {
        let (outcome, matrices) = state.evaluate(folder.model(), training, self.example());
        let mean = outcome.scores.iter().sum::<f64>()
            / f64::from(u32::try_from(outcome.scores.len()).unwrap_or(1));
        let spread = outcome.scores.iter().fold(0.0, |m: f64, z| m.max((z - mean).abs()));
        let model = folder.model();
        let update = |linear, part, x: &[f64], y: &mut [f64]| {
            apply(training, state, (linear, part), x, y);
        };
        let trace = forward_with(model, &self.embedding, self.length, &update);
        let beyond = clear::beyond_ranges(model.config(), &trace);
        // Without the number, so that cases can be counted.
        let name = |text: &String| match (text.split_once(" is "), text.split_once("beyond ")) {
            (Some((what, _)), Some((_, range))) => format!("{what} left {range}"),
            _ => text.clone(),
        };
        let escaped = |d: &&Derivative| f64::from(training.gain) * d.largest > RANGE;
        let back = outcome.derivatives.iter().filter(escaped).map(left);
        let beyond = beyond.iter().map(name).chain(back).collect();
        Evaluated { gradient: outcome.gradient, matrices, loss: outcome.loss, spread, beyond }
    }
}

/// Says that derivatives by what a stage gives, times the gain, left what bootstraps take.
fn left(derivative: &Derivative) -> String {
    let place = derivative.layer.map_or("head".to_owned(), |layer| format!("layer {}", layer + 1));
    format!("{place}: the derivative by its {} left ±{RANGE:.2}", derivative.what)
}

/// Adds the update of a part of a linear layer to its output.
fn apply(
    training: &Training,
    state: &State,
    (linear, part): (Linear, usize),
    x: &[f64],
    y: &mut [f64],
) {
    if let Some([updates, ..]) = &state.matrices {
        updates.add_part(linear, part, x, y);
    }
    for r in 0..training.shape.rank() {
        let vector = |side| match linear {
            Linear::Projections(layer) => {
                Some(Vector::Projection { layer, projection: part, side, r })
            }
            Linear::Dense => Some(Vector::Dense { side, r }),
            _ => None,
        };
        if let (Some(down), Some(up)) = (vector(Side::Down), vector(Side::Up)) {
            let [down, up] = [down, up].map(|vector| state.parameters.vector(vector));
            plain::apply(down, up, training.scaling, x, y);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_derivative_that_leaves_its_range_is_named_after_its_layer() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/edge");
        let folder = ModelFolder::open(&path).unwrap();
        let sentence = "add this track to my playlist".to_owned();
        let examples =
            prepare(&folder, &[dataset::Example { sentence, label: vec![1.0, 0.0] }]).unwrap();
        let settings = Settings { batch: 1, ..Settings::default() };
        let training = settings.training(folder.model().config(), 1).unwrap();
        let found = |gain| {
            let training = Training { gain, ..training };
            let mut state = State::first(settings.first(training.shape), folder.model().config());
            explain((&folder, &training), 1, &mut state, &[&examples[0]]).unwrap()
        };
        assert_eq!(found(training.gain), Vec::<String>::new());
        let wide = found(1 << 12);
        let by = "layer 2: the derivative by its queries left ±32.00, in 1 of 1 examples";
        assert!(wide.iter().any(|text| text == by), "{wide:?}");
    }
}
