//! Linear layer and half-bootstrap at an INSECURE size, from an upload to an answer.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use he_core::cpu::{Cpu, bootstrap_keys, need_narrow_bootstrap};
use he_core::encode::Encoder;
use he_core::encrypt::Encryptor;
use he_core::eval::Evaluator;
use he_core::keyswitch::{EvaluationKeys, KeyAuthority};
use he_core::linear::{EdgeAnswer, SeededUpload, edge_ring};
use he_core::params::Params;
use he_core::refresh::{Halves, Refresh, Term, Weights};
use he_core::ring::{Basis, Poly, Portable, Ring, Serial};
use he_core::sample::{self, SecretSeed, Seed, domain};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

const LOG_DEGREE: u32 = 11;
const LOG_EDGE_DEGREE: u32 = 8;
const LOG_TOKENS: u32 = 3;
const FRAC_BITS: u32 = 10;
/// Rows of a narrow bootstrap.
const FEW: usize = 8;

struct Setup {
    authority: KeyAuthority,
    cpu: Cpu,
    encoder: Encoder,
    rng: ChaCha20Rng,
}

impl Setup {
    fn insecure() -> Self {
        let params = Params::insecure_small(LOG_DEGREE, LOG_EDGE_DEGREE, LOG_TOKENS).unwrap();
        let ring = || Ring::new(LOG_DEGREE, params.primes(), &Portable, &Serial).unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(11);
        let authority = KeyAuthority::generate(&params, &mut rng).unwrap();
        let (maker, mut keys) = (ring(), EvaluationKeys::new());
        let mut plan = bootstrap_keys(&params).unwrap();
        need_narrow_bootstrap(&params, &mut plan, FEW).unwrap();
        for spec in plan.specs() {
            let key = authority.key(&maker, &params, spec, &mut rng).unwrap();
            keys.insert(&maker, spec.kind, key.expand(&maker, &params).unwrap());
        }
        let cpu = Cpu::new(params.clone(), ring(), keys).unwrap();
        let cpu = cpu.with_bootstrap(FRAC_BITS).unwrap().with_narrow_bootstrap(FEW).unwrap();
        Self { authority, cpu, encoder: Encoder::new(LOG_DEGREE), rng }
    }

    fn slots(&self, c: &<Cpu as Evaluator>::Ciphertext) -> Vec<f64> {
        let (ring, params) = (self.cpu.ring(), self.cpu.params());
        let encryptor = Encryptor { ring, params, encoder: &self.encoder };
        let slots = encryptor.decrypt(self.authority.big_secret(), c);
        let imaginary = slots.iter().map(|z| z.im.abs()).fold(0.0, f64::max);
        assert!(imaginary < 1e-4, "slots must be real, found {imaginary}");
        slots.iter().map(|z| z.re).collect()
    }

    /// Encrypts rows as a device does: feature `f`, token `t` at coefficient `f + r t`.
    fn upload(&mut self, rows: &[Vec<f64>]) -> Vec<SeededUpload> {
        let params = self.cpu.params().clone();
        let edge = edge_ring(self.cpu.ring(), &params).unwrap();
        let (degree, rank) = (params.edge_degree(), params.edge_degree() / params.tokens());
        let scale = params.row_scale(FRAC_BITS);
        let coefficients: Vec<i64> =
            self.authority.edge_secret().coefficients().map(i64::from).collect();
        let mut s = Poly::from_signed(&edge, edge.basis(), |i| coefficients[i]);
        s.ntt_assign(&edge);
        let mut uploads = Vec::new();
        for (chunk, index) in rows.chunks(rank).zip(0..) {
            let seed = Seed::random(&mut self.rng);
            let mut a = Poly::zero(&edge, edge.basis());
            a.for_each_limb(&edge, |i, limb| {
                sample::uniform(&seed, domain::EDGE_MASK, index, edge.modulus(i), limb);
            });
            a.mul_assign(&edge, &s);
            a.inverse_ntt_assign(&edge);
            let mut errors = vec![0; degree];
            sample::errors(&SecretSeed::random(&mut self.rng), 0, &mut errors);
            #[expect(
                clippy::cast_possible_truncation,
                reason = "values below 2^20 at a scale of 2^26"
            )]
            let message = |i: usize| {
                let value = chunk[i % rank][i / rank];
                (value * scale).round() as i64 + i64::from(errors[i])
            };
            let mut b = Poly::from_signed(&edge, edge.basis(), message);
            b.sub_assign(&edge, &a);
            let b = (0..edge.primes().len()).map(|i| b.limb(i).to_vec()).collect();
            uploads.push(SeededUpload { seed, b });
        }
        uploads
    }

    /// What a device reads of an answer.
    fn open(&self, answer: &EdgeAnswer) -> Vec<f64> {
        let edge = edge_ring(self.cpu.ring(), self.cpu.params()).unwrap();
        let (q, first) = (edge.modulus(0), Basis::range(0..1));
        let coefficients: Vec<i64> =
            self.authority.edge_secret().coefficients().map(i64::from).collect();
        let mut m = Poly::from_signed(&edge, first, |i| coefficients[i]);
        m.ntt_assign(&edge);
        m.mul_assign(&edge, &Poly::from_words(&edge, first, answer.a.clone()));
        m.inverse_ntt_assign(&edge);
        m.add_assign(&edge, &Poly::from_words(&edge, first, answer.b.clone()));
        m.limb(0).iter().map(|&word| f64::from(q.centred(word)) / answer.scale).collect()
    }
}

