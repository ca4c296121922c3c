//! One step of private fine-tuning: forward with a tape, backward, optimizer. `docs/training.md` has the
//! formulas and the order.

mod back;
mod head;
mod projections;
mod softmax;

use alloc::vec::Vec;

use he_core::refresh::{Refresh, Term};
use he_nn::Error;
use he_nn::backward::bootstraps::Bootstraps;
use he_nn::forward::Forward;
use he_nn::layer::assembly::as_product;
use he_nn::layout::{at_scale, low_half, merged, negated, row, to_first};
use he_nn::levels::Levels;
use he_nn::model::{Config, Model};
use he_nn::tape::Tape;

use self::back::Backward;
use self::head::Head;
use crate::adamw::{self, AdamW};
use crate::parameters::{Parameters, PerKind, Shape};
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

/// What a group of examples gives.
#[derive(Clone, Debug)]
pub struct Outcome<E: Refresh> {
    /// The sum of the gradients, times the gain, in its places of the state.
    pub gradient: E::Ciphertext,
    /// The scores of each example before the step, one row a class, whose first token holds them.
    pub scores: Vec<E::Rows>,
}

/// Hears how many examples of a group are through.
pub type Passed<'a> = dyn FnMut(usize) -> Result<(), Error> + 'a;

/// The sizes of the groups that a batch is taken in: powers of two of at most `most`, largest first.
pub fn groups(batch: usize, most: usize) -> impl Iterator<Item = usize> {
    let mut left = batch;
    core::iter::from_fn(move || {
        let size = left.min(most.max(1)).checked_ilog2().map(|log| 1 << log)?;
        left -= size;
        Some(size)
    })
}

