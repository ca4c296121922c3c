//! Gradients of the reference against finite differences and against a second derivation.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

extern crate alloc;

#[path = "support/autodiff.rs"]
mod autodiff;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "support/small.rs"]
mod small;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../../he-nn/tests/synthetic/model.rs"]
mod synthetic;

use he_lora::reference::{Example, Loss, evaluate};
use he_nn::model::Model;
use small::SCALING;

const LOSSES: [(Loss, [f64; 2]); 2] =
    [(Loss::CrossEntropy, [0.0, 1.0]), (Loss::Squared, [0.75, -1.5])];

#[test]
fn gradients_are_those_of_automatic_differentiation() {
    let sizes = [(1, 7), (2, 16), (3, 1)];
    for (kernel, (seed, length)) in
        small::KERNELS.into_iter().flat_map(|kernel| sizes.map(|size| (kernel, size)))
    {
        let model = small::model_with(kernel, seed);
        let parameters = small::parameters(40 + seed, 0.2);
        let embedding = synthetic::embedding(100 + seed, length);
        for (loss, label) in LOSSES {
            let example = Example { embedding: &embedding, length, label: &label };
            let outcome = evaluate(&model, &parameters, SCALING, example, loss);
            let (value, wanted) =
                autodiff::loss_and_gradient(&model, &parameters, SCALING, example, loss);
            assert!((outcome.loss - value).abs() < 1e-12);
            let shape = parameters.shape();
            for vector in shape.vectors() {
                let (copy, place) = shape.place(vector);
                let start = (copy * shape.places() + place) * shape.width();
                for (f, found) in outcome.gradient.vector(vector).iter().enumerate() {
                    let wanted = if shape.is_trained(vector, f) { wanted[start + f] } else { 0.0 };
                    assert!((found - wanted).abs() < 1e-11, "{vector:?} {f}: {found} {wanted}");
                }
            }
        }
    }
}

#[test]
fn gradients_are_limits_of_differences() {
    small::KERNELS.into_iter().for_each(|kernel| differences(&small::model_with(kernel, 4)));
}

fn differences(model: &Model) {
    let embedding = synthetic::embedding(104, 9);
    let shape = small::parameters(44, 0.2).shape();
    for (loss, label) in LOSSES {
        let example = Example { embedding: &embedding, length: 9, label: &label };
        let at = |parameters: &_| evaluate(model, parameters, SCALING, example, loss);
        let gradient = at(&small::parameters(44, 0.2)).gradient;
        for vector in shape.vectors() {
            for f in [0, 3, 6] {
                let moved = |by: f64| {
                    let mut parameters = small::parameters(44, 0.2);
                    parameters.vector_mut(vector)[f] += by;
                    at(&parameters).loss
                };
                let step = 1e-5;
                let slope = (moved(step) - moved(-step)) / (2.0 * step);
                let found = gradient.vector(vector)[f];
                assert!((found - slope).abs() < 1e-8, "{vector:?} {f}: {found} {slope}");
            }
        }
    }
}

#[test]
fn without_updates_scores_are_those_of_the_model() {
    small::KERNELS.into_iter().for_each(|kernel| without_updates(&small::model_with(kernel, 5)));
}

fn without_updates(model: &Model) {
    let length = 11;
    let embedding = synthetic::embedding(105, length);
    let mut parameters = small::parameters(0, 0.0);
    let head = &model.head().classes;
    for k in 0..small::CLASSES {
        let column = head.entries.iter().skip(k).step_by(head.outputs);
        let class = parameters.vector_mut(he_lora::parameters::Vector::Class(k));
        class.iter_mut().zip(column).for_each(|(x, &w)| *x = f64::from(w) / 1024.0);
    }
    let example = Example { embedding: &embedding, length, label: &[1.0, 0.0] };
    let found = evaluate(model, &parameters, SCALING, example, Loss::CrossEntropy).scores;
    let wanted = he_nn::reference::forward(model, &embedding, length).logits;
    assert!(found.iter().zip(&wanted).all(|(x, y)| (x - y).abs() < 1e-12), "{found:?} {wanted:?}");
}
