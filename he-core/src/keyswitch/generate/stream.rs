//! Keys for machines that have no room for them: made limb by limb, each sent before the next.
//!
//! What is sent, and what is drawn from the generator, is the same as when a whole key is made with
//! [`KeyAuthority::key`] and then written.

use alloc::vec;
use alloc::vec::Vec;

use rand_core::CryptoRng;
use zeroize::Zeroize;

use super::super::keys::KeySpec;
use super::zero::{Zeros, gadget};
use super::{Ends, KeyAuthority, secret_poly};
use crate::Error;
use crate::modulus::Modulus;
use crate::params::Params;
use crate::ring::{Basis, Portable, Ring, Serial};
use crate::sample::{SecretSeed, Seed, domain};
use crate::wire::{KeyHead, Kind, Link, PairHead, RingShape};

/// The one prime of a ring that is made for one limb.
const ONLY: usize = 0;

impl KeyAuthority {
    /// Makes one evaluation key and writes a frame for each digit. Besides the secrets it takes, for
    /// a moment, the tables of one prime and a few limbs: 2.7 MB at degree 2^16.
    ///
    /// # Errors
    /// Those of [`KeySpec::check`], before anything is written, and those of `write`.
    pub fn write_key<E: From<Error>>(
        &self,
        params: &Params,
        spec: KeySpec,
        rng: &mut impl CryptoRng,
        link: &mut Link<'_>,
        mut write: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        spec.check(params)?;
        let (seed, errors) = (Seed::random(rng), SecretSeed::random(rng));
        let (basis, primes) = (spec.basis(params), moduli(params)?);
        let shape = RingShape { degree: params.degree(), primes: &primes };
        let (kind, galois) = spec.kind.numbers();
        let mut limb = vec![0; params.degree()];
        for (digit, number) in spec.digits(params).into_iter().zip(0..) {
            let zeros = Zeros::new(&seed, &errors, (domain::EVALUATION_KEY, number), limb.len());
            let head = KeyHead { kind, galois, digit: number, basis: basis.bits(), seed };
            let mut frame = head.begin(link, &shape, &mut write)?;
            for prime in basis.iter() {
                let ring = ring_of(params, prime)?;
                let Ends { source, target } =
                    &self.ends(&ring, Basis::single(ONLY), params, spec.kind);
                zeros.limb(&ring, ONLY, target.limb(ONLY), &mut limb);
                if digit.contains(prime) {
                    gadget(&ring, ONLY, params, &spec).add(source.limb(ONLY), &mut limb);
                }
                frame.limb(primes[prime], &limb)?;
            }
            frame.finish()?;
        }
        Ok(())
    }

    /// Makes a public key for ciphertexts of `level` and writes its frame, as
    /// [`Encryptor::public_key`](crate::encrypt::Encryptor::public_key) makes it, limb by limb.
    ///
    /// # Errors
    /// If there is no such level, before anything is written, and those of `write`.
    pub fn write_public_key<E: From<Error>>(
        &self,
        params: &Params,
        level: usize,
        rng: &mut impl CryptoRng,
        link: &mut Link<'_>,
        write: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if level > params.max_level() {
            return Err(Error::InvalidParameters("a key above the chain").into());
        }
        let (seed, errors) = (Seed::random(rng), SecretSeed::random(rng));
        let zeros = Zeros::new(&seed, &errors, (domain::PUBLIC_KEY, 0), params.degree());
        let (basis, primes) = (params.basis(level), moduli(params)?);
        let shape = RingShape { degree: params.degree(), primes: &primes };
        let mut limb = vec![0; params.degree()];
        let level = u32::try_from(level).unwrap_or(u32::MAX);
        let head = PairHead { level, scale: 1.0, basis: basis.bits() };
        let mut frame = head.begin(link, Kind::PublicKey, &shape, write)?;
        for prime in basis.iter() {
            let ring = ring_of(params, prime)?;
            let mut secret = secret_poly(&ring, Basis::single(ONLY), &self.big);
            zeros.limb(&ring, ONLY, secret.limb(ONLY), &mut limb);
            secret.words_mut().zeroize();
            frame.limb(primes[prime], &limb)?;
        }
        for prime in basis.iter() {
            zeros.mask(primes[prime], &mut limb);
            frame.limb(primes[prime], &limb)?;
        }
        frame.finish()
    }
}

/// The ring modulo prime `prime` of the parameters alone.
fn ring_of(params: &Params, prime: usize) -> Result<Ring, Error> {
    Ring::new(params.log_degree(), &params.primes()[prime..=prime], &Portable, &Serial)
}

/// The primes of the parameters, as the wire format takes them.
fn moduli(params: &Params) -> Result<Vec<Modulus>, Error> {
    let moduli = params.primes().iter().map(|&q| Modulus::new(q));
    moduli.collect::<Option<_>>().ok_or(Error::InvalidParameters("not a prime"))
}
