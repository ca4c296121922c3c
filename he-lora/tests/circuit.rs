//! The training circuit in the clear, with the polynomials, layouts, levels and scales of ciphertexts,
//! against the reference, at an INSECURE size.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "support/small.rs"]
mod small;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../../he-nn/tests/synthetic/model.rs"]
mod synthetic;

use he_core::eval::Evaluator;
use he_core::eval::clear::Clear;
use he_lora::parameters::Parameters;
use he_lora::reference::{Example, Loss, evaluate};
use he_lora::state::{Kind, Places, Trained};
use he_lora::training::{Encrypted, Training, gradient};
use he_nn::levels::Levels;
use he_nn::model::Model;

/// The gradient by the circuit.
fn circuit(
    eval: &Clear,
    model: &Model,
    training: &Training,
    parameters: &Parameters,
    example: Example<'_>,
) -> Parameters {
    let places = Places::new(eval, training.shape).unwrap();
    let slots = places.pack(Kind::Parameter, parameters);
    let state = eval.encrypt(&slots, 14, eval.default_scale()).unwrap();
    let trained = Trained::unpack(eval, training.shape, training.scaling, &state).unwrap();
    let upload = synthetic::upload(example.embedding, example.length);
    let upload = eval.encrypt_rows(&upload).unwrap();
    let label: Vec<_> = example.label.iter().map(|&y| vec![y; synthetic::TOKENS]).collect();
    let label = eval.encrypt_rows(&label).unwrap();
    let encrypted = Encrypted { upload: &upload, label: &label };
    let mut levels = Levels::default();
    let gradient = gradient(eval, (model, training), &trained, encrypted, &mut levels).unwrap();
    let mut found = places.read(Kind::Gradient, gradient.values()).unwrap();
    found.numbers_mut().iter_mut().for_each(|g| *g /= f64::from(training.gain));
    found
}

/// For every group of vectors the largest difference over the largest entry.
fn worst(found: &Parameters, wanted: &Parameters) -> f64 {
    let mut worst = 0f64;
    for vector in wanted.shape().vectors() {
        let pairs = found.vector(vector).iter().zip(wanted.vector(vector));
        let (mut error, mut size) = (0f64, 0f64);
        for (f, w) in pairs {
            error = error.max((f - w).abs());
            size = size.max(w.abs());
        }
        println!("{vector:?}: {error:.3e} of {size:.3e}");
        worst = worst.max(error / size);
    }
    worst
}

#[test]
fn gradients_are_those_of_the_reference() {
    let eval = small::insecure();
    for (seed, length) in [(1, 9), (2, 16), (3, 2)] {
        let (model, parameters) = (small::model(seed), small::parameters(40 + seed, 0.2));
        let embedding = synthetic::embedding(100 + seed, length);
        for (loss, label) in [(Loss::CrossEntropy, [0.0, 1.0]), (Loss::Squared, [0.75, -1.5])] {
            let training = small::training(loss);
            let example = Example { embedding: &embedding, length, label: &label };
            let found = circuit(&eval, &model, &training, &parameters, example);
            let wanted = evaluate(&model, &parameters, training.scaling, example, loss).gradient;
            let error = worst(&found, &wanted);
            assert!(error < 2f64.powi(-10), "{seed} {loss:?}: 2^{:.1}", error.log2());
        }
    }
}
