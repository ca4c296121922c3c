//! The suite of the evaluator seam on ciphertexts, and circuits on them, at an INSECURE size.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use he_core::bootstrap::dft::{self, Setting, Transform};
use he_core::bootstrap::eval_mod::EvalMod;
use he_core::ciphertext::Ciphertext;
use he_core::circuit::chebyshev::Chebyshev;
use he_core::circuit::linear::Placement;
use he_core::circuit::polynomial::{evaluate, input_scale};
use he_core::complex::Complex;
use he_core::conformance::{self, Subject};
use he_core::cpu::Cpu;
use he_core::encode::Encoder;
use he_core::encrypt::Encryptor;
use he_core::eval::Evaluator;
use he_core::eval::clear::{Clear, ClearVector};
use he_core::eval::position::Shape;
use he_core::keyswitch::{EvaluationKeys, KeyAuthority, KeyKind, KeyPlan};
use he_core::params::Params;
use he_core::ring::{Portable, Ring, Serial};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

const LOG_DEGREE: u32 = 10;
const ROTATIONS: [isize; 3] = [1, -3, 64];

struct Setup {
    authority: KeyAuthority,
    encoder: Encoder,
    cpu: Cpu,
}

impl Setup {
    fn insecure() -> Self {
        let params = Params::insecure_small(LOG_DEGREE, 8, 3).unwrap();
        let ring = || Ring::new(LOG_DEGREE, params.primes(), &Portable, &Serial).unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(23);
        let authority = KeyAuthority::generate(&params, &mut rng).unwrap();
        let top = params.max_level();
        let mut plan = KeyPlan::default();
        plan.need(KeyKind::Relinearization, top);
        for step in dft::rotations(params.degree() / 2).unwrap().into_iter().chain(ROTATIONS) {
            plan.need_rotation(&params, step, top);
        }
        plan.need_conjugation(&params, top);
        let (maker, mut keys) = (ring(), EvaluationKeys::new());
        for spec in plan.specs() {
            let key = authority.key(&maker, &params, spec, &mut rng).unwrap();
            keys.insert(&maker, spec.kind, key.expand(&maker, &params).unwrap());
        }
        let cpu = Cpu::new(params.clone(), ring(), keys).unwrap();
        Self { authority, encoder: Encoder::new(LOG_DEGREE), cpu }
    }

    fn encrypt(&self, values: &[Complex], level: usize, scale: f64) -> Ciphertext {
        let secret = self.authority.big_secret();
        let mut rng = ChaCha20Rng::seed_from_u64(values[0].re.to_bits() ^ scale.to_bits());
        self.encryptor().encrypt(secret, values, (level, scale), &mut rng).unwrap()
    }

    fn decrypt(&self, a: &Ciphertext) -> Vec<Complex> {
        self.encryptor().decrypt(self.authority.big_secret(), a)
    }

    fn encryptor(&self) -> Encryptor<'_> {
        Encryptor { ring: self.cpu.ring(), params: self.cpu.params(), encoder: &self.encoder }
    }

    /// The evaluator in the clear on the same chain.
    fn clear(&self) -> Clear {
        let steps = (1..=self.cpu.params().max_level()).map(|level| self.cpu.step(level));
        let shape = Shape::new(self.cpu.slots(), steps.collect(), self.cpu.default_scale());
        Clear::new(shape.unwrap())
    }

    /// Asserts that two runs of a circuit end at the same place with the same values.
    fn compare(&self, found: &Ciphertext, expected: &ClearVector, bits: f64) {
        let clear = self.clear();
        assert_eq!(self.cpu.level(found), clear.level(expected));
        assert!(self.cpu.scale(found).to_bits() == clear.scale(expected).to_bits());
        let values = self.decrypt(found);
        let errors = values.iter().zip(expected.values()).map(|(&x, &y)| (x - y).abs());
        let error = errors.fold(0.0, f64::max);
        assert!(error < 2f64.powf(-bits), "error 2^{:.1}", error.log2());
    }

    fn points(&self, (from, to): (f64, f64)) -> Vec<Complex> {
        let last = (self.cpu.slots() - 1) as f64;
        let point = |i: usize| Complex::real(from + (to - from) * i as f64 / last);
        (0..self.cpu.slots()).map(point).collect()
    }
}

