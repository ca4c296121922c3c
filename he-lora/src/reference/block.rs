//! One block of the transformer and its derivative.

use alloc::vec::Vec;
use core::ops::Range;

use he_core::refresh::Weights;
use he_nn::model::{LayerWeights, Linear, Model};
use he_nn::reference::{gelu, gelu_slope};

use super::math::{
    Attention, add, largest, normalise, normalise_back, product, product_back, products_back,
    update, update_back,
};
use crate::matrices::{Matrices, Order};
use crate::parameters::{Parameters, Side, Vector};
use crate::plain::PROJECTIONS;
use crate::reference::Derivative;

/// A block, whose first `asking` tokens are wanted.
pub(super) struct Block<'a> {
    pub(super) model: &'a Model,
    pub(super) parameters: &'a Parameters,
    pub(super) scaling: f64,
    pub(super) layer: usize,
    pub(super) mask: &'a [f64],
    pub(super) asking: usize,
    /// Updates of whole matrices, if there are any, and their order.
    pub(super) updates: Option<&'a Matrices>,
    pub(super) order: &'a Order,
}

/// What a derivative needs.
pub(super) struct Tape {
    n: Vec<f64>,
    roots: Vec<f64>,
    out: Vec<f64>,
    projections: [Vec<f64>; PROJECTIONS],
    inner_n: Vec<f64>,
    inner_roots: Vec<f64>,
    gate: Vec<f64>,
    value: Vec<f64>,
    hidden: Vec<f64>,
}

