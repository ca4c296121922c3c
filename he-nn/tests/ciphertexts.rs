//! The forward pass on real ciphertexts, at an INSECURE size, and what happens to the canary when
//! a value leaves the range of an approximation.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "synthetic/model.rs"]
mod synthetic;

use he_core::complex::Complex;
use he_core::cpu::{Cpu, bootstrap_keys};
use he_core::encode::Encoder;
use he_core::encrypt::Encryptor;
use he_core::eval::count::Count;
use he_core::eval::position::{RowShape, Shape};
use he_core::keyswitch::{EvaluationKeys, KeyAuthority};
use he_core::ntt::bit_reversed;
use he_core::params::Params;
use he_core::refresh::Refresh;
use he_core::ring::{Portable, Ring, Serial};
use he_nn::forward::Forward;
use he_nn::layer::head::{CANARY_ROW, class_row};
use he_nn::model::{Element, Model, Tensor};
use he_nn::{TensorName, reference};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use synthetic::{FRAC_BITS, TOKENS, WIDTH};

const LOG_DEGREE: u32 = 10;

struct Setup {
    authority: KeyAuthority,
    cpu: Cpu,
    encoder: Encoder,
    levels: Vec<usize>,
    rng: ChaCha20Rng,
}

impl Setup {
    /// With the keys and the levels that runs without values ask for.
    fn insecure(model: &Model) -> Self {
        let params = Params::insecure_small(LOG_DEGREE, 7, TOKENS.trailing_zeros()).unwrap();
        let steps = (1..=params.max_level()).map(|level| params.step(level)).collect();
        let rows = RowShape {
            tokens: TOKENS,
            frac_bits: FRAC_BITS,
            product_scale: params.product_scale(),
            rows_level: params.rows_level(),
            computing_level: params.computing_level(),
        };
        let shape = Shape::new(params.degree() / 2, steps, params.default_scale()).unwrap();
        let shape = shape.with_rows(rows).unwrap();
        let count = Count::new(shape.clone());
        let upload = count.input_rows(WIDTH).unwrap();
        let answer = Forward::new(&count, model, &mut |_| {}).run(&upload).unwrap();
        let bootstraps = count.needed_bootstraps(&[answer], params.rows_level()).unwrap();
        let levels: Vec<_> = bootstraps.iter().map(|bootstrap| bootstrap.needed).collect();
        let count = Count::new(shape);
        let upload = count.input_rows(WIDTH).unwrap();
        let mut progress = |_| {};
        let planned = Forward::new(&count, model, &mut progress).with_levels(&levels);
        planned.run(&upload).unwrap();

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

    /// Runs the model on rows; returns token 0 of every row of the answer.
    fn answer(&mut self, model: &Model, rows: &[Vec<f64>]) -> Vec<f64> {
        let half = TOKENS / 2;
        let slots: Vec<Complex> = (0..rows.len() * half)
            .map(|slot| (&rows[slot / half], bit_reversed(slot % half, half)))
            .map(|(row, token)| Complex::new(row[token], row[token + half]))
            .collect();
        let (ring, params) = (self.cpu.ring(), self.cpu.params());
        let encryptor = Encryptor { ring, params, encoder: &self.encoder };
        let (secret, place) = (self.authority.big_secret(), (params.rows_level(), 2f64.powi(40)));
        let slots = encryptor.encrypt(secret, &slots, place, &mut self.rng).unwrap();
        let upload = self.cpu.slots_to_rows(&slots).unwrap();
        let features = (0..WIDTH).map(|row| vec![he_nn::layout::row(row)]).collect::<Vec<_>>();
        let upload = self.cpu.select(&upload, &features).unwrap();
        let mut progress = |_| {};
        let forward = Forward::new(&self.cpu, model, &mut progress).with_levels(&self.levels);
        let answer = forward.run(&upload).unwrap();
        let slots = encryptor.decrypt(secret, &answer);
        slots.iter().step_by(half).map(|z| z.re).collect()
    }
}

#[test]
fn encrypted_answers_are_the_plain_ones() {
    answers(&synthetic::model(1));
}

#[test]
fn encrypted_answers_of_a_softmax_are_the_plain_ones() {
    let config = synthetic::with_kernel(synthetic::config(), synthetic::SOFTMAX);
    answers(&synthetic::model_of(config, 1));
}

fn answers(model: &Model) {
    let mut setup = Setup::insecure(model);
    let (mut worst, length) = (0f64, 9);
    let embedding = synthetic::embedding(101, length);
    let answer = setup.answer(model, &synthetic::upload(&embedding, length));
    let plain = reference::forward(model, &embedding, length).logits;
    for (class, plain) in plain.iter().enumerate() {
        worst = worst.max((answer[class_row(class)] - plain).abs());
    }
    assert!((answer[CANARY_ROW] - 1.0).abs() < 2f64.powi(-8), "{}", answer[CANARY_ROW]);
    assert!(worst < 2f64.powi(-12), "2^{:.1}", worst.log2());
}

#[test]
fn a_gate_outside_its_range_destroys_the_canary() {
    let mut tensors = synthetic::tensors(1);
    let (_, _, gate) =
        tensors.iter_mut().find(|(n, ..)| n == "layers.0.feed_forward.gate").unwrap();
    for word in gate.as_chunks_mut::<2>().0 {
        *word = (12 * i16::from_le_bytes(*word)).to_le_bytes();
    }
    let find = |name: TensorName| {
        let (_, shape, bytes) = tensors.iter().find(|(n, ..)| *n == name.to_string())?;
        Some(Tensor { shape, element: Element::I16, bytes })
    };
    let model = Model::from_tensors(synthetic::config(), &find).unwrap();
    let mut setup = Setup::insecure(&model);
    let embedding = synthetic::embedding(101, 16);
    let answer = setup.answer(&model, &synthetic::upload(&embedding, 16));
    let tolerance = f64::from(he_nn::client::answer::TOLERANCE);
    assert!((answer[CANARY_ROW] - 1.0).abs() > tolerance);
}
