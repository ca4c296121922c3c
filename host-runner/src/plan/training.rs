//! One iteration of private fine-tuning, found by running it without values.

use anyhow::{Context, Result};
use he_core::cpu::bootstrap_keys;
use he_core::eval::Evaluator;
use he_core::eval::count::{Bootstrap, Count};
use he_core::keyswitch::KeyPlan;
use he_core::params::Params;
use he_core::refresh::Refresh;
use he_lora::training::{Encrypted, Training, iteration};
use he_nn::levels::Levels;
use he_nn::model::Model;
use serde::Serialize;

use super::cost::Costs;
use super::pass::shape;
use super::{CIPHERTEXTS_AT_ONCE, OVERHEAD_BYTES, Plan};
use crate::report::KeysReport;

/// Ciphertexts that a tape holds until the way back has used them, at most.
const TAPE: u64 = 64;

/// The plan of iterations with batches of one size.
#[derive(Debug)]
pub struct TrainingPlan {
    keys: KeyPlan,
    levels: Vec<usize>,
    /// What there is to be said.
    pub report: TrainingReport,
}

/// The plan as JSON.
#[derive(Clone, Debug, Serialize)]
pub struct TrainingReport {
    /// Examples of an iteration.
    pub batch: usize,
    /// Processor seconds of a forward and a backward pass, expected of an AVX-512 machine.
    pub example_seconds: f64,
    /// Processor seconds of everything that an iteration does once.
    pub step_seconds: f64,
    /// Processor seconds of a forward pass of inference.
    pub forward_seconds: f64,
    /// Bootstraps of an example.
    pub example_bootstraps: usize,
    /// Bootstraps of everything that an iteration does once.
    pub step_bootstraps: usize,
    /// The evaluation keys.
    pub keys: KeysReport,
    /// Everything in memory together.
    pub memory_bytes: u64,
}

/// What was counted of an iteration.
struct Pass {
    count: Count,
    needed: Vec<Bootstrap>,
}

impl TrainingPlan {
    /// Plans iterations of `training` with `batch` examples each.
    ///
    /// # Errors
    /// If model and training do not fit the parameters.
    pub fn new(params: &Params, model: &Model, training: &Training, batch: usize) -> Result<Self> {
        let costs = Costs::new(params)?;
        let pass =
            |batch, levels: Option<&[usize]>| Pass::new(params, model, (training, batch), levels);
        let planned = |batch| {
            let levels = pass(batch, None)?.levels();
            Ok::<_, anyhow::Error>((pass(batch, Some(&levels))?, levels))
        };
        let (one, one_levels) = planned(1)?;
        let (two, two_levels) = planned(2)?;
        let seconds = [one.seconds(&costs, &one_levels)?, two.seconds(&costs, &two_levels)?];
        let bootstraps = [one_levels.len(), two_levels.len()];
        let (many, levels) = planned(batch)?;

        let inference = Plan::new(params, model)?.with_trained(params, model, training.shape)?;
        let mut keys = bootstrap_keys(params)?;
        for spec in inference.keys().specs() {
            keys.need(spec.kind, spec.level);
        }
        for (step, level) in many.count.rotations() {
            keys.need_rotation(params, step.cast_signed(), level);
        }
        let report = KeysReport {
            count: keys.specs().len(),
            wire_bytes: keys.wire_bytes(params),
            resident_bytes: keys.resident_bytes(params),
        };
        let ciphertext = 2 * 4 * ((params.primes().len() as u64) << params.log_degree());
        let memory_bytes = report.resident_bytes
            + costs.transform_bytes()
            + (CIPHERTEXTS_AT_ONCE + TAPE) * ciphertext
            + OVERHEAD_BYTES;
        let report = TrainingReport {
            batch,
            example_seconds: seconds[1] - seconds[0],
            step_seconds: 2.0 * seconds[0] - seconds[1],
            forward_seconds: inference.report.seconds,
            example_bootstraps: bootstraps[1] - bootstraps[0],
            step_bootstraps: 2 * bootstraps[0] - bootstraps[1],
            keys: report,
            memory_bytes,
        };
        Ok(Self { keys, levels, report })
    }

    /// The keys to be made: those of inference among them.
    #[must_use]
    pub const fn keys(&self) -> &KeyPlan {
        &self.keys
    }

    /// Where the bootstraps of an iteration return to, in order of execution.
    #[must_use]
    pub fn levels(&self) -> &[usize] {
        &self.levels
    }
}

impl Pass {
    fn new(
        params: &Params,
        model: &Model,
        (training, batch): (&Training, usize),
        levels: Option<&[usize]>,
    ) -> Result<Self> {
        let count = Count::new(shape(params, model)?);
        let state = count.input(count.rows_level(), count.default_scale())?;
        let upload = count.input_rows(model.config().width)?;
        let label = count.input_rows(model.config().classes)?;
        let examples = vec![Encrypted { upload: &upload, label: &label }; batch];
        let mut levels = levels.map_or_else(Levels::default, Levels::planned);
        let state = iteration(&count, (model, training), 1, &state, &examples, &mut levels)
            .context("training does not fit the parameters")?;
        let needed = count.needed_bootstraps(&state, params.rows_level())?;
        Ok(Self { count, needed })
    }

    fn levels(&self) -> Vec<usize> {
        self.needed.iter().map(|bootstrap| bootstrap.needed).collect()
    }

    fn seconds(&self, costs: &Costs<'_>, levels: &[usize]) -> Result<f64> {
        let bootstraps = self.needed.iter().zip(levels);
        let bootstraps = bootstraps.map(|(one, &level)| costs.bootstrap(one, level));
        Ok(costs.counted(&self.count) + bootstraps.sum::<Result<f64>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finetune::settings::Settings;
    use crate::import::ModelFolder;
    use crate::preset;
    use he_core::keyswitch::KeySpec;
    use std::path::Path;

    #[test]
    fn the_keys_of_one_example_serve_every_batch_and_inference() {
        let params = preset::params(preset::EDGE_128).unwrap();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/edge");
        let folder = ModelFolder::open(&path).unwrap();
        let training = Settings::default().training(folder.model().config(), 10).unwrap();
        let plan = |batch| TrainingPlan::new(&params, folder.model(), &training, batch).unwrap();
        let (one, three) = (plan(1), plan(3));
        let serves = |plan: &TrainingPlan, keys: &KeyPlan| {
            let has = |wanted: KeySpec| {
                plan.keys()
                    .specs()
                    .any(|spec| spec.kind == wanted.kind && spec.level >= wanted.level)
            };
            keys.specs().all(has)
        };
        assert!(serves(&one, three.keys()));
        assert!(serves(&one, Plan::new(&params, folder.model()).unwrap().keys()));
        assert!(three.levels().iter().all(|level| *level <= params.computing_level()));
        let report = &three.report;
        assert_eq!(three.levels().len(), 3 * report.example_bootstraps + report.step_bootstraps);
    }
}
