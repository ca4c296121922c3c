//! One step of private fine-tuning: forward with a tape, backward, optimizer. `docs/training.md` has the
//! formulas and the order.

mod head;
mod projections;
mod softmax;

use alloc::vec::Vec;

use he_core::refresh::Refresh;
use he_nn::Error;
use he_nn::backward::feed_forward::feed_forward;
use he_nn::backward::normalisation::{normalisation, stream_rows, through};
use he_nn::backward::token_attention::token_attention;
use he_nn::backward::wide_attention::wide_attention;
use he_nn::forward::{Features, Forward};
use he_nn::layer::assembly::{Assembly, as_product};
use he_nn::layout::{at_scale, low_half};
use he_nn::levels::Levels;
use he_nn::model::{Config, Model};
use he_nn::tape::Tape;

use self::head::Head;
use self::projections::Projections;
use crate::adamw::{self, AdamW};
use crate::parameters::{Parameters, PerKind, Shape, Vector};
use crate::reference::Loss;
use crate::state::{Places, Trained};

/// What a run of training is declared with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Training {
    /// How many vectors are trained.
    pub shape: Shape,
    /// What updates are multiplied by: `alpha / rank`.
    pub scaling: f64,
    /// What is minimised.
    pub loss: Loss,
    /// What gradients are multiplied by, a power of two from 1 to 16.
    pub gain: i32,
    /// What gradients of each kind of vector are multiplied by besides, so that all of them fill the optimizer's
    /// window. 0 leaves vectors as they are.
    pub gains: PerKind,
    /// The largest difference of a score and the mean of scores that the softmax is declared for.
    pub largest_score: f64,
    /// The optimizer's settings.
    pub optimizer: AdamW,
}

impl Training {
    /// The gradient of the canary in every example: half of what the optimizer's window is declared for. It is another
    /// if something left the range of an approximation, and so are the canary's mean and its square from then on.
    #[must_use]
    pub fn canary(&self) -> f64 {
        libm::sqrt(self.optimizer.limit) / 2.0
    }

    /// Adds a part of a gradient, as the optimizer takes it: with its gains.
    pub fn accumulate(&self, sum: &mut Parameters, gradient: &Parameters, part: f64) {
        for vector in self.shape.vectors() {
            let factor = part * f64::from(self.gain) * self.gains.of(vector);
            let pairs = sum.vector_mut(vector).iter_mut().zip(gradient.vector(vector));
            pairs.for_each(|(sum, g)| *sum += factor * g);
        }
    }
}

/// An encrypted example.
#[derive(Clone, Copy, Debug)]
pub struct Encrypted<'a, R> {
    /// As [`Forward::run`] takes it.
    pub upload: &'a R,
    /// One row for each class, whose lower tokens all are its label.
    pub label: &'a R,
}

/// What an example gives.
#[derive(Clone, Debug)]
pub struct Outcome<E: Refresh> {
    /// The gradient, times the gain, in its places of the state.
    pub gradient: E::Ciphertext,
    /// The scores before the step, one row a class; lower tokens all hold them.
    pub scores: E::Rows,
}

/// Gradients and the vectors they belong to; that of a projection stands for all three, that of a class
/// for all classes.
type Gradients<E> = Vec<(Vector, <E as he_core::eval::Evaluator>::Ciphertext)>;

