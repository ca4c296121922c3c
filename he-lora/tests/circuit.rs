//! The training circuit in the clear, with the polynomials, layouts, levels and scales of ciphertexts,
//! against the reference, at an INSECURE size.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

#[expect(dead_code, reason = "other tests use the rest")]
#[path = "support/small.rs"]
mod small;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../../he-nn/tests/synthetic/model.rs"]
mod synthetic;

use he_core::eval::Evaluator;
use he_core::eval::clear::{Clear, ClearRows};
use he_core::eval::count::Count;
use he_core::refresh::Refresh;
use he_lora::adamw::Moments;
use he_lora::parameters::{Parameters, Shape, Side, Vector};
use he_lora::reference::{Example, Loss, evaluate};
use he_lora::state::{Kind, Places};
use he_lora::trained::Trained;
use he_lora::training::{Encrypted, Training, begin, iteration, outcome};
use he_nn::Error;
use he_nn::client::answer::TOLERANCE;
use he_nn::forward::Forward;
use he_nn::layer::head::{CANARY_ROW, class_row};
use he_nn::levels::Levels;
use he_nn::model::Model;

/// Upload and label of an example.
fn encrypted(eval: &Clear, example: Example<'_>) -> (ClearRows, ClearRows) {
    let upload = synthetic::upload(example.embedding, example.length);
    let label: Vec<_> = example.label.iter().map(|&y| vec![y; synthetic::TOKENS]).collect();
    (eval.encrypt_rows(&upload).unwrap(), eval.encrypt_rows(&label).unwrap())
}

/// The sum of the examples' gradients by the circuit, with its gains, and their scores.
fn circuit(
    eval: &Clear,
    (model, training): (&Model, &Training),
    parameters: &Parameters,
    examples: &[Example<'_>],
) -> (Parameters, Vec<Vec<f64>>) {
    let places = Places::new(eval, training.shape).unwrap();
    let slots = places.pack(Kind::Parameter, parameters);
    let state = eval.encrypt(&slots, 14, eval.default_scale()).unwrap();
    let trained = Trained::unpack(eval, training.shape, training.scaling, &state).unwrap();
    let rows: Vec<_> = examples.iter().map(|example| encrypted(eval, *example)).collect();
    let examples: Vec<_> = rows.iter().map(|(upload, label)| Encrypted { upload, label }).collect();
    let mut levels = Levels::default();
    let (both, passed) = ((model, training), &mut |_| Ok(()));
    let found = outcome(eval, both, &trained, &examples, &mut levels, passed).unwrap();
    let scores = found.scores.iter().map(|rows| rows.values().iter().map(|row| row[0]).collect());
    (places.read(Kind::Gradient, found.gradient.vectors.values()).unwrap(), scores.collect())
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
        worst = worst.max(error / size);
    }
    worst
}

/// The levels that an iteration needs, found without values.
fn plan(
    eval: &Clear,
    model: &Model,
    training: &Training,
    (examples, most): (usize, usize),
) -> Vec<usize> {
    let run = |levels: &mut Levels<'_>| -> Result<Vec<usize>, Error> {
        let count = Count::new(eval.shape().clone());
        let state = count.input(count.rows_level(), count.default_scale())?;
        let upload = count.input_rows(synthetic::WIDTH)?;
        let label = count.input_rows(small::CLASSES)?;
        let one = || Encrypted { upload: &upload, label: &label };
        let examples: Vec<_> = (0..examples).map(|_| one()).collect();
        let examples = (&examples[..], most);
        let state = iteration(&count, (model, training), 1, &[state], examples, levels)?;
        let needed = count.needed_bootstraps(&state, count.rows_level())?;
        Ok(needed.iter().map(|bootstrap| bootstrap.needed).collect())
    };
    let levels = run(&mut Levels::default()).unwrap();
    assert_eq!(run(&mut Levels::planned(&levels)).unwrap(), levels, "a plan is what it needs");
    levels
}

