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

use he_lora::matrices::{Matrices, Order};
use he_lora::parameters::Parameters;
use he_lora::reference::{Example, Loss, Outcome, evaluate, evaluate_full};
use he_nn::TensorName;
use he_nn::model::{Element, Linear, Model, Tensor};
use small::SCALING;
use synthetic::WIDTH;

const LOSSES: [(Loss, [f64; 2]); 2] =
    [(Loss::CrossEntropy, [0.0, 1.0]), (Loss::Squared, [0.75, -1.5])];

/// Random updates of all matrices; those of entries that are not trained are zero.
fn updates(seed: u64, size: f64) -> Matrices {
    let mut numbers = synthetic::Numbers(seed);
    let mut updates = Matrices::zeros(&small::config());
    for index in 0..updates.count() {
        for entry in 0..WIDTH * WIDTH {
            let is_trained = updates.is_trained(index, entry % WIDTH);
            let number = size * numbers.next();
            updates.matrix_mut(index)[entry] = if is_trained { number } else { 0.0 };
        }
    }
    updates
}

#[test]
fn gradients_are_those_of_automatic_differentiation() {
    let sizes = [(1, 7), (2, 16), (3, 1)];
    for (kernel, (seed, length)) in
        small::KERNELS.into_iter().flat_map(|kernel| sizes.map(|size| (kernel, size)))
    {
        let model = small::model_with(kernel, seed);
        let all = (&small::parameters(40 + seed, 0.2), &updates(60 + seed, 0.2));
        let embedding = synthetic::embedding(100 + seed, length);
        for (loss, label) in LOSSES {
            let example = Example { embedding: &embedding, length, label: &label };
            let (value, wanted) = autodiff::loss_and_gradient(&model, all, SCALING, example, loss);
            let (outcome, gradient) = evaluate_full(&model, all, SCALING, example, loss);
            assert!((outcome.loss - value).abs() < 1e-12);
            let (vectors, matrices) = wanted.split_at(all.0.numbers().len());
            check_vectors(&outcome.gradient, vectors);
            check_matrices(&gradient, matrices);
        }
    }
}

fn check_vectors(gradient: &Parameters, wanted: &[f64]) {
    let shape = gradient.shape();
    for vector in shape.vectors() {
        let (copy, place) = shape.place(vector);
        let start = (copy * shape.places() + place) * shape.width();
        for (f, found) in gradient.vector(vector).iter().enumerate() {
            let wanted = if shape.is_trained(vector, f) { wanted[start + f] } else { 0.0 };
            assert!((found - wanted).abs() < 1e-11, "{vector:?} {f}: {found} {wanted}");
        }
    }
}

fn check_matrices(gradient: &Matrices, wanted: &[f64]) {
    assert_eq!(wanted.len(), gradient.count() * WIDTH * WIDTH);
    for (index, wanted) in wanted.chunks(WIDTH * WIDTH).enumerate() {
        for (entry, (found, &wanted)) in gradient.matrix(index).iter().zip(wanted).enumerate() {
            let wanted = if gradient.is_trained(index, entry % WIDTH) { wanted } else { 0.0 };
            assert!((found - wanted).abs() < 1e-11, "{index} {entry}: {found} {wanted}");
        }
    }
}

#[test]
fn gradients_are_limits_of_differences() {
    small::KERNELS.into_iter().for_each(|kernel| differences(&small::model_with(kernel, 4)));
}

/// The slope of a function at 0.
fn slope(f: impl Fn(f64) -> f64) -> f64 {
    let step = 1e-5;
    (f(step) - f(-step)) / (2.0 * step)
}

