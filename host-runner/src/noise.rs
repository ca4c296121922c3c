//! The noise of operations at full size, on fresh keys, beside what formulas predict.
//!
//! [`he_core::noise`] has the formulas. The precision of a bootstrap, which has none but a bound for
//! its sine, is measured by [`refresh`].

pub mod refresh;

use anyhow::Result;
use chacha20::ChaCha20Rng;
use chacha20::rand_core::Rng;
use he_core::ciphertext::Ciphertext;
use he_core::complex::Complex;
use he_core::cpu::Cpu;
use he_core::encode::Encoder;
use he_core::encrypt::Encryptor;
use he_core::eval::{Evaluator, mul_values};
use he_core::keyswitch::{EvaluationKeys, KeyAuthority, KeyPlan};
use he_core::noise::Noise;
use he_core::params::Params;
use he_core::ring::Ring;
use serde::Serialize;

use crate::threads::Rayon;

/// What noise is made louder by before it is rescaled, in steps: no integer, so that both halves
/// are rounded.
const GAIN: f64 = 40.618;

/// The standard deviation of a coefficient's noise after one operation, `log2`.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The operation.
    pub operation: &'static str,
    /// The level of its operands.
    pub level: usize,
    /// By the formula.
    pub predicted: f64,
    /// On real ciphertexts, over all coefficients.
    pub measured: f64,
}

/// Keys, and all that is needed to encrypt and decrypt under them.
struct Setup {
    authority: KeyAuthority,
    encoder: Encoder,
    cpu: Cpu,
    rng: ChaCha20Rng,
}

/// A ciphertext, the slots it should hold, and the variance of its noise by the formulas.
struct Known {
    ciphertext: Ciphertext,
    slots: Vec<Complex>,
    noise: f64,
}