#[test]
fn iterations_at_planned_levels_are_those_of_the_reference() {
    small::KERNELS.into_iter().for_each(|kernel| iterations(&small::model_with(kernel, 1)));
}

fn iterations(model: &Model) {
    let eval = small::insecure();
    let training = small::training(Loss::CrossEntropy);
    // A group of two and one of one.
    let most = 2;
    let levels = plan(&eval, model, &training, (3, most));
    assert!(levels.iter().all(|&level| level <= eval.computing_level()));

    let places = Places::new(&eval, training.shape).unwrap();
    let mut theta = small::parameters(41, 0.2);
    let zeros = || Parameters::zeros(training.shape);
    let mut moments = Moments { mean: zeros(), square: zeros() };
    let slots = places.pack(Kind::Parameter, &theta);
    let mut state = vec![eval.encrypt(&slots, eval.rows_level(), eval.default_scale()).unwrap()];
    for number in 1..=3 {
        let sentences = [9, 14, 2].map(|length| (synthetic::embedding(101, length), length));
        let labels = [[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]];
        let mut mean = zeros();
        let mut rows = Vec::new();
        for ((embedding, length), label) in sentences.iter().zip(&labels) {
            let example = Example { embedding, length: *length, label };
            let one = evaluate(model, &theta, training.scaling, example, training.loss).gradient;
            training.accumulate(&mut mean, &one, 1.0 / 3.0);
            rows.push(encrypted(&eval, example));
        }
        let examples: Vec<_> =
            rows.iter().map(|(upload, label)| Encrypted { upload, label }).collect();
        let mut levels = Levels::planned(&levels);
        let (both, examples) = ((model, &training), (&examples[..], most));
        state = iteration(&eval, both, number, &state, examples, &mut levels).unwrap();
        let exact = |x: f64| 1.0 / x.sqrt();
        training.optimizer.apply(number, &mut theta, &mut moments, &mean, &exact);
        let found = places.read(Kind::Parameter, state[0].values()).unwrap();
        let error = worst(&found, &theta);
        assert!(error < 2f64.powi(-10), "{number}: 2^{:.1}", error.log2());
    }
    let moved = worst(&small::parameters(41, 0.2), &theta);
    assert!(moved > 0.05, "{moved}");
}

#[test]
fn gradients_and_scores_of_groups_are_those_of_the_reference() {
    let eval = small::insecure();
    let lengths = [9, 16, 2, 5, 1, 12, 7, 3];
    let sizes = [(1, 1), (2, 1), (3, 2), (4, 4), (5, 8)];
    let with = |kernel| sizes.map(|(seed, count)| (kernel, seed, count));
    for (kernel, seed, count) in small::KERNELS.into_iter().flat_map(with) {
        let model = small::model_with(kernel, seed);
        let parameters = small::parameters(40 + seed, 0.2);
        let sentences: Vec<_> = (100 * seed..)
            .zip(lengths.into_iter().cycle().skip(usize::from(seed == 2)).take(count))
            .map(|(seed, length)| (synthetic::embedding(seed, length), length))
            .collect();
        for (loss, labels) in [
            (Loss::CrossEntropy, [[0.0, 1.0], [1.0, 0.0]]),
            (Loss::Squared, [[0.75, -1.5], [-0.5, 0.25]]),
        ] {
            let training = small::training(loss);
            let pairs = sentences.iter().zip(labels.iter().cycle());
            let examples: Vec<_> = pairs
                .map(|((embedding, length), label)| Example { embedding, length: *length, label })
                .collect();
            let (found, scores) = circuit(&eval, (&model, &training), &parameters, &examples);
            let mut wanted = Parameters::zeros(training.shape);
            for (example, scores) in examples.iter().zip(scores) {
                let exact = evaluate(&model, &parameters, training.scaling, *example, loss);
                training.accumulate(&mut wanted, &exact.gradient, 1.0);
                for (found, wanted) in scores.iter().zip(&exact.scores) {
                    assert!((found - wanted).abs() < 2f64.powi(-10), "{found} {wanted}");
                }
            }
            let error = worst(&found, &wanted);
            assert!(error < 2f64.powi(-10), "{kernel:?} {seed} {loss:?}: 2^{:.1}", error.log2());
        }
    }
}

