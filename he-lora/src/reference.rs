//! The loss of one example and its gradient in double precision, as plain loops: what encrypted
//! training is compared with.
//!
//! With `y = x W + s·(x A) B` for queries, keys and values, and for the head's dense layer, the trained numbers
//! are `A`, `B` and the columns of the classes; or, with `y = x (W + D)` for every linear layer, `D` and these columns. All
//! else is frozen. Functions and their derivatives are
//! exact to the last bits; the last layer is computed for the first token alone, as under encryption.

mod block;
mod math;

use alloc::vec::Vec;

use he_nn::model::{Linear, Model};

use self::block::Block;
use self::math::{
    normalise, normalise_back, product, product_back, products_back, update, update_back,
};
use crate::matrices::{Matrices, Order};
use crate::parameters::{Parameters, Side, Vector};

/// What is minimised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// `−Σ_k y_k ln p_k` with `p` the softmax of the scores `z`; labels `y` are one-hot.
    CrossEntropy,
    /// `Σ_k (z_k − y_k)²`.
    Squared,
}

/// One example.
#[derive(Clone, Copy, Debug)]
pub struct Example<'a> {
    /// The normalised embedding, `tokens × width`.
    pub embedding: &'a [f64],
    /// How many tokens are real.
    pub length: usize,
    /// One number for each class.
    pub label: &'a [f64],
}

/// What comes of an example.
#[expect(missing_debug_implementations, reason = "a gradient is private")]
pub struct Outcome {
    /// The scores.
    pub scores: Vec<f64>,
    /// The loss.
    pub loss: f64,
    /// Its derivative by every trained number.
    pub gradient: Parameters,
    /// What passes each stage on the way back.
    pub derivatives: Vec<Derivative>,
}

/// The derivatives of the loss by what one stage gives, without a gain.
#[derive(Clone, Copy, Debug)]
pub struct Derivative {
    /// The layer, from 0; none is the head.
    pub layer: Option<usize>,
    /// What the loss is derived by.
    pub what: &'static str,
    /// The largest magnitude.
    pub largest: f64,
}

/// The loss of an example, and its gradient, for updates scaled by `scaling`.
#[must_use]
pub fn evaluate(
    model: &Model,
    parameters: &Parameters,
    scaling: f64,
    example: Example<'_>,
    loss: Loss,
) -> Outcome {
    evaluate_with(model, (parameters, None), scaling, example, loss).0
}

/// The same with updates of whole matrices, and the gradient by their trained entries.
#[must_use]
pub fn evaluate_full(
    model: &Model,
    (parameters, updates): (&Parameters, &Matrices),
    scaling: f64,
    example: Example<'_>,
    loss: Loss,
) -> (Outcome, Matrices) {
    let updates = (parameters, Some(updates));
    let (outcome, gradient) = evaluate_with(model, updates, scaling, example, loss);
    (outcome, gradient.unwrap_or_else(|| Matrices::zeros(model.config())))
}

