//! Updates of all matrices on the way back: what they pass on, and their gradients.

use alloc::vec::Vec;

use he_core::refresh::Refresh;
use he_nn::Error;
use he_nn::backward::bootstraps::Bootstraps;
use he_nn::backward::linears::UpdatesBack;
use he_nn::layer::normalisation::Normalisation;
use he_nn::layer::update::Input;
use he_nn::layout::{mul_to, rows_of};
use he_nn::model::{Config, Linear};

use super::{Full, NO_MATRIX, append, level};
use crate::dense::{self, Side};

/// Levels above rows of the factors of gradients: a product, and its sum over tokens.
const TRAINED: usize = 3;

/// The way back of one sentence, or of several that take turns over places.
pub(crate) struct Way<'a, E: Refresh> {
    full: &'a Full<E>,
    /// Of the forward pass.
    inputs: Vec<Input<E>>,
    /// What gradients are multiplied by.
    factor: f64,
    gradients: Gradients<E>,
}

/// Products whose sums over tokens are gradients: for each diagonal a ciphertext with two matrices, as real and imaginary
/// part.
struct Gradients<E: Refresh>(Vec<Vec<E::Ciphertext>>);

impl<E: Refresh> UpdatesBack<E> for Way<'_, E> {
    fn linear(
        &mut self,
        eval: &E,
        config: &Config,
        (linear, rows): (Linear, &E::Rows),
        bootstraps: &mut Bootstraps<'_, '_, E>,
    ) -> Result<Option<E::Rows>, Error> {
        let (full, width) = (self.full, config.width);
        let pack = bootstraps.low_half(eval, &full.grid.pack_rows(eval, config, rows)?)?;
        let input = self.inputs.iter().position(|input| input.linear == linear);
        let inputs = self.inputs.swap_remove(input.ok_or(UNRECORDED)?).blocks;
        let derivatives = self.gradient(eval, config, (linear, &inputs), (&pack, true))?;
        let mut all = None;
        for i in 0..inputs.len() {
            let z = self.passed(eval, (linear, i), &derivatives)?;
            append(eval, &mut all, full.grid.leave(eval, &z, Side::Input)?)?;
        }
        // Lower tokens of all blocks, then upper ones.
        let block = |half: usize| (0..inputs.len()).map(move |i| (2 * i + half) * width);
        let blocks = block(0).chain(block(1));
        let places = blocks.flat_map(|first| rows_of(first..first + width));
        Ok(Some(eval.select(&all.ok_or(NO_MATRIX)?, &places.collect::<Vec<_>>())?))
    }
}

impl<'a, E: Refresh> Way<'a, E> {
    /// Without inputs and gradients yet.
    pub(crate) fn new(full: &'a Full<E>) -> Self {
        Self { full, inputs: Vec::new(), factor: 1.0, gradients: Gradients::of(full) }
    }

    /// Goes back through layers that had these inputs, their gradients times `factor`.
    pub(crate) fn enter(&mut self, inputs: Vec<Input<E>>, factor: f64) {
        (self.inputs, self.factor) = (inputs, factor);
    }

    /// The sums of all gradients, in the places of the state: two ciphertexts at rest as real and imaginary part.
    pub(crate) fn gathered(&self, eval: &E) -> Result<Vec<E::Ciphertext>, Error> {
        self.gradients.gathered(eval, self.full)
    }

    /// The refreshed input of projections, of which no normalisation is part, in all copies.
    pub(crate) fn copied(&self, eval: &E, input: &E::Ciphertext) -> Result<E::Ciphertext, Error> {
        let input = eval.drop_level(input, eval.rows_level() + TRAINED + 1)?;
        self.full.grid.copied(eval, &input, 0, Side::Input)
    }

    /// The normalised input of projections in all copies, a level higher than from [`Normalisation::slots`].
    pub(crate) fn normalised(
        &self,
        eval: &E,
        input: &Normalisation<E>,
    ) -> Result<E::Ciphertext, Error> {
        let (stream, root) = input.factors();
        let stream = eval.drop_level(stream, eval.level(root) + 1)?;
        let stream = self.full.grid.copied(eval, &stream, 0, Side::Input)?;
        mul_to(eval, &stream, root, eval.default_scale())
    }

    /// From derivatives by queries, keys and values in the first three copies, and their input in all: adds their gradients;
    /// returns the parts of the derivative by the input in all copies, if it goes on.
    pub(crate) fn projections(
        &mut self,
        eval: &E,
        config: &Config,
        (layer, input): (usize, E::Ciphertext),
        (pack, goes_on): (&E::Ciphertext, bool),
    ) -> Result<Option<E::Ciphertext>, Error> {
        let linear = Linear::Projections(layer);
        let derivatives = self.gradient(eval, config, (linear, &[input]), (pack, goes_on))?;
        if !goes_on {
            return Ok(None);
        }
        self.passed(eval, (linear, 0), &derivatives).map(Some)
    }

