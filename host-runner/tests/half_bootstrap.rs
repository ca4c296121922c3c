//! The half-bootstrap at full size: every slot of the 128-bit presets, values of the full range.
//!
//! Raising the modulus adds multiples `I·q0`, and the sine is right as long as `|I| < 16`. With an
//! ephemeral secret of weight 32 the probability that one of 65,536 coefficients has more is
//! `2^-138`; `security/estimate.py` computes it and `security/evidence.json` has the result.
//! Precision is relative to the range: values up to 16 with an error of `2^-9` have 13 bits. Both
//! presets are in one test: each needs some gigabytes.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

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
use host_runner::random;
use host_runner::threads::Rayon;

/// Fractional bits of the weights, those of the model.
const FRAC_BITS: u32 = 10;

/// Values are uniform in `[-RANGE, RANGE]`.
const RANGE: f64 = 16.0;

type Random = chacha20::ChaCha20Rng;

struct Setup {
    authority: KeyAuthority,
    cpu: Cpu,
    encoder: Encoder,
    rng: Random,
}

impl Setup {
    fn full_size(params: Params) -> Self {
        let ring = Ring::new(params.log_degree(), params.primes(), he_simd::best(), &Rayon);
        let (ring, mut rng) = (ring.unwrap(), random::generator().unwrap());
        let authority = KeyAuthority::generate(&params, &mut rng).unwrap();
        let mut keys = EvaluationKeys::new();
        for spec in bootstrap_keys(&params).unwrap().specs() {
            let key = authority.key(&ring, &params, spec, &mut rng).unwrap();
            keys.insert(&ring, spec.kind, key.expand(&ring, &params).unwrap());
        }
        let encoder = Encoder::new(params.log_degree());
        let cpu = Cpu::new(params, ring, keys).unwrap().with_bootstrap(FRAC_BITS).unwrap();
        Self { authority, cpu, encoder, rng }
    }

    /// `rows_per_pack` rows of `T` values each.
    fn values(&mut self) -> Vec<Vec<f64>> {
        use chacha20::rand_core::Rng;
        let mut value = || (f64::from(self.rng.next_u32()) / f64::from(1u32 << 31) - 1.0) * RANGE;
        let (rows, tokens) = (self.cpu.rows_per_pack(), self.cpu.tokens());
        (0..rows).map(|_| (0..tokens).map(|_| value()).collect()).collect()
    }

    /// Encrypts rows at `scale` as a device does: feature `f`, token `t` at coefficient `f + r t`.
    fn upload(&mut self, rows: &[Vec<f64>], scale: f64) -> Vec<SeededUpload> {
        let params = self.cpu.params();
        let edge = edge_ring(self.cpu.ring(), params).unwrap();
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
        rows.chunks(rank).zip(0..).map(&mut encrypt).collect()
    }

    /// The same rows at the scale of a product.
    fn times_one(&self, rows: &Rows) -> Rows {
        let count = self.cpu.row_count(rows);
        let mut entries = vec![0; count * count];
        (0..count).for_each(|i| entries[i * count + i] = 1 << FRAC_BITS);
        let identity = Weights { inputs: count, outputs: count, entries, frac_bits: FRAC_BITS };
        self.cpu.matmul(rows, &identity).unwrap()
    }

    /// The worst and the mean error of both halves, in bits relative to the range.
    fn precision(&self, halves: &[he_core::ciphertext::Ciphertext], x: &[Vec<f64>]) -> (f64, f64) {
        let (ring, params, encoder) = (self.cpu.ring(), self.cpu.params(), &self.encoder);
        let encryptor = Encryptor { ring, params, encoder };
        let half = params.tokens() / 2;
        let (mut worst, mut sum) = (0f64, 0f64);
        for (number, c) in halves.iter().enumerate() {
            assert_eq!(self.cpu.level(c), params.computing_level());
            let slots = encryptor.decrypt(self.authority.big_secret(), c);
            for (i, z) in slots.iter().enumerate() {
                let token = (i % half).reverse_bits() >> (half.leading_zeros() + 1);
                let error = (z.re - x[i / half][token + number * half]).abs();
                worst = worst.max(error);
                sum += error;
            }
        }
        let count = f64::from(u32::try_from(halves.len() * self.cpu.slots()).unwrap());
        (-(worst / RANGE).log2(), -(sum / count / RANGE).log2())
    }
}

/// One bootstrap, the way back to rows, and another one: `(worst, mean)` bits after each.
fn two_bootstraps(params: Params) -> [(f64, f64); 2] {
    let mut s = Setup::full_size(params);
    let x = s.values();
    let uploads = s.upload(&x, s.cpu.params().row_scale(FRAC_BITS));
    let rows = s.times_one(&s.cpu.receive(&uploads).unwrap());
    let halves = s.cpu.rows_to_slots(&rows, Halves::Both).unwrap();
    let first = s.precision(&halves, &x);
    let z = s.cpu.add(&halves[0], &s.cpu.mul_i(&halves[1])).unwrap();
    let back = s.times_one(&s.cpu.slots_to_rows(&z).unwrap());
    let second = s.precision(&s.cpu.rows_to_slots(&back, Halves::Both).unwrap(), &x);
    println!("worst and mean bits: {first:.2?}, again {second:.2?}");
    [first, second]
}

#[test]
fn values_of_the_full_range_keep_their_bits_in_every_slot() {
    let [(worst, mean), (again, _)] = two_bootstraps(Params::edge_128().unwrap());
    assert!(worst >= 15.0 && mean >= 18.0, "{worst:.2} and {mean:.2} bits");
    assert!(again >= 14.0, "{again:.2} bits");

    let [(worst, mean), (again, _)] = two_bootstraps(Params::precise_128().unwrap());
    assert!(worst >= 19.5 && mean >= 22.0, "{worst:.2} and {mean:.2} bits");
    assert!(again >= 18.0, "{again:.2} bits");
}
