//! One iteration of private fine-tuning, found by running it without values.

use anyhow::{Context, Result};
use he_core::cpu::bootstrap_keys;
use he_core::eval::Evaluator;
use he_core::eval::count::{Bootstrap, Count};
use he_core::keyswitch::KeyPlan;
use he_core::params::Params;
use he_core::refresh::Refresh;
use he_lora::training::{Encrypted, Training, ciphertexts, groups, iteration};
use he_nn::levels::Levels;
use he_nn::model::Model;
use serde::Serialize;

use super::{CIPHERTEXTS_AT_ONCE, Costs, FullBytes, OVERHEAD_BYTES, Plan, shape};
use crate::report::KeysReport;

/// What the tape of one trunk and that of a tail hold, at most, in ciphertexts over all primes.
const TAPE: u64 = 12;

/// Groups of examples are not larger: the tail is a twentieth of an example in a group of eight.
pub const LARGEST_GROUP: usize = 8;

/// The plan of iterations with batches of one size.
#[derive(Debug)]
pub struct TrainingPlan {
    keys: KeyPlan,
    levels: Vec<usize>,
    most: usize,
    /// What there is to be said.
    pub report: TrainingReport,
}

/// The plan as JSON.
#[derive(Clone, Debug, Serialize)]
pub struct TrainingReport {
    /// Examples of an iteration.
    pub batch: usize,
    /// Examples that share the bootstraps of their tails, at most.
    pub group: usize,
    /// Processor seconds of a forward and a backward pass, expected of an AVX-512 machine: the mean over the batch.
    pub example_seconds: f64,
    /// Processor seconds of everything that an iteration does once.
    pub step_seconds: f64,
    /// Processor seconds of a forward pass of inference.
    pub forward_seconds: f64,
    /// Bootstraps of an iteration.
    pub bootstraps: usize,
    /// Those of everything that an iteration does once.
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
    /// Plans iterations of `training` with `batch` examples each, in the largest groups there are: a larger one always
    /// costs less.
    ///
    /// # Errors
    /// If model and training do not fit the parameters.
    pub fn new(params: &Params, model: &Model, training: &Training, batch: usize) -> Result<Self> {
        Self::in_groups(params, model, training, (batch, LARGEST_GROUP))
    }

    /// As [`Self::new`], in the largest groups that fit into so many bytes; one by one if none does.
    ///
    /// # Errors
    /// As there.
    pub fn within(
        bytes: Option<u64>,
        params: &Params,
        model: &Model,
        training: &Training,
        batch: usize,
    ) -> Result<Self> {
        let mut most = LARGEST_GROUP;
        loop {
            let plan = Self::in_groups(params, model, training, (batch, most))?;
            if most == 1 || bytes.is_none_or(|bytes| plan.report.memory_bytes <= bytes) {
                return Ok(plan);
            }
            most /= 2;
        }
    }

