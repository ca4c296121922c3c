//! The CKKS evaluator at an INSECURE size: every operation against the numbers it stands for.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use he_core::complex::Complex;
use he_core::cpu::Cpu;
use he_core::encode::Encoder;
use he_core::encrypt::Encryptor;
use he_core::eval::{Evaluator, mul_values};
use he_core::keyswitch::{EvaluationKeys, KeyAuthority, KeyKind, KeyPlan};
use he_core::params::Params;
use he_core::ring::{Portable, Ring, Serial};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

const LOG_DEGREE: u32 = 10;

struct Setup {
    authority: KeyAuthority,
    encoder: Encoder,
    cpu: Cpu,
    rng: ChaCha20Rng,
}

impl Setup {
    fn insecure() -> Self {
        let params = Params::insecure_small(LOG_DEGREE, 8, 3).unwrap();
        let ring = || Ring::new(LOG_DEGREE, params.primes(), &Portable, &Serial).unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(7);
        let authority = KeyAuthority::generate(&params, &mut rng).unwrap();
        let top = params.max_level();
        let mut plan = KeyPlan::default();
        plan.need(KeyKind::Relinearization, top);
        [1, -3, 64].into_iter().for_each(|step| plan.need_rotation(&params, step, top));
        plan.need_conjugation(&params, top);
        let (maker, mut keys) = (ring(), EvaluationKeys::new());
        for spec in plan.specs() {
            let key = authority.key(&maker, &params, spec, &mut rng).unwrap();
            keys.insert(&maker, spec.kind, key.expand(&maker, &params).unwrap());
        }
        let cpu = Cpu::new(params.clone(), ring(), keys).unwrap();
        Self { authority, encoder: Encoder::new(LOG_DEGREE), cpu, rng }
    }

    fn values(&mut self) -> Vec<Complex> {
        let mut unit = || f64::from(self.rng.next_u32()) / f64::from(u32::MAX) * 2.0 - 1.0;
        (0..self.cpu.slots()).map(|_| Complex::new(unit(), unit())).collect()
    }

    fn encryptor(&self) -> Encryptor<'_> {
        Encryptor { ring: self.cpu.ring(), params: self.cpu.params(), encoder: &self.encoder }
    }

    fn encrypt(&mut self, values: &[Complex], level: usize) -> <Cpu as Evaluator>::Ciphertext {
        let mut rng = self.rng.clone();
        // The scale that a product at this level returns to.
        let at = (level, if level > 0 { self.cpu.step(level) } else { self.cpu.default_scale() });
        let secret = self.authority.big_secret();
        let c = self.encryptor().encrypt(secret, values, at, &mut rng).unwrap();
        self.rng = rng;
        c
    }

    /// Asserts that `c` decrypts to `expected(slot)` within `2^-bits`.
    fn check(
        &self,
        c: &<Cpu as Evaluator>::Ciphertext,
        bits: f64,
        expected: impl Fn(usize) -> Complex,
    ) {
        let found = self.encryptor().decrypt(self.authority.big_secret(), c);
        let error = |(i, &z): (usize, &Complex)| (z - expected(i)).abs();
        let worst = found.iter().enumerate().map(error).fold(0.0, f64::max);
        assert!(worst < 2f64.powf(-bits), "error 2^{:.1}", worst.log2());
    }
}

#[test]
fn what_is_encrypted_decrypts() {
    let mut s = Setup::insecure();
    let x = s.values();
    for level in [0, 1, 7, s.cpu.params().max_level()] {
        let c = s.encrypt(&x, level);
        s.check(&c, 25.0, |i| x[i]);
    }
    let mut rng = s.rng.clone();
    let key = s.encryptor().public_key(s.authority.big_secret(), 5, &mut rng);
    let c = s.encryptor().encrypt_public(&key, &x, s.cpu.default_scale(), &mut rng).unwrap();
    s.check(&c, 22.0, |i| x[i]);
}

#[test]
fn products_rescale_to_the_product() {
    let mut s = Setup::insecure();
    let (x, y) = (s.values(), s.values());
    for level in [s.cpu.params().max_level(), 14, 13, 12, 4] {
        let (a, b) = (s.encrypt(&x, level), s.encrypt(&y, level));
        let product = s.cpu.rescale(&s.cpu.mul(&a, &b).unwrap()).unwrap();
        s.check(&product, 27.0, |i| x[i] * y[i]);
        assert_eq!(s.cpu.level(&product), level - 1);
        let two = s.cpu.rescale(&s.cpu.dot(&[(&a, &b), (&a, &a)]).unwrap()).unwrap();
        s.check(&two, 27.0, |i| x[i] * y[i] + x[i] * x[i]);
        let masked = mul_values(&s.cpu, &a, &y, s.cpu.scale(&a)).unwrap();
        s.check(&masked, 27.0, |i| x[i] * y[i]);
    }
}

#[test]
fn automorphisms_move_slots() {
    let mut s = Setup::insecure();
    let (x, n) = (s.values(), s.cpu.slots());
    for level in [s.cpu.params().max_level(), 11] {
        let a = s.encrypt(&x, level);
        for (step, c) in
            [1, -3, 64, 0].into_iter().zip(s.cpu.rotate_many(&a, &[1, -3, 64, 0]).unwrap())
        {
            let from = |i: usize| (i + n).wrapping_add_signed(step) % n;
            s.check(&c, 27.0, |i| x[from(i)]);
        }
        s.check(&s.cpu.conjugate(&a).unwrap(), 27.0, |i| x[i].conjugate());
        s.check(&s.cpu.mul_i(&a), 25.0, |i| x[i] * Complex::new(0.0, 1.0));
        assert!(s.cpu.rotate(&a, 5).is_err(), "there is no key for 5");
    }
}

#[test]
fn adjust_reaches_any_lower_level_and_scale() {
    let mut s = Setup::insecure();
    let x = s.values();
    let top = s.cpu.params().max_level();
    let a = s.encrypt(&x, top);
    for level in 0..top {
        for scale in [s.cpu.scale(&a), 1.37 * s.cpu.scale(&a)] {
            let c = s.cpu.adjust(&a, level, scale).unwrap();
            assert_eq!((s.cpu.level(&c), s.cpu.scale(&c)), (level, scale));
            s.check(&c, 24.0, |i| x[i]);
        }
    }
    assert!(s.cpu.adjust(&a, top, 2.0 * s.cpu.scale(&a)).is_err());
}

#[test]
fn sums_and_scalars_are_linear() {
    let mut s = Setup::insecure();
    let (x, y) = (s.values(), s.values());
    let (a, b) = (s.encrypt(&x, 9), s.encrypt(&y, 6));
    let b = s.cpu.adjust(&b, 5, s.cpu.scale(&a)).unwrap();
    s.check(&s.cpu.add(&a, &b).unwrap(), 24.0, |i| x[i] + y[i]);
    s.check(&s.cpu.sub(&a, &b).unwrap(), 24.0, |i| x[i] - y[i]);
    s.check(&s.cpu.neg(&a), 24.0, |i| -x[i]);
    s.check(&s.cpu.add_scalar(&a, -0.75), 24.0, |i| x[i] - Complex::real(0.75));
    let third = s.cpu.mul_scalar(&a, 1.0 / 3.0, s.cpu.step(9));
    s.check(&s.cpu.rescale(&third).unwrap(), 24.0, |i| x[i].scaled(1.0 / 3.0));
    assert!(s.cpu.add(&a, &s.cpu.with_scale(&b, 3.0)).is_err());
}
