//! A softmax beside the Gaussian kernel: what inference and an iteration of training take with each, on one engine.
//!
//! The softmax is a *timing model*: the matrices of a Gaussian model in the circuit of a softmax, with queries scaled
//! down until scores keep a declared range. How long it takes does not depend on its weights; what it answers means
//! nothing, so it exists here alone and nothing can serve it.

pub mod full;
pub mod measured;

use core::ops::{Add, Sub};

use anyhow::{Context, Result, bail};
use he_core::params::Params;
use he_core::refresh::Weights;
use he_nn::TensorName;
use he_nn::model::{Element, Kernel, Model, Tensor, Window};
use serde::Serialize;

use crate::finetune::settings::Settings;
use crate::plan::training::TrainingPlan;
use crate::plan::{Plan, PlannedStage};

/// Scores of the timing model are in `±SCORE`.
const SCORE: f64 = 4.0;
/// Its sums of exponentials: of 3 to 64 tokens, most of them.
const SUM: Window = Window { low: 1.5, high: 192.0 };
/// Examples of the larger iteration.
pub const BATCH: usize = 8;
/// Bits that its queries lose.
const SHIFT: u32 = 2;

/// What one kind of attention takes.
#[derive(Clone, Debug, Serialize)]
pub struct Costs {
    /// Which.
    pub attention: &'static str,
    /// The stages of a forward pass.
    pub stages: Vec<PlannedStage>,
    /// Bootstraps of inference without an adapter, and processor seconds expected.
    pub inference: Counted,
    /// Of an iteration of training with one example.
    pub iteration: Counted,
    /// Of one with [`BATCH`] examples, which share the bootstraps of their tails.
    pub batch: Counted,
    /// Of an iteration's state, gradient and optimizer, once for all examples.
    pub step: Counted,
}

/// Bootstraps and expected processor seconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Counted {
    /// How many bootstraps.
    pub bootstraps: usize,
    /// Processor seconds.
    pub seconds: f64,
}

impl Counted {
    /// So many times.
    fn times(self, count: usize) -> Self {
        (0..count).fold(Self::default(), |sum, _| sum + self)
    }
}

impl Add for Counted {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let bootstraps = self.bootstraps + other.bootstraps;
        Self { bootstraps, seconds: self.seconds + other.seconds }
    }
}

impl Sub for Counted {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        let bootstraps = self.bootstraps - other.bootstraps;
        Self { bootstraps, seconds: self.seconds - other.seconds }
    }
}

/// A model of one kind of attention, with its plans.
#[derive(Debug)]
pub struct Subject {
    /// What it takes.
    pub costs: Costs,
    model: Model,
    inference: Plan,
    training: TrainingPlan,
}

