//! The host's side: secrets, keys and ciphertexts on the heap, with complex slots.

use std::fs;
use std::path::Path;

use he_core::ciphertext::Ciphertext;
use he_core::complex::Complex;
use he_core::encode::Encoder;
use he_core::encrypt::Encryptor;
use he_core::keyswitch::{KeyAuthority, KeyKind, KeySpec, Secret};
use he_core::modulus::Modulus;
use he_core::noise::Noise;
use he_core::params::{EDGE_128, Params, ParamsLiteral, Stages, Strength};
use he_core::ring::{Portable, Ring, Serial};
use he_core::sample::Ternary;
use he_core::wire::{KeyChunk, Kind, Link, RingShape, TransportKey};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use crate::Outcome;
use crate::files::{
    Facts, ROUNDING, append, ciphertexts, message, print_row, put, take, uniform, write_message,
};

/// Primes of the chain.
const CHAIN: usize = 4;

/// Degree 8192 and 172 of its 214 bits: two levels, each prime a digit of its own as in other
/// libraries. Called insecure only because of the sparse secret of a bootstrap, which is not used.
const LITERAL: ParamsLiteral = ParamsLiteral {
    log_degree: 13,
    strength: Strength::Insecure,
    computing_bits: 60,
    digits: 4,
    stages: Stages { slots_to_coeffs: 1, computing: 0, eval_mod: 0, coeffs_to_slots: 0 },
    terminals: EDGE_128.terminals.split_at(CHAIN / 2).0,
    mains: EDGE_128.mains.split_at(CHAIN / 2).0,
    specials: EDGE_128.specials.split_at(2).0,
    ..EDGE_128
};

/// What both directions need.
pub(crate) struct Party {
    params: Params,
    ring: Ring,
    encoder: Encoder,
    primes: Vec<Modulus>,
}

impl Party {
    pub(crate) fn new() -> Outcome<Self> {
        let params = Params::new(LITERAL)?;
        assert!(params.instances()[0].is_secure(), "the dense secret has 128 bits");
        let ring = Ring::new(params.log_degree(), params.primes(), &Portable, &Serial)?;
        let encoder = Encoder::new(params.log_degree());
        let primes = ring.basis().iter().map(|i| ring.modulus(i)).collect();
        Ok(Self { params, ring, encoder, primes })
    }

    fn encryptor(&self) -> Encryptor<'_> {
        Encryptor { ring: &self.ring, params: &self.params, encoder: &self.encoder }
    }

    fn shape(&self) -> RingShape<'_> {
        RingShape { degree: self.ring.degree(), primes: &self.primes }
    }

    /// Writes keys and ciphertexts: alternately by the secret and by the public key, on both levels,
    /// at scales between `2^22` and `2^38`.
    pub(crate) fn write(&self, directory: &Path, count: u32, seed: u64) -> Outcome<()> {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let authority = KeyAuthority::generate(&self.params, &mut rng)?;
        let (secret, encryptor) = (authority.big_secret(), self.encryptor());
        self.facts().write(directory)?;
        fs::write(directory.join("secret.bin"), secret.packed())?;
        let publics = [0, 1].map(|level| encryptor.public_key(secret, level, &mut rng));
        let (shape, digest) = (self.shape(), self.params.digest());
        let path = directory.join("public.frame");
        put(&path, (Kind::PublicKey, digest), &shape, &publics[1].to_pair())?;
        self.write_relinearization(&authority, directory, &mut rng)?;
        let noise = Noise::new(&self.params);
        for number in 0..count {
            let level = usize::from(rng.next_u32() % 2 == 1);
            let scale = (22.0 + 8.0 * (uniform(&mut rng) + 1.0)).exp2();
            let values: Vec<Complex> = (0..self.encoder.slots())
                .map(|_| Complex::new(uniform(&mut rng), uniform(&mut rng)))
                .collect();
            let (kind, variance, made) = if number % 2 == 0 {
                let made = encryptor.encrypt(secret, &values, (level, scale), &mut rng)?;
                ("secret", noise.fresh(), made)
            } else {
                let made = encryptor.encrypt_public(&publics[level], &values, scale, &mut rng)?;
                ("public", noise.public(), made)
            };
            let path = directory.join(format!("{number:04}-{kind}.frame"));
            put(&path, (Kind::Ciphertext, digest), &shape, &made.to_pair())?;
            let parts = values.iter().flat_map(|z| [z.re, z.im]);
            write_message(&path, variance + ROUNDING, parts)?;
        }
        Ok(())
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            log_degree: self.params.log_degree(),
            primes: self.params.primes().split_at(CHAIN).into(),
            digest: self.params.digest(),
            slots: "complex",
            levels: &[[2, 22, 38], [4, 22, 38]],
        }
    }

    fn write_relinearization(
        &self,
        authority: &KeyAuthority,
        directory: &Path,
        rng: &mut ChaCha20Rng,
    ) -> Outcome<()> {
        let spec = KeySpec { kind: KeyKind::Relinearization, level: self.params.max_level() };
        let key = authority.key(&self.ring, &self.params, spec, rng)?;
        let checksum = TransportKey::checksum();
        let mut link = Link::new(&checksum, self.params.digest(), 0);
        let mut bytes = Vec::new();
        for (part, digit) in key.parts.into_iter().zip(0..) {
            let (basis, limbs) = (part.basis().bits(), part.words().to_vec());
            let chunk = KeyChunk { kind: 0, galois: 0, digit, basis, seed: key.seed, limbs };
            chunk.write(&mut link, &self.shape(), |piece| append(&mut bytes, piece))?;
        }
        Ok(fs::write(directory.join("relinearization.frames"), bytes)?)
    }

    /// Decrypts every ciphertext of a directory and prints how far it is from its message.
    pub(crate) fn read(&self, directory: &Path) -> Outcome<()> {
        let secret: Secret = Ternary::from_packed(fs::read(directory.join("secret.bin"))?)?;
        for path in ciphertexts(directory)? {
            let pair = take(&path, self.params.digest(), &self.shape())?;
            let ciphertext = Ciphertext::from_pair(&self.ring, &self.params, pair)?;
            let (variance, parts) = message(&path)?;
            let found = self.encryptor().decrypt(&secret, &ciphertext);
            let errors: Vec<f64> = found
                .iter()
                .zip(parts.as_chunks().0)
                .map(|(&z, &[re, im])| (z - Complex::new(re, im)).abs())
                .collect();
            let degree = f64::from(1u32 << self.params.log_degree());
            print_row(&path, 2, (degree * variance).sqrt() / ciphertext.scale(), &errors);
        }
        Ok(())
    }
}
