//! An iteration of training on real ciphertexts, at an INSECURE size, against the reference.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

#[expect(dead_code, reason = "other tests use the rest")]
#[path = "support/small.rs"]
mod small;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../../he-nn/tests/synthetic/model.rs"]
mod synthetic;

use he_core::complex::Complex;
use he_core::cpu::{Cpu, bootstrap_keys};
use he_core::encode::Encoder;
use he_core::encrypt::Encryptor;
use he_core::eval::Evaluator;
use he_core::eval::count::Count;
use he_core::eval::position::{self, RowShape};
use he_core::keyswitch::{EvaluationKeys, KeyAuthority};
use he_core::linear::Rows;
use he_core::ntt::bit_reversed;
use he_core::params::Params;
use he_core::refresh::Refresh;
use he_core::ring::{Portable, Ring, Serial};
use he_lora::adamw::Moments;
use he_lora::dense::Grid;
use he_lora::full::state as full;
use he_lora::matrices::Matrices;
use he_lora::parameters::{Parameters, Shape};
use he_lora::reference::{Example, Loss, evaluate, evaluate_full};
use he_lora::state::{Kind, Places};
use he_lora::training::{self, Encrypted, Gradient, PerMatrix, Training, iteration};
use he_nn::Error;
use he_nn::levels::Levels;
use he_nn::model::Model;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use small::CLASSES;
use synthetic::{FRAC_BITS, TOKENS, WIDTH};

const LOG_DEGREE: u32 = 10;
/// Examples that go through their tails together.
const GROUP: usize = 2;

/// INSECURE.
fn params() -> Params {
    Params::insecure_small(LOG_DEGREE, 7, TOKENS.trailing_zeros()).unwrap()
}

/// Its levels and rows, without values.
fn chain(params: &Params) -> position::Shape {
    let steps = (1..=params.max_level()).map(|level| params.step(level)).collect();
    let rows = RowShape {
        tokens: TOKENS,
        frac_bits: FRAC_BITS,
        product_scale: params.product_scale(),
        rows_level: params.rows_level(),
        computing_level: params.computing_level(),
    };
    let shape = position::Shape::new(params.degree() / 2, steps, params.default_scale()).unwrap();
    shape.with_rows(rows).unwrap()
}

struct Setup {
    authority: KeyAuthority,
    cpu: Cpu,
    encoder: Encoder,
    levels: Vec<usize>,
    rng: ChaCha20Rng,
}

/// An iteration without values.
fn counted(
    shape: &position::Shape,
    (model, training): (&Model, &Training),
    levels: &mut Levels<'_>,
) -> Result<(Count, Vec<usize>), Error> {
    let count = Count::new(shape.clone());
    let one = || count.input(count.rows_level(), count.default_scale());
    let state = training::ciphertexts(&count, model.config(), training.shape)?;
    let state = (0..state).map(|_| one()).collect::<Result<Vec<_>, _>>()?;
    let (upload, label) = (count.input_rows(WIDTH)?, count.input_rows(CLASSES)?);
    let examples: [_; GROUP] =
        core::array::from_fn(|_| Encrypted { upload: &upload, label: &label });
    let state = iteration(&count, (model, training), 1, &state, (&examples, GROUP), levels)?;
    let needed = count.needed_bootstraps(&state, count.rows_level())?;
    Ok((count, needed.iter().map(|bootstrap| bootstrap.needed).collect()))
}

impl Setup {
    /// With the keys and the levels that runs without values ask for.
    fn insecure(model: &Model, training: &Training) -> Self {
        let (shape, both) = (chain(&params()), (model, training));
        let (_, levels) = counted(&shape, both, &mut Levels::default()).unwrap();
        let (count, _) = counted(&shape, both, &mut Levels::planned(&levels)).unwrap();
        let params = params();
        let mut plan = bootstrap_keys(&params).unwrap();
        for (step, level) in count.rotations() {
            plan.need_rotation(&params, step.cast_signed(), level);
        }
        let ring = || Ring::new(LOG_DEGREE, params.primes(), &Portable, &Serial).unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(17);
        let authority = KeyAuthority::generate(&params, &mut rng).unwrap();
        let (maker, mut keys) = (ring(), EvaluationKeys::new());
        for spec in plan.specs() {
            let key = authority.key(&maker, &params, spec, &mut rng).unwrap();
            keys.insert(&maker, spec.kind, key.expand(&maker, &params).unwrap());
        }
        let cpu = Cpu::new(params.clone(), ring(), keys).unwrap();
        let cpu = cpu.with_bootstrap(FRAC_BITS).unwrap();
        Self { authority, cpu, encoder: Encoder::new(LOG_DEGREE), levels, rng }
    }

    fn encrypt(&mut self, slots: &[Complex]) -> he_core::ciphertext::Ciphertext {
        self.encrypt_at(slots, self.cpu.rows_level())
    }

