//! The key authority: secrets, and the evaluation keys made from them.

mod stream;
mod zero;

use alloc::vec;
use alloc::vec::Vec;

use rand_core::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

use self::zero::{Zeros, gadget};

use super::keys::{KeyKind, KeySpec};
use super::{Part, SwitchingKey};
use crate::Error;
use crate::params::Params;
use crate::ring::{Automorphism, Basis, Poly, Ring};
use crate::sample::{self, SecretSeed, Seed, Ternary, domain};

/// A secret polynomial with coefficients −1, 0 and 1. It can be neither printed nor copied.
pub type Secret = Ternary<Vec<u8>>;

/// `f(X^step)` in the ring, for the `degree / step` coefficients that `at` gives, in evaluation form.
fn spread(ring: &Ring, basis: Basis, step: usize, at: impl Fn(usize) -> i8 + Sync) -> Poly {
    let coefficient = |i: usize| if i.is_multiple_of(step) { i64::from(at(i / step)) } else { 0 };
    let mut poly = Poly::from_signed(ring, basis, coefficient);
    poly.ntt_assign(ring);
    poly
}

/// `s(X^(N/n))`, in evaluation form.
pub(crate) fn secret_poly(ring: &Ring, basis: Basis, s: &Secret) -> Poly {
    let coefficients = coefficients(s);
    spread(ring, basis, ring.degree() / s.degree(), |i| coefficients[i])
}

fn coefficients(s: &Secret) -> Zeroizing<Vec<i8>> {
    Zeroizing::new(s.coefficients().map(|c| if c < 0 { -1 } else { i8::from(c > 0) }).collect())
}

/// A switching key as it travels.
#[derive(Clone)]
pub struct SeededKey {
    /// What it is for, and up to which level.
    pub spec: KeySpec,
    /// The seed of every mask.
    pub seed: Seed,
    /// For each digit, `b = e − a·target + P·source` over the key's primes.
    pub parts: Vec<Poly>,
}

impl core::fmt::Debug for SeededKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "SeededKey {{ spec: {:?}, parts: {} }}", self.spec, self.parts.len())
    }
}

impl SeededKey {
    /// Regenerates the masks.
    ///
    /// # Errors
    /// Those of [`KeySpec::check`], and if the parts are not those of the specification.
    pub fn expand(self, ring: &Ring, params: &Params) -> Result<SwitchingKey, Error> {
        self.spec.check(params)?;
        let (digits, basis) = (self.spec.digits(params), self.spec.basis(params));
        if digits.len() != self.parts.len() {
            return Err(Error::WrongLength { expected: digits.len(), found: self.parts.len() });
        }
        if self.parts.iter().any(|b| b.basis() != basis) {
            return Err(Error::Malformed("a key whose primes are not those of its level"));
        }
        let parts = self.parts.into_iter().zip(0..);
        let parts = parts.map(|(b, digit)| Part { b, a: mask(ring, basis, &self.seed, digit) });
        Ok(SwitchingKey { digits, special: self.spec.special(params), parts: parts.collect() })
    }
}

/// The uniform polynomial of one digit, in evaluation form; every limb has its own stream.
fn mask(ring: &Ring, basis: Basis, seed: &Seed, digit: u32) -> Poly {
    let mut poly = Poly::zero(ring, basis);
    poly.for_each_limb(ring, |prime, limb| {
        sample::uniform(seed, domain::EVALUATION_KEY, digit, ring.modulus(prime), limb);
    });
    poly
}

/// Holds every secret and makes every key. It belongs in an enclave or on the owner's computer,
/// never on the server.
#[expect(missing_debug_implementations, reason = "secrets are not printed")]
pub struct KeyAuthority {
    big: Secret,
    edge: Secret,
    ephemeral: Secret,
}

