//! The head that is trained, forward and back: dense layer with an update, hyperbolic tangent, classes.
//!
//! Rows `u + 2·(c + 4·f)` as in [`he_nn::layer::normalisation::layout`]. Forward the dense layer is in
//! every copy of `u = 0` and the normalised features in `u = 1`; back the derivative by the score of
//! class `c` is in copy `c` of `u = 0`, and the tangent in `u = 1`. Sentences take turns over places.

use alloc::vec::Vec;

use he_core::circuit::polynomial;
use he_core::eval::mul_values;
use he_core::refresh::{Refresh, Term};
use he_nn::Error;
use he_nn::backward::bootstraps::Bootstraps;
use he_nn::backward::linears::Linears;
use he_nn::layer::assembly::{Assembly, REST_BITS, as_product};
use he_nn::layer::normalisation::layout;
use he_nn::layer::update;
use he_nn::layout::{
    Layout, at_scale, low_half, mul_to, negated, row, sum_pairs, sum_rotations, to_first,
    to_upper_half,
};
use he_nn::model::{Config, Linear, Model};

use super::back::Gradients;
use super::{Training, softmax};
use crate::head::Hidden;
use crate::parameters::{Side, Vector};
use crate::trained::Trained;

/// The digits.
const HALF: usize = 0;
const COPY: usize = 1;
const FEATURE: usize = 2;
/// Where the tangent is beside the scores.
const TANGENT: usize = 3;

/// What the way back needs.
pub(super) struct Head<E: Refresh> {
    layout: Layout<3>,
    /// The normalised features in `u = 0`.
    features: E::Ciphertext,
    /// `⟨down_r, n⟩` for each `r`.
    inner: Vec<E::Ciphertext>,
    /// Scores, one row a class, then the tangent, one row a feature; lower tokens only.
    rows: E::Rows,
    /// What is known to be zero.
    zeros: E::Rows,
}

impl<E: Refresh> Head<E> {
    /// From rows of normalised features and a row of zeros, and what else is zero.
    pub(super) fn forward(
        eval: &E,
        model: &Model,
        trained: &Trained<E>,
        (rows, zeros): (&E::Rows, &E::Rows),
        linears: &mut update::Linears<'_, E>,
    ) -> Result<Self, Error> {
        let config = model.config();
        let (width, layout) = (config.width, layout(eval, config)?);
        let dense = Assembly::new(width + 1, 2 * width, config.weight_frac_bits)
            .with(0, 0, &model.head().dense, 1)
            .with_identity(0, width, width)
            .finish();
        let sums = layout.pack(|[u, _, f]| alloc::vec![row(u * width + f)]);
        let product =
            linears.output(eval, config, (Linear::Dense, rows), eval.matmul(rows, &dense)?)?;
        let level = linears.levels.next(eval)?;
        let x = low_half(eval, &eval.select(&product, &sums)?, level)?;
        let Hidden { features, inner, hidden, .. } = trained.hidden(eval, config, &x)?;
        let scale = eval.default_scale();
        let scores = mul_to(eval, &trained.classes, &hidden, scale)?;
        let scores = sum_rotations(eval, &scores, layout.step(FEATURE), 1..width)?;
        let is_kept = layout.values(|[u, c, _], _| indicator(u == 0 && c == TANGENT));
        let kept = eval.drop_level(&hidden, eval.level(&scores) + 1)?;
        let both = eval.add(&scores, &mul_values(eval, &kept, &is_kept, scale)?)?;
        let scores = (0..config.classes).map(|c| layout.row([0, c, 0]));
        let all = scores.chain((0..width).map(|f| layout.row([0, TANGENT, f])));
        let all: Vec<_> = all.map(|index| alloc::vec![row(index)]).collect();
        let both = eval.slots_to_rows(&both)?;
        let rows = eval.select(&both, &all)?;
        let zero = eval.select(&both, &[alloc::vec![row(layout.row([1, 0, 0]))]])?;
        let zeros = eval.add_rows(zeros, &as_product(eval, config, &zero)?)?;
        Ok(Self { layout, features, inner, rows, zeros })
    }

