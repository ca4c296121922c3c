//! Full fine-tuning: what every matrix of a model takes beside its frozen part, as an encrypted update of which each entry is
//! trained (`he_lora::dense`), and the optimizer on all of them.
//!
//! Products with encrypted matrices go from rows to rows, each beside an integer product with the frozen matrix, so they add
//! to a pass what they take. Every product is evaluated, with the shapes and at the levels of the model, on the matrices,
//! inputs and derivatives of a sample: the time does not depend on what is in them.

pub(super) mod sample;

use anyhow::{Context, Result};
use he_core::eval::Evaluator;
use he_core::eval::count::{Bootstrap, Count};
use he_core::params::Params;
use he_core::refresh::Refresh;
use he_lora::adamw::AdamW;
use he_nn::model::{Config, Model};
use serde::Serialize;

use self::sample::Sample;
use super::measured::{Measured, What};
use super::{BATCH, Costs as Compared, Counted};
use crate::finetune::settings::Settings;
use crate::plan;

/// Matrices that have an input, or several whose products are added.
#[derive(Clone, Copy, Debug)]
struct Site {
    /// Vectors that go in.
    inputs: usize,
    /// Vectors that come out.
    outputs: usize,
    /// Whether derivatives go on to the input.
    goes_back: bool,
    /// Whether it is after the last attention, where sentences share packs.
    is_tail: bool,
}

/// All matrices of `width × width` entries, in the order of a pass.
fn sites(config: &Config) -> Vec<Site> {
    let (blocks, last) = (config.hidden / config.width, config.layers.len() - 1);
    let mut sites = Vec::new();
    for layer in 0..=last {
        let mut push = |inputs, outputs, goes_back, is_tail| {
            sites.push(Site { inputs, outputs, goes_back, is_tail });
        };
        push(1, 3, layer > 0, false);
        push(1, 1, true, false);
        push(1, 2 * blocks, true, layer == last);
        push(blocks, 1, true, layer == last);
    }
    sites.push(Site { inputs: 1, outputs: 1, goes_back: true, is_tail: true });
    sites
}

/// What full fine-tuning does besides the passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// Products of a forward pass whose weights stay encrypted.
    Inference,
    /// From matrices at rest to diagonals at every token: once an iteration.
    Weights,
    /// The diagonals of transposed matrices: once an iteration.
    Transposes,
    /// Products of a forward pass.
    Forward,
    /// Products of the way back.
    Back,
    /// Products of inputs and derivatives.
    Gradients,
    /// Their sums over tokens, in the places of the state: once an iteration.
    Sums,
    /// Bootstraps of the state and of gradients: once an iteration, one run for all.
    State,
    /// Steps of the optimizer: once an iteration, one run for all.
    Optimizer,
}

/// In the order in which they are run.
pub const PARTS: [Part; 9] = [
    Part::Inference,
    Part::Weights,
    Part::Transposes,
    Part::Forward,
    Part::Back,
    Part::Gradients,
    Part::Sums,
    Part::State,
    Part::Optimizer,
];

impl Part {
    /// What it is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inference => "products of inference",
            Self::Weights => "diagonals of the weights",
            Self::Transposes => "those of their transposes",
            Self::Forward => "products, forward",
            Self::Back => "products, back",
            Self::Gradients => "products of gradients",
            Self::Sums => "their sums over tokens",
            Self::State => "bootstraps of the state",
            Self::Optimizer => "optimizer",
        }
    }
}

/// What a part takes.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PartCosts {
    /// Which.
    pub part: Part,
    /// How often what is run is needed: 1, or as many ciphertexts as there are of the state.
    pub times: usize,
    /// All of it.
    pub counted: Counted,
}

/// Full fine-tuning with a softmax.
#[derive(Clone, Debug, Serialize)]
pub struct Full {
    /// What it does besides a pass.
    pub parts: Vec<PartCosts>,
    /// Inference with weights that stay encrypted.
    pub inference: Counted,
    /// An iteration with one example.
    pub iteration: Counted,
    /// With [`BATCH`] examples.
    pub batch: Counted,
    /// What keys are needed for.
    #[serde(skip)]
    pub(super) rotations: Rotations,
}

impl Full {
    /// Counts what it adds to inference and to training with a softmax.
    ///
    /// # Errors
    /// If the model does not fit the parameters.
    pub fn new(
        params: &Params,
        model: &Model,
        settings: &Settings,
        softmax: &Compared,
    ) -> Result<Self> {
        let config = model.config();
        let optimizer = settings.training(config, 1)?.optimizer;
        let all = sites(config);
        let (parts, rotations) = counted(params, model, &optimizer, &all)?;
        let tail: Vec<_> = all.into_iter().filter(|site| site.is_tail).collect();
        let (shared, _) = counted(params, model, &optimizer, &tail)?;

        let of = |parts: &[PartCosts], wanted: &[Part]| {
            let wanted = parts.iter().filter(|one| wanted.contains(&one.part));
            wanted.fold(Counted::default(), |sum, one| sum + one.counted)
        };
        let (examples, tails) = (of(&parts, &EXAMPLE), of(&shared, &EXAMPLE));
        let once = of(&parts, &ONCE);
        Ok(Self {
            inference: softmax.inference + of(&parts, &[Part::Inference]),
            iteration: softmax.iteration - softmax.step + examples + once,
            batch: softmax.batch - softmax.step + (examples - tails).times(BATCH) + tails + once,
            parts,
            rotations,
        })
    }

