//! The precision of half-bootstraps at full size: every slot, values of the full range.
//!
//! Raising the modulus adds multiples `I·q0`, and the sine is right as long as `|I| < 16`. With an
//! ephemeral secret of weight 32 the probability that one of 65,536 coefficients has more is
//! `2^-138`; `security/estimate.py` computes it and `security/evidence.json` has the result.

use anyhow::Result;
use chacha20::ChaCha20Rng;
use chacha20::rand_core::Rng;
use he_core::ciphertext::Ciphertext;
use he_core::cpu::{Cpu, bootstrap_keys};
use he_core::encode::Encoder;
use he_core::encrypt::Encryptor;
use he_core::eval::Evaluator;
use he_core::keyswitch::{EvaluationKeys, KeyAuthority};
use he_core::linear::{Rows, SeededUpload, edge_ring};
use he_core::params::Params;
use he_core::refresh::{Halves, Refresh, Weights};
use he_core::ring::{Poly, Ring};
use he_core::sample::{self, SecretSeed, Seed, domain};
use serde::Serialize;

use super::count;
use crate::threads::Rayon;

/// Fractional bits of the weights, those of the model.
const FRAC_BITS: u32 = 10;

/// Values are uniform in `[-RANGE, RANGE]`.
const RANGE: f64 = 16.0;

/// The correct bits of values, relative to their range: values up to 16 with an error of `2^-9`
/// have 13.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Precision {
    /// Of the worst of all slots.
    pub worst: f64,
    /// Of the mean error.
    pub mean: f64,
}

/// Bits after a bootstrap of as many values as there are coefficients, and after the way back to rows
/// and another one.
///
/// # Errors
/// If keys cannot be made for the parameters.
pub fn measure(params: &Params, rng: ChaCha20Rng) -> Result<[Precision; 2]> {
    let mut s = Setup::new(params, rng)?;
    let x = s.values();
    let uploads = s.upload(&x)?;
    let rows = s.times_one(&s.cpu.receive(&uploads)?)?;
    let halves = s.cpu.rows_to_slots(&rows, Halves::Both)?;
    let first = s.precision(&halves, &x);
    let z = s.cpu.add(&halves[0], &s.cpu.mul_i(&halves[1]))?;
    let back = s.times_one(&s.cpu.slots_to_rows(&z)?)?;
    let again = s.cpu.rows_to_slots(&back, Halves::Both)?;
    Ok([first, s.precision(&again, &x)])
}

struct Setup {
    authority: KeyAuthority,
    cpu: Cpu,
    encoder: Encoder,
    rng: ChaCha20Rng,
}

impl Setup {
    fn new(params: &Params, mut rng: ChaCha20Rng) -> Result<Self> {
        let ring = Ring::new(params.log_degree(), params.primes(), he_simd::best(), &Rayon)?;
        let authority = KeyAuthority::generate(params, &mut rng)?;
        let mut keys = EvaluationKeys::new();
        for spec in bootstrap_keys(params)?.specs() {
            let key = authority.key(&ring, params, spec, &mut rng)?;
            keys.insert(&ring, spec.kind, key.expand(&ring, params)?);
        }
        let encoder = Encoder::new(params.log_degree());
        let cpu = Cpu::new(params.clone(), ring, keys)?.with_bootstrap(FRAC_BITS)?;
        Ok(Self { authority, cpu, encoder, rng })
    }

    /// `rows_per_pack` rows of `T` values each.
    fn values(&mut self) -> Vec<Vec<f64>> {
        let mut value = || (f64::from(self.rng.next_u32()) / f64::from(1u32 << 31) - 1.0) * RANGE;
        let (rows, tokens) = (self.cpu.rows_per_pack(), self.cpu.tokens());
        (0..rows).map(|_| (0..tokens).map(|_| value()).collect()).collect()
    }

    /// Encrypts rows as a device does: feature `f`, token `t` at coefficient `f + r t`.
    fn upload(&mut self, rows: &[Vec<f64>]) -> Result<Vec<SeededUpload>> {
        let params = self.cpu.params();
        let scale = params.row_scale(FRAC_BITS);
        let edge = edge_ring(self.cpu.ring(), params)?;
        let rank = params.edge_degree() / params.tokens();
        let secret: Vec<i64> = self.authority.edge_secret().coefficients().map(i64::from).collect();
        let mut s = Poly::from_signed(&edge, edge.basis(), |i| secret[i]);
        s.ntt_assign(&edge);
        let mut encrypt = |(chunk, number): (&[Vec<f64>], u32)| {
            let seed = Seed::random(&mut self.rng);
            let mut product = Poly::zero(&edge, edge.basis());
            product.for_each_limb(&edge, |prime, limb| {
                sample::uniform(&seed, domain::EDGE_MASK, number, edge.modulus(prime), limb);
            });
            product.mul_assign(&edge, &s);
            product.inverse_ntt_assign(&edge);
            let mut errors = vec![0; edge.degree()];
            sample::errors(&SecretSeed::random(&mut self.rng), 0, &mut errors);
            #[expect(clippy::cast_possible_truncation, reason = "below q0, 50 bits")]
            let message = |i: usize| {
                (chunk[i % rank][i / rank] * scale).round() as i64 + i64::from(errors[i])
            };
            let mut b = Poly::from_signed(&edge, edge.basis(), message);
            b.sub_assign(&edge, &product);
            SeededUpload { seed, b: (0..edge.primes().len()).map(|i| b.limb(i).to_vec()).collect() }
        };
        Ok(rows.chunks(rank).zip(0..).map(&mut encrypt).collect())
    }

    /// The same rows at the scale of a product.
    fn times_one(&self, rows: &Rows) -> Result<Rows> {
        let count = self.cpu.row_count(rows);
        let mut entries = vec![0; count * count];
        (0..count).for_each(|i| entries[i * count + i] = 1 << FRAC_BITS);
        let identity = Weights { inputs: count, outputs: count, entries, frac_bits: FRAC_BITS };
        Ok(self.cpu.matmul(rows, &identity)?)
    }

    /// The worst and the mean error of both halves, in bits relative to the range.
    fn precision(&self, halves: &[Ciphertext], x: &[Vec<f64>]) -> Precision {
        let (ring, params, encoder) = (self.cpu.ring(), self.cpu.params(), &self.encoder);
        let encryptor = Encryptor { ring, params, encoder };
        let half = params.tokens() / 2;
        let (mut worst, mut sum) = (0f64, 0f64);
        for (number, c) in halves.iter().enumerate() {
            let slots = encryptor.decrypt(self.authority.big_secret(), c);
            for (i, z) in slots.iter().enumerate() {
                let token = (i % half).reverse_bits() >> (half.leading_zeros() + 1);
                let error = (z.re - x[i / half][token + number * half]).abs();
                worst = worst.max(error);
                sum += error;
            }
        }
        let count = count(halves.len() * self.cpu.slots());
        Precision { worst: -(worst / RANGE).log2(), mean: -(sum / count / RANGE).log2() }
    }
}