/// Measures every operation; `step` hears of each.
///
/// # Errors
/// If keys cannot be made for the parameters.
pub fn measure(
    params: &Params,
    rng: ChaCha20Rng,
    step: &mut dyn FnMut(&'static str),
) -> Result<Vec<Row>> {
    let mut s = Setup::new(params, rng)?;
    let mut rows = Vec::new();
    let mut note = |s: &Setup, operation, level, known: &Known| {
        step(operation);
        let (predicted, measured) = (known.noise.log2() / 2.0, s.variance(known).log2() / 2.0);
        rows.push(Row { operation, level, predicted, measured });
    };
    let multiplying = params.max_level() - params.coeffs_to_slots_levels();
    for level in [params.max_level(), multiplying, params.computing_level()] {
        let x = s.encrypt(level)?;
        note(&s, "encrypt by the secret key", level, &x);
        if level == params.computing_level() {
            let public = s.encrypt_public(level)?;
            note(&s, "encrypt by a public key", level, &public);
        }
        note(&s, "add", level, &s.add(&x)?);
        note(&s, "rotate", level, &s.rotate(&x)?);
        note(&s, "rescale", level, &s.rescale(&x)?);
        note(&s, "multiply by plain slots, rescale", level, &s.mul_plain(&x)?);
        if level <= multiplying {
            let y = s.encrypt(level)?;
            note(&s, "multiply, relinearise, rescale", level, &s.mul(&x, &y)?);
        }
    }
    Ok(rows)
}

impl Setup {
    fn new(params: &Params, mut rng: ChaCha20Rng) -> Result<Self> {
        let ring = Ring::new(params.log_degree(), params.primes(), he_simd::best(), &Rayon)?;
        let authority = KeyAuthority::generate(params, &mut rng)?;
        let (mut plan, mut keys) = (KeyPlan::new(params), EvaluationKeys::new());
        plan.need_rotation(params, 1, params.max_level());
        for spec in plan.specs() {
            use he_core::keyswitch::KeyKind::{Galois, Relinearization};
            if matches!(spec.kind, Galois(_) | Relinearization) {
                let key = authority.key(&ring, params, spec, &mut rng)?;
                keys.insert(&ring, spec.kind, key.expand(&ring, params)?);
            }
        }
        let cpu = Cpu::new(params.clone(), ring, keys)?;
        Ok(Self { authority, encoder: Encoder::new(params.log_degree()), cpu, rng })
    }

    fn formulas(&self) -> Noise<'_> {
        Noise::new(self.cpu.params())
    }

    /// Uniform in the square of side 2, as far from zero as values in a network.
    fn slots(&mut self) -> Vec<Complex> {
        let mut unit = || f64::from(self.rng.next_u32()) / f64::from(1u32 << 31) - 1.0;
        (0..self.cpu.slots()).map(|_| Complex { re: unit(), im: unit() }).collect()
    }

    /// An encryption at the default scale.
    fn encrypt(&mut self, level: usize) -> Result<Known> {
        let slots = self.slots();
        // The message is rounded to integers.
        let noise = self.formulas().fresh() + 1.0 / 12.0;
        let Self { authority, encoder, cpu, rng } = self;
        let encryptor = Encryptor { ring: cpu.ring(), params: cpu.params(), encoder };
        let at = (level, cpu.default_scale());
        let ciphertext = encryptor.encrypt(authority.big_secret(), &slots, at, rng)?;
        Ok(Known { ciphertext, slots, noise })
    }

    fn encrypt_public(&mut self, level: usize) -> Result<Known> {
        let noise = self.formulas().public();
        let Self { authority, encoder, cpu, rng } = self;
        let encryptor = Encryptor { ring: cpu.ring(), params: cpu.params(), encoder };
        let key = encryptor.public_key(authority.big_secret(), level, rng);
        let ciphertext = encryptor.encrypt_public(&key, &[], cpu.default_scale(), rng)?;
        Ok(Known { ciphertext, slots: Vec::new(), noise })
    }

    fn add(&self, x: &Known) -> Result<Known> {
        let ciphertext = self.cpu.add(&x.ciphertext, &x.ciphertext)?;
        let slots = x.slots.iter().map(|&z| z + z).collect();
        Ok(Known { ciphertext, slots, noise: 4.0 * x.noise })
    }

    fn rotate(&self, x: &Known) -> Result<Known> {
        let mut slots = x.slots.clone();
        slots.rotate_left(1);
        let noise = x.noise + self.formulas().key_switch(x.ciphertext.level());
        Ok(Known { ciphertext: self.cpu.rotate(&x.ciphertext, 1)?, slots, noise })
    }

    /// Noise above the quotient, so that what is divided counts.
    fn rescale(&self, x: &Known) -> Result<Known> {
        let (level, scale) = (x.ciphertext.level(), x.ciphertext.scale());
        let factor = (GAIN * self.cpu.step(level)).round();
        let loud = self.cpu.mul_scalar(&x.ciphertext, factor, 1.0);
        let loud = self.cpu.with_scale(&loud, scale * factor);
        let noise = self.formulas().rescaled(factor * factor * x.noise, level);
        Ok(Known { ciphertext: self.cpu.rescale(&loud)?, slots: x.slots.clone(), noise })
    }

    fn mul_plain(&self, x: &Known) -> Result<Known> {
        let (level, scale) = (x.ciphertext.level(), x.ciphertext.scale());
        let ciphertext = mul_values(&self.cpu, &x.ciphertext, &x.slots, scale)?;
        let slots: Vec<_> = x.slots.iter().map(|&z| z * z).collect();
        // A plaintext has the noise of its rounding.
        let energies = [scale, self.cpu.step(level)].map(|scale| energy(&x.slots, scale));
        let product = self.formulas().product([x.noise, 1.0 / 12.0], energies);
        Ok(Known { ciphertext, slots, noise: self.formulas().rescaled(product, level) })
    }

    fn mul(&self, x: &Known, y: &Known) -> Result<Known> {
        let level = x.ciphertext.level();
        let ciphertext = self.cpu.mul_rescaled(&x.ciphertext, &y.ciphertext)?;
        let slots = x.slots.iter().zip(&y.slots).map(|(&a, &b)| a * b).collect();
        let energies = [x, y].map(|known| energy(&known.slots, known.ciphertext.scale()));
        let formulas = self.formulas();
        let product = formulas.product([x.noise, y.noise], energies);
        let switched = product + formulas.inner_product(level);
        Ok(Known { ciphertext, slots, noise: formulas.rescaled(switched, level) })
    }

    /// The variance of a coefficient's noise.
    fn variance(&self, known: &Known) -> f64 {
        let (ring, params) = (self.cpu.ring(), self.cpu.params());
        let encryptor = Encryptor { ring, params, encoder: &self.encoder };
        let found = encryptor.decrypt(self.authority.big_secret(), &known.ciphertext);
        let expected = known.slots.iter().copied().chain(core::iter::repeat(Complex::ZERO));
        let errors: Vec<_> = found.iter().zip(expected).map(|(&z, e)| z - e).collect();
        // The noise of a slot has N times the variance of a coefficient's.
        energy(&errors, known.ciphertext.scale()) / (2.0 * count(errors.len()))
    }
}

/// The mean square of slots at this scale.
fn energy(slots: &[Complex], scale: f64) -> f64 {
    let sum: f64 = slots.iter().map(|z| z.re * z.re + z.im * z.im).sum();
    sum * scale * scale / count(slots.len())
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
const fn count(n: usize) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use chacha20::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn every_operation_has_the_noise_of_its_formula_at_an_insecure_size() {
        let params = Params::insecure_small(12, 8, 3).unwrap();
        let rows = measure(&params, ChaCha20Rng::seed_from_u64(5), &mut |_| {}).unwrap();
        assert_eq!(rows.len(), 18);
        for row in rows {
            assert!((row.measured - row.predicted).abs() < 0.1, "{row:?}");
        }
    }
}
