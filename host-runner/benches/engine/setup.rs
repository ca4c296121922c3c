//! Keys, an evaluator, operands, and the comparison of results with plain ones.

use alloc::collections::BTreeSet;

use anyhow::Result;
use chacha20::ChaCha20Rng;
use chacha20::rand_core::Rng;
use he_core::ciphertext::Ciphertext;
use he_core::complex::Complex;
use he_core::cpu::{Cpu, bootstrap_keys, need_narrow_bootstrap};
use he_core::encode::Encoder;
use he_core::encrypt::{Encryptor, PublicKey};
use he_core::eval::Evaluator;
use he_core::keyswitch::{EvaluationKeys, KeyAuthority, KeyKind, KeyPlan, KeySpec};
use he_core::params::Params;
use he_core::ring::{Ring, galois_of_rotation};
use host_runner::random;
use host_runner::threads::Rayon;

use super::runner::{Case, Precision};

/// Fractional bits of weights, as in the edge model.
pub(crate) const FRAC_BITS: u32 = 10;

/// Real and imaginary parts of slots are in `[-RANGE, RANGE]`.
pub(crate) const RANGE: f64 = 16.0;

/// Rows of a narrow bootstrap.
pub(crate) const FEW_ROWS: usize = 16;

/// How many rotations are hoisted together.
const HOISTED: isize = 8;

/// Everything the operations need.
pub(crate) struct Setup {
    pub authority: KeyAuthority,
    pub encoder: Encoder,
    pub cpu: Cpu,
    pub rng: ChaCha20Rng,
    /// Bytes of all keys.
    pub key_bytes: usize,
}

impl Setup {
    /// Makes the keys of the arithmetic, and of bootstraps if asked for.
    pub(crate) fn new(params: Params, bootstraps: bool) -> Result<Self> {
        let mut rng = random::generator()?;
        let ring = Ring::new(params.log_degree(), params.primes(), he_simd::best(), &Rayon)?;
        let mut plan = if bootstraps { bootstrap_keys(&params)? } else { KeyPlan::default() };
        if bootstraps {
            need_narrow_bootstrap(&params, &mut plan, FEW_ROWS)?;
        }
        plan.need(KeyKind::Relinearization, params.max_level());
        let mut seen = BTreeSet::new();
        for step in steps(&params) {
            if seen.insert(galois_of_rotation(params.log_degree(), step)) {
                plan.need_rotation(&params, step, params.max_level());
            }
        }
        let authority = KeyAuthority::generate(&params, &mut rng)?;
        let mut keys = EvaluationKeys::new();
        for spec in plan.specs() {
            let key = authority.key(&ring, &params, spec, &mut rng)?;
            keys.insert(&ring, spec.kind, key.expand(&ring, &params)?);
        }
        let key_bytes = usize::try_from(plan.resident_bytes(&params))?;
        let encoder = Encoder::new(params.log_degree());
        let mut cpu = Cpu::new(params, ring, keys)?;
        if bootstraps {
            cpu = cpu.with_bootstrap(FRAC_BITS)?.with_narrow_bootstrap(FEW_ROWS)?;
        }
        Ok(Self { authority, encoder, cpu, rng, key_bytes })
    }

