//! Encryption in the big ring, by the secret key and by a public key.
//!
//! A device uses [`edge`](crate::edge) instead; this is for owners of the big secret (adapters,
//! tests) and for those who only have a public key.

use alloc::vec;
use alloc::vec::Vec;

use rand_core::CryptoRng;
use zeroize::Zeroize;

use crate::Error;
use crate::ciphertext::{self, Ciphertext};
use crate::complex::Complex;
use crate::encode::Encoder;
use crate::keyswitch::{Secret, secret_poly};
use crate::modulus::Modulus;
use crate::params::Params;
use crate::ring::{Basis, Poly, Ring};
use crate::sample::{self, SecretSeed, Seed, Ternary, domain};
use crate::wire::Pair;

/// An encryption of zero that others add messages to, at one level.
#[derive(Clone)]
pub struct PublicKey {
    b: Poly,
    a: Poly,
    level: usize,
}

impl core::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "PublicKey {{ level: {} }}", self.level)
    }
}

impl PublicKey {
    /// As it travels.
    #[must_use]
    pub fn to_pair(&self) -> Pair {
        ciphertext::to_pair(&self.b, &self.a, self.level, 1.0)
    }

    /// From what travelled.
    ///
    /// # Errors
    /// If its level is not one of the parameters, or its primes are not those of the level.
    ///
    /// # Panics
    /// If the number of words is not that of the basis, which a pair that was read has.
    pub fn from_pair(ring: &Ring, params: &Params, pair: Pair) -> Result<Self, Error> {
        let (b, a, level) = ciphertext::from_pair(ring, params, pair)?;
        Ok(Self { b, a, level })
    }

    /// The level of what it encrypts.
    #[must_use]
    pub const fn level(&self) -> usize {
        self.level
    }
}

/// What encryption needs besides a key: the ring, its parameters and an encoder.
#[derive(Clone, Copy, Debug)]
pub struct Encryptor<'a> {
    /// The ring of the parameters.
    pub ring: &'a Ring,
    /// The parameters.
    pub params: &'a Params,
    /// An encoder of the ring's degree.
    pub encoder: &'a Encoder,
}

impl Encryptor<'_> {
    /// A public key for ciphertexts of `level`.
    pub fn public_key(&self, secret: &Secret, level: usize, rng: &mut impl CryptoRng) -> PublicKey {
        let (b, a) = self.zero(secret, self.params.basis(level), domain::PUBLIC_KEY, rng);
        PublicKey { b, a, level }
    }

    /// Encrypts slots under the secret key.
    ///
    /// # Errors
    /// If the values do not fit.
    pub fn encrypt(
        &self,
        secret: &Secret,
        values: &[Complex],
        (level, scale): (usize, f64),
        rng: &mut impl CryptoRng,
    ) -> Result<Ciphertext, Error> {
        let basis = self.params.basis(level);
        let message = self.encode(values, basis, scale)?;
        let (mut b, a) = self.zero(secret, basis, domain::CIPHERTEXT, rng);
        b.add_assign(self.ring, &message);
        Ok(Ciphertext { b, a, level, scale })
    }

    /// Encrypts slots under a public key, at the level of the key.
    ///
    /// # Errors
    /// If the values do not fit.
    pub fn encrypt_public(
        &self,
        key: &PublicKey,
        values: &[Complex],
        scale: f64,
        rng: &mut impl CryptoRng,
    ) -> Result<Ciphertext, Error> {
        let basis = self.params.basis(key.level);
        let message = self.encode(values, basis, scale)?;
        let mask: Secret =
            Ternary::uniform(&SecretSeed::random(rng), 0, vec![0; self.ring.degree() / 4]);
        let mut u = secret_poly(self.ring, basis, &mask);
        let half = |k: &Poly, rng: &mut _| {
            let mut half = self.error(basis, rng);
            half.mul_add_assign(self.ring, &u, k);
            half
        };
        let (mut b, a) = (half(&key.b, rng), half(&key.a, rng));
        b.add_assign(self.ring, &message);
        u.words_mut().zeroize();
        Ok(Ciphertext { b, a, level: key.level, scale })
    }

    /// Decrypts. The slots reveal the key to whoever sees them beside the ciphertext (Li and
    /// Micciancio, EUROCRYPT 2021): they are for the owner's eyes.
    #[must_use]
    pub fn decrypt(&self, secret: &Secret, ciphertext: &Ciphertext) -> Vec<Complex> {
        let basis = ciphertext.b.basis();
        let mut s = secret_poly(self.ring, basis, secret);
        let mut message = ciphertext.b.clone();
        message.mul_add_assign(self.ring, &ciphertext.a, &s);
        s.words_mut().zeroize();
        message.inverse_ntt_assign(self.ring);
        let coefficients = to_floats(self.ring, &message);
        self.encoder.slots_of(&coefficients, ciphertext.scale)
    }

    fn encode(&self, values: &[Complex], basis: Basis, scale: f64) -> Result<Poly, Error> {
        let coefficients = self.encoder.coefficients(self.ring.threads(), values, scale)?;
        let mut message = Poly::from_signed(self.ring, basis, |i| coefficients[i]);
        message.ntt_assign(self.ring);
        Ok(message)
    }

    /// An encryption of zero: `b = e − a·s`.
    fn zero(
        &self,
        secret: &Secret,
        basis: Basis,
        purpose: u32,
        rng: &mut impl CryptoRng,
    ) -> (Poly, Poly) {
        let seed = Seed::random(rng);
        let mut a = Poly::zero(self.ring, basis);
        a.for_each_limb(self.ring, |prime, limb| {
            sample::uniform(&seed, purpose, 0, self.ring.modulus(prime), limb);
        });
        let mut product = secret_poly(self.ring, basis, secret);
        product.mul_assign(self.ring, &a);
        let mut b = self.error(basis, rng);
        b.sub_assign(self.ring, &product);
        (b, a)
    }

    fn error(&self, basis: Basis, rng: &mut impl CryptoRng) -> Poly {
        let mut errors = vec![0i8; self.ring.degree()];
        sample::errors(&SecretSeed::random(rng), 0, &mut errors);
        let mut poly = Poly::from_signed(self.ring, basis, |i| i64::from(errors[i]));
        errors.zeroize();
        poly.ntt_assign(self.ring);
        poly
    }
}

