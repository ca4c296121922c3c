//! A small model of two classes, parameters and examples for it.

use he_lora::parameters::{Parameters, Shape};
use he_nn::TensorName;
use he_nn::model::{Config, Element, Model, Tensor};

use crate::synthetic::{self, WIDTH};

/// `alpha / rank`.
pub(crate) const SCALING: f64 = 4.0;
/// One number a class.
pub(crate) const CLASSES: usize = 2;

/// The configuration.
pub(crate) fn config() -> Config {
    Config { classes: CLASSES, ..synthetic::config() }
}

/// A random model.
pub(crate) fn model(seed: u64) -> Model {
    let mut tensors = synthetic::tensors(seed);
    let (_, shape, bytes) = tensors.iter_mut().find(|(n, ..)| n == "head.classes").unwrap();
    *shape = [WIDTH, CLASSES];
    bytes.truncate(2 * WIDTH * CLASSES);
    let find = |name: TensorName| {
        let (_, shape, bytes) = tensors.iter().find(|(n, ..)| *n == name.to_string())?;
        Some(Tensor { shape, element: Element::I16, bytes })
    };
    Model::from_tensors(config(), &find).unwrap()
}

/// Random parameters of this size; unused numbers are zero.
pub(crate) fn parameters(seed: u64, size: f64) -> Parameters {
    let shape = Shape::new(1, &config()).unwrap();
    let mut numbers = synthetic::Numbers(seed);
    let mut parameters = Parameters::zeros(shape);
    for vector in shape.vectors() {
        for (f, x) in parameters.vector_mut(vector).iter_mut().enumerate() {
            let number = numbers.next();
            *x = if shape.is_trained(vector, f) { size * number } else { 0.0 };
        }
    }
    parameters
}