    /// Adds the gradients of a layer's matrices, from its input and a pack of derivatives by its output; returns the turns of
    /// each derivative, if they go on.
    fn gradient(
        &mut self,
        eval: &E,
        config: &Config,
        (linear, inputs): (Linear, &[E::Ciphertext]),
        (pack, goes_on): (&E::Ciphertext, bool),
    ) -> Result<Vec<Vec<E::Ciphertext>>, Error> {
        let (full, top) = (self.full, eval.rows_level() + TRAINED);
        let (grid, low) = (&full.grid, level(eval, config, linear));
        let (first, [_, outputs]) = (full.order.of(linear).start, linear.blocks(config));
        let turned = |x| grid.turns(eval, &eval.drop_level(x, top)?, Side::Input);
        let inputs = inputs.iter().map(turned).collect::<Result<Vec<_>, _>>()?;
        let pack = eval.drop_level(pack, low.max(top) + 1)?;
        let at = (Side::Output, eval.default_scale());
        let mut derivatives = Vec::new();
        for o in 0..outputs {
            let placed = grid.placed(eval, &pack, o, Side::Output)?;
            if goes_on {
                let g = grid.weighted(eval, &placed, at, |_| 1.0)?;
                derivatives.push(grid.turns(eval, &eval.drop_level(&g, low)?, Side::Output)?);
            }
            let is_trained = |f| full.order.is_trained(first + o, f);
            let weight = |f| if is_trained(f) { self.factor } else { 0.0 };
            let g = eval.drop_level(&grid.weighted(eval, &placed, at, weight)?, top)?;
            for (i, x) in inputs.iter().enumerate() {
                self.gradients.add(eval, full, first + outputs * i + o, (x, &g))?;
            }
        }
        Ok(derivatives)
    }

    /// Parts of the derivative by block `i` of a layer's input in all copies, from turns of those by its outputs.
    fn passed(
        &self,
        eval: &E,
        (linear, i): (Linear, usize),
        turns: &[Vec<E::Ciphertext>],
    ) -> Result<E::Ciphertext, Error> {
        let unused = self.full.order.of(Linear::Projections(0)).len();
        let first = self.full.order.of(linear).start + turns.len() * i - unused;
        let matrices = self.full.transposed.iter().skip(first);
        let terms: Vec<_> = turns.iter().zip(matrices).map(|(g, w)| (&g[..], &w[..])).collect();
        dense::product(eval, &terms)
    }
}

impl<E: Refresh> Gradients<E> {
    /// None yet.
    fn of(full: &Full<E>) -> Self {
        let pairs = full.order.count().div_ceil(full.grid.held()).div_ceil(2);
        Self((0..pairs * full.grid.held()).map(|_| Vec::new()).collect())
    }

    /// Adds the products of an input's turns and a derivative by an output, for matrix `index`.
    fn add(
        &mut self,
        eval: &E,
        full: &Full<E>,
        index: usize,
        (x, g): (&[E::Ciphertext], &E::Ciphertext),
    ) -> Result<(), Error> {
        let (rest, place) = (index / full.grid.held(), index % full.grid.held());
        let g = if rest.is_multiple_of(2) { g.clone() } else { eval.mul_i(g) };
        let products = dense::gradient(eval, x, &g)?;
        let sums = &mut self.0[rest / 2 * full.grid.held() + place];
        if sums.is_empty() {
            *sums = products;
            return Ok(());
        }
        for (sum, product) in sums.iter_mut().zip(&products) {
            *sum = eval.add(sum, product)?;
        }
        Ok(())
    }

    /// As [`Way::gathered`].
    fn gathered(&self, eval: &E, full: &Full<E>) -> Result<Vec<E::Ciphertext>, Error> {
        let held = full.grid.held();
        let pair = |sums: &[Vec<E::Ciphertext>]| {
            let mut total: Option<E::Ciphertext> = None;
            for (place, products) in sums.iter().enumerate().filter(|(_, all)| !all.is_empty()) {
                let one = full.grid.gathered(eval, products, place)?;
                total = Some(match total {
                    None => one,
                    Some(total) => eval.add(&total, &one)?,
                });
            }
            total.ok_or(UNRECORDED)
        };
        self.0.chunks(held).map(pair).collect()
    }
}

const UNRECORDED: Error = Error::Unsupported("a layer without an input on the tape");
