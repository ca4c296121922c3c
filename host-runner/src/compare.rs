//! A softmax beside the Gaussian kernel, and full fine-tuning beside an adapter: what inference and an iteration of training take
//! with each, on one engine.

pub mod measured;

use anyhow::{Result, ensure};
use he_core::params::Params;
use he_nn::model::{Config, Kernel, Model};
use serde::Serialize;

use crate::finetune::settings::Settings;
use crate::plan::training::TrainingPlan;
use crate::plan::{Plan, PlannedStage};

/// Examples of the larger iteration.
pub const BATCH: usize = 8;

/// What one kind of training takes.
#[derive(Clone, Debug, Serialize)]
pub struct Costs {
    /// What is trained, and the attention.
    pub name: &'static str,
    /// The stages of a forward pass of the model alone.
    pub stages: Vec<PlannedStage>,
    /// Bootstraps of inference, and processor seconds expected: of the model alone, or with all matrices encrypted.
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

/// One kind of training, with its plans.
#[derive(Debug)]
pub struct Subject {
    /// What it takes.
    pub costs: Costs,
    model: Model,
    settings: Settings,
    inference: Plan,
    training: TrainingPlan,
}

impl Subject {
    /// An adapter for a model with a Gaussian kernel, one for a model of its shape with a softmax, both trained as
    /// `settings` say, and full fine-tuning of the second; `step` hears of each.
    ///
    /// # Errors
    /// If the models are other ones, or do not fit the parameters.
    pub fn all(
        params: &Params,
        [gaussian, softmax]: [&Model; 2],
        settings: &Settings,
        step: &mut dyn FnMut(&'static str),
    ) -> Result<[Self; 3]> {
        let shapes = [gaussian, softmax].map(|model| shape(model.config()));
        ensure!(shapes[0] == shapes[1], "the two models have different shapes");
        ensure!(
            is_softmax(gaussian).all(|is| !is) && is_softmax(softmax).all(|is| is),
            "--model has a Gaussian kernel and --softmax-model a softmax; these are other models"
        );
        let full = &Settings { full: true, ..settings.clone() };
        let mut subject = |name, model: &Model, settings: &Settings| {
            let subject = Self::new(name, params, model.clone(), settings.clone())?;
            step(name);
            Ok::<_, anyhow::Error>(subject)
        };
        Ok([
            subject("LoRA, Gaussian kernel", gaussian, settings)?,
            subject("LoRA, softmax", softmax, settings)?,
            subject("full, softmax", softmax, full)?,
        ])
    }

    fn new(name: &'static str, params: &Params, model: Model, settings: Settings) -> Result<Self> {
        let declared = settings.training(model.config(), 1)?;
        let mut inference = Plan::new(params, &model)?;
        if declared.shape.is_full() {
            inference = inference.with_trained(params, &model, declared.shape)?;
        }
        let training = TrainingPlan::new(params, &model, &declared, 1)?;
        let batch = TrainingPlan::new(params, &model, &declared, BATCH)?;
        let forward = &inference.report;
        let trained = |plan: &TrainingPlan| {
            let report = &plan.report;
            let examples = f64::from(u32::try_from(report.batch)?);
            let seconds = examples * report.example_seconds + report.step_seconds;
            Ok::<_, anyhow::Error>(Counted { bootstraps: report.bootstraps, seconds })
        };
        let alone = Counted { bootstraps: forward.bootstraps, seconds: forward.seconds };
        let costs = Costs {
            name,
            stages: forward.stages.clone(),
            inference: forward.trained.map_or(alone, |answer| Counted {
                bootstraps: answer.bootstraps,
                seconds: answer.seconds,
            }),
            iteration: trained(&training)?,
            batch: trained(&batch)?,
            step: Counted {
                bootstraps: training.report.step_bootstraps,
                seconds: training.report.step_seconds,
            },
        };
        Ok(Self { costs, model, settings, inference, training })
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
    fn folders() -> [ModelFolder; 2] {
        ["edge", "edge-softmax"].map(|name| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models").join(name);
            ModelFolder::open(&path).unwrap()
        })
    }

    fn all([one, other]: [&ModelFolder; 2]) -> Result<[Subject; 3]> {
        let (params, settings) = (preset::params(preset::EDGE_128)?, Settings::default());
        Subject::all(&params, [one.model(), other.model()], &settings, &mut |_| {})
    }

    #[test]
    fn a_softmax_takes_a_bootstrap_more_for_each_layer() {
        let folders = folders();
        let [less, more, _] = all(folders.each_ref()).unwrap().map(|subject| subject.costs);
        assert_eq!(more.inference.bootstraps, less.inference.bootstraps + 2);
        assert_eq!(more.iteration.bootstraps, less.iteration.bootstraps + 2);
        assert_eq!(more.batch.bootstraps, less.batch.bootstraps + 2 * BATCH);
        assert!(more.inference.seconds > less.inference.seconds);
    }

    #[test]
    fn full_fine_tuning_takes_bootstraps_for_inputs_derivatives_and_its_state() {
        let folders = folders();
        let [_, lora, full] = all(folders.each_ref()).unwrap().map(|subject| subject.costs);
        // Inputs of all linear layers but queries, keys and values, whose own are in slots.
        let inputs = 7;
        assert_eq!(full.inference.bootstraps, lora.inference.bootstraps + inputs + 1);
        // Eleven ciphertexts each of updates, means and squares, and of gradients, two in a bootstrap.
        assert_eq!(full.step.bootstraps, lora.step.bootstraps + 17 + 6);
        let one = |costs: &Costs| costs.iteration.bootstraps - costs.step.bootstraps;
        // And one that an adapter's tail saves.
        assert_eq!(one(&full), one(&lora) + 2 * inputs + 1);
        assert!(full.iteration.seconds > 2.0 * lora.iteration.seconds);
    }

    #[test]
    fn models_with_the_same_attention_are_not_compared() {
        let folders = folders();
        for folder in &folders {
            assert!(all([folder, folder]).unwrap_err().to_string().contains("--softmax-model"));
        }
    }
}
