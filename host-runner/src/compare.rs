//! A softmax beside the Gaussian kernel: what inference and an iteration of training take with each, on one engine.

pub mod full;
pub mod measured;

use core::ops::{Add, Sub};

use anyhow::{Result, ensure};
use he_core::params::Params;
use he_nn::model::{Config, Kernel, Model};
use serde::Serialize;

use crate::finetune::settings::Settings;
use crate::plan::training::TrainingPlan;
use crate::plan::{Plan, PlannedStage};

/// Examples of the larger iteration.
pub const BATCH: usize = 8;

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
    /// A model with a Gaussian kernel, then one of its shape with a softmax, both trained as `settings` say; `step`
    /// hears of each.
    ///
    /// # Errors
    /// If the models are other ones, or do not fit the parameters.
    pub fn both(
        params: &Params,
        [gaussian, softmax]: [&Model; 2],
        settings: &Settings,
        step: &mut dyn FnMut(&'static str),
    ) -> Result<[Self; 2]> {
        let shapes = [gaussian, softmax].map(|model| shape(model.config()));
        ensure!(shapes[0] == shapes[1], "the two models have different shapes");
        ensure!(
            is_softmax(gaussian).all(|is| !is) && is_softmax(softmax).all(|is| is),
            "--model has a Gaussian kernel and --softmax-model a softmax; these are other models"
        );
        let mut subject = |attention, model: &Model| {
            let subject = Self::new(attention, params, model.clone(), settings)?;
            step(attention);
            Ok::<_, anyhow::Error>(subject)
        };
        Ok([subject("Gaussian kernel", gaussian)?, subject("softmax", softmax)?])
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

/// What two models share of which only the attention differs.
const fn shape(config: &Config) -> [usize; 6] {
    let Config { layers, width, heads, hidden, tokens, classes, .. } = config;
    [layers.len(), *width, *heads, *hidden, *tokens, *classes]
}

/// Of each layer.
fn is_softmax(model: &Model) -> impl Iterator<Item = bool> {
    let layers = model.config().layers.iter();
    layers.map(|layer| matches!(layer.kernel, Kernel::Softmax { .. }))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::import::ModelFolder;
    use crate::preset;

    /// Both models as they lie in the repository.
    pub(super) fn folders() -> [ModelFolder; 2] {
        ["edge", "edge-softmax"].map(|name| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models").join(name);
            ModelFolder::open(&path).unwrap()
        })
    }

    fn both([one, other]: [&ModelFolder; 2]) -> Result<[Subject; 2]> {
        let (params, settings) = (preset::params(preset::EDGE_128)?, Settings::default());
        Subject::both(&params, [one.model(), other.model()], &settings, &mut |_| {})
    }

    #[test]
    fn a_softmax_takes_a_bootstrap_more_for_each_layer() {
        let folders = folders();
        let [gaussian, softmax] = both(folders.each_ref()).unwrap();
        let (less, more) = (gaussian.costs, softmax.costs);
        assert_eq!(more.inference.bootstraps, less.inference.bootstraps + 2);
        assert_eq!(more.iteration.bootstraps, less.iteration.bootstraps + 2);
        assert_eq!(more.batch.bootstraps, less.batch.bootstraps + 2 * BATCH);
        assert!(more.inference.seconds > less.inference.seconds);
    }

    #[test]
    fn models_with_the_same_attention_are_not_compared() {
        let folders = folders();
        for folder in &folders {
            assert!(both([folder, folder]).unwrap_err().to_string().contains("--softmax-model"));
        }
    }
}
