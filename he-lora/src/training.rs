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
use he_nn::layer::update;
use he_nn::layout::{at_scale, low_half, merged, negated, row, to_first};
use he_nn::levels::Levels;
use he_nn::model::{Config, Model};
use he_nn::tape::Tape;

use self::back::Backward;
use self::head::Head;
use crate::adamw::{self, AdamW};
use crate::full::{self, Full, Way};
use crate::matrices::Matrices;
use crate::parameters::{Parameters, PerKind, Shape};
use crate::reference::Loss;
use crate::state::Places;
use crate::trained::Trained;

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
    /// What differs for whole matrices, if they are trained.
    pub matrices: PerMatrix,
}

/// What whole matrices are trained with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PerMatrix {
    /// What their gradients are multiplied by besides, as [`Training::gains`].
    pub gain: f64,
    /// What the learning rate is multiplied by.
    pub rate: f64,
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

    /// The same for whole matrices.
    pub fn accumulate_matrices(&self, sum: &mut Matrices, gradient: &Matrices, part: f64) {
        let factor = part * f64::from(self.gain) * self.matrices.gain;
        for index in 0..sum.count() {
            let pairs = sum.matrix_mut(index).iter_mut().zip(gradient.matrix(index));
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

/// A sum of gradients, times their gains, in the places of the state.
#[expect(missing_debug_implementations, reason = "ciphertexts need not have any")]
pub struct Gradient<E: Refresh> {
    /// That of the vectors.
    pub vectors: E::Ciphertext,
    /// Those of all matrices, if they are trained.
    pub matrices: Vec<E::Ciphertext>,
}

impl<E: Refresh> Gradient<E> {
    /// With that of other examples.
    ///
    /// # Errors
    /// If it is that of another kind of training.
    pub fn with(self, eval: &E, other: &Self) -> Result<Self, Error> {
        let matrices = self.matrices.iter().zip(&other.matrices);
        Ok(Self {
            vectors: eval.add(&self.vectors, &other.vectors)?,
            matrices: matrices.map(|(a, b)| eval.add(a, b)).collect::<Result<_, _>>()?,
        })
    }
}

/// What a group of examples gives.
#[expect(missing_debug_implementations, reason = "ciphertexts need not have any")]
pub struct Outcome<E: Refresh> {
    /// The sum of the gradients.
    pub gradient: Gradient<E>,
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
/// examples. The first ciphertext of a state has parameters, mean and squares of all vectors in their places, others those of
/// matrices ([`crate::full::state`]); all have at least the level of rows.
///
/// # Errors
/// If an example or the evaluator does not fit the model, there is no example, or a key is missing.
pub fn iteration<E: Refresh>(
    eval: &E,
    (model, training): (&Model, &Training),
    number: u32,
    state: &[E::Ciphertext],
    (examples, most): (&[Encrypted<'_, E::Rows>], usize),
    levels: &mut Levels<'_>,
) -> Result<Vec<E::Ciphertext>, Error> {
    let both = (model, training);
    let config = model.config();
    let shape = (training.shape, training.scaling);
    let (refreshed, trained) = begin(eval, config, shape, state, levels)?;
    let (mut sum, mut rest) = (None::<Gradient<E>>, examples);
    for size in groups(examples.len(), most) {
        let (group, others) = rest.split_at(size);
        rest = others;
        let one = outcome(eval, both, &trained, group, levels, &mut |_| Ok(()))?.gradient;
        sum = Some(match sum {
            None => one,
            Some(sum) => sum.with(eval, &one)?,
        });
    }
    drop(trained);
    let sum = sum.ok_or(NO_EXAMPLE)?;
    let count = u32::try_from(examples.len());
    let count = count.map_err(|_| Error::Unsupported("too many examples"))?;
    step(eval, (config, training), number, refreshed, (&sum, count), levels)
}

/// A state of which what passes need is in slots.
#[expect(missing_debug_implementations, reason = "ciphertexts need not have any")]
pub struct Refreshed<E: Refresh> {
    vectors: E::Ciphertext,
    /// Matrices at rest, one to a ciphertext of real numbers, from the first on.
    matrices: Vec<E::Ciphertext>,
    /// What was not brought back yet.
    others: Vec<E::Ciphertext>,
}

/// How many ciphertexts a state has.
///
/// # Errors
/// If all matrices are trained, and the model does not fill a pack.
pub fn ciphertexts<E: Refresh>(eval: &E, config: &Config, shape: Shape) -> Result<usize, Error> {
    match shape.is_full() {
        true => Ok(1 + full::state::Size::new(eval, config)?.ciphertexts()),
        false => Ok(1),
    }
}

/// The first ciphertexts of a state, which passes need.
///
/// # Errors
/// As [`ciphertexts`].
pub fn updates<E: Refresh>(eval: &E, config: &Config, shape: Shape) -> Result<usize, Error> {
    match shape.is_full() {
        true => Ok(1 + full::state::Size::new(eval, config)?.updates()),
        false => Ok(1),
    }
}

/// What passes take of a state, whose first ciphertexts are enough, for inference alone.
///
/// # Errors
/// As [`begin`].
pub fn unpack<E: Refresh>(
    eval: &E,
    config: &Config,
    shape: (Shape, f64),
    state: &[E::Ciphertext],
    levels: &mut Levels<'_>,
) -> Result<Trained<E>, Error> {
    brought_back(eval, config, (shape, false), state, levels).map(|(_, trained)| trained)
}

/// Brings back what passes need of a state of vectors of this shape, whose updates are scaled by `scaling`, and unpacks it.
///
/// # Errors
/// If the state is not that of the training, or a key is missing.
pub fn begin<E: Refresh>(
    eval: &E,
    config: &Config,
    shape: (Shape, f64),
    state: &[E::Ciphertext],
    levels: &mut Levels<'_>,
) -> Result<(Refreshed<E>, Trained<E>), Error> {
    brought_back(eval, config, (shape, true), state, levels)
}

/// As [`begin`], for the way back, too, or not.
fn brought_back<E: Refresh>(
    eval: &E,
    config: &Config,
    ((shape, scaling), goes_back): ((Shape, f64), bool),
    state: &[E::Ciphertext],
    levels: &mut Levels<'_>,
) -> Result<(Refreshed<E>, Trained<E>), Error> {
    let [first, others @ ..] = state else { return Err(NO_STATE) };
    let vectors = refresh(eval, config, first, levels)?;
    let trained = Trained::unpack(eval, shape, scaling, &vectors)?;
    if !shape.is_full() {
        let (matrices, others) = (Vec::new(), Vec::new());
        return Ok((Refreshed { vectors, matrices, others }, trained));
    }
    let size = full::state::Size::new(eval, config)?;
    let (updates, others) = others.split_at_checked(size.updates()).ok_or(NO_STATE)?;
    let matrices = full::state::refresh(eval, config, updates, levels)?;
    let trained = trained.with_full(Full::unpack(eval, config, &matrices, goes_back)?);
    Ok((Refreshed { vectors, matrices, others: others.to_vec() }, trained))
}

/// Brings a state or a gradient of vectors to slots at the next level.
///
/// # Errors
/// If a key is missing or the level is too low.
fn refresh<E: Refresh>(
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
    let (mut silent, updates) = (|_| {}, trained.updates());
    let tail = Forward::new(eval, model, &mut silent).resuming(*levels).with_updates(updates);
    let tail = tail.tail(&streams)?;
    levels.resume(tail.bootstraps);
    let (inputs, mut tape) = ((&tail.rows, &tail.zeros), tail.tape);
    let recorded = core::mem::take(&mut tape.linears);
    let mut linears = update::Linears { updates, levels: *levels, inputs: recorded };
    let head = Head::forward(eval, model, trained, inputs, &mut linears)?;
    levels.resume(linears.levels.used());
    let (count, config) = (examples.len(), model.config());
    let scores = (0..count).map(|token| head.scores(eval, config, token));
    let scores = scores.collect::<Result<Vec<_>, _>>()?;

    let (bootstraps, way) = (Bootstraps::new(levels), trained.full.as_ref().map(Way::new));
    let gradients = Vec::new();
    let mut back = Backward { eval, model, training, trained, bootstraps, gradients, way };
    back.enter(linears.inputs, config.tokens / count)?;
    let (doubles, mut gradients) = (doubled_labels(eval, examples)?, Vec::new());
    let inputs = (&doubles, &mut back.linears());
    let [rows, zeros] = head.backward(eval, both, trained, inputs, &mut gradients)?;
    back.gradients = gradients;
    if let Some((mask, _)) = trunks.first_mut() {
        let all = (0..count).map(|token| to_first(0, token, config.tokens)).collect();
        *mask = eval.add_rows(mask, &eval.select(&zeros, &[all])?)?;
    }
    let (streams, mut canaries) = (back.tail(&tape, (&rows, &tail.rows), count)?, None);
    passed(0)?;
    for (((mask, mut tape), stream), done) in trunks.into_iter().zip(&streams).zip(1..) {
        back.enter(core::mem::take(&mut tape.linears), 1)?;
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
    let matrices = back.way.as_ref().map_or_else(|| Ok(Vec::new()), |way| way.gathered(eval))?;
    if let Some(guard) = back.bootstraps.guard(eval)? {
        gradient = eval.add(&eval.drop_level(&gradient, eval.level(&guard))?, &guard)?;
    }
    Ok(Outcome { gradient: Gradient { vectors: gradient, matrices }, scores })
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
    let forward = Forward::new(eval, model, &mut silent).with_updates(trained.updates());
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

/// The state after step `number`, from 1: from the state as [`begin`] gives it, and the sum of the gradients of `examples`
/// examples.
///
/// # Errors
/// If a key is missing or no level is left.
pub fn step<E: Refresh>(
    eval: &E,
    (config, training): (&Config, &Training),
    number: u32,
    state: Refreshed<E>,
    (gradient, examples): (&Gradient<E>, u32),
    levels: &mut Levels<'_>,
) -> Result<Vec<E::Ciphertext>, Error> {
    let sum = refresh(eval, config, &gradient.vectors, levels)?;
    let mean = eval.with_scale(&sum, eval.scale(&sum) * f64::from(examples));
    let all = eval.add(&state.vectors, &at_scale(eval, &mean, eval.default_scale())?)?;
    let mut after =
        alloc::vec![adamw::step(eval, training.shape, &training.optimizer, number, &all)?];
    if training.shape.is_full() {
        let rate = training.matrices.rate * training.optimizer.rate;
        let optimizer = AdamW { rate, ..training.optimizer };
        let mut all = state.matrices;
        all.extend(full::state::refresh(eval, config, &state.others, levels)?);
        let sums = full::state::refresh(eval, config, &gradient.matrices, levels)?;
        let size = full::state::Size::new(eval, config)?;
        let (of, sums) = ((size, &optimizer), (&sums[..], examples));
        after.extend(full::state::step(eval, of, number, &all, sums)?);
    }
    Ok(after)
}

const NO_EXAMPLE: Error = Error::Unsupported("an iteration has an example");
const NO_STATE: Error = Error::Unsupported("a state of another kind of training");