impl Subject {
    /// The Gaussian model as it is, then its timing model with a softmax, both trained as `settings` say; `step` hears
    /// of each.
    ///
    /// # Errors
    /// If the model has no Gaussian kernel, or does not fit the parameters.
    pub fn both(
        params: &Params,
        model: &Model,
        settings: &Settings,
        step: &mut dyn FnMut(&'static str),
    ) -> Result<[Self; 2]> {
        let twin = timing_model(model)?;
        let mut subject = |attention, model| {
            let subject = Self::new(attention, params, model, settings)?;
            step(attention);
            Ok::<_, anyhow::Error>(subject)
        };
        Ok([subject("Gaussian kernel", model.clone())?, subject("softmax", twin)?])
    }

    fn new(
        attention: &'static str,
        params: &Params,
        model: Model,
        settings: &Settings,
    ) -> Result<Self> {
        let inference = Plan::new(params, &model)?;
        let declared = settings.training(model.config(), 1)?;
        let training = TrainingPlan::new(params, &model, &declared, 1)?;
        let batch = TrainingPlan::new(params, &model, &declared, BATCH)?;
        let forward = &inference.report;
        let trained = |plan: &TrainingPlan| {
            let report = &plan.report;
            let examples = f64::from(u32::try_from(report.batch)?);
            let seconds = examples * report.example_seconds + report.step_seconds;
            Ok::<_, anyhow::Error>(Counted { bootstraps: report.bootstraps, seconds })
        };
        let costs = Costs {
            attention,
            stages: forward.stages.clone(),
            inference: Counted { bootstraps: forward.bootstraps, seconds: forward.seconds },
            iteration: trained(&training)?,
            batch: trained(&batch)?,
            step: Counted {
                bootstraps: training.report.step_bootstraps,
                seconds: training.report.step_seconds,
            },
        };
        Ok(Self { costs, model, inference, training })
    }
}

/// The matrices of a Gaussian model with a softmax over them.
fn timing_model(model: &Model) -> Result<Model> {
    let mut config = model.config().clone();
    for layer in &mut config.layers {
        if let Kernel::Softmax { .. } = layer.kernel {
            bail!("the model has a softmax already; name one with a Gaussian kernel with --model");
        }
        layer.kernel = Kernel::Softmax { score: SCORE, sum: SUM };
    }
    let tensors = tensors(model)?;
    let find = |name: TensorName| {
        let (_, shape, bytes) = tensors.iter().find(|(found, ..)| *found == name)?;
        Some(Tensor { shape, element: Element::I16, bytes })
    };
    Ok(Model::from_tensors(config, &find)?)
}

type Named = (TensorName, [usize; 2], Vec<u8>);

/// All matrices by name, queries scaled down.
fn tensors(model: &Model) -> Result<Vec<Named>> {
    let mut all = Vec::new();
    let mut push = |name, weights: &Weights, shift: u32| {
        let words = weights.entries.iter().map(|&w| i16::try_from(w >> shift));
        let words = words.collect::<Result<Vec<_>, _>>().context("a weight beyond 16 bits")?;
        let bytes = words.into_iter().flat_map(i16::to_le_bytes).collect();
        all.push((name, [weights.inputs, weights.outputs], bytes));
        Ok::<_, anyhow::Error>(())
    };
    for (layer, weights) in model.layers().iter().enumerate() {
        let (attention, feed_forward) = (&weights.attention, &weights.feed_forward);
        for (part, matrix, shift) in [
            ("attention.query", &attention.query, SHIFT),
            ("attention.key", &attention.key, 0),
            ("attention.value", &attention.value, 0),
            ("attention.output", &attention.output, 0),
            ("feed_forward.value", &feed_forward.value, 0),
            ("feed_forward.gate", &feed_forward.gate, 0),
            ("feed_forward.output", &feed_forward.output, 0),
        ] {
            push(TensorName::Layer { layer, part }, matrix, shift)?;
        }
    }
    push(TensorName::Single("head.dense"), &model.head().dense, 0)?;
    push(TensorName::Single("head.classes"), &model.head().classes, 0)?;
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::import::ModelFolder;
    use crate::{clear, dataset, preset};

    fn folder() -> ModelFolder {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/edge");
        ModelFolder::open(&path).unwrap()
    }

    #[test]
    fn the_timing_model_keeps_its_ranges_on_the_sample() {
        let folder = folder();
        let twin = timing_model(folder.model()).unwrap();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/edge/sst2-dev-64.tsv");
        for example in dataset::read(&path, 2, Some(16)).unwrap() {
            let sentence = measured::Sentence::new(&folder, &example.sentence).unwrap();
            let trace = sentence.trace(&twin);
            let beyond = clear::beyond_ranges(twin.config(), &trace);
            assert!(beyond.is_empty(), "{}: {beyond:?}", example.sentence);
        }
    }

    #[test]
    fn a_softmax_takes_a_bootstrap_more_for_each_layer() {
        let params = preset::params(preset::EDGE_128).unwrap();
        let [gaussian, softmax] =
            Subject::both(&params, folder().model(), &Settings::default(), &mut |_| {}).unwrap();
        let (less, more) = (gaussian.costs, softmax.costs);
        assert_eq!(more.inference.bootstraps, less.inference.bootstraps + 2);
        assert_eq!(more.iteration.bootstraps, less.iteration.bootstraps + 2);
        assert_eq!(more.batch.bootstraps, less.batch.bootstraps + 2 * BATCH);
        assert!(more.inference.seconds > less.inference.seconds);
    }
}