    fn in_groups(
        params: &Params,
        model: &Model,
        training: &Training,
        (batch, most): (usize, usize),
    ) -> Result<Self> {
        let costs = Costs::new(params)?;
        let pass =
            |sizes, levels: Option<&[usize]>| Pass::new(params, model, (training, sizes), levels);
        let planned = |batch, most| {
            let levels = pass((batch, most), None)?.levels();
            Ok::<_, anyhow::Error>((pass((batch, most), Some(&levels))?, levels))
        };
        let (one, one_levels) = planned(1, 1)?;
        let (two, two_levels) = planned(2, 1)?;
        let seconds = [one.seconds(&costs, &one_levels)?, two.seconds(&costs, &two_levels)?];
        let (many, levels) = planned(batch, most)?;
        let step_seconds = 2.0 * seconds[0] - seconds[1];
        let group = groups(batch, most).next().unwrap_or(0);

        let inference = Plan::new(params, model)?.with_trained(params, model, training.shape)?;
        let mut keys = bootstrap_keys(params)?;
        for spec in inference.keys().specs() {
            keys.need(spec.kind, spec.level);
        }
        for (step, level) in one.count.rotations().into_iter().chain(many.count.rotations()) {
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
            + (CIPHERTEXTS_AT_ONCE + TAPE * (1 + group as u64)) * ciphertext
            + OVERHEAD_BYTES
            + match training.shape.is_full() {
                true => FullBytes::new(params, model)?.training,
                false => 0,
            };
        let report = TrainingReport {
            batch,
            group,
            example_seconds: (many.seconds(&costs, &levels)? - step_seconds) / as_f64(batch),
            step_seconds,
            forward_seconds: inference.report.seconds,
            bootstraps: levels.len(),
            step_bootstraps: 2 * one_levels.len() - two_levels.len(),
            keys: report,
            memory_bytes,
        };
        Ok(Self { keys, levels, most, report })
    }

    /// The keys to be made: those of inference and of examples one by one among them.
    #[must_use]
    pub const fn keys(&self) -> &KeyPlan {
        &self.keys
    }

    /// The sizes of the groups that an iteration takes its examples in.
    pub fn groups(&self) -> impl Iterator<Item = usize> {
        groups(self.report.batch, self.most)
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
        (training, (batch, most)): (&Training, (usize, usize)),
        levels: Option<&[usize]>,
    ) -> Result<Self> {
        let count = Count::new(shape(params, model)?);
        let ciphertexts = ciphertexts(&count, model.config(), training.shape)?;
        let one = |_| count.input(count.rows_level(), count.default_scale());
        let state = (0..ciphertexts).map(one).collect::<Result<Vec<_>, _>>()?;
        let upload = count.input_rows(model.config().width)?;
        let label = count.input_rows(model.config().classes)?;
        let examples = vec![Encrypted { upload: &upload, label: &label }; batch];
        let mut levels = levels.map_or_else(Levels::default, Levels::planned);
        let examples = (&examples[..], most);
        let state = iteration(&count, (model, training), 1, &state, examples, &mut levels)
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

#[expect(clippy::cast_precision_loss, reason = "batches are far below 2^53")]
const fn as_f64(n: usize) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finetune::settings::Settings;
    use crate::import::ModelFolder;
    use crate::objective::Objective;
    use crate::preset;
    use he_core::keyswitch::KeySpec;
    use std::path::Path;

    #[test]
    fn the_keys_of_the_largest_group_serve_every_batch_and_loss_and_inference() {
        let params = preset::params(preset::EDGE_128).unwrap();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/edge");
        let folder = ModelFolder::open(&path).unwrap();
        let training = Settings::default().training(folder.model().config(), 10).unwrap();
        let plan = |batch| TrainingPlan::new(&params, folder.model(), &training, batch).unwrap();
        let (one, largest, seven) = (plan(1), plan(LARGEST_GROUP), plan(7));
        let squared = Settings { loss: Objective::Squared, ..Settings::default() };
        let squared = squared.training(folder.model().config(), 10).unwrap();
        let squared = TrainingPlan::new(&params, folder.model(), &squared, 1).unwrap();
        let serves = |plan: &TrainingPlan, keys: &KeyPlan| {
            let has = |wanted: KeySpec| {
                plan.keys()
                    .specs()
                    .any(|spec| spec.kind == wanted.kind && spec.level >= wanted.level)
            };
            keys.specs().all(has)
        };
        for batch in 1..LARGEST_GROUP + 2 {
            assert!(serves(&largest, plan(batch).keys()), "batches of {batch}");
        }
        assert!(serves(&largest, squared.keys()), "of a job with squared errors");
        assert!(serves(&largest, Plan::new(&params, folder.model()).unwrap().keys()));
        assert!(seven.levels().iter().all(|level| *level <= params.computing_level()));
        let (report, groups) = (&seven.report, [4, 2, 1]);
        assert_eq!(seven.groups().collect::<Vec<_>>(), groups);
        let bootstraps: usize = groups.iter().map(|group| 12 * group + 7).sum();
        assert_eq!(seven.levels().len(), bootstraps + report.step_bootstraps);
        assert!(report.example_seconds < 0.85 * one.report.example_seconds);
    }
}