/// The state after iteration `number`, from 1, from the state before it and a mini-batch: parameters, mean and
/// squares in their places of one ciphertext, which has at least the level of rows.
///
/// # Errors
/// If an example or the evaluator does not fit the model, there is no example, or a key is missing.
pub fn iteration<E: Refresh>(
    eval: &E,
    (model, training): (&Model, &Training),
    number: u32,
    state: &E::Ciphertext,
    examples: &[Encrypted<'_, E::Rows>],
    levels: &mut Levels<'_>,
) -> Result<E::Ciphertext, Error> {
    let (config, both) = (model.config(), (model, training));
    let state = refresh(eval, config, state, levels)?;
    let trained = Trained::unpack(eval, training.shape, training.scaling, &state)?;
    let mut sum: Option<E::Ciphertext> = None;
    for example in examples {
        let one = outcome(eval, both, &trained, example, levels)?.gradient;
        sum = Some(match sum {
            None => one,
            Some(sum) => eval.add(&sum, &one)?,
        });
    }
    let sum = sum.ok_or(Error::Unsupported("an iteration has an example"))?;
    let count = u32::try_from(examples.len());
    let count = count.map_err(|_| Error::Unsupported("too many examples"))?;
    step(eval, (config, training), number, &state, (&sum, count), levels)
}

/// Brings a state or a gradient to slots at the next level.
///
/// # Errors
/// If a key is missing or the level is too low.
pub fn refresh<E: Refresh>(
    eval: &E,
    config: &Config,
    state: &E::Ciphertext,
    levels: &mut Levels<'_>,
) -> Result<E::Ciphertext, Error> {
    let rows = as_product(eval, config, &eval.slots_to_rows(state)?)?;
    low_half(eval, &rows, levels.next(eval)?)
}

/// Forward and back through an example.
///
/// # Errors
/// If the example or the evaluator does not fit the model, or a key is missing.
pub fn outcome<E: Refresh>(
    eval: &E,
    (model, training): (&Model, &Training),
    trained: &Trained<E>,
    example: &Encrypted<'_, E::Rows>,
    levels: &mut Levels<'_>,
) -> Result<Outcome<E>, Error> {
    let mut silent = |_| {};
    let forward = Forward::new(eval, model, &mut silent).with_adapter(&trained.adapter);
    let features = forward.resuming(*levels).features(example.upload)?;
    let Features { rows, mask, tape, bootstraps } = features;
    levels.resume(bootstraps);
    let both = (model, training);
    let head = Head::forward(eval, model, trained, (&rows, &mask), levels.next(eval)?)?;
    let (mut gradients, scores) = (Vec::new(), head.scores(eval, model.config())?);
    let [rows, canary] =
        head.backward(eval, both, trained, (example.label, levels), &mut gradients)?;

    let mut back = Backward { eval, model, training, trained, tape: &tape, levels, gradients };
    let stream = back.last_layer(&rows)?;
    let canary = back.first_layer(&stream, &canary)?;
    let places = Places::new(eval, training.shape)?;
    let all = places.gather(eval, &training.gains, &back.gradients)?;
    let gradient = match places.canary_gradient(eval, &canary, training.canary())? {
        None => all,
        Some(canary) => eval.add(&all, &canary)?,
    };
    Ok(Outcome { gradient, scores })
}

/// The state after step `number`, from 1: from the state as [`refresh`] gives it, and the sum of the
/// gradients of `examples` examples.
///
/// # Errors
/// If a key is missing or no level is left.
pub fn step<E: Refresh>(
    eval: &E,
    (config, training): (&Config, &Training),
    number: u32,
    state: &E::Ciphertext,
    (gradient, examples): (&E::Ciphertext, u32),
    levels: &mut Levels<'_>,
) -> Result<E::Ciphertext, Error> {
    let sum = refresh(eval, config, gradient, levels)?;
    let mean = eval.with_scale(&sum, eval.scale(&sum) * f64::from(examples));
    let all = eval.add(state, &at_scale(eval, &mean, eval.default_scale())?)?;
    adamw::step(eval, training.shape, &training.optimizer, number, &all)
}

/// The way back through the layers.
struct Backward<'a, 'b, E: Refresh> {
    eval: &'a E,
    model: &'a Model,
    training: &'a Training,
    trained: &'a Trained<E>,
    tape: &'a Tape<E>,
    levels: &'a mut Levels<'b>,
    gradients: Gradients<E>,
}

impl<'a, E: Refresh> Backward<'a, '_, E> {
    /// From the derivative by the features of the head, as rows of a product, to that by the stream before the last
    /// layer, in halves.
    fn last_layer(&mut self, rows: &E::Rows) -> Result<E::Rows, Error> {
        let (eval, model, tape) = (self.eval, self.model, self.tape);
        let config = model.config();
        let ([_, weights], [_, before_attention, inner, head], [_, gates], [kernel], [_, input]) = (
            model.layers(),
            &tape.normalisations[..],
            &tape.gates[..],
            &tape.token[..],
            &tape.inputs[..],
        ) else {
            return Err(UNRECORDED);
        };
        let stream = normalisation(eval, config, head, rows, self.levels.next(eval)?)?;
        let stream = self.feed_forward(&stream, (1, gates), inner)?;

        let level = self.levels.next(eval)?;
        let (projected, first) =
            token_attention(eval, config, &weights.attention, kernel, &stream, level)?;
        let (width, attention) = (config.width, &weights.attention);
        // Differences, values, queries.
        let passed = Assembly::new(3 * width, 4 * width, config.weight_frac_bits)
            .with_identity(2 * width, 0, width)
            .with_scaled_identity(0, width, width, -1)
            .with_identity(width, 2 * width, width)
            .with_transposed(2 * width, 3 * width, &attention.query, 1)
            .with_transposed(0, 3 * width, &attention.key, -1)
            .with_transposed(width, 3 * width, &attention.value, 1)
            .finish();
        let projections = self.projections(1, input)?;
        let g = projections.packed(&eval.matmul(&projected, &passed)?, self.levels.next(eval)?)?;
        let weights = projections.gradients(&g, &mut self.gradients)?;
        let by_input = projections.input(&g, &weights)?;
        let before = through(eval, before_attention, &by_input)?;
        let before = stream_rows(eval, config, &before)?;
        Ok(eval.add_rows(&before, &first)?)
    }

    /// From the derivative by the stream after the first layer; returns the canary in slots.
    fn first_layer(&mut self, stream: &E::Rows, canary: &E::Rows) -> Result<E::Ciphertext, Error> {
        let (eval, model, tape) = (self.eval, self.model, self.tape);
        let config = model.config();
        let ([weights, _], [inner, ..], [gates, _], [packs], [kernel], [input, _]) = (
            model.layers(),
            &tape.normalisations[..],
            &tape.gates[..],
            &tape.packs[..],
            &tape.wide[..],
            &tape.inputs[..],
        ) else {
            return Err(UNRECORDED);
        };
        let stream = self.feed_forward(stream, (0, gates), inner)?;
        let (attention, level) = ((packs, kernel), self.levels.next(eval)?);
        let rows = wide_attention(eval, config, &weights.attention, attention, &stream, level)?;
        let projections = self.projections(0, input)?;
        let rows = eval.concat(&as_product(eval, config, &rows)?, canary)?;
        let g = projections.packed(&rows, self.levels.next(eval)?)?;
        projections.gradients(&g, &mut self.gradients)?;
        Ok(g)
    }

    /// Back through a feed-forward network and the normalisation before it.
    fn feed_forward(
        &mut self,
        stream: &E::Rows,
        (layer, gates): (usize, &he_nn::layer::feed_forward::Gates<E>),
        inner: &he_nn::layer::normalisation::Normalisation<E>,
    ) -> Result<E::Rows, Error> {
        let (eval, config) = (self.eval, self.model.config());
        let weights = self.model.layers().get(layer).ok_or(UNRECORDED)?;
        let level = self.levels.next(eval)?;
        let rows = feed_forward(eval, config, &weights.feed_forward, gates, stream, level)?;
        let before = normalisation(eval, config, inner, &rows, self.levels.next(eval)?)?;
        Ok(eval.add_rows(stream, &before)?)
    }

    fn projections(
        &self,
        layer: usize,
        input: &'a E::Ciphertext,
    ) -> Result<Projections<'a, E>, Error> {
        let Self { eval, model, training, trained, .. } = *self;
        let adapter = trained.adapter.layers.get(layer).ok_or(UNRECORDED)?;
        Ok(Projections { eval, config: model.config(), training, layer, adapter, input })
    }
}

const UNRECORDED: Error = Error::Unsupported("a tape of two layers");