    fn encrypt_at(&mut self, slots: &[Complex], level: usize) -> he_core::ciphertext::Ciphertext {
        let (ring, params) = (self.cpu.ring(), self.cpu.params());
        let encryptor = Encryptor { ring, params, encoder: &self.encoder };
        let place = (level, params.default_scale());
        encryptor.encrypt(self.authority.big_secret(), slots, place, &mut self.rng).unwrap()
    }

    fn decrypt(&self, z: &he_core::ciphertext::Ciphertext) -> Vec<Complex> {
        let (ring, params) = (self.cpu.ring(), self.cpu.params());
        let encryptor = Encryptor { ring, params, encoder: &self.encoder };
        encryptor.decrypt(self.authority.big_secret(), z).to_vec()
    }

    fn rows(&mut self, rows: &[Vec<f64>]) -> Rows {
        let half = TOKENS / 2;
        let slots: Vec<Complex> = (0..rows.len() * half)
            .map(|slot| (&rows[slot / half], bit_reversed(slot % half, half)))
            .map(|(row, token)| Complex::new(row[token], row[token + half]))
            .collect();
        let slots = self.encrypt(&slots);
        let all = self.cpu.slots_to_rows(&slots).unwrap();
        let wanted = (0..rows.len()).map(|row| vec![he_nn::layout::row(row)]).collect::<Vec<_>>();
        self.cpu.select(&all, &wanted).unwrap()
    }
}

/// For every group of vectors the largest difference over the largest entry.
fn worst(found: &Parameters, wanted: &Parameters) -> f64 {
    let mut worst = 0f64;
    for vector in wanted.shape().vectors() {
        let pairs = || found.vector(vector).iter().zip(wanted.vector(vector));
        let error = pairs().map(|(f, w)| (f - w).abs()).fold(0.0, f64::max);
        let size = pairs().map(|(_, w)| w.abs()).fold(0.0, f64::max);
        worst = worst.max(error / size);
    }
    worst
}

#[test]
fn an_encrypted_iteration_of_a_group_is_that_of_the_reference() {
    one_iteration(&small::model(1));
}

#[test]
fn an_encrypted_iteration_of_a_group_through_a_softmax_is_that_of_the_reference() {
    one_iteration(&small::model_with(small::KERNELS[1], 1));
}

fn one_iteration(model: &Model) {
    let training = small::training(Loss::CrossEntropy);
    let mut setup = Setup::insecure(model, &training);
    let mut theta = small::parameters(41, 0.2);
    let sentences = [(9, [0.0, 1.0]), (14, [1.0, 0.0])]
        .map(|(length, label)| (synthetic::embedding(101, length), length, label));
    let rows: Vec<_> = sentences
        .iter()
        .map(|(embedding, length, label)| {
            let upload = setup.rows(&synthetic::upload(embedding, *length));
            (upload, setup.rows(&label.map(|y| vec![y; TOKENS])))
        })
        .collect();
    let examples: Vec<_> = rows.iter().map(|(upload, label)| Encrypted { upload, label }).collect();
    let places = Places::new(&setup.cpu, training.shape).unwrap();
    let state = setup.encrypt(&places.pack(Kind::Parameter, &theta));

    let planned = setup.levels.clone();
    let mut levels = Levels::planned(&planned);
    let cpu = &setup.cpu;
    let (config, shape) = (model.config(), (training.shape, training.scaling));
    let (state, trained) = training::begin(cpu, config, shape, &[state], &mut levels).unwrap();
    let both = (model, &training);
    let mut through = Vec::new();
    let mut passed = |count| {
        through.push(count);
        Ok(())
    };
    let before = levels;
    let found =
        training::outcome(cpu, both, &trained, &examples, &mut levels, &mut passed).unwrap();
    assert_eq!(through, [0, 0, 0, 1, 2]);
    let found = found.gradient;
    let guard = |gradient: &Gradient<Cpu>| {
        let elsewhere = setup.decrypt(&gradient.vectors);
        let elsewhere = places.read(Kind::Parameter, &elsewhere).unwrap();
        elsewhere.numbers().iter().fold(0.0, |m: f64, x| m.max(x.abs()))
    };
    assert!(guard(&found) < 2f64.powi(-10), "2^{:.1}", guard(&found).log2());
    let wide = Training { gain: 1 << 12, ..training };
    let both = (model, &wide);
    let escaped =
        training::outcome(cpu, both, &trained, &examples, &mut { before }, &mut |_| Ok(()));
    let escaped = guard(&escaped.unwrap().gradient);
    assert!(escaped > 1.0, "derivatives left their range in silence: {escaped}");
    let (mut wanted, mut mean) =
        (Parameters::zeros(training.shape), Parameters::zeros(training.shape));
    for (embedding, length, label) in &sentences {
        let example = Example { embedding, length: *length, label };
        let exact = evaluate(model, &theta, training.scaling, example, training.loss).gradient;
        training.accumulate(&mut wanted, &exact, 1.0);
        training.accumulate(&mut mean, &exact, 0.5);
    }
    let found_sum = places.read(Kind::Gradient, &setup.decrypt(&found.vectors)).unwrap();
    let error = worst(&found_sum, &wanted);
    assert!(error < 2f64.powi(-8), "gradient: 2^{:.1}", error.log2());

    let setting = (model.config(), &training);
    let found = training::step(cpu, setting, 1, state, (&found, 2), &mut levels).unwrap();
    let zeros = || Parameters::zeros(training.shape);
    let mut moments = Moments { mean: zeros(), square: zeros() };
    let exact = |x: f64| 1.0 / x.sqrt();
    training.optimizer.apply(1, &mut theta, &mut moments, &mean, &exact);
    let error = worst(&places.read(Kind::Parameter, &setup.decrypt(&found[0])).unwrap(), &theta);
    assert!(error < 2f64.powi(-7), "parameters: 2^{:.1}", error.log2());
}