/// Mixed-radix digits that messages have; more are looked for only where these do not suffice.
const MESSAGE_DIGITS: usize = 4;

/// The centred coefficients of a polynomial in coefficient form, as floats, by mixed-radix digits.
fn to_floats(ring: &Ring, poly: &Poly) -> Vec<f64> {
    let primes: Vec<usize> = poly.basis().iter().collect();
    let moduli: Vec<_> = primes.iter().map(|&i| ring.modulus(i)).collect();
    let inverses: Vec<Vec<u32>> = moduli
        .iter()
        .enumerate()
        .map(|(i, q)| moduli[..i].iter().map(|p| q.inverse(q.reduce(p.value().into()))).collect())
        .collect();
    // Garner: x = d_0 + q_0 (d_1 + q_1 (d_2 + …)), each digit below its prime.
    let extend = |digits: &mut Vec<u32>, k: usize, count: usize| {
        for i in digits.len()..count {
            let q = moduli[i];
            let mut x = poly.limb(i)[k];
            for (&digit, &inverse) in digits.iter().zip(&inverses[i]) {
                x = q.mul(q.sub(x, q.reduce(digit.into())), inverse);
            }
            digits.push(x);
        }
    };
    // The top digit tells the sign; a negative number is one less than minus what its complement says.
    let is_negative = |digits: &[u32]| {
        let top = digits.iter().zip(&moduli).rev().find_map(|(&d, q)| {
            let half = (q.value() - 1) / 2;
            (d != half).then_some(d > half)
        });
        top == Some(true)
    };
    let magnitude = |digits: &[u32], negative: bool| -> Vec<u32> {
        let complement = |(&d, q): (&u32, &Modulus)| if negative { q.value() - 1 - d } else { d };
        digits.iter().zip(&moduli).map(complement).collect()
    };
    let float = |k: usize| {
        let mut digits = Vec::with_capacity(primes.len());
        extend(&mut digits, k, MESSAGE_DIGITS.min(primes.len()));
        let mut negative = is_negative(&digits);
        let mut size = magnitude(&digits, negative);
        // A number this small is the only one with all of its residues.
        let agrees = |(i, &q): (usize, &Modulus)| {
            let digits = size.iter().zip(&moduli).rev();
            let residue = digits.fold(0, |x, (&digit, p)| {
                q.reduce(u64::from(x) * u64::from(p.value()) + u64::from(digit))
            });
            let found = poly.limb(i)[k];
            residue == if negative { q.value() - 1 - found } else { found }
        };
        if !moduli.iter().enumerate().skip(MESSAGE_DIGITS).all(agrees) {
            extend(&mut digits, k, primes.len());
            negative = is_negative(&digits);
            size = magnitude(&digits, negative);
        }
        let digits = size.iter().zip(&moduli).rev();
        let x = digits.fold(0.0, |x, (&digit, p)| x * f64::from(p.value()) + f64::from(digit));
        if negative { -x - 1.0 } else { x }
    };
    (0..ring.degree()).map(float).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::{Portable, Serial};

    #[test]
    fn numbers_of_every_size_and_sign_become_the_nearest_floats() {
        let params = Params::insecure_small(9, 6, 3).unwrap();
        let ring = Ring::new(9, params.primes(), &Portable, &Serial).unwrap();
        for primes in [1, 2, 3, 4, 5, 9] {
            let basis = Basis::range(0..primes);
            let bits = basis.log2_product(params.primes());
            // Both signs, from a bit up to just below half of the product, and what is around them.
            let number = |i: usize| -> i128 {
                let exponent = i / 6 % 126;
                let limit = bits - 1.0;
                let size = if (exponent as f64) < limit.min(125.0) { 1i128 << exponent } else { 0 };
                let near = size + [-1, 0, 1][i % 3];
                let near = if libm::log2(near.abs() as f64 + 1.0) < limit { near } else { 0 };
                if (i / 3).is_multiple_of(2) { near } else { -near }
            };
            let poly = Poly::from_limbs(&ring, basis, |prime, limb| {
                let q = i128::from(ring.modulus(prime).value());
                limb.iter_mut().enumerate().for_each(|(i, word)| {
                    *word = u32::try_from(number(i).rem_euclid(q)).unwrap();
                });
            });
            for (i, x) in to_floats(&ring, &poly).into_iter().enumerate() {
                let exact = number(i) as f64;
                assert!(
                    (x - exact).abs() <= exact.abs() * libm::exp2(-50.0),
                    "{primes}: {x} {exact}"
                );
            }
        }
    }
}