    /// An operation at `level` that moves `ciphertexts` of that level and `keys` of it.
    pub(crate) fn case<'a>(
        &self,
        name: &'a str,
        level: usize,
        ciphertexts: usize,
        keys: usize,
    ) -> Case<'a> {
        let params = self.cpu.params();
        let basis = params.basis(level);
        let digits = params.digits().iter().filter(|d| !d.intersection(basis).is_empty()).count();
        let key_limbs = digits * (basis.len() + params.specials().len());
        let limbs = 2 * (ciphertexts * basis.len() + keys * key_limbs);
        let (size, bytes) = ((params.log_degree(), params.log_q(level)), 4 * limbs);
        Case { name, level, size, bytes: bytes << params.log_degree(), runs: 10, results: 1 }
    }

    /// Slots uniform in a square.
    pub(crate) fn values(&mut self, range: f64) -> Vec<Complex> {
        let mut part = || (f64::from(self.rng.next_u32()) / f64::from(1u32 << 31) - 1.0) * range;
        (0..self.cpu.slots()).map(|_| Complex::new(part(), part())).collect()
    }

    /// Encrypts under the secret key, at a level and a scale.
    pub(crate) fn encrypt(&mut self, values: &[Complex], at: (usize, f64)) -> Result<Ciphertext> {
        let (ring, params, encoder) = (self.cpu.ring(), self.cpu.params(), &self.encoder);
        let encryptor = Encryptor { ring, params, encoder };
        Ok(encryptor.encrypt(self.authority.big_secret(), values, at, &mut self.rng)?)
    }

    /// Encrypts under a public key, at its level.
    pub(crate) fn encrypt_public(
        &mut self,
        key: &PublicKey,
        values: &[Complex],
    ) -> Result<Ciphertext> {
        let (ring, params, encoder) = (self.cpu.ring(), self.cpu.params(), &self.encoder);
        let encryptor = Encryptor { ring, params, encoder };
        Ok(encryptor.encrypt_public(key, values, params.step(key.level()), &mut self.rng)?)
    }

    /// A public key for ciphertexts of `level`.
    pub(crate) fn public_key(&mut self, level: usize) -> PublicKey {
        let (ring, params, encoder) = (self.cpu.ring(), self.cpu.params(), &self.encoder);
        let encryptor = Encryptor { ring, params, encoder };
        encryptor.public_key(self.authority.big_secret(), level, &mut self.rng)
    }

    /// The key of one rotation at the highest level, expanded.
    pub(crate) fn rotation_key(&mut self) -> Result<he_core::keyswitch::SwitchingKey> {
        let (ring, params) = (self.cpu.ring(), self.cpu.params());
        let galois = galois_of_rotation(params.log_degree(), 1);
        let spec = KeySpec { kind: KeyKind::Galois(galois), level: params.max_level() };
        let key = self.authority.key(ring, params, spec, &mut self.rng)?;
        Ok(key.expand(ring, params)?)
    }

    /// The slots of a ciphertext.
    pub(crate) fn decrypt(&self, ciphertext: &Ciphertext) -> Vec<Complex> {
        let (ring, params, encoder) = (self.cpu.ring(), self.cpu.params(), &self.encoder);
        Encryptor { ring, params, encoder }.decrypt(self.authority.big_secret(), ciphertext)
    }

    /// How near the slots of a ciphertext are to `expected(i)`, for values up to `range`.
    pub(crate) fn compare(
        &self,
        ciphertext: &Ciphertext,
        range: f64,
        expected: impl Fn(usize) -> Complex,
    ) -> Precision {
        precision(&self.decrypt(ciphertext), range, expected)
    }
}

/// The rotations that are timed: those of the first factor of `coeffs_to_slots`, and one more.
pub(crate) fn steps(params: &Params) -> Vec<isize> {
    let stride = (params.degree() / 64).cast_signed();
    (1..=HOISTED).map(|i| i * stride).collect()
}

/// How near values up to `range` are to `expected(i)`.
pub(crate) fn precision(
    found: &[Complex],
    range: f64,
    expected: impl Fn(usize) -> Complex,
) -> Precision {
    let errors = found.iter().enumerate().map(|(i, &z)| (z - expected(i)).abs() / range);
    let (worst, squares) =
        errors.fold((0f64, 0f64), |(worst, sum), e| (worst.max(e), e.mul_add(e, sum)));
    let count = f64::from(u32::try_from(found.len()).unwrap_or(u32::MAX));
    Precision { worst_bits: -worst.log2(), rms_bits: -(squares / count).sqrt().log2() }
}