/// Slot of token `t` in its half, row `row`.
fn slot(row: usize, t: usize) -> usize {
    let half = 1 << (LOG_TOKENS - 1);
    ((t % half).reverse_bits() >> (usize::BITS - LOG_TOKENS + 1)) | (half * row)
}

#[test]
fn rows_pass_a_product_a_bootstrap_and_the_way_back() {
    let mut s = Setup::insecure();
    let (tokens, count) = (1 << LOG_TOKENS, s.cpu.rows_per_pack());
    let features = 2 * (1 << (LOG_EDGE_DEGREE - LOG_TOKENS));
    let mut unit = || f64::from(s.rng.next_u32()) / f64::from(u32::MAX) * 2.0 - 1.0;
    let x: Vec<Vec<f64>> =
        (0..features).map(|_| (0..tokens).map(|_| 3.0 * unit()).collect()).collect();
    #[expect(clippy::cast_possible_truncation, reason = "at most 200")]
    let entries: Vec<i32> =
        (0..features * count).map(|_| (unit() * 200.0).round() as i32).collect();
    let weights = Weights { inputs: features, outputs: count, entries, frac_bits: FRAC_BITS };
    let y = |row: usize, t: usize| -> f64 {
        let term = |f: usize| f64::from(weights.entries[f * count + row]) / 1024.0 * x[f][t];
        (0..features).map(term).sum()
    };

    let uploads = s.upload(&x);
    let rows = s.cpu.matmul(&s.cpu.receive(&uploads).unwrap(), &weights).unwrap();
    let halves = s.cpu.rows_to_slots(&rows, Halves::Both).unwrap();
    let mut worst = 0f64;
    for (h, half) in halves.iter().enumerate() {
        assert_eq!(s.cpu.level(half), s.cpu.params().computing_level());
        let slots = s.slots(half);
        for row in 0..count {
            for t in 0..tokens / 2 {
                worst = worst.max((slots[slot(row, t)] - y(row, h * tokens / 2 + t)).abs());
            }
        }
    }
    println!("after the bootstrap 2^{:.1}", worst.log2());
    assert!(worst < 2f64.powi(-13), "2^{:.1}", worst.log2());

    // Back to rows, shifted by one token, and into slots again.
    let z = s.cpu.add(&halves[0], &s.cpu.mul_i(&halves[1])).unwrap();
    let back = s.cpu.slots_to_rows(&z).unwrap();
    let shift = |row| vec![Term { row, shift: 1 }];
    let shifted = s.cpu.select(&back, &(0..count).map(shift).collect::<Vec<_>>()).unwrap();
    let mut identity = vec![0; count * count];
    (0..count).for_each(|i| identity[i * count + i] = 1 << FRAC_BITS);
    let identity =
        Weights { inputs: count, outputs: count, entries: identity, frac_bits: FRAC_BITS };
    let again = s.cpu.matmul(&shifted, &identity).unwrap();
    let low = s.slots(&s.cpu.rows_to_slots(&again, Halves::Low).unwrap()[0]);
    let mut worst = 0f64;
    for row in 0..count {
        for t in 0..tokens / 2 {
            let expected = if t == 0 { -y(row, tokens - 1) } else { y(row, t - 1) };
            worst = worst.max((low[slot(row, t)] - expected).abs());
        }
    }
    println!("after two 2^{:.1}", worst.log2());
    assert!(worst < 2f64.powi(-12), "2^{:.1}", worst.log2());

    // The answer that a device decrypts.
    let answer = s.cpu.answer(&halves[0]).unwrap();
    let found = s.open(&answer);
    for row in 0..s.cpu.params().edge_degree() / tokens {
        let found = found[s.cpu.answer_position(row)];
        assert!((found - y(row, 0)).abs() < 2f64.powi(-12), "row {row}: {found}, {}", y(row, 0));
    }
}

