//! Training of the model that ships, on plain slots of the full size with the scheme's levels and scales,
//! against the reference.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../../he-nn/tests/trained/model.rs"]
mod trained;

use he_core::complex::Complex;
use he_core::eval::Evaluator;
use he_core::eval::clear::Clear;
use he_lora::adamw::{AdamW, Schedule};
use he_lora::parameters::{Parameters, PerKind, Shape, Side, Vector};
use he_lora::reference::{Example, Loss, evaluate};
use he_lora::state::{Kind, Places};
use he_lora::trained::Trained;
use he_lora::training::{Encrypted, PerMatrix, Training, outcome};
use he_nn::levels::Levels;
use he_nn::reference::embed;
use trained::TOKENS;

/// Uniform in `−1 .. 1`.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        f64::from(u32::try_from(self.0 >> 32).unwrap()) / 2f64.powi(31) - 1.0
    }
}

fn parameters(shape: Shape, edge: &trained::Edge) -> Parameters {
    let (mut numbers, mut parameters) = (Numbers(7), Parameters::zeros(shape));
    let head = &edge.model.head().classes;
    for vector in shape.vectors() {
        let size = match vector {
            Vector::Projection { side: Side::Down, .. }
            | Vector::Dense { side: Side::Down, .. } => 0.088,
            _ => 0.01,
        };
        for (f, x) in parameters.vector_mut(vector).iter_mut().enumerate() {
            let number = numbers.next();
            *x = match vector {
                Vector::Class(k) => f64::from(head.entries[f * head.outputs + k]) / 1024.0,
                _ if shape.is_trained(vector, f) => size * number,
                _ => 0.0,
            };
        }
    }
    parameters
}

fn training(shape: Shape) -> Training {
    Training {
        shape,
        scaling: 4.0,
        loss: Loss::CrossEntropy,
        gain: 4,
        gains: PerKind { projections: [0.25, 0.25, 1.0], dense: 2.0, classes: 0.5 },
        largest_score: 4.0,
        optimizer: AdamW {
            rate: 0.01,
            schedule: Schedule::Constant,
            rates: PerKind::EQUAL,
            mean_decay: 0.9,
            square_decay: 0.99,
            weight_decay: 0.01,
            epsilon: 0.125,
            limit: 4.0,
            degree: 31,
        },
        matrices: PerMatrix { gain: 1.0, rate: 1.0 },
    }
}

#[test]
fn gradients_are_those_of_the_reference() {
    let edge = trained::shipped("edge");
    let shape = Shape::new(2, edge.model.config()).unwrap();
    let (parameters, training) = (parameters(shape, &edge), training(shape));
    let ids = trained::ids(&edge.golden[0]);
    let embedding = embed(&edge.table(), &ids, TOKENS);
    let label = [1.0, 0.0];
    let example = Example { embedding: &embedding, length: ids.len(), label: &label };
    let exact = evaluate(&edge.model, &parameters, training.scaling, example, training.loss);
    let mut wanted = Parameters::zeros(shape);
    training.accumulate(&mut wanted, &exact.gradient, 1.0);

    let eval = trained::clear(&edge);
    let places = Places::new(&eval, shape).unwrap();
    let state = places.pack(Kind::Parameter, &parameters);
    let state = eval.encrypt(&state, 14, eval.default_scale()).unwrap();
    let trained = Trained::unpack(&eval, shape, training.scaling, &state).unwrap();
    let sentence = (embedding.clone(), ids.len());
    let found = slots(&eval, (&edge, &training), &trained, &[sentence]);
    let canary = places.canary(Kind::Gradient, &found).unwrap();
    assert!((canary - training.canary()).abs() < 2f64.powi(-10), "{canary}");
    let found = places.read(Kind::Gradient, &found).unwrap();
    for vector in shape.vectors() {
        let pairs = || found.vector(vector).iter().zip(wanted.vector(vector));
        let error = pairs().map(|(f, w)| (f - w).abs()).fold(0.0, f64::max);
        let size = pairs().map(|(_, w)| w.abs()).fold(0.0, f64::max);
        assert!(error < size * 2f64.powi(-10), "{vector:?}: {error:.3e} of {size:.3e}");
    }
}