impl KeyAuthority {
    /// Fresh secrets.
    ///
    /// # Errors
    /// If the weight of the sparse secret exceeds the degree.
    pub fn generate(params: &Params, rng: &mut impl CryptoRng) -> Result<Self, Error> {
        let bytes = |log_degree: u32| vec![0; (1 << log_degree) / 4];
        let big = bytes(params.log_degree());
        let weight = params.hamming_weight();
        Ok(Self {
            edge: Ternary::uniform(&SecretSeed::random(rng), 0, bytes(params.log_edge_degree())),
            ephemeral: Ternary::with_weight(&SecretSeed::random(rng), 0, weight, big.clone())?,
            big: Ternary::uniform(&SecretSeed::random(rng), 0, big),
        })
    }

    /// The secret that is provisioned into the device.
    #[must_use]
    pub fn edge_secret(&self) -> &Secret {
        &self.edge
    }

    /// The secret of the big ring; for decryption outside any evaluator.
    #[must_use]
    pub fn big_secret(&self) -> &Secret {
        &self.big
    }

    /// One evaluation key.
    ///
    /// # Errors
    /// Those of [`KeySpec::check`].
    pub fn key(
        &self,
        ring: &Ring,
        params: &Params,
        spec: KeySpec,
        rng: &mut impl CryptoRng,
    ) -> Result<SeededKey, Error> {
        spec.check(params)?;
        let basis = spec.basis(params);
        let ends = self.ends(ring, basis, params, spec.kind);
        let (seed, errors) = (Seed::random(rng), SecretSeed::random(rng));
        let parts = spec.digits(params).into_iter().zip(0..).map(|(digit, number)| {
            let zeros = Zeros::new(&seed, &errors, (domain::EVALUATION_KEY, number), ring.degree());
            Poly::from_limbs(ring, basis, |i, limb| {
                zeros.limb(ring, i, ends.target.limb_at(i), limb);
                if digit.contains(i) {
                    gadget(ring, i, params, &spec).add(ends.source.limb_at(i), limb);
                }
            })
        });
        let parts = parts.collect();
        Ok(SeededKey { spec, seed, parts })
    }

    /// Between what a key of this kind switches, over the primes of `basis`.
    fn ends(&self, ring: &Ring, basis: Basis, params: &Params, kind: KeyKind) -> Ends {
        let big = || secret_poly(ring, basis, &self.big);
        let (source, target) = match kind {
            KeyKind::Relinearization => {
                let s = big();
                let mut square = s.clone();
                square.mul_assign(ring, &s);
                (square, s)
            }
            KeyKind::Galois(galois) => {
                let s = big();
                let inverse = Automorphism::new(ring.log_degree(), inverse_of(galois, ring));
                let turned = s.automorphism(ring, &inverse);
                (s, turned)
            }
            KeyKind::Raise => (secret_poly(ring, basis, &self.ephemeral), big()),
            KeyKind::Pack(part) => {
                let tokens = 1 << params.log_tokens();
                let (rank, all) = (self.edge.degree() / tokens, coefficients(&self.edge));
                let part = |t: usize| all[part as usize + rank * t];
                let source = spread(ring, basis, ring.degree() / tokens, part);
                (source, secret_poly(ring, basis, &self.ephemeral))
            }
            KeyKind::Down => (big(), secret_poly(ring, basis, &self.edge)),
        };
        Ends { source, target }
    }
}

/// The secret that a key takes a ciphertext from and the one it takes it to, in evaluation form;
/// erased on drop.
struct Ends {
    source: Poly,
    target: Poly,
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.source.words_mut().zeroize();
        self.target.words_mut().zeroize();
    }
}

/// The inverse of an odd `galois` modulo `2N`, whose unit group has exponent `N/2`.
fn inverse_of(galois: u32, ring: &Ring) -> u32 {
    let mask = 2 * ring.degree() as u64 - 1;
    let (mut power, mut inverse) = (u64::from(galois), 1u64);
    let mut exponent = ring.degree() / 2 - 1;
    while exponent > 0 {
        if exponent % 2 == 1 {
            inverse = (inverse * power) & mask;
        }
        power = (power * power) & mask;
        exponent /= 2;
    }
    u32::try_from(inverse).unwrap_or(1)
}
