//! A small model of two classes, parameters and examples for it.

use he_core::eval::clear::Clear;
use he_core::eval::position::{RowShape, Shape as ClearShape};
use he_lora::adamw::{AdamW, Schedule};
use he_lora::matrices::Matrices;
use he_lora::parameters::{Parameters, PerKind, Shape};
use he_lora::reference::Loss;
use he_lora::training::{PerMatrix, Training};
use he_nn::TensorName;
use he_nn::model::{Config, Element, Kernel, Model, Tensor};

use crate::synthetic::{self, FRAC_BITS, TOKENS, WIDTH};

/// `alpha / rank`.
pub(crate) const SCALING: f64 = 4.0;
/// One number a class.
pub(crate) const CLASSES: usize = 2;

/// The configuration.
pub(crate) fn config() -> Config {
    Config { classes: CLASSES, ..synthetic::config() }
}

/// Kinds of attention.
pub(crate) const KERNELS: [Kernel; 2] = [Kernel::Gaussian { exponent: 16.0 }, synthetic::SOFTMAX];

/// A random model.
pub(crate) fn model(seed: u64) -> Model {
    model_with(KERNELS[0], seed)
}

/// A random model with this kind of attention.
pub(crate) fn model_with(kernel: Kernel, seed: u64) -> Model {
    let mut tensors = synthetic::tensors(seed);
    let (_, shape, bytes) = tensors.iter_mut().find(|(n, ..)| n == "head.classes").unwrap();
    *shape = [WIDTH, CLASSES];
    bytes.truncate(2 * WIDTH * CLASSES);
    let find = |name: TensorName| {
        let (_, shape, bytes) = tensors.iter().find(|(n, ..)| *n == name.to_string())?;
        Some(Tensor { shape, element: Element::I16, bytes })
    };
    Model::from_tensors(synthetic::with_kernel(config(), kernel), &find).unwrap()
}

/// Random parameters of this size; unused numbers are zero.
pub(crate) fn parameters(seed: u64, size: f64) -> Parameters {
    random(Shape::new(1, &config()).unwrap(), seed, size)
}

/// Random updates of all matrices of this size, what is not trained zero.
pub(crate) fn matrices(seed: u64, size: f64) -> Matrices {
    let mut numbers = synthetic::Numbers(seed);
    let mut all = Matrices::zeros(&config());
    for index in 0..all.count() {
        for entry in 0..WIDTH * WIDTH {
            let number = size * numbers.next();
            if all.is_trained(index, entry % WIDTH) {
                all.matrix_mut(index)[entry] = number;
            }
        }
    }
    all
}

/// Random parameters of this shape and size.
pub(crate) fn random(shape: Shape, seed: u64, size: f64) -> Parameters {
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

/// Slots and chain of a degree of 2^10.
pub(crate) fn insecure() -> Clear {
    let rows = RowShape {
        tokens: TOKENS,
        frac_bits: FRAC_BITS,
        product_scale: 2f64.powi(38),
        rows_level: 3,
        computing_level: 14,
    };
    Clear::new(ClearShape::nominal(1 << 9).unwrap().with_rows(rows).unwrap())
}

/// An optimizer with a window for gradients up to 2.
pub(crate) fn optimizer() -> AdamW {
    AdamW {
        rate: 0.01,
        schedule: Schedule::Linear { warmup: 2, total: 20 },
        rates: PerKind { projections: [0.25, 0.5, 1.0], dense: 0.75, classes: 1.5 },
        mean_decay: 0.9,
        square_decay: 0.99,
        weight_decay: 0.05,
        epsilon: 0.125,
        limit: 4.0,
        degree: 31,
    }
}

/// A run of training.
pub(crate) fn training(loss: Loss) -> Training {
    Training {
        shape: Shape::new(1, &config()).unwrap(),
        scaling: SCALING,
        loss,
        gain: 4,
        gains: PerKind { projections: [1.0, 0.5, 0.25], dense: 0.75, classes: 0.5 },
        largest_score: 4.0,
        optimizer: optimizer(),
        matrices: PerMatrix { gain: 0.5, rate: 0.75 },
    }
}