#[test]
fn a_sentence_beyond_the_ranges_destroys_the_canary_of_its_group() {
    let edge = trained::shipped("edge");
    // The head's vectors take as many places as the projections'.
    let shape = Shape::new(1, edge.model.config()).unwrap();
    let (parameters, training) = (parameters(shape, &edge), training(shape));
    let mut sentences = [0, 1].map(|number| {
        let ids = trained::ids(&edge.golden[number]);
        (embed(&edge.table(), &ids, TOKENS), ids.len())
    });
    let eval = trained::clear(&edge);
    let places = Places::new(&eval, shape).unwrap();
    let state = places.pack(Kind::Parameter, &parameters);
    let state = eval.encrypt(&state, 14, eval.default_scale()).unwrap();
    let trained = Trained::unpack(&eval, shape, training.scaling, &state).unwrap();
    let canary = |sentences: &[_; 2]| {
        let found = slots(&eval, (&edge, &training), &trained, sentences);
        places.canary(Kind::Gradient, &found).unwrap()
    };
    let whole = canary(&sentences);
    assert!((whole - 2.0 * training.canary()).abs() < 2f64.powi(-9), "{whole}");
    sentences[1].0.iter_mut().for_each(|x| *x *= 4.0);
    let destroyed = canary(&sentences);
    assert!(destroyed.is_nan() || (destroyed - whole).abs() > 1.0, "{destroyed}");
}

#[test]
fn derivatives_beyond_the_range_of_a_bootstrap_destroy_the_canary() {
    let edge = trained::shipped("edge");
    let shape = Shape::new(2, edge.model.config()).unwrap();
    let (parameters, training) = (parameters(shape, &edge), training(shape));
    let ids = trained::ids(&edge.golden[0]);
    let sentence = [(embed(&edge.table(), &ids, TOKENS), ids.len())];
    let eval = trained::clear(&edge);
    let places = Places::new(&eval, shape).unwrap();
    let state = places.pack(Kind::Parameter, &parameters);
    let state = eval.encrypt(&state, 14, eval.default_scale()).unwrap();
    let trained = Trained::unpack(&eval, shape, training.scaling, &state).unwrap();
    for (gain, is_whole) in [(4, true), (16, true), (1 << 10, false)] {
        let training = Training { gain, ..training };
        let found = slots(&eval, (&edge, &training), &trained, &sentence);
        let canary = places.canary(Kind::Gradient, &found).unwrap();
        let error = (canary - training.canary()).abs();
        assert!(if is_whole { error < 2f64.powi(-8) } else { error > 1.0 }, "{gain}: {canary}");
    }
}

/// The slots of the gradient of sentences and their lengths, all of the first class.
fn slots(
    eval: &Clear,
    (edge, training): (&trained::Edge, &Training),
    trained: &Trained<Clear>,
    sentences: &[(Vec<f64>, usize)],
) -> Vec<Complex> {
    let width = training.shape.width();
    let upload = |(embedding, length): &(Vec<f64>, usize)| {
        let feature = |f: usize| embedding.iter().skip(f).step_by(width).copied().collect();
        let mut rows: Vec<Vec<f64>> = (0..width - 1).map(feature).collect();
        rows.push((0..TOKENS).map(|t| if t < *length { 1.0 } else { 0.0 }).collect());
        eval.encrypt_rows(&rows).unwrap()
    };
    let uploads: Vec<_> = sentences.iter().map(upload).collect();
    let labels = eval.encrypt_rows(&[1.0, 0.0].map(|y| vec![y; TOKENS])).unwrap();
    let encrypted = |upload| Encrypted { upload, label: &labels };
    let examples: Vec<_> = uploads.iter().map(encrypted).collect();
    let (both, mut levels) = ((&edge.model, training), Levels::default());
    let found = outcome(eval, both, trained, &examples, &mut levels, &mut |_| Ok(()));
    found.unwrap().gradient.vectors.values().to_vec()
}