#[test]
fn the_evaluator_on_ciphertexts_conforms() {
    let s = Setup::insecure();
    let subject = Subject {
        eval: &s.cpu,
        encrypt: &|values, level, scale| Ok(s.encrypt(values, level, scale)),
        decrypt: &|a| Ok(s.decrypt(a)),
        level: s.cpu.params().computing_level(),
        rotations: &ROTATIONS,
        bits: 24.0,
    };
    conformance::all(&subject).unwrap();
}

#[test]
fn a_polynomial_on_ciphertexts_is_the_one_in_the_clear() {
    let (s, level) = (Setup::insecure(), 14);
    let clear = s.clear();
    for (p, bits) in [
        (Chebyshev::fit(libm::exp, (-16.0, 0.0), 15).unwrap(), 26.0),
        (Chebyshev::fit(libm::tanh, (-4.0, 4.0), 31).unwrap(), 26.0),
        (Chebyshev::fit(|x| 1.0 / libm::sqrt(x), (0.3, 20.0), 31).unwrap(), 25.0),
    ] {
        let (x, scale) = (s.points(p.domain()), input_scale(&s.cpu, level, p.domain()));
        let a = s.encrypt(&x, level, scale);
        let found = evaluate(&s.cpu, &a, &p, s.cpu.default_scale()).unwrap();
        let a = clear.encrypt(&x, level, scale).unwrap();
        let expected = evaluate(&clear, &a, &p, s.cpu.default_scale()).unwrap();
        s.compare(&found, &expected, bits);
    }
}

#[test]
fn a_sine_on_ciphertexts_is_the_one_in_the_clear() {
    let (s, eval_mod) = (Setup::insecure(), EvalMod::new(16, 3, 31).unwrap());
    let clear = s.clear();
    let (level, scale, to_scale) = (22, s.cpu.step(22), 2f64.powf(49.35));
    let x = s.points((-15.0 / 16.0, 15.0 / 16.0));
    let found = eval_mod.apply(&s.cpu, &s.encrypt(&x, level, scale), to_scale).unwrap();
    let a = clear.encrypt(&x, level, scale).unwrap();
    s.compare(&found, &eval_mod.apply(&clear, &a, to_scale).unwrap(), 28.0);
}

#[test]
fn transforms_of_ciphertexts_are_those_in_the_clear() {
    let s = Setup::insecure();
    let clear = s.clear();
    let x = s.points((-0.5, 1.0));
    let at = Placement { level: 25, input_scale: 2f64.powi(50), to_scale: 2f64.powi(49) };
    let setting = Setting { at, constant: 1.0 };
    let found = Transform::coeffs_to_slots(&s.cpu, setting).unwrap();
    let found = found.apply(&s.cpu, &s.encrypt(&x, at.level, at.input_scale)).unwrap();
    let expected = Transform::coeffs_to_slots(&clear, setting).unwrap();
    let a = clear.encrypt(&x, at.level, at.input_scale).unwrap();
    s.compare(&found, &expected.apply(&clear, &a).unwrap(), 28.0);

    let at = Placement { level: 3, input_scale: 2f64.powi(40), to_scale: 2f64.powi(25) };
    let setting = Setting { at, constant: 1.0 / 16.0 };
    let found = Transform::slots_to_coeffs(&s.cpu, setting).unwrap();
    let found = found.apply(&s.cpu, &s.encrypt(&x, at.level, at.input_scale)).unwrap();
    let expected = Transform::slots_to_coeffs(&clear, setting).unwrap();
    let a = clear.encrypt(&x, at.level, at.input_scale).unwrap();
    s.compare(&found, &expected.apply(&clear, &a).unwrap(), 10.0);
}
