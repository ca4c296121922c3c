//! What full fine-tuning came to: a safetensors file with the matrices of a model by their own names.

use std::path::Path;

use anyhow::Result;
use he_core::refresh::Weights;
use he_lora::matrices::Matrices;
use he_lora::parameters::{Parameters, Vector};
use he_nn::model::{Linear, Model};

use super::tensors::Tensors;

/// Writes every matrix with its update, inputs by outputs, and the classes, features by classes: in single precision.
///
/// # Errors
/// If the file cannot be written.
pub fn save(path: &Path, model: &Model, classes: &Parameters, updates: &Matrices) -> Result<()> {
    let mut tensors = Tensors::default();
    let mut add = |name: String, weights: &Weights, linear: Linear, part: usize| {
        let shape = [weights.inputs, weights.outputs];
        tensors.add(name, shape, updated(weights, updates, linear, part).into_iter());
    };
    for (l, layer) in model.layers().iter().enumerate() {
        let (attention, network) = (&layer.attention, &layer.feed_forward);
        for (part, weights, linear, index) in [
            ("attention.query", &attention.query, Linear::Projections(l), 0),
            ("attention.key", &attention.key, Linear::Projections(l), 1),
            ("attention.value", &attention.value, Linear::Projections(l), 2),
            ("attention.output", &attention.output, Linear::Output(l), 0),
            ("feed_forward.gate", &network.gate, Linear::Gates(l), 0),
            ("feed_forward.value", &network.value, Linear::Gates(l), 1),
            ("feed_forward.output", &network.output, Linear::Units(l), 0),
        ] {
            add(format!("layers.{l}.{part}"), weights, linear, index);
        }
    }
    add("head.dense".to_owned(), &model.head().dense, Linear::Dense, 0);
    let (width, count) = (model.config().width, model.config().classes);
    let entry = |i: usize| classes.vector(Vector::Class(i % count))[i / count];
    tensors.add("head.classes".to_owned(), [width, count], (0..width * count).map(entry));
    tensors.write(path, model, &[])
}

/// A matrix with its update, row-major.
fn updated(weights: &Weights, updates: &Matrices, linear: Linear, part: usize) -> Vec<f64> {
    let unit = f64::from(weights.frac_bits).exp2().recip();
    let mut all = Vec::with_capacity(weights.entries.len());
    for (input, row) in weights.entries.chunks_exact(weights.outputs).enumerate() {
        let mut x = vec![0.0; weights.inputs];
        x[input] = 1.0;
        let mut y: Vec<f64> = row.iter().map(|&w| unit * f64::from(w)).collect();
        updates.add_part(linear, part, &x, &mut y);
        all.append(&mut y);
    }
    all
}