/// For every matrix the largest difference over the largest entry.
fn worst_matrix(found: &Matrices, wanted: &Matrices) -> f64 {
    let one = |index| {
        let pairs = found.matrix(index).iter().zip(wanted.matrix(index));
        let size = wanted.matrix(index).iter().fold(0.0, |m: f64, x| m.max(x.abs()));
        pairs.map(|(f, w)| (f - w).abs()).fold(0.0, f64::max) / size
    };
    (0..wanted.count()).map(one).fold(0.0, f64::max)
}

#[test]
fn an_encrypted_iteration_of_full_fine_tuning_is_that_of_the_reference() {
    let model = &small::model_with(small::KERNELS[1], 1);
    let (config, shape) = (model.config(), Shape::of_classes(model.config()).unwrap());
    let matrices = PerMatrix { gain: 16.0, rate: 0.75 };
    let training = small::training(Loss::CrossEntropy);
    let training = Training { shape, scaling: 1.0, matrices, ..training };
    let mut setup = Setup::insecure(model, &training);
    let (mut theta, mut changes) = (small::random(shape, 41, 0.2), small::matrices(7, 0.05));
    let grid = Grid::new(&setup.cpu, WIDTH).unwrap();
    let places = Places::new(&setup.cpu, shape).unwrap();
    let mut state = vec![places.pack(Kind::Parameter, &theta)];
    state.extend(full::pack(&grid, [&changes, &changes.zeroed(), &changes.zeroed()]).unwrap());
    let state: Vec<_> = state.iter().map(|slots| setup.encrypt(slots)).collect();

    let mut gradient = changes.zeroed();
    let mut vectors = Parameters::zeros(shape);
    let sentences = [(9, [0.0, 1.0]), (14, [1.0, 0.0])]
        .map(|(length, label)| (synthetic::embedding(101, length), length, label));
    let mut rows = Vec::new();
    for (embedding, length, label) in &sentences {
        let example = Example { embedding, length: *length, label };
        let (one, matrices) = evaluate_full(model, (&theta, &changes), 1.0, example, training.loss);
        training.accumulate(&mut vectors, &one.gradient, 0.5);
        training.accumulate_matrices(&mut gradient, &matrices, 0.5);
        let upload = setup.rows(&synthetic::upload(embedding, *length));
        rows.push((upload, setup.rows(&label.map(|y| vec![y; TOKENS]))));
    }
    let examples: Vec<_> = rows.iter().map(|(upload, label)| Encrypted { upload, label }).collect();
    let (cpu, planned) = (&setup.cpu, setup.levels.clone());
    let (mut levels, examples) = (Levels::planned(&planned), (&examples[..], GROUP));
    let after = iteration(cpu, (model, &training), 1, &state, examples, &mut levels).unwrap();

    let (exact, optimizer) = (|x: f64| 1.0 / x.sqrt(), &training.optimizer);
    let zeros = || Parameters::zeros(shape);
    let mut moments = Moments { mean: zeros(), square: zeros() };
    optimizer.apply(1, &mut theta, &mut moments, &vectors, &exact);
    let (mut mean, mut square) = (changes.zeroed(), changes.zeroed());
    for index in 0..changes.count() {
        let [a, b, c] = [&mut changes, &mut mean, &mut square].map(|x| x.matrix_mut(index));
        let step = (1, training.matrices.rate);
        optimizer.apply_to(step, [a, b, c], gradient.matrix(index), &exact);
    }
    let slots: Vec<_> = after.iter().map(|z| setup.decrypt(z)).collect();
    // After one step a mean is a tenth of the gradient.
    for (kind, wanted, bits) in [(0, &changes, 7), (1, &mean, 8)] {
        let found = full::read(&grid, config, kind, &slots[1..]).unwrap();
        let error = worst_matrix(&found, wanted);
        assert!(error < 2f64.powi(-bits), "{kind}: 2^{:.1}", error.log2());
    }
    let error = worst(&places.read(Kind::Parameter, &slots[0]).unwrap(), &theta);
    assert!(error < 2f64.powi(-7), "classes: 2^{:.1}", error.log2());
}
