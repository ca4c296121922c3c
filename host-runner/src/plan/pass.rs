//! One forward pass without values.

use anyhow::{Context, Result};
use he_core::eval::Evaluator;
use he_core::eval::count::{Bootstrap, Count};
use he_core::eval::position::{RowShape, Shape as Chain};
use he_core::params::Params;
use he_core::refresh::{Halves, Refresh};
use he_lora::Adapter;
use he_lora::adapter::LayerAdapter;
use he_lora::parameters::Shape;
use he_lora::trained::Trained;
use he_lora::training::{unpack, updates};
use he_nn::forward::Forward;
use he_nn::layer::normalisation;
use he_nn::levels::Levels;
use he_nn::model::Model;
use he_nn::stage::Event;

use super::cost::Costs;
use super::{PlannedBootstrap, PlannedStage};

/// What is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// The model.
    Plain,
    /// The model with a personal adapter of rank 1: keys and levels are the same for every rank.
    Adapted,
    /// The model with an adapter of this shape that was trained, head included, from its state on.
    Trained(Shape),
}

/// A pass that was counted.
#[derive(Debug)]
pub(super) struct Pass {
    /// All its operations.
    pub(super) count: Count,
    /// Its bootstraps, in order of execution, with the levels they are needed at.
    pub(super) needed: Vec<Bootstrap>,
    stages: Vec<Tally>,
}

/// One stage, without what its bootstraps cost.
#[derive(Debug)]
struct Tally {
    name: &'static str,
    level: usize,
    /// The number of its first bootstrap and of the one after its last.
    bootstraps: [usize; 2],
    seconds: f64,
}

impl Pass {
    /// Counts a pass with bootstraps that return to `levels`, or to the highest level.
    ///
    /// # Errors
    /// If the model does not fit the parameters, or the levels the model.
    pub(super) fn new(
        costs: &Costs<'_>,
        subject: Subject,
        model: &Model,
        levels: Option<&[usize]>,
    ) -> Result<Self> {
        let params = costs.params();
        let count = Count::new(shape(params, model)?);
        let now = || (costs.counted(&count), count.bootstraps());
        let (mut stages, mut begin) = (Vec::new(), now());
        let mut note = |event| match event {
            Event::Begin(_) => begin = now(),
            Event::End { stage, level } => {
                let (seconds, bootstraps) = now();
                let (seconds, bootstraps) = (seconds - begin.0, [begin.1, bootstraps]);
                stages.push(Tally { name: stage.name(), level, bootstraps, seconds });
            }
        };
        let adapter = (subject == Subject::Adapted).then(|| adapter(&count, params, model));
        let adapter = adapter.transpose()?;
        let mut levels = levels.map_or_else(Levels::default, Levels::planned);
        let trained = match subject {
            Subject::Trained(shape) => Some(trained(&count, model, shape, &mut levels)?),
            _ => None,
        };
        let rows = count.input_rows(model.config().width)?;
        let mut forward = Forward::new(&count, model, &mut note).resuming(levels);
        forward = match (&adapter, &trained) {
            (Some(adapter), _) => forward.with_updates(Some(adapter)),
            (None, trained) => forward.with_updates(trained.as_ref().and_then(Trained::updates)),
        };
        let answer = match &trained {
            None => forward.run(&rows),
            Some(trained) => forward.run_with_head(&rows, |rows, mask, linears| {
                trained.classify(&count, model, (rows, mask), linears)
            }),
        };
        let answer = answer.context("the model does not fit the parameters")?;
        let needed = count.needed_bootstraps(&[answer], params.rows_level())?;
        Ok(Self { count, needed, stages })
    }

    /// The level that each bootstrap is needed at.
    #[must_use]
    pub(super) fn levels(&self) -> Vec<usize> {
        self.needed.iter().map(|bootstrap| bootstrap.needed).collect()
    }

    /// The stages, with bootstraps that return to `levels`.
    ///
    /// # Errors
    /// If there is no such level.
    pub(super) fn stages(&self, costs: &Costs<'_>, levels: &[usize]) -> Result<Vec<PlannedStage>> {
        let bootstrap = |(bootstrap, &level): (&Bootstrap, &usize)| {
            let seconds = costs.bootstrap(bootstrap, level)?;
            let halves = match bootstrap.halves {
                Halves::Low => 1,
                Halves::Both => 2,
            };
            Ok(PlannedBootstrap { rows: bootstrap.rows, halves, level, seconds })
        };
        let planned = self.needed.iter().zip(levels).map(bootstrap);
        let planned = planned.collect::<Result<Vec<_>>>()?;
        let stage = |tally: &Tally| {
            let [first, end] = tally.bootstraps;
            let bootstraps = planned.get(first..end).unwrap_or_default().to_vec();
            let seconds = bootstraps.iter().map(|one| one.seconds).sum::<f64>() + tally.seconds;
            PlannedStage { name: tally.name, level: tally.level, bootstraps, seconds }
        };
        Ok(self.stages.iter().map(stage).collect())
    }
}

fn adapter(count: &Count, params: &Params, model: &Model) -> Result<Adapter<Count>> {
    let layout = normalisation::layout(count, model.config())?;
    let row = || count.input(he_lora::level(params.rows_level()), params.default_scale());
    let layer = |_| Ok(LayerAdapter::new(vec![row()?], vec![row()?])?);
    let layers = (0..model.layers().len()).map(layer).collect::<Result<_>>()?;
    Ok(Adapter::new(layers, 1.0, model.config().width, layout.step(2))?)
}

/// What a state is unpacked to.
fn trained(
    count: &Count,
    model: &Model,
    shape: Shape,
    levels: &mut Levels<'_>,
) -> Result<Trained<Count>> {
    let config = model.config();
    let one = |_| count.input(count.rows_level(), count.default_scale());
    let state = (0..updates(count, config, shape)?).map(one).collect::<Result<Vec<_>, _>>()?;
    Ok(unpack(count, config, (shape, 1.0), &state, levels)?)
}

pub(crate) fn shape(params: &Params, model: &Model) -> Result<Chain> {
    let steps = (1..=params.max_level()).map(|level| params.step(level)).collect();
    let rows = RowShape {
        tokens: params.tokens(),
        frac_bits: model.config().weight_frac_bits,
        product_scale: params.product_scale(),
        rows_level: params.rows_level(),
        computing_level: params.computing_level(),
    };
    Ok(Chain::new(params.degree() / 2, steps, params.default_scale())?.with_rows(rows)?)
}
