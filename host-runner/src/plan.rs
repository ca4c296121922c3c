//! What a forward pass takes, found by running it without values: levels, bootstraps, keys, memory.

mod cost;
mod pass;
pub mod training;

use anyhow::Result;
use he_core::cpu::bootstrap_keys;
use he_core::eval::count::Operation;
use he_core::keyswitch::KeyPlan;
use he_core::params::Params;
use he_lora::dense::Grid;
use he_lora::full::state::Size;
use he_lora::matrices::Order;
use he_lora::parameters::Shape;
use he_nn::model::Model;
use serde::Serialize;

pub(crate) use self::cost::Costs;
pub(crate) use self::pass::shape;
use self::pass::{Pass, Subject};
use crate::report::KeysReport;

/// Ciphertexts over all primes that a bootstrap and a layer hold at once, at most: hoisted
/// rotations with their digits dominate.
const CIPHERTEXTS_AT_ONCE: u64 = 40;

/// Code, tables, model and allocator.
const OVERHEAD_BYTES: u64 = 200 << 20;

/// The plan of one forward pass.
#[derive(Debug)]
pub struct Plan {
    keys: KeyPlan,
    levels: Levels,
    /// What there is to be said.
    pub report: PlanReport,
}

/// The level that each bootstrap returns to, in order of execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Levels {
    /// Of the model alone.
    pub plain: Vec<usize>,
    /// With a personal adapter, whatever its rank.
    pub adapted: Vec<usize>,
    /// With one that was trained, head included, if there is to be one: first that of its state.
    pub trained: Vec<usize>,
}

/// The plan as JSON.
#[derive(Clone, Debug, Serialize)]
pub struct PlanReport {
    /// Levels between bootstraps, at most.
    pub computing_levels: usize,
    /// The stages, in order.
    pub stages: Vec<PlannedStage>,
    /// Processor seconds, expected of an AVX-512 machine.
    pub seconds: f64,
    /// The same if every bootstrap returned to the highest level.
    pub unplanned_seconds: f64,
    /// Bootstraps: packs of rows made into slots.
    pub bootstraps: usize,
    /// Sine evaluations, one or two for each.
    pub sines: usize,
    /// Ways from slots to rows.
    pub descents: usize,
    /// Linear layers.
    pub linear_layers: usize,
    /// Multiplications of a row by a weight.
    pub weights: usize,
    /// What the non-linear layers do to ciphertexts, bootstraps not included.
    pub operations: Operations,
    /// The evaluation keys.
    pub keys: KeysReport,
    /// Rotations among them that the non-linear layers need.
    pub rotations: usize,
    /// Encoded matrices of the bootstrap, in memory.
    pub transform_bytes: u64,
    /// Everything in memory together: what `serve` asks for.
    pub memory_bytes: u64,
    /// Of it, what is there while something is computed; users of one server share it.
    pub work_bytes: u64,
    /// A question with what was trained, if that is planned.
    pub trained: Option<PlannedAnswer>,
}

/// A question, without what a server does once for all of them.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PlannedAnswer {
    /// Bootstraps.
    pub bootstraps: usize,
    /// Processor seconds.
    pub seconds: f64,
}

/// One stage.
#[derive(Clone, Debug, Serialize)]
pub struct PlannedStage {
    /// What it computes.
    pub name: &'static str,
    /// The lowest level that it reaches.
    pub level: usize,
    /// Its bootstraps.
    pub bootstraps: Vec<PlannedBootstrap>,
    /// Processor seconds.
    pub seconds: f64,
}

/// One bootstrap.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PlannedBootstrap {
    /// Rows that it packs.
    pub rows: usize,
    /// Halves of the tokens that it brings to slots: sines.
    pub halves: usize,
    /// The level that it returns to: the longest path to the next rows.
    pub level: usize,
    /// Processor seconds.
    pub seconds: f64,
}

/// How often each operation is used.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Operations {
    /// Products of two ciphertexts.
    pub products: usize,
    /// Relinearisations.
    pub relinearizations: usize,
    /// Products with plain vectors.
    pub plain_products: usize,
    /// Rotations.
    pub rotations: usize,
    /// Conjugations.
    pub conjugations: usize,
    /// Rescales.
    pub rescales: usize,
}

impl Plan {
    /// Plans a forward pass of `model` under `params`: counts it with every bootstrap to the highest
    /// level, finds the levels that are needed, and counts it again with those.
    ///
    /// # Errors
    /// If the model does not fit the parameters.
    pub fn new(params: &Params, model: &Model) -> Result<Self> {
        let costs = Costs::new(params)?;
        let unplanned = Pass::new(&costs, Subject::Plain, model, None)?;
        let levels = Levels {
            plain: unplanned.levels(),
            adapted: Pass::new(&costs, Subject::Adapted, model, None)?.levels(),
            trained: Vec::new(),
        };
        let pass = Pass::new(&costs, Subject::Plain, model, Some(&levels.plain))?;
        let adapted = Pass::new(&costs, Subject::Adapted, model, Some(&levels.adapted))?;

        let mut keys = bootstrap_keys(params)?;
        let rotations = pass.count.rotations();
        // An adapter may come later.
        for (step, level) in rotations.iter().copied().chain(adapted.count.rotations()) {
            keys.need_rotation(params, step.cast_signed(), level);
        }
        let highest = vec![params.computing_level(); levels.plain.len()];
        let seconds = |stages: &[PlannedStage]| stages.iter().map(|stage| stage.seconds).sum();
        let stages = pass.stages(&costs, &levels.plain)?;
        let report = PlanReport {
            seconds: seconds(&stages),
            unplanned_seconds: seconds(&unplanned.stages(&costs, &highest)?),
            stages,
            ..PlanReport::new(params, &keys, &pass, &costs)
        };
        Ok(Self { keys, levels, report })
    }

