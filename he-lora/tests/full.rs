//! Full fine-tuning in the clear at an INSECURE size: the circuit against the reference.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

#[expect(dead_code, reason = "other tests use the rest")]
#[path = "support/small.rs"]
mod small;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../../he-nn/tests/synthetic/model.rs"]
mod synthetic;

use he_core::complex::Complex;
use he_core::eval::Evaluator;
use he_core::eval::clear::{Clear, ClearRows, ClearVector};
use he_core::eval::count::Count;
use he_core::refresh::Refresh;
use he_lora::adamw::Moments;
use he_lora::dense::Grid;
use he_lora::full::state;
use he_lora::matrices::Matrices;
use he_lora::parameters::{Parameters, Shape};
use he_lora::reference::{Example, Loss, evaluate_full};
use he_lora::state::{Kind, Places};
use he_lora::training::{
    Encrypted, Training, begin, ciphertexts, iteration, outcome, unpack, updates,
};
use he_nn::Error;
use he_nn::forward::Forward;
use he_nn::layer::head::{CANARY_ROW, class_row};
use he_nn::levels::Levels;
use he_nn::model::Model;
use synthetic::WIDTH;

fn training(loss: Loss) -> Training {
    Training {
        shape: Shape::of_classes(&small::config()).unwrap(),
        scaling: 1.0,
        ..small::training(loss)
    }
}

fn classes(seed: u64) -> Parameters {
    small::random(training(Loss::Squared).shape, seed, 0.2)
}

/// A sentence of some length, and its label.
type Sentence = (Vec<f64>, usize, [f64; 2]);

fn sentences(lengths: &[usize]) -> Vec<Sentence> {
    let labels = [[0.0, 1.0], [1.0, 0.0]].into_iter().cycle();
    let one = |(&length, label)| (synthetic::embedding(101, length), length, label);
    lengths.iter().zip(labels).map(one).collect()
}

fn example((embedding, length, label): &Sentence) -> Example<'_> {
    Example { embedding, length: *length, label }
}

fn encrypted(eval: &Clear, example: Example<'_>) -> (ClearRows, ClearRows) {
    let upload = synthetic::upload(example.embedding, example.length);
    let label: Vec<_> = example.label.iter().map(|&y| vec![y; synthetic::TOKENS]).collect();
    (eval.encrypt_rows(&upload).unwrap(), eval.encrypt_rows(&label).unwrap())
}

/// A state without means and squares.
fn state_of(eval: &Clear, classes: &Parameters, updates: &Matrices) -> Vec<ClearVector> {
    let (grid, places) = (Grid::new(eval, WIDTH).unwrap(), Places::new(eval, classes.shape()));
    let zeros = Matrices::zeros(&small::config());
    let mut slots = vec![places.unwrap().pack(Kind::Parameter, classes)];
    slots.extend(state::pack(&grid, [updates, &zeros, &zeros]).unwrap());
    let encrypt = |slots: &Vec<Complex>| {
        eval.encrypt(slots, eval.rows_level(), eval.default_scale()).unwrap()
    };
    slots.iter().map(encrypt).collect()
}

/// A kind of numbers of a state's ciphertexts of matrices.
fn read(eval: &Clear, kind: usize, state: &[ClearVector]) -> Matrices {
    let grid = Grid::new(eval, WIDTH).unwrap();
    let slots: Vec<_> = state.iter().map(|x| x.values().to_vec()).collect();
    state::read(&grid, &small::config(), kind, &slots).unwrap()
}

/// The largest difference of a matrix over its largest entry.
fn worst(found: &Matrices, wanted: &Matrices) -> f64 {
    let one = |index| {
        let pairs = found.matrix(index).iter().zip(wanted.matrix(index));
        let largest = wanted.matrix(index).iter().fold(0.0, |m: f64, x| m.max(x.abs()));
        pairs.map(|(f, w)| (f - w).abs()).fold(0.0, f64::max) / largest
    };
    (0..wanted.count()).map(one).fold(0.0, f64::max)
}