#[test]
fn a_row_of_any_place_is_read_with_the_edge_secret_alone() {
    let mut s = Setup::insecure();
    let (tokens, rank) = (1 << LOG_TOKENS, 1 << (LOG_EDGE_DEGREE - LOG_TOKENS));
    let mut unit = || f64::from(s.rng.next_u32()) / f64::from(u32::MAX) * 2.0 - 1.0;
    let x: Vec<Vec<f64>> =
        (0..2 * rank).map(|_| (0..tokens).map(|_| 7.0 * unit()).collect()).collect();
    let uploads = s.upload(&x);
    let rows = s.cpu.receive(&uploads).unwrap();
    let shift = 3;
    let sums = [0, 1, rank - 1, rank + 5].map(|row| vec![Term { row, shift }]);
    let some = s.cpu.select(&rows, &sums).unwrap();
    let answers = s.cpu.row_answers(&some, 8.0).unwrap();
    assert_eq!(answers.len(), sums.len());
    for (answer, sum) in answers.iter().zip(&sums) {
        let found = s.open(answer);
        for (t, value) in x[sum[0].row].iter().enumerate() {
            let (place, sign) = ((t + shift) % tokens, if t + shift < tokens { 1.0 } else { -1.0 });
            assert!((found[rank * place] - sign * value).abs() < 2f64.powi(-12), "token {t}");
        }
    }
}

#[test]
fn few_rows_repeat_at_whatever_level_is_wanted() {
    let mut s = Setup::insecure();
    let (tokens, features) = (1 << LOG_TOKENS, 1 << (LOG_EDGE_DEGREE - LOG_TOKENS));
    let mut unit = || f64::from(s.rng.next_u32()) / f64::from(u32::MAX) * 2.0 - 1.0;
    let x: Vec<Vec<f64>> =
        (0..features).map(|_| (0..tokens).map(|_| 3.0 * unit()).collect()).collect();
    let uploads = s.upload(&x);
    let rows = s.cpu.receive(&uploads).unwrap();
    let mut entries = vec![0; features * FEW];
    (0..FEW).for_each(|i| entries[i * FEW + i] = 1 << FRAC_BITS);
    let weights = Weights { inputs: features, outputs: FEW, entries, frac_bits: FRAC_BITS };
    let rows = s.cpu.matmul(&rows, &weights).unwrap();
    // Transforms for so few rows were prepared, for twice as many not.
    let twice = s.cpu.concat(&rows, &rows).unwrap();
    let (lowest, highest) = (s.cpu.rows_level(), s.cpu.computing_level());
    for (rows, level) in [(&rows, highest), (&rows, 6), (&twice, highest - 1), (&twice, lowest)] {
        let halves = s.cpu.rows_to_slots_at(rows, Halves::Both, level).unwrap();
        let mut worst = 0f64;
        for (h, half) in halves.iter().enumerate() {
            assert_eq!(s.cpu.level(half), level);
            let slots = s.slots(half);
            for (row, token) in (0..s.cpu.rows_per_pack()).flat_map(|r| [(r, 0), (r, 1), (r, 3)]) {
                let expected = x[row % FEW][h * tokens / 2 + token];
                worst = worst.max((slots[slot(row, token)] - expected).abs());
            }
        }
        assert!(worst < 2f64.powi(-13), "level {level}: 2^{:.1}", worst.log2());
    }
    let above = s.cpu.rows_to_slots_at(&rows, Halves::Low, highest + 1);
    assert!(above.is_err(), "there is no such level");
}