/// Scores and canary of an answer with the trained vectors, from a state at the level of rows.
fn answer(
    eval: &Clear,
    model: &Model,
    parameters: &Parameters,
    (embedding, length): (&[f64], usize),
) -> ([f64; small::CLASSES], f64) {
    let shape = parameters.shape();
    let count = Count::new(eval.shape().clone());
    let state = count.input(count.rows_level(), count.default_scale()).unwrap();
    let upload = count.input_rows(synthetic::WIDTH).unwrap();
    let counted = serve(&count, model, shape, (&state, &upload), Levels::default()).unwrap();
    let needed = count.needed_bootstraps(&[counted], count.rows_level()).unwrap();
    let levels: Vec<_> = needed.iter().map(|bootstrap| bootstrap.needed).collect();
    assert!(levels.iter().all(|level| *level <= eval.computing_level()), "{levels:?}");

    let places = Places::new(eval, shape).unwrap();
    let slots = places.pack(Kind::Parameter, parameters);
    let state = eval.encrypt(&slots, eval.rows_level(), eval.default_scale()).unwrap();
    let upload = eval.encrypt_rows(&synthetic::upload(embedding, length)).unwrap();
    let inputs = (&state, &upload);
    let answer = serve(eval, model, shape, inputs, Levels::planned(&levels)).unwrap();
    let slots = answer.values();
    let at = |row: usize| slots[row * synthetic::TOKENS / 2].re;
    (core::array::from_fn(|k| at(class_row(k))), at(CANARY_ROW))
}

fn serve<E: Refresh>(
    eval: &E,
    model: &Model,
    shape: Shape,
    (state, upload): (&E::Ciphertext, &E::Rows),
    mut levels: Levels<'_>,
) -> Result<E::Ciphertext, Error> {
    let state = core::slice::from_ref(state);
    let (_, trained) = begin(eval, model.config(), (shape, small::SCALING), state, &mut levels)?;
    let mut silent = |_| {};
    Forward::new(eval, model, &mut silent)
        .with_updates(trained.updates())
        .resuming(levels)
        .run_with_head(upload, |rows, mask, linears| {
            trained.classify(eval, model, (rows, mask), linears)
        })
}

#[test]
fn answers_with_a_trained_head_are_those_of_the_reference_and_a_wide_head_destroys_the_canary() {
    let eval = small::insecure();
    for (seed, length) in [(1, 9), (2, 16), (3, 2)] {
        let (model, mut parameters) = (small::model(seed), small::parameters(40 + seed, 0.2));
        let embedding = synthetic::embedding(100 + seed, length);
        let example = Example { embedding: &embedding, length, label: &[0.0, 1.0] };
        let exact = |p: &_| evaluate(&model, p, small::SCALING, example, Loss::Squared).scores;
        let wanted = exact(&parameters);
        let (found, canary) = answer(&eval, &model, &parameters, (&embedding, length));
        for (found, wanted) in found.iter().zip(&wanted) {
            assert!((found - wanted).abs() < 2f64.powi(-10), "{seed}: {found} {wanted}");
        }
        assert!((canary - 1.0).abs() < f64::from(TOLERANCE), "{seed}: {canary}");

        let up = Vector::Dense { side: Side::Up, r: 0 };
        parameters.vector_mut(up).iter_mut().for_each(|x| *x *= 100.0);
        let (_, canary) = answer(&eval, &model, &parameters, (&embedding, length));
        assert!((canary - 1.0).abs() > f64::from(TOLERANCE), "{seed}: {canary}");
    }
}
