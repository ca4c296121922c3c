//! What a forward pass takes, found by running it without values: levels, bootstraps, keys, memory.

use anyhow::{Context, Result};
use he_core::bootstrap::dft::{Dft, Setting};
use he_core::circuit::linear::Placement;
use he_core::cpu::bootstrap_keys;
use he_core::eval::Evaluator;
use he_core::eval::count::{Count, Operation};
use he_core::eval::position::{RowShape, Shape};
use he_core::keyswitch::KeyPlan;
use he_core::params::Params;
use he_lora::Adapter;
use he_lora::adapter::LayerAdapter;
use he_nn::forward::Forward;
use he_nn::layer::normalisation;
use he_nn::model::Model;
use he_nn::stage::Event;
use serde::Serialize;

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
    /// What there is to be said.
    pub report: PlanReport,
}

/// The plan as JSON.
#[derive(Clone, Debug, Serialize)]
pub struct PlanReport {
    /// Levels between bootstraps.
    pub computing_levels: usize,
    /// The stages, with the lowest level that each reaches.
    pub stages: Vec<PlannedStage>,
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
}

/// One stage.
#[derive(Clone, Debug, Serialize)]
pub struct PlannedStage {
    /// What it computes.
    pub name: &'static str,
    /// The lowest level that it reaches.
    pub level: usize,
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
    /// Plans a forward pass of `model` under `params`.
    ///
    /// # Errors
    /// If the model does not fit the parameters.
    pub fn new(params: &Params, model: &Model) -> Result<Self> {
        let count = Count::new(shape(params, model)?);
        let mut stages = Vec::new();
        let mut note = |event| {
            if let Event::End { stage, level } = event {
                stages.push(PlannedStage { name: stage.name(), level });
            }
        };
        let rows = count.input_rows(model.config().width)?;
        Forward::new(&count, model, &mut note)
            .run(&rows)
            .context("the model does not fit the parameters")?;

        let mut keys = bootstrap_keys(params)?;
        let rotations = count.rotations();
        for (step, level) in rotations.iter().copied().chain(adapted_rotations(params, model)?) {
            keys.need_rotation(params, step.cast_signed(), level);
        }
        let keys_report = KeysReport {
            count: keys.specs().len(),
            wire_bytes: keys.wire_bytes(params),
            resident_bytes: keys.resident_bytes(params),
        };
        let transform_bytes = transform_bytes(params)?;
        let ciphertext = 2 * 4 * ((params.primes().len() as u64) << params.log_degree());
        let work = CIPHERTEXTS_AT_ONCE * ciphertext;
        let report = PlanReport {
            computing_levels: params.computing_level() - params.rows_level(),
            stages,
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
            keys: keys_report,
            rotations: rotations.len(),
            transform_bytes,
            memory_bytes: keys_report.resident_bytes + transform_bytes + work + OVERHEAD_BYTES,
        };
        Ok(Self { keys, report })
    }

    /// The keys to be made.
    #[must_use]
    pub const fn keys(&self) -> &KeyPlan {
        &self.keys
    }
}

/// The rotations of a forward pass with a personal adapter, whatever its rank. Keys are made for them
/// too: an adapter may come later.
fn adapted_rotations(params: &Params, model: &Model) -> Result<Vec<(usize, usize)>> {
    let count = Count::new(shape(params, model)?);
    let width = model.config().width;
    let layout = normalisation::layout(&count, model.config())?;
    let row = || count.input(he_lora::level(params.rows_level()), params.default_scale());
    let layer = |_| Ok(LayerAdapter::new(vec![row()?], vec![row()?])?);
    let layers = (0..model.layers().len()).map(layer).collect::<Result<_>>()?;
    let adapter = Adapter::new(layers, 1.0, width, layout.step(2))?;
    let rows = count.input_rows(width)?;
    Forward::new(&count, model, &mut |_| {}).with_adapter(&adapter).run(&rows)?;
    Ok(count.rotations())
}

fn shape(params: &Params, model: &Model) -> Result<Shape> {
    let steps = (1..=params.max_level()).map(|level| params.step(level)).collect();
    let rows = RowShape {
        tokens: params.tokens(),
        frac_bits: model.config().weight_frac_bits,
        product_scale: params.product_scale(),
        rows_level: params.rows_level(),
        computing_level: params.computing_level(),
    };
    Ok(Shape::new(params.degree() / 2, steps, params.default_scale())?.with_rows(rows)?)
}

/// Bytes of the encoded matrices between coefficients and slots.
fn transform_bytes(params: &Params) -> Result<u64> {
    let steps = (1..=params.max_level()).map(|level| params.step(level)).collect();
    let count = Count::new(Shape::new(params.degree() / 2, steps, params.default_scale())?);
    let scale = count.default_scale();
    let setting = |level| {
        let at = Placement { level, input_scale: scale, to_scale: scale };
        Setting { at, constant: 1.0 }
    };
    Dft::new(&count, setting(params.max_level()), setting(params.rows_level()))?;
    let limbs = |level| (count.at(Operation::Encode, level) * params.basis(level).len()) as u64;
    let all: u64 = (0..params.level_count()).map(limbs).sum();
    Ok(4 * (all << params.log_degree()))
}