/// The state after iteration `number`, from 1, from the state before it and a mini-batch in groups of at most `most`
/// examples: parameters, mean and squares in their places of one ciphertext, which has at least the level of rows.
///
/// # Errors
/// If an example or the evaluator does not fit the model, there is no example, or a key is missing.
pub fn iteration<E: Refresh>(
    eval: &E,
    (model, training): (&Model, &Training),
    number: u32,
    state: &E::Ciphertext,
    (examples, most): (&[Encrypted<'_, E::Rows>], usize),
    levels: &mut Levels<'_>,
) -> Result<E::Ciphertext, Error> {
    let (config, both) = (model.config(), (model, training));
    let state = refresh(eval, config, state, levels)?;
    let trained = Trained::unpack(eval, training.shape, training.scaling, &state)?;
    let (mut sum, mut rest) = (None, examples);
    for size in groups(examples.len(), most) {
        let (group, others) = rest.split_at(size);
        rest = others;
        let one = outcome(eval, both, &trained, group, levels, &mut |_| Ok(()))?;
        add_to(eval, &mut sum, one.gradient)?;
    }
    let sum = sum.ok_or(NO_EXAMPLE)?;
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

/// Forward and back through a group of examples, a power of two of at most half of the tokens: one by one to the last
/// attention and from there on the way back, all together between. `passed` hears, each time that a forward pass worth of
/// work is done, how many examples are through, and may end the work by an error.
///
/// # Errors
/// If an example or the evaluator does not fit the model, there are not so many examples, or a key is missing; those of
/// `passed`.
pub fn outcome<E: Refresh>(
    eval: &E,
    (model, training): (&Model, &Training),
    trained: &Trained<E>,
    examples: &[Encrypted<'_, E::Rows>],
    levels: &mut Levels<'_>,
    passed: &mut Passed<'_>,
) -> Result<Outcome<E>, Error> {
    let both = (model, training);
    let (mut streams, mut trunks) = (Vec::new(), Vec::new());
    for example in examples {
        let (stream, trunk) = to_last_attention(eval, model, trained, example, levels)?;
        streams.push(stream);
        trunks.push(trunk);
        passed(0)?;
    }
    let mut silent = |_| {};
    let tail = Forward::new(eval, model, &mut silent).resuming(*levels).tail(&streams)?;
    levels.resume(tail.bootstraps);
    let inputs = (&tail.rows, &tail.zeros);
    let head = Head::forward(eval, model, trained, inputs, levels.next(eval)?)?;
    let (count, config) = (examples.len(), model.config());
    let scores = (0..count).map(|token| head.scores(eval, config, token));
    let scores = scores.collect::<Result<Vec<_>, _>>()?;

    let (mut gradients, doubles) = (Vec::new(), doubled_labels(eval, examples)?);
    let mut bootstraps = Bootstraps::new(levels);
    let inputs = (&doubles, &mut bootstraps);
    let [rows, zeros] = head.backward(eval, both, trained, inputs, &mut gradients)?;
    if let Some((mask, _)) = trunks.first_mut() {
        let all = (0..count).map(|token| to_first(0, token, config.tokens)).collect();
        *mask = eval.add_rows(mask, &eval.select(&zeros, &[all])?)?;
    }
    let mut back = Backward { eval, model, training, trained, bootstraps, gradients };
    let (streams, mut canaries) = (back.tail(&tail.tape, &rows, count)?, None);
    passed(0)?;
    for (((mask, tape), stream), done) in trunks.into_iter().zip(&streams).zip(1..) {
        let stream = back.last_layer(&tape, stream)?;
        add_to(eval, &mut canaries, back.first_layer(&tape, &stream, &mask)?)?;
        passed(done)?;
    }
    let canaries = canaries.ok_or(NO_EXAMPLE)?;
    let places = Places::new(eval, training.shape)?;
    let all = places.gather(eval, &training.gains, &back.summed(count)?)?;
    let mut gradient = match places.canary_gradient(eval, &canaries, training.canary())? {
        None => all,
        Some(canary) => eval.add(&all, &canary)?,
    };
    if let Some(guard) = back.bootstraps.guard(eval)? {
        gradient = eval.add(&eval.drop_level(&gradient, eval.level(&guard))?, &guard)?;
    }
    Ok(Outcome { gradient, scores })
}

/// The stream of an example after the last attention, its mask, and the tape.
#[expect(clippy::type_complexity, reason = "what goes on, and what waits for the way back")]
fn to_last_attention<E: Refresh>(
    eval: &E,
    model: &Model,
    trained: &Trained<E>,
    example: &Encrypted<'_, E::Rows>,
    levels: &mut Levels<'_>,
) -> Result<(E::Rows, (E::Rows, Tape<E>)), Error> {
    let mut silent = |_| {};
    let forward = Forward::new(eval, model, &mut silent).with_updates(&trained.adapter);
    let trunk = forward.resuming(*levels).trunk(example.upload)?;
    levels.resume(trunk.bootstraps);
    Ok((trunk.stream, (trunk.mask, trunk.tape)))
}

/// Twice the labels, which take turns over lower tokens. `1 − Y` takes a number at every token, or at every lower one, to
/// its double at the first.
fn doubled_labels<E: Refresh>(
    eval: &E,
    examples: &[Encrypted<'_, E::Rows>],
) -> Result<E::Rows, Error> {
    let double = |example: &Encrypted<'_, E::Rows>| {
        let next = |index| negated(Term { row: index, shift: 1 }, eval.tokens());
        let rows = 0..eval.row_count(example.label);
        let sums: Vec<_> = rows.map(|index| alloc::vec![row(index), next(index)]).collect();
        eval.select(example.label, &sums)
    };
    merged(eval, &examples.iter().map(double).collect::<Result<Vec<_>, _>>()?)
}

/// Adds to a sum that may be empty.
fn add_to<E: Refresh>(
    eval: &E,
    sum: &mut Option<E::Ciphertext>,
    x: E::Ciphertext,
) -> Result<(), Error> {
    *sum = Some(match sum.take() {
        None => x,
        Some(sum) => eval.add(&sum, &x)?,
    });
    Ok(())
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

const NO_EXAMPLE: Error = Error::Unsupported("an iteration has an example");
