//! The way back: through the tail of all sentences together, then through the trunk of each.

use alloc::vec::Vec;

use he_core::eval::Evaluator;
use he_core::refresh::Refresh;
use he_nn::Error;
use he_nn::backward::bootstraps::Bootstraps;
use he_nn::backward::feed_forward::feed_forward;
use he_nn::backward::fused::fused;
use he_nn::backward::linears::{Linears, UpdatesBack};
use he_nn::backward::normalisation::{in_copies, normalisation, parted, stream_rows, through};
use he_nn::backward::token_attention::token_attention;
use he_nn::backward::wide_attention::wide_attention;
use he_nn::layer::assembly::{Assembly, as_product};
use he_nn::layer::update::Input;
use he_nn::layout::{copied, sum_rotations};
use he_nn::model::{Kernel, Model};
use he_nn::tape::Tape;

use super::Training;
use super::projections::Projections;
use crate::adapter::Adapter;
use crate::full::Way;
use crate::parameters::Vector;
use crate::trained::Trained;

/// Gradients and the vectors they belong to; that of a projection stands for all three, that of a class
/// for all classes.
pub(super) type Gradients<E> = Vec<(Vector, <E as Evaluator>::Ciphertext)>;

/// The way back through the layers.
pub(super) struct Backward<'a, 'b, E: Refresh> {
    pub(super) eval: &'a E,
    pub(super) model: &'a Model,
    pub(super) training: &'a Training,
    pub(super) trained: &'a Trained<E>,
    pub(super) bootstraps: Bootstraps<'a, 'b, E>,
    /// Of the head those of sentences that take turns over tokens, of projections those of all tokens.
    pub(super) gradients: Gradients<E>,
    /// Through updates of all matrices, if they are trained.
    pub(super) way: Option<Way<'a, E>>,
}