impl Block<'_> {
    /// The stream after this block.
    pub(super) fn forward(&self, stream: &[f64]) -> (Vec<f64>, Tape) {
        let (width, weights) = (self.width(), self.weights());
        let (n, roots) = match self.layer {
            0 => (stream.to_vec(), Vec::new()),
            _ => normalise(stream, width, self.mask),
        };
        let projections: [_; PROJECTIONS] = core::array::from_fn(|c| {
            let x = self.asked(c, &n);
            let mut y = product(x, self.projection(c));
            let [down, up] = [Side::Down, Side::Up].map(|side| {
                let vector = |r| self.parameters.vector(self.vector(c, side, r));
                (0..self.parameters.shape().rank()).map(vector).collect::<Vec<_>>()
            });
            update(&down, &up, self.scaling, x, &mut y);
            self.add_products(self.numbers(Linear::Projections, c..c + 1), x, &mut y);
            y
        });
        let out = self.attention(&projections).forward();
        let asked = self.asking * width;
        let mut stream = stream[..asked].to_vec();
        let linear = |x: &[f64], weights: &Weights, numbers| {
            let mut y = product(x, weights);
            self.add_products(numbers, x, &mut y);
            y
        };
        let output = self.numbers(Linear::Output, 0..1);
        add(&mut stream, 1.0, &linear(&out, &weights.attention.output, output));
        let (inner_n, inner_roots) = normalise(&stream, width, self.mask);
        let (gates, values, units) = self.network();
        let gate = linear(&inner_n, &weights.feed_forward.gate, gates);
        let value = linear(&inner_n, &weights.feed_forward.value, values);
        let hidden: Vec<f64> = gate.iter().zip(&value).map(|(&g, v)| gelu(g) * v).collect();
        add(&mut stream, 1.0, &linear(&hidden, &weights.feed_forward.output, units));
        (stream, Tape { n, roots, out, projections, inner_n, inner_roots, gate, value, hidden })
    }

    /// The derivative by the stream before this block, which the first one leaves out, from that by
    /// the stream after it.
    pub(super) fn backward(
        &self,
        tape: &Tape,
        g: &[f64],
        (gradient, mut matrices): (&mut Parameters, Option<&mut Matrices>),
        seen: &mut Vec<Derivative>,
    ) -> Vec<f64> {
        let (width, weights) = (self.width(), self.weights());
        let mut back = |x: &[f64], g: &[f64], weights: &Weights, numbers| {
            let mut g_x = product_back(g, weights);
            if let (Some(updates), Some(gradient)) = (self.updates, &mut matrices) {
                products_back((updates, gradient), numbers, (x, g), &mut g_x);
            }
            g_x
        };
        let (gates, values, units) = self.network();
        let mut see = |what, x: &[f64]| {
            seen.push(Derivative { layer: Some(self.layer), what, largest: largest(x) });
        };
        see("stream", g);
        let g_hidden = back(&tape.hidden, g, &weights.feed_forward.output, units);
        see("units", &g_hidden);
        let triples = tape.gate.iter().zip(&tape.value).zip(&g_hidden);
        let g_gate: Vec<f64> =
            triples.map(|((&gate, value), g)| g * value * gelu_slope(gate)).collect();
        let pairs = tape.gate.iter().zip(&g_hidden);
        let g_value: Vec<f64> = pairs.map(|(&gate, g)| g * gelu(gate)).collect();
        let mut g_n = back(&tape.inner_n, &g_gate, &weights.feed_forward.gate, gates);
        add(&mut g_n, 1.0, &back(&tape.inner_n, &g_value, &weights.feed_forward.value, values));
        see("normalised stream", &g_n);
        let mut g_stream = g.to_vec();
        add(&mut g_stream, 1.0, &normalise_back(&tape.inner_n, &tape.inner_roots, &g_n, width));
        see("stream after the attention", &g_stream);

        let output = self.numbers(Linear::Output, 0..1);
        let g_out = back(&tape.out, &g_stream, &weights.attention.output, output);
        see("attention", &g_out);
        let derivatives = self.attention(&tape.projections).backward(&g_out);
        let mut g_n = alloc::vec![0.0; tape.n.len()];
        for (c, g) in derivatives.iter().enumerate() {
            see(["queries", "keys", "values"][c], g);
            let (vector, x) = (|side, r| self.vector(c, side, r), self.asked(c, &tape.n));
            let numbers = self.numbers(Linear::Projections, c..c + 1);
            add(&mut g_n, 1.0, &back(x, g, self.projection(c), numbers));
            update_back((self.parameters, gradient), &vector, self.scaling, (x, g), &mut g_n);
        }
        see("attention's inputs", &g_n);
        if self.layer == 0 {
            return Vec::new();
        }
        let mut g_before = normalise_back(&tape.n, &tape.roots, &g_n, width);
        add(&mut g_before, 1.0, &g_stream);
        g_before
    }

    fn attention<'a>(&'a self, [q, k, v]: &'a [Vec<f64>; PROJECTIONS]) -> Attention<'a> {
        let config = self.model.config();
        let kernel = config.layers[self.layer].kernel;
        Attention { kernel, heads: config.heads, width: config.width, mask: self.mask, q, k, v }
    }

    fn add_products(&self, numbers: Range<usize>, x: &[f64], y: &mut [f64]) {
        if let Some(updates) = self.updates {
            updates.add_products(numbers, x, y);
        }
    }

    /// The numbers of some of the matrices of a linear layer of this block.
    fn numbers(&self, linear: fn(usize) -> Linear, part: Range<usize>) -> Range<usize> {
        let first = self.order.of(linear(self.layer)).start;
        first + part.start..first + part.end
    }

    /// Those of gates, values and the output of the feed-forward network.
    fn network(&self) -> (Range<usize>, Range<usize>, Range<usize>) {
        let blocks = self.model.config().hidden / self.width();
        let inner = |part| self.numbers(Linear::Gates, part);
        (inner(0..blocks), inner(blocks..2 * blocks), self.order.of(Linear::Units(self.layer)))
    }

    /// The tokens that projection `c` is wanted of.
    fn asked<'a>(&self, c: usize, n: &'a [f64]) -> &'a [f64] {
        if c == 0 { &n[..self.asking * self.width()] } else { n }
    }

    fn projection(&self, c: usize) -> &Weights {
        let attention = &self.weights().attention;
        [&attention.query, &attention.key, &attention.value][c]
    }

    fn vector(&self, projection: usize, side: Side, r: usize) -> Vector {
        Vector::Projection { layer: self.layer, projection, side, r }
    }

    fn weights(&self) -> &LayerWeights {
        &self.model.layers()[self.layer]
    }

    fn width(&self) -> usize {
        self.model.config().width
    }
}
