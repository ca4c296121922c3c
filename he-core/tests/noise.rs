//! The noise of encryptions and operations against the formulas of `he_core::noise`, at INSECURE
//! sizes; `host-runner noise` measures it at full size.
//!
//! Measured variances are of `N` coefficients, two per cent off at one standard deviation, and have
//! to be within a factor of 1.15.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use he_core::ciphertext::Ciphertext;
use he_core::complex::Complex;
use he_core::cpu::Cpu;
use he_core::encode::Encoder;
use he_core::encrypt::Encryptor;
use he_core::eval::Evaluator;
use he_core::keyswitch::{EvaluationKeys, KeyAuthority, KeyPlan};
use he_core::noise::Noise;
use he_core::params::Params;
use he_core::ring::{Portable, Ring, Serial};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

const LOG_DEGREE: u32 = 12;
const TOLERANCE: f64 = 1.15;

struct Setup {
    authority: KeyAuthority,
    encoder: Encoder,
    cpu: Cpu,
    rng: ChaCha20Rng,
}

impl Setup {
    fn insecure() -> Self {
        let params = Params::insecure_small(LOG_DEGREE, 8, 3).unwrap();
        let ring = Ring::new(LOG_DEGREE, params.primes(), &Portable, &Serial).unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(31);
        let authority = KeyAuthority::generate(&params, &mut rng).unwrap();
        let (mut plan, mut keys) = (KeyPlan::default(), EvaluationKeys::new());
        plan.need_rotation(&params, 1, params.max_level());
        for spec in plan.specs() {
            let key = authority.key(&ring, &params, spec, &mut rng).unwrap();
            keys.insert(&ring, spec.kind, key.expand(&ring, &params).unwrap());
        }
        let cpu = Cpu::new(params, ring, keys).unwrap();
        Self { authority, encoder: Encoder::new(LOG_DEGREE), cpu, rng }
    }

    fn encryptor(&self) -> Encryptor<'_> {
        Encryptor { ring: self.cpu.ring(), params: self.cpu.params(), encoder: &self.encoder }
    }

    /// An encryption of zero at scale 1: nothing but noise.
    fn zero(&mut self, level: usize) -> Ciphertext {
        let mut rng = self.rng.clone();
        let (secret, zeros) = (self.authority.big_secret(), [Complex::ZERO; 0]);
        let c = self.encryptor().encrypt(secret, &zeros, (level, 1.0), &mut rng).unwrap();
        self.rng = rng;
        c
    }

    /// The variance of the coefficients of an encryption of zero.
    fn variance(&self, c: &Ciphertext) -> f64 {
        let slots = self.encryptor().decrypt(self.authority.big_secret(), c);
        let energy: f64 = slots.iter().map(|z| z.re * z.re + z.im * z.im).sum();
        // The squares of all N slots sum to N times those of the coefficients; half are shown.
        let scale = self.cpu.scale(c);
        energy * scale * scale / (slots.len() as f64 * self.degree())
    }

    fn degree(&self) -> f64 {
        f64::from(1u32 << LOG_DEGREE)
    }

    fn formulas(&self) -> Noise<'_> {
        Noise::new(self.cpu.params())
    }
}

fn assert_near(what: &str, measured: f64, formula: f64) {
    let factor = measured / formula;
    assert!(
        (1.0 / TOLERANCE..TOLERANCE).contains(&factor),
        "{what}: variance {measured:.1}, formula {formula:.1}"
    );
}

#[test]
fn a_fresh_encryption_has_the_noise_of_one_error_at_every_level() {
    let mut s = Setup::insecure();
    for level in [0, 3, 14, s.cpu.params().max_level()] {
        let c = s.zero(level);
        assert_near("secret key", s.variance(&c), s.formulas().fresh());
    }
}

#[test]
fn a_public_key_adds_two_products_with_ternary_polynomials() {
    let s = Setup::insecure();
    let mut rng = s.rng.clone();
    let key = s.encryptor().public_key(s.authority.big_secret(), 5, &mut rng);
    let c = s.encryptor().encrypt_public(&key, &[], 1.0, &mut rng).unwrap();
    assert_near("public key", s.variance(&c), s.formulas().public());
}

#[test]
fn a_rescale_divides_the_noise_and_rounds_twice() {
    const GAIN: f64 = 4.618;
    let mut s = Setup::insecure();
    for level in [2, 3, 14, s.cpu.params().max_level()] {
        // Noise above the quotient, so that what is divided counts; no multiple of it, so that both
        // halves are rounded.
        let (fresh, step) = (s.zero(level), s.cpu.step(level));
        let loud = s.cpu.with_scale(&s.cpu.mul_scalar(&fresh, GAIN * step, 1.0), 1.0);
        let noise = GAIN * GAIN * step * step * s.variance(&fresh);
        let formula = s.formulas().rescaled(noise, level);
        assert_near("rescale", s.variance(&s.cpu.rescale(&loud).unwrap()), formula);
    }
}

#[test]
fn a_key_switch_adds_the_noise_of_its_digits_and_a_rounding() {
    let mut s = Setup::insecure();
    for level in [0, 7, s.cpu.params().max_level()] {
        let fresh = s.zero(level);
        let added = s.formulas().key_switch(level);
        let turned = s.cpu.rotate(&fresh, 1).unwrap();
        assert_near("key switch", s.variance(&turned), s.variance(&fresh) + added);
    }
}