fn differences(model: &Model) {
    let embedding = synthetic::embedding(104, 9);
    let at = || (small::parameters(44, 0.2), updates(64, 0.2));
    let (shape, order) = (at().0.shape(), Order::new(&small::config()));
    for (loss, label) in LOSSES {
        let example = Example { embedding: &embedding, length: 9, label: &label };
        let full = |(parameters, updates): &(Parameters, Matrices)| {
            evaluate_full(model, (parameters, updates), SCALING, example, loss)
        };
        let moved = |change: &dyn Fn(&mut (Parameters, Matrices), f64)| {
            slope(|by| {
                let mut all = at();
                change(&mut all, by);
                full(&all).0.loss
            })
        };
        let (Outcome { gradient, .. }, matrices) = full(&at());
        for vector in shape.vectors() {
            for f in [0, 3, 6] {
                let slope = moved(&|all, by| all.0.vector_mut(vector)[f] += by);
                let found = gradient.vector(vector)[f];
                assert!((found - slope).abs() < 1e-8, "{vector:?} {f}: {found} {slope}");
            }
        }
        for index in 0..order.count() {
            for entry in [0, 3 * WIDTH + 5, WIDTH * WIDTH - 2] {
                let slope = moved(&|all, by| all.1.matrix_mut(index)[entry] += by);
                let found = matrices.matrix(index)[entry];
                assert!((found - slope).abs() < 1e-8, "{index} {entry}: {found} {slope}");
            }
        }
        let direction = updates(65, 1.0);
        let entries = |index: usize| direction.matrix(index).iter();
        let along = |index: usize| -> f64 {
            matrices.matrix(index).iter().zip(entries(index)).map(|(g, x)| g * x).sum()
        };
        let found: f64 = (0..order.count()).map(along).sum();
        let slope = moved(&|all, by| {
            for index in 0..order.count() {
                let pairs = all.1.matrix_mut(index).iter_mut().zip(entries(index));
                pairs.for_each(|(entry, x)| *entry += by * x);
            }
        });
        assert!((found - slope).abs() < 1e-7, "all matrices: {found} {slope}");
    }
}

#[test]
fn updates_of_zero_give_exactly_what_the_adapter_gives() {
    let (parameters, zeros) = (small::parameters(46, 0.2), updates(0, 0.0));
    let embedding = synthetic::embedding(106, 10);
    for kernel in small::KERNELS {
        let model = small::model_with(kernel, 6);
        for (loss, label) in LOSSES {
            let example = Example { embedding: &embedding, length: 10, label: &label };
            let wanted = evaluate(&model, &parameters, SCALING, example, loss);
            let (found, _) = evaluate_full(&model, (&parameters, &zeros), SCALING, example, loss);
            assert_eq!((found.loss, found.scores), (wanted.loss, wanted.scores));
            assert_eq!(found.gradient.numbers(), wanted.gradient.numbers());
            let all = |outcome: &[he_lora::reference::Derivative]| -> Vec<_> {
                outcome.iter().map(|d| (d.layer, d.what, d.largest)).collect()
            };
            assert_eq!(all(&found.derivatives), all(&wanted.derivatives));
        }
    }
}

/// Names of the tensors of a layer's matrices, by blocks of outputs.
fn names(linear: Linear) -> Vec<String> {
    let parts: (usize, &[&str]) = match linear {
        Linear::Projections(l) => (l, &["attention.query", "attention.key", "attention.value"]),
        Linear::Output(l) => (l, &["attention.output"]),
        Linear::Gates(l) => (l, &["feed_forward.gate", "feed_forward.value"]),
        Linear::Units(l) => (l, &["feed_forward.output"]),
        Linear::Dense => return vec!["head.dense".into()],
    };
    parts.1.iter().map(|part| format!("layers.{}.{part}", parts.0)).collect()
}

#[test]
fn entries_are_frozen_where_a_model_must_have_zeros() {
    let config = synthetic::config();
    let order = Order::new(&config);
    let mut frozen = 0;
    for linear in Linear::all(&config) {
        let ([inputs, outputs], names) = (linear.blocks(&config), names(linear));
        for (block, output) in
            (0..inputs * outputs).flat_map(|block| (0..WIDTH).map(move |f| (block, f)))
        {
            let (input, at) = (block / outputs, block % outputs * WIDTH + output);
            let columns = outputs * WIDTH / names.len();
            let (name, column) = (&names[at / columns], at % columns);
            let mut tensors = synthetic::tensors(1);
            let (_, _, bytes) = tensors.iter_mut().find(|(n, ..)| n == name).unwrap();
            bytes[2 * (input * WIDTH * columns + column)] ^= 1;
            let find = |name: TensorName| {
                let (_, shape, bytes) = tensors.iter().find(|(n, ..)| *n == name.to_string())?;
                Some(Tensor { shape, element: Element::I16, bytes })
            };
            let model = Model::from_tensors(config.clone(), &find);
            let must_be_zero = matches!(model, Err(he_nn::Error::NotZero { .. }));
            let index = order.of(linear).start + block;
            assert_eq!(order.is_trained(index, output), !must_be_zero, "{linear:?} {block}");
            frozen += usize::from(must_be_zero);
        }
    }
    assert_eq!(frozen, 2 * config.layers.len());
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