    /// From the measured time of a softmax with an adapter and those of all parts: that time, less the part of it that the
    /// adapter's own state takes by the count, and every part as often as it is needed. None if parts were not measured.
    #[must_use]
    pub fn measured(
        &self,
        what: What,
        softmax: &Measured,
        parts: &[Measured],
        costs: &Compared,
    ) -> Option<Measured> {
        let worst = parts.iter().map(|part| part.error).reduce(f64::max)?;
        let kept = match what {
            What::Inference => 1.0,
            What::Iteration => 1.0 - costs.step.seconds / costs.iteration.seconds,
        };
        let mut all = Measured {
            seconds: kept * softmax.seconds,
            processor_seconds: kept * softmax.processor_seconds,
            error: worst,
        };
        for (one, time) in self.parts.iter().zip(parts) {
            if (one.part == Part::Inference) == (what == What::Inference) {
                let times = f64::from(u32::try_from(one.times).ok()?);
                all.seconds += times * time.seconds;
                all.processor_seconds += times * time.processor_seconds;
            }
        }
        Some(all)
    }
}

/// What each example takes; those of a batch share what is after the last attention.
pub const EXAMPLE: [Part; 3] = [Part::Forward, Part::Back, Part::Gradients];
/// What an iteration takes once.
pub const ONCE: [Part; 5] =
    [Part::Weights, Part::Transposes, Part::Sums, Part::State, Part::Optimizer];

/// Rotations, each with the highest level that it is used at.
type Rotations = Vec<(usize, usize)>;

/// What parts take with the matrices of these sites, and the rotations that they ask for.
fn counted(
    params: &Params,
    model: &Model,
    optimizer: &AdamW,
    sites: &[Site],
) -> Result<(Vec<PartCosts>, Rotations)> {
    let costs = plan::Costs::new(params)?;
    let count = Count::new(plan::shape(params, model)?);
    let vectors = || count.input_rows(model.config().width);
    let (x, g, level) = (vectors()?, vectors()?, Sample::<Count>::rest_level(&count));
    let rest = count.input(level, count.default_scale())?;
    let sites = sites.to_vec();
    let sample = Sample::new(&count, (model.config(), optimizer), sites, (x, g), &rest)
        .context("full fine-tuning does not fit the parameters")?;
    let mut parts = Vec::new();
    for part in PARTS {
        let now = || (costs.counted(&count), count.bootstraps());
        let before = now();
        sample.run(part)?;
        let after = now();
        let (halves, level) = sample.bootstrap(part)?;
        let one = Bootstrap { rows: count.rows_per_pack(), halves, needed: level };
        let bootstraps = after.1 - before.1;
        let seconds = f64::from(u32::try_from(bootstraps)?) * costs.bootstrap(&one, level)?;
        let counted = Counted { bootstraps, seconds: after.0 - before.0 + seconds };
        let times = sample.times(part);
        parts.push(PartCosts { part, times, counted: counted.times(times) });
    }
    Ok((parts, count.rotations()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::Subject;
    use crate::compare::tests::folders;
    use crate::import::ModelFolder;
    use crate::preset;

    #[test]
    fn a_model_of_344_064_trained_entries_takes_what_its_sites_ask_for() {
        let params = preset::params(preset::EDGE_128).unwrap();
        let (folders, settings) = (folders(), Settings::default());
        let models = folders.each_ref().map(ModelFolder::model);
        let config = models[0].config();
        let matrices = sites(config).iter().map(|site| site.inputs * site.outputs).sum::<usize>();
        assert_eq!(matrices * config.width * config.width, 344_064);
        let both = Subject::both(&params, models, &settings, &mut |_| {}).unwrap();
        let softmax = &both[1].costs;
        let full = Full::new(&params, models[0], &settings, softmax).unwrap();
        let of = |part| full.parts.iter().find(|one| one.part == part).unwrap();
        for part in [Part::Inference, Part::Forward, Part::Back] {
            assert_eq!(of(part).counted.bootstraps, 9, "{part:?}");
        }
        // Eleven ciphertexts of parameters, of means and of squares, and of gradients, two in each bootstrap.
        assert_eq!([of(Part::State).times, of(Part::Optimizer).times], [23, 11]);
        assert_eq!(of(Part::State).counted.bootstraps, 23);
        assert_eq!(full.inference.bootstraps, softmax.inference.bootstraps + 9);
        let more = 18 + 23 - softmax.step.bootstraps;
        assert_eq!(full.iteration.bootstraps, softmax.iteration.bootstraps + more);
        let shared = 2 * (6 * BATCH + 3) + 23 - softmax.step.bootstraps;
        assert_eq!(full.batch.bootstraps, softmax.batch.bootstraps + shared);
        assert!(full.inference.seconds > softmax.inference.seconds);
    }
}