#[test]
fn gradients_of_all_matrices_are_those_of_the_reference() {
    let eval = small::insecure();
    let (theta, changes) = (classes(41), small::matrices(7, 0.05));
    let state = state_of(&eval, &theta, &changes);
    for (kernel, loss, lengths) in [
        (small::KERNELS[0], Loss::CrossEntropy, &[9][..]),
        (small::KERNELS[1], Loss::CrossEntropy, &[14, 16]),
        (small::KERNELS[0], Loss::Squared, &[9, 14, 2, 16]),
    ] {
        let (model, training) = (small::model_with(kernel, 1), training(loss));
        let shape = training.shape;
        assert_eq!(state.len(), ciphertexts(&eval, model.config(), shape).unwrap());
        let (mut wanted, mut vectors) =
            (Matrices::zeros(model.config()), Parameters::zeros(training.shape));
        let (sentences, mut rows) = (sentences(lengths), Vec::new());
        for example in sentences.iter().map(example) {
            let (one, gradient) = evaluate_full(&model, (&theta, &changes), 1.0, example, loss);
            training.accumulate(&mut vectors, &one.gradient, 1.0);
            training.accumulate_matrices(&mut wanted, &gradient, 1.0);
            rows.push(encrypted(&eval, example));
        }
        let examples: Vec<_> =
            rows.iter().map(|(upload, label)| Encrypted { upload, label }).collect();
        let mut levels = Levels::default();
        let begun = begin(&eval, model.config(), (shape, 1.0), &state, &mut levels);
        let (both, trained) = ((&model, &training), begun.unwrap().1);
        let passed = &mut |_| Ok(());
        let found = outcome(&eval, both, &trained, &examples, &mut levels, passed).unwrap();
        let error = worst(&read(&eval, 0, &found.gradient.matrices), &wanted);
        assert!(error < 2f64.powi(-10), "{kernel:?} {loss:?}: 2^{:.1}", error.log2());
        let places = Places::new(&eval, training.shape).unwrap();
        let found = places.read(Kind::Gradient, found.gradient.vectors.values()).unwrap();
        let pairs = found.numbers().iter().zip(vectors.numbers());
        let error = pairs.map(|(f, w)| (f - w).abs()).fold(0.0, f64::max);
        assert!(error < 2f64.powi(-10), "{kernel:?} {loss:?}: 2^{:.1}", error.log2());
    }
}