    /// One row of scores for each class, the sentence's that is at `token` moved to the first one.
    pub(super) fn scores(&self, eval: &E, config: &Config, token: usize) -> Result<E::Rows, Error> {
        let place = |c| alloc::vec![to_first(c, token, config.tokens)];
        Ok(eval.select(&self.rows, &(0..config.classes).map(place).collect::<Vec<_>>())?)
    }

    /// The derivative by the normalised features, with its product with `Woutᵀ` of the last layer, as rows of a product; and
    /// what is known to be zero. From rows of labels' doubles.
    pub(super) fn backward(
        &self,
        eval: &E,
        (model, training): (&Model, &Training),
        trained: &Trained<E>,
        (doubles, linears): (&E::Rows, &mut Linears<'_, '_, '_, E>),
        gradients: &mut Gradients<E>,
    ) -> Result<[E::Rows; 2], Error> {
        let (config, layout, scale) = (model.config(), &self.layout, eval.default_scale());
        let width = config.width;
        let (x, g) = self.by_scores(eval, (config, training), doubles, linears.bootstraps)?;
        let hidden = eval.rotate(&x, layout.step(HALF))?;
        gradients.push((Vector::Class(0), mul_to(eval, &hidden, &g, scale)?));

        let is_first = layout.values(|[u, c, _], _| indicator(u == 0 && c == 0));
        let hidden = mul_values(eval, &hidden, &is_first, scale)?;
        let slope = eval.neg(&eval.mul_rescaled(&hidden, &hidden)?);
        let one = eval.encode(&is_first, eval.level(&slope), eval.scale(&slope))?;
        let slope = eval.add_plain(&slope, &one)?;
        let by_hidden = mul_to(eval, &trained.classes, &g, scale)?;
        let by_hidden = sum_rotations(eval, &by_hidden, layout.step(COPY), 1..layout.size(COPY))?;
        let by_dense = mul_to(eval, &slope, &by_hidden, scale)?;

        let scaled = |x: &E::Ciphertext| eval.with_scale(x, eval.scale(x) / training.scaling);
        let products = trained.up.iter().map(|up| mul_to(eval, up, &by_dense, scale));
        let products = products.collect::<Result<Vec<_>, _>>()?;
        let weights = sum_pairs(eval, &products, layout.step(FEATURE), 1..width)?;
        let weights: Vec<_> = weights.iter().map(scaled).collect();
        for (r, weight) in weights.iter().enumerate() {
            let by_down = eval.mul_rescaled(weight, &self.features)?;
            let by_up = scaled(&eval.mul_rescaled(&self.inner[r], &by_dense)?);
            gradients.push((Vector::Dense { side: Side::Down, r }, by_down));
            gradients.push((Vector::Dense { side: Side::Up, r }, by_up));
        }
        // For a matrix with more bits than weights have.
        let part = eval.with_scale(&by_dense, eval.scale(&by_dense) * f64::from(1 << REST_BITS));
        let part = eval.drop_level(&at_scale(eval, &part, scale)?, eval.rows_level())?;
        let part = eval.rotate(&part, -3 * layout.step(COPY))?;
        let mut both = eval.add(&by_dense, &part)?;
        if !weights.is_empty() {
            let pairs: Vec<_> = weights.iter().zip(&trained.down).collect();
            let update = at_scale(eval, &eval.dot_rescaled(&pairs)?, scale)?;
            both = eval.add(&both, &eval.rotate(&update, -layout.step(COPY))?)?;
        }
        let place = |i: usize| -> Vec<Term> {
            let index = layout.row([0, [0, 1, 3][i / width], i % width]);
            alloc::vec![row(index), to_upper_half(index, config.tokens)]
        };
        let all: Vec<_> = (0..3 * width).map(place).collect();
        let both = eval.slots_to_rows(&both)?;
        let zero = eval.select(&both, &[alloc::vec![row(layout.row([0, 2, 0]))]])?;
        let zeros = eval.add_rows(&self.zeros, &as_product(eval, config, &zero)?)?;
        let both = eval.select(&both, &all)?;
        let last = model.layers().last().ok_or(Error::Unsupported("a model without layers"))?;
        let inner = |outputs| {
            Assembly::new(3 * width, outputs, config.weight_frac_bits)
                .with_transposed(0, 0, &model.head().dense, 1)
                .with_identity(width, 0, width)
        };
        let (alone, units) = (inner(width).finish(), &last.feed_forward.output);
        let inner = inner(width + config.hidden);
        let inner = inner.with_transposed_after(2 * width, width, &alone, units).finish();
        let product = eval.matmul(&both, &inner)?;
        Ok([linears.input(eval, config, (Linear::Dense, &both), product)?, zeros])
    }

    /// A pack with the tangent in `u = 1`, and derivatives by scores, times the gain, in `u = 0`.
    fn by_scores(
        &self,
        eval: &E,
        setting: (&Config, &Training),
        doubles: &E::Rows,
        bootstraps: &mut Bootstraps<'_, '_, E>,
    ) -> Result<(E::Ciphertext, E::Ciphertext), Error> {
        let (config, training) = setting;
        let (width, classes) = (config.width, config.classes);
        if softmax::is_logistic(config, training) {
            let level = bootstraps.levels().next(eval)?;
            return self.logistic(eval, setting, doubles, level);
        }
        let scores = self.scores(eval, config, 0)?;
        let rows = softmax::derivative(eval, setting, &scores, doubles, bootstraps.levels())?;
        let all = eval.concat(&rows, &self.rows)?;
        let mut weights =
            Assembly::new(2 * classes + width, classes + width, config.weight_frac_bits)
                .with_scaled_identity(0, 0, classes, training.gain)
                .with_identity(2 * classes, classes, width)
                .finish();
        let diagonal = weights.entries.iter_mut().step_by(classes + width + 1);
        diagonal.take(classes).for_each(|w| *w /= 2);
        let sums = self.layout.pack(|[u, c, f]| match u {
            0 if c < classes => alloc::vec![row(c)],
            0 => Vec::new(),
            _ => alloc::vec![row(classes + f)],
        });
        let rows = eval.select(&eval.matmul(&all, &weights)?, &sums)?;
        let x = bootstraps.low_half(eval, &rows)?;
        Ok((x.clone(), x))
    }

    /// The same for two classes: both shares are logistic functions of the difference, so one bootstrap brings
    /// differences (copies 0 and 1), labels (2 and 3) and the tangent.
    fn logistic(
        &self,
        eval: &E,
        (config, training): (&Config, &Training),
        doubles: &E::Rows,
        level: usize,
    ) -> Result<(E::Ciphertext, E::Ciphertext), Error> {
        let (width, tokens) = (config.width, config.tokens);
        // Differences, labels, the tangent; then as a product.
        let mut sums = alloc::vec![
            alloc::vec![row(0), negated(row(1), tokens)],
            alloc::vec![row(1), negated(row(0), tokens)],
        ];
        sums.extend([width + 2, width + 3].map(|index| alloc::vec![row(index)]));
        sums.extend((2..width + 2).map(|index| alloc::vec![row(index)]));
        let all = eval.select(&eval.concat(&self.rows, doubles)?, &sums)?;
        let mut weights = Assembly::new(width + 4, width + 4, config.weight_frac_bits)
            .with_identity(0, 0, width + 4)
            .finish();
        let parts = [softmax::PART, softmax::PART, 2, 2];
        let diagonal = weights.entries.iter_mut().step_by(width + 5);
        diagonal.zip(parts).for_each(|(w, part)| *w /= part);
        let sums = self.layout.pack(|[u, c, f]| alloc::vec![row(if u == 0 { c } else { 4 + f })]);
        let x = low_half(eval, &eval.select(&eval.matmul(&all, &weights)?, &sums)?, level)?;

        let shares = softmax::logistic(training)?;
        let shares = polynomial::evaluate(eval, &x, &shares, eval.default_scale())?;
        let labels = eval.drop_level(&x, eval.level(&shares))?;
        let labels = eval.rotate(&labels, 2 * self.layout.step(COPY))?;
        let labels = eval.mul_scalar(&labels, f64::from(training.gain), 1.0);
        let derivative = eval.sub(&shares, &labels)?;
        Ok((x, derivative))
    }
}

const fn indicator(holds: bool) -> f64 {
    if holds { 1.0 } else { 0.0 }
}