impl<'a, 'b, E: Refresh> Backward<'a, 'b, E> {
    /// The linear layers from here on.
    pub(super) fn linears(&mut self) -> Linears<'_, 'a, 'b, E> {
        let updates = self.way.as_mut().map(|way| way as &mut dyn UpdatesBack<E>);
        Linears { bootstraps: &mut self.bootstraps, updates }
    }

    /// Goes back through what had these inputs, at as many places for each sentence.
    pub(super) fn enter(&mut self, inputs: Vec<Input<E>>, places: usize) -> Result<(), Error> {
        let places = u32::try_from(places).map_err(|_| UNRECORDED)?;
        if let Some(way) = &mut self.way {
            way.enter(inputs, self.training.matrices.gain / f64::from(places));
        }
        Ok(())
    }

    /// From the derivative by the features of the head and the features, as [`fused`] takes them, to that by the stream after
    /// the last attention: of each sentence `d` rows, at the first token alone. Updates of matrices need the stream between.
    pub(super) fn tail(
        &mut self,
        tape: &Tape<E>,
        features: (&E::Rows, &E::Rows),
        count: usize,
    ) -> Result<Vec<E::Rows>, Error> {
        let (eval, config) = (self.eval, self.model.config());
        let ([.., weights], [inner, head], [gates]) =
            (self.model.layers(), &tape.normalisations[..], &tape.gates[..])
        else {
            return Err(UNRECORDED);
        };
        let network = (config.layers.len() - 1, &weights.feed_forward);
        let (rows, by_head) = if self.way.is_some() {
            let by_head = in_copies(eval, config, head, features.0, &mut self.bootstraps)?;
            let halves = stream_rows(eval, config, &by_head)?;
            let linears = &mut self.linears();
            (feed_forward(eval, config, network, gates, &halves, linears)?, by_head)
        } else {
            fused(eval, config, network, (head, gates), features, &mut self.linears())?
        };
        let by_network = in_copies(eval, config, inner, &rows, &mut self.bootstraps)?;
        parted(eval, config, (&by_network, &by_head), count)
    }

    /// From what [`Self::tail`] gives of a sentence to the derivative by the stream before the last layer, in halves.
    pub(super) fn last_layer(&mut self, tape: &Tape<E>, rows: &E::Rows) -> Result<E::Rows, Error> {
        let (eval, model) = (self.eval, self.model);
        let config = model.config();
        let ([_, weights], [_, before_attention], [kernel]) =
            (model.layers(), &tape.normalisations[..], &tape.token[..])
        else {
            return Err(UNRECORDED);
        };
        let copies = copied(eval, rows, 1..config.tokens / 2)?;
        let stream = eval.concat(&copies, &copies)?;
        let (width, attention) = (config.width, &weights.attention);
        let linears = &mut self.linears();
        let (projected, first) =
            token_attention(eval, config, attention, kernel, &stream, linears)?;
        let sign = match config.layers.get(1).map(|layer| layer.kernel) {
            Some(Kernel::Softmax { .. }) => 1,
            _ => -1,
        };
        // Differences (keys of a softmax), values, queries.
        let passed = Assembly::new(3 * width, 4 * width, config.weight_frac_bits)
            .with_identity(2 * width, 0, width)
            .with_scaled_identity(0, width, width, sign)
            .with_identity(width, 2 * width, width)
            .with_transposed(2 * width, 3 * width, &attention.query, 1)
            .with_transposed(0, 3 * width, &attention.key, sign)
            .with_transposed(width, 3 * width, &attention.value, 1)
            .finish();
        let projections = self.projections(1, tape)?;
        let g = projections.packed(&eval.matmul(&projected, &passed)?, &mut self.bootstraps)?;
        let weights = projections.gradients(&g, &mut self.gradients)?;
        let passed = match &mut self.way {
            Some(way) => {
                let input = way.normalised(eval, before_attention)?;
                way.projections(eval, config, (1, input), (&g, true))?
            }
            None => None,
        };
        let by_input = projections.input(&g, &weights, passed)?;
        let before = through(eval, before_attention, &by_input)?;
        let before = stream_rows(eval, config, &before)?;
        Ok(eval.add_rows(&before, &first)?)
    }

    /// From the derivative by the stream after the first layer; returns the canary in slots.
    pub(super) fn first_layer(
        &mut self,
        tape: &Tape<E>,
        stream: &E::Rows,
        canary: &E::Rows,
    ) -> Result<E::Ciphertext, Error> {
        let (eval, model) = (self.eval, self.model);
        let config = model.config();
        let ([weights, _], [inner, _], [gates], [packs], [kernel]) = (
            model.layers(),
            &tape.normalisations[..],
            &tape.gates[..],
            &tape.packs[..],
            &tape.wide[..],
        ) else {
            return Err(UNRECORDED);
        };
        let linears = &mut self.linears();
        let network = (0, &weights.feed_forward);
        let rows = feed_forward(eval, config, network, gates, stream, linears)?;
        let before = normalisation(eval, config, inner, &rows, &mut self.bootstraps)?;
        let stream = eval.add_rows(stream, &before)?;
        let (attention, taped) = (&weights.attention, (packs, kernel));
        let linears = &mut self.linears();
        let rows = wide_attention(eval, config, attention, taped, &stream, linears)?;
        let projections = self.projections(0, tape)?;
        let rows = eval.concat(&as_product(eval, config, &rows)?, canary)?;
        let g = projections.packed(&rows, &mut self.bootstraps)?;
        projections.gradients(&g, &mut self.gradients)?;
        if let Some(way) = &mut self.way {
            let input = way.copied(eval, projections.input)?;
            way.projections(eval, config, (0, input), (&g, false))?;
        }
        self.bootstraps.square(eval)?;
        Ok(g)
    }

    /// The gradients in the first slots of blocks, of `count` sentences together: in the real part, with something else in the
    /// imaginary one, for two are summed at a time.
    pub(super) fn summed(&self, count: usize) -> Result<Gradients<E>, Error> {
        let (eval, tokens) = (self.eval, self.model.config().tokens);
        let level = self.gradients.iter().map(|(_, x)| eval.level(x)).min().unwrap_or(0);
        let is_projection = |vector| matches!(vector, Vector::Projection { .. });
        let (projections, head): (Vec<_>, Vec<_>) =
            self.gradients.iter().partition(|(vector, _)| is_projection(*vector));
        let mut sums = Vec::new();
        // Bit reversal has the first tokens far apart.
        let step = (tokens / 2 / count).cast_signed();
        for (vector, x) in head {
            let x = eval.drop_level(x, level)?;
            sums.push((*vector, sum_rotations(eval, &x, step, 1..count)?));
        }
        // Both sides of each rank.
        for pair in projections.chunks_exact(2) {
            let [a, b] = [0, 1].map(|side| eval.drop_level(&pair[side].1, level));
            let both = sum_rotations(eval, &eval.add(&a?, &eval.mul_i(&b?))?, 1, 1..tokens)?;
            sums.push((pair[0].0, both.clone()));
            sums.push((pair[1].0, eval.neg(&eval.mul_i(&both))));
        }
        Ok(sums)
    }

    fn projections<'c>(&self, layer: usize, tape: &'c Tape<E>) -> Result<Projections<'c, E>, Error>
    where
        'a: 'c,
    {
        let Self { eval, model, training, trained, .. } = *self;
        let layers = |adapter: &'a Adapter<E>| adapter.layers.get(layer).ok_or(UNRECORDED);
        let adapter = trained.adapter.as_ref().map(layers).transpose()?;
        let input = tape.inputs.get(layer).ok_or(UNRECORDED)?;
        let inner = tape.inner.get(layer).ok_or(UNRECORDED)?;
        Ok(Projections { eval, config: model.config(), training, layer, adapter, input, inner })
    }
}

const UNRECORDED: Error = Error::Unsupported("a tape of two layers");

/// Adds a part of the gradient of `vector`.
pub(super) fn accumulate<E: Refresh>(
    eval: &E,
    gradients: &mut Gradients<E>,
    vector: Vector,
    x: E::Ciphertext,
) -> Result<(), Error> {
    match gradients.iter_mut().find(|(other, _)| *other == vector) {
        None => gradients.push((vector, x)),
        Some((_, sum)) => *sum = eval.add(sum, &x)?,
    }
    Ok(())
}