/// The levels that a pass from a state needs, found without values.
fn planned(
    eval: &Clear,
    inputs: usize,
    run: impl Fn(&Count, &[Counted], Levels<'_>) -> Vec<Counted>,
) -> Vec<usize> {
    let count = Count::new(eval.shape().clone());
    let one = |_| count.input(count.rows_level(), count.default_scale()).unwrap();
    let answers = run(&count, &(0..inputs).map(one).collect::<Vec<_>>(), Levels::default());
    let needed = count.needed_bootstraps(&answers, count.rows_level()).unwrap();
    let levels: Vec<_> = needed.iter().map(|bootstrap| bootstrap.needed).collect();
    assert!(levels.iter().all(|&level| level <= eval.computing_level()), "{levels:?}");
    levels
}

type Counted = <Count as Evaluator>::Ciphertext;

#[test]
fn iterations_at_planned_levels_are_those_of_the_reference() {
    let (eval, model) = (small::insecure(), small::model_with(small::KERNELS[1], 1));
    let (training, config) = (training(Loss::CrossEntropy), model.config());
    // A group of two and one of one.
    let (lengths, most) = ([9, 14, 2], 2);
    let inputs = ciphertexts(&eval, config, training.shape).unwrap();
    let levels = planned(&eval, inputs, |count, state, mut levels| {
        let upload = count.input_rows(WIDTH).unwrap();
        let label = count.input_rows(small::CLASSES).unwrap();
        let examples = [(); 3].map(|()| Encrypted { upload: &upload, label: &label });
        let examples = (&examples[..], most);
        iteration(count, (&model, &training), 1, state, examples, &mut levels).unwrap()
    });

    let zeros = || Matrices::zeros(config);
    let (mut theta, mut moments) = (classes(41), {
        let zeros = || Parameters::zeros(training.shape);
        Moments { mean: zeros(), square: zeros() }
    });
    let (mut changes, mut mean, mut square) = (small::matrices(7, 0.05), zeros(), zeros());
    let mut state = state_of(&eval, &theta, &changes);
    let sentences = sentences(&lengths);
    for number in 1..=2 {
        let (mut vectors, mut gradient) = (Parameters::zeros(training.shape), zeros());
        let mut rows = Vec::new();
        for example in sentences.iter().map(example) {
            let both = (&theta, &changes);
            let (one, matrices) = evaluate_full(&model, both, 1.0, example, training.loss);
            training.accumulate(&mut vectors, &one.gradient, 1.0 / 3.0);
            training.accumulate_matrices(&mut gradient, &matrices, 1.0 / 3.0);
            rows.push(encrypted(&eval, example));
        }
        let examples: Vec<_> =
            rows.iter().map(|(upload, label)| Encrypted { upload, label }).collect();
        let (mut levels, examples) = (Levels::planned(&levels), (&examples[..], most));
        let both = (&model, &training);
        state = iteration(&eval, both, number, &state, examples, &mut levels).unwrap();

        let exact = |x: f64| 1.0 / x.sqrt();
        let optimizer = &training.optimizer;
        optimizer.apply(number, &mut theta, &mut moments, &vectors, &exact);
        for index in 0..changes.count() {
            let [a, b, c] = [&mut changes, &mut mean, &mut square].map(|x| x.matrix_mut(index));
            let step = (number, training.matrices.rate);
            optimizer.apply_to(step, [a, b, c], gradient.matrix(index), &exact);
        }
        for (kind, wanted) in [&changes, &mean, &square].into_iter().enumerate() {
            let error = worst(&read(&eval, kind, &state[1..]), wanted);
            assert!(error < 2f64.powi(-10), "{number} {kind}: 2^{:.1}", error.log2());
        }
        let places = Places::new(&eval, training.shape).unwrap();
        let found = places.read(Kind::Parameter, state[0].values()).unwrap();
        let pairs = found.numbers().iter().zip(theta.numbers());
        assert!(pairs.map(|(f, w)| (f - w).abs()).fold(0.0, f64::max) < 2f64.powi(-10));
    }
    assert!(worst(&small::matrices(7, 0.05), &changes) > 0.05);
}

/// An answer with the updates of a state.
fn answer<E: Refresh>(
    eval: &E,
    model: &Model,
    state: &[E::Ciphertext],
    upload: &E::Rows,
    mut levels: Levels<'_>,
) -> Result<E::Ciphertext, Error> {
    let shape = (training(Loss::Squared).shape, 1.0);
    let trained = unpack(eval, model.config(), shape, state, &mut levels)?;
    let mut silent = |_| {};
    let forward = Forward::new(eval, model, &mut silent).with_updates(trained.updates());
    forward.resuming(levels).run_with_head(upload, |rows, mask, linears| {
        trained.classify(eval, model, (rows, mask), linears)
    })
}

#[test]
fn answers_with_updates_of_all_matrices_are_those_of_the_reference() {
    let eval = small::insecure();
    let (theta, changes) = (classes(41), small::matrices(7, 0.05));
    let state = state_of(&eval, &theta, &changes);
    for kernel in small::KERNELS {
        let model = small::model_with(kernel, 1);
        let inputs = updates(&eval, model.config(), theta.shape()).unwrap();
        let levels = planned(&eval, inputs, |count, state, levels| {
            let upload = count.input_rows(WIDTH).unwrap();
            vec![answer(count, &model, state, &upload, levels).unwrap()]
        });
        for sentence in &sentences(&[9, 16, 2]) {
            let (upload, _) = encrypted(&eval, example(sentence));
            let found =
                answer(&eval, &model, &state[..inputs], &upload, Levels::planned(&levels)).unwrap();
            let both = (&theta, &changes);
            let (wanted, _) = evaluate_full(&model, both, 1.0, example(sentence), Loss::Squared);
            let at = |row: usize| found.values()[row * synthetic::TOKENS / 2].re;
            for (class, wanted) in wanted.scores.iter().enumerate() {
                assert!((at(class_row(class)) - wanted).abs() < 2f64.powi(-10), "{kernel:?}");
            }
            assert!((at(CANARY_ROW) - 1.0).abs() < 2f64.powi(-7), "{}", at(CANARY_ROW));
        }
    }
}
