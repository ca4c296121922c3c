//! What full fine-tuning came to: a safetensors file with the matrices of a model by their own names, in single
//! precision, inputs by outputs: `layers.{l}.attention.{query, key, value, output}`, `layers.{l}.feed_forward.{gate, value,
//! output}`, `head.dense` and `head.classes`.

use std::path::Path;

use anyhow::Result;
use he_core::refresh::Weights;
use he_lora::matrices::Matrices;
use he_lora::parameters::{Parameters, Shape, Vector};
use he_nn::model::{Linear, Model};

use super::tensors::{LOSS, Read, Tensors};
use crate::objective::Objective;

/// The columns of the classes.
const CLASSES: &str = "head.classes";

/// Writes every matrix with its update, and the classes.
///
/// # Errors
/// If the file cannot be written.
pub fn save(
    path: &Path,
    model: &Model,
    objective: Objective,
    (classes, updates): (&Parameters, &Matrices),
) -> Result<()> {
    let mut tensors = Tensors::default();
    for (name, weights, linear, part) in parts(model) {
        let mut all = frozen(weights);
        for (input, y) in all.chunks_exact_mut(weights.outputs).enumerate() {
            let mut x = vec![0.0; weights.inputs];
            x[input] = 1.0;
            updates.add_part(linear, part, &x, y);
        }
        tensors.add(name, [weights.inputs, weights.outputs], all.into_iter());
    }
    let (width, count) = (model.config().width, model.config().classes);
    let entry = |i: usize| classes.vector(Vector::Class(i % count))[i / count];
    tensors.add(CLASSES.to_owned(), [width, count], (0..width * count).map(entry));
    tensors.write(path, model, &[(LOSS, objective.name())])
}

/// Whether these are the tensors of such a file.
pub(super) fn is_of(tensors: &Read<'_>) -> bool {
    tensors.has(CLASSES)
}

/// Takes the classes, and what was added to every matrix.
///
/// # Errors
/// If a tensor is missing or of another shape.
pub(super) fn take(tensors: &mut Read<'_>, model: &Model) -> Result<(Parameters, Matrices)> {
    let config = model.config();
    let (mut classes, mut updates) =
        (Parameters::zeros(Shape::of_classes(config)?), Matrices::zeros(config));
    for (name, weights, linear, part) in parts(model) {
        let mut all = tensors.take(&name, [weights.inputs, weights.outputs])?;
        all.iter_mut().zip(frozen(weights)).for_each(|(x, frozen)| *x -= frozen);
        updates.set_part(linear, part, weights.outputs, &all);
    }
    let all = tensors.take(CLASSES, [config.width, config.classes])?;
    for k in 0..config.classes {
        let column = all.iter().skip(k).step_by(config.classes);
        classes.vector_mut(Vector::Class(k)).iter_mut().zip(column).for_each(|(x, y)| *x = *y);
    }
    Ok((classes, updates))
}

/// Every matrix that is trained, by its name, with the part of which linear layer it is.
fn parts(model: &Model) -> Vec<(String, &Weights, Linear, usize)> {
    let mut all = Vec::new();
    for (l, layer) in model.layers().iter().enumerate() {
        let (attention, network) = (&layer.attention, &layer.feed_forward);
        all.extend(
            [
                ("attention.query", &attention.query, Linear::Projections(l), 0),
                ("attention.key", &attention.key, Linear::Projections(l), 1),
                ("attention.value", &attention.value, Linear::Projections(l), 2),
                ("attention.output", &attention.output, Linear::Output(l), 0),
                ("feed_forward.gate", &network.gate, Linear::Gates(l), 0),
                ("feed_forward.value", &network.value, Linear::Gates(l), 1),
                ("feed_forward.output", &network.output, Linear::Units(l), 0),
            ]
            .map(|(name, weights, linear, part)| {
                (format!("layers.{l}.{name}"), weights, linear, part)
            }),
        );
    }
    all.push(("head.dense".to_owned(), &model.head().dense, Linear::Dense, 0));
    all
}

/// A matrix of the model.
fn frozen(weights: &Weights) -> Vec<f64> {
    let unit = f64::from(weights.frac_bits).exp2().recip();
    weights.entries.iter().map(|&w| unit * f64::from(w)).collect()
}