fn evaluate_with(
    model: &Model,
    (parameters, updates): (&Parameters, Option<&Matrices>),
    scaling: f64,
    example: Example<'_>,
    loss: Loss,
) -> (Outcome, Option<Matrices>) {
    let (config, order) = (model.config(), Order::new(model.config()));
    let mut matrices = updates.map(|_| Matrices::zeros(config));
    let width = config.width;
    let mask: Vec<f64> =
        (0..config.tokens).map(|t| if t < example.length { 1.0 } else { 0.0 }).collect();
    let mut stream = example.embedding.to_vec();
    let mut blocks = Vec::new();
    for layer in 0..model.layers().len() {
        let asking = if layer == 0 { config.tokens } else { 1 };
        let (mask, order) = (&mask[..], &order);
        let block = Block { model, parameters, scaling, layer, mask, asking, updates, order };
        let (out, tape) = block.forward(&stream);
        stream = out;
        blocks.push((block, tape));
    }
    let (n, root) = normalise(&stream, width, &[1.0]);
    let mut dense = product(&n, &model.head().dense);
    let head = |side| (0..parameters.shape().rank()).map(move |r| Vector::Dense { side, r });
    let head = |side| head(side).map(|v| parameters.vector(v)).collect::<Vec<_>>();
    update(&head(Side::Down), &head(Side::Up), scaling, &n, &mut dense);
    if let Some(updates) = updates {
        updates.add_products(order.of(Linear::Dense), &n, &mut dense);
    }
    let hidden: Vec<f64> = dense.iter().map(|&y| libm::tanh(y)).collect();
    let classes: Vec<&[f64]> =
        (0..config.classes).map(|k| parameters.vector(Vector::Class(k))).collect();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let scores: Vec<f64> = classes.iter().map(|class| dot(class, &hidden)).collect();
    let (value, g_scores) = loss.evaluate(&scores, example.label);

    let mut gradient = Parameters::zeros(parameters.shape());
    let mut derivatives = Vec::new();
    let mut see = |what, x: &[f64]| {
        derivatives.push(Derivative { layer: None, what, largest: math::largest(x) });
    };
    see("scores", &g_scores);
    let mut g_hidden = alloc::vec![0.0; width];
    for (k, &g) in g_scores.iter().enumerate() {
        g_hidden.iter_mut().zip(classes[k]).for_each(|(h, w)| *h += g * w);
        let out = gradient.vector_mut(Vector::Class(k));
        out.iter_mut().zip(&hidden).for_each(|(out, t)| *out = g * t);
    }
    let g_dense: Vec<f64> = g_hidden.iter().zip(&hidden).map(|(g, t)| g * (1.0 - t * t)).collect();
    see("dense layer", &g_dense);
    let mut g_n = product_back(&g_dense, &model.head().dense);
    let vector = |side, r| Vector::Dense { side, r };
    update_back((parameters, &mut gradient), &vector, scaling, (&n, &g_dense), &mut g_n);
    if let (Some(updates), Some(gradient)) = (updates, &mut matrices) {
        let numbers = order.of(Linear::Dense);
        products_back((updates, gradient), numbers, (&n, &g_dense), &mut g_n);
    }
    see("normalised stream", &g_n);
    if let Some(last) = model.layers().last() {
        see("units before the normalisation", &product_back(&g_n, &last.feed_forward.output));
    }
    let mut g_stream = normalise_back(&n, &root, &g_n, width);
    for (block, tape) in blocks.iter().rev() {
        let gradients = (&mut gradient, matrices.as_mut());
        g_stream = block.backward(tape, &g_stream, gradients, &mut derivatives);
    }
    (Outcome { scores, loss: value, gradient, derivatives }, matrices)
}

impl Loss {
    /// The loss and its derivative by the scores.
    #[must_use]
    pub fn evaluate(self, scores: &[f64], label: &[f64]) -> (f64, Vec<f64>) {
        let pairs = || scores.iter().zip(label);
        match self {
            Self::CrossEntropy => {
                let p = softmax(scores);
                let loss = p.iter().zip(label).map(|(p, y)| -y * libm::log(*p)).sum();
                (loss, p.iter().zip(label).map(|(p, y)| p - y).collect())
            }
            Self::Squared => {
                let loss = pairs().map(|(z, y)| (z - y) * (z - y)).sum();
                (loss, pairs().map(|(z, y)| 2.0 * (z - y)).collect())
            }
        }
    }
}

/// `e^(z_k) / Σ e^(z_j)`.
#[must_use]
pub fn softmax(scores: &[f64]) -> Vec<f64> {
    let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exp: Vec<f64> = scores.iter().map(|z| libm::exp(z - top)).collect();
    let sum: f64 = exp.iter().sum();
    exp.into_iter().map(|e| e / sum).collect()
}