    /// With what adapters of this shape that were trained, heads included, take besides.
    ///
    /// # Errors
    /// If they do not fit the parameters.
    pub fn with_trained(mut self, params: &Params, model: &Model, shape: Shape) -> Result<Self> {
        let costs = Costs::new(params)?;
        let pass =
            |levels: Option<&[usize]>| Pass::new(&costs, Subject::Trained(shape), model, levels);
        self.levels.trained = pass(None)?.levels();
        let planned = pass(Some(&self.levels.trained))?;
        for (step, level) in planned.count.rotations() {
            self.keys.need_rotation(params, step.cast_signed(), level);
        }
        let stages = planned.stages(&costs, &self.levels.trained)?;
        self.report.trained = Some(PlannedAnswer {
            bootstraps: stages.iter().map(|stage| stage.bootstraps.len()).sum(),
            seconds: stages.iter().map(|stage| stage.seconds).sum(),
        });
        let resident_bytes = self.report.keys.resident_bytes;
        self.report.keys = keys_report(params, &self.keys);
        // At most so many ciphertexts of the level below the state's.
        let level = self.levels.trained.first().copied().unwrap_or(0);
        let mut unpacked = 2 * shape.places() as u64 * ciphertext_bytes(params, level);
        if shape.is_full() {
            unpacked += FullBytes::new(params, model)?.diagonals;
        }
        self.report.memory_bytes += self.report.keys.resident_bytes - resident_bytes + unpacked;
        Ok(self)
    }

    /// The keys to be made.
    #[must_use]
    pub const fn keys(&self) -> &KeyPlan {
        &self.keys
    }

    /// Where bootstraps return to.
    #[must_use]
    pub const fn levels(&self) -> &Levels {
        &self.levels
    }
}

/// Bytes of a ciphertext at a level.
fn ciphertext_bytes(params: &Params, level: usize) -> u64 {
    2 * 4 * (u64::from(params.basis(level).bits().count_ones()) << params.log_degree())
}

/// What encrypted updates of all matrices take in memory, on the way forward and for training.
struct FullBytes {
    diagonals: u64,
    training: u64,
}

impl FullBytes {
    fn new(params: &Params, model: &Model) -> Result<Self> {
        let config = model.config();
        let grid = Grid::of_rows(params.degree() / params.tokens(), params.tokens(), config.width)?;
        let (size, rows) = (Size::of(&grid, config), params.rows_level());
        let at = |level: usize, count: usize| count as u64 * ciphertext_bytes(params, level);
        let all = Order::new(config).count() * grid.span();
        let diagonals = at(rows + 1, all);
        // Transposes, gradients of two matrices each, and the state, most of it at the highest level.
        let state = at(params.computing_level(), 4 * size.rest());
        let training = 2 * diagonals + at(rows + 2, all.div_ceil(2)) + state;
        Ok(Self { diagonals, training })
    }
}

fn keys_report(params: &Params, keys: &KeyPlan) -> KeysReport {
    KeysReport {
        count: keys.specs().len(),
        wire_bytes: keys.wire_bytes(params),
        resident_bytes: keys.resident_bytes(params),
    }
}

impl PlanReport {
    /// Counts and sizes, without stages and their times.
    fn new(params: &Params, keys: &KeyPlan, pass: &Pass, costs: &Costs<'_>) -> Self {
        let (count, transform_bytes) = (&pass.count, costs.transform_bytes());
        let keys = keys_report(params, keys);
        let ciphertext = 2 * 4 * ((params.primes().len() as u64) << params.log_degree());
        let work_bytes = CIPHERTEXTS_AT_ONCE * ciphertext + OVERHEAD_BYTES;
        Self {
            computing_levels: params.computing_level() - params.rows_level(),
            stages: Vec::new(),
            seconds: 0.0,
            unplanned_seconds: 0.0,
            bootstraps: count.bootstraps(),
            sines: count.sines(),
            descents: count.descents(),
            linear_layers: count.linear_layers(),
            weights: count.weights(),
            operations: Operations {
                products: count.total(Operation::Product),
                relinearizations: count.total(Operation::Relinearize),
                plain_products: count.total(Operation::Plain),
                rotations: count.total(Operation::Rotate),
                conjugations: count.total(Operation::Conjugate),
                rescales: count.total(Operation::Rescale),
            },
            keys,
            rotations: count.rotations().len(),
            transform_bytes,
            memory_bytes: keys.resident_bytes + transform_bytes + work_bytes,
            work_bytes,
            trained: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::import::ModelFolder;
    use crate::preset;

    #[test]
    fn a_question_with_a_trained_adapter_costs_as_much_as_one_with_updates_alone() {
        let params = preset::params(preset::EDGE_128).unwrap();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/edge");
        let folder = ModelFolder::open(&path).unwrap();
        let (model, costs) = (folder.model(), Costs::new(&params).unwrap());
        let shape = Shape::new(2, model.config()).unwrap();
        let question = |subject| {
            let levels = Pass::new(&costs, subject, model, None).unwrap().levels();
            let pass = Pass::new(&costs, subject, model, Some(&levels)).unwrap();
            // Without what is done once, before the first stage.
            let stages = pass.stages(&costs, &levels).unwrap();
            stages.iter().map(|stage| stage.seconds).sum::<f64>()
        };
        let ratio = question(Subject::Trained(shape)) / question(Subject::Adapted);
        assert!(ratio < 1.1, "{ratio}");
    }
}
