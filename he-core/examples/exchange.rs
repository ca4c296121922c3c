//! Exchanges keys and ciphertexts with other libraries, as files: what `cargo xtask interop` runs.
//!
//! ```text
//! exchange ours DIRECTORY COUNT SEED     writes keys and COUNT ciphertexts
//! exchange theirs DIRECTORY              decrypts what another library wrote, a JSON row each
//! ```
//!
//! A directory holds `ring.txt` (three lines: log2 of the degree; the primes; the digest of the
//! parameters), `secret.bin` (packed ternary), and for each exchange a ciphertext `NUMBER-KIND.frame`
//! and its message `NUMBER-KIND.slots`: doubles, first the variance of a coefficient that who
//! encrypted predicts, then real and imaginary parts. Ours has `public.frame` and
//! `relinearization.frames` too. Frames and packing are those of `docs/format.md`.

use core::error::Error;
use core::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

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
use he_core::wire::{KeyChunk, Kind, Link, Pair, RingShape, TransportKey};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Degree 8192 and 172 of its 214 bits: two levels, each prime a digit of its own as in other
/// libraries. Called insecure only because of the sparse secret of a bootstrap, which is not used.
const LITERAL: ParamsLiteral = ParamsLiteral {
    log_degree: 13,
    strength: Strength::Insecure,
    computing_bits: 60,
    digits: 4,
    stages: Stages { slots_to_coeffs: 1, computing: 0, eval_mod: 0, coeffs_to_slots: 0 },
    terminals: EDGE_128.terminals.split_at(2).0,
    mains: EDGE_128.mains.split_at(2).0,
    specials: EDGE_128.specials.split_at(2).0,
    ..EDGE_128
};

/// The variance of rounding a coefficient to an integer.
const ROUNDING: f64 = 1.0 / 12.0;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let party = Party::new()?;
    match arguments[..] {
        ["ours", directory, count, seed] => {
            party.write(Path::new(directory), count.parse()?, seed.parse()?)
        }
        ["theirs", directory] => party.read(Path::new(directory)),
        _ => Err("usage: exchange ours DIRECTORY COUNT SEED | exchange theirs DIRECTORY".into()),
    }
}

/// What both directions need.
struct Party {
    params: Params,
    ring: Ring,
    encoder: Encoder,
    primes: Vec<Modulus>,
}

impl Party {
    fn new() -> Outcome<Self> {
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
    fn write(&self, directory: &Path, count: u32, seed: u64) -> Outcome<()> {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let authority = KeyAuthority::generate(&self.params, &mut rng)?;
        let (secret, encryptor) = (authority.big_secret(), self.encryptor());
        fs::write(directory.join("ring.txt"), self.described())?;
        fs::write(directory.join("secret.bin"), secret.packed())?;
        let publics = [0, 1].map(|level| encryptor.public_key(secret, level, &mut rng));
        self.put(&directory.join("public.frame"), Kind::PublicKey, &publics[1].to_pair())?;
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
            self.put(&path, Kind::Ciphertext, &made.to_pair())?;
            let parts = values.iter().flat_map(|z| [z.re, z.im]);
            let doubles = [variance + ROUNDING].into_iter().chain(parts);
            let bytes: Vec<u8> = doubles.flat_map(f64::to_le_bytes).collect();
            fs::write(path.with_extension("slots"), bytes)?;
        }
        Ok(())
    }

    fn described(&self) -> String {
        let mut text = format!("{}\n", self.params.log_degree());
        self.params.primes().iter().for_each(|q| write!(text, "{q} ").unwrap_or_default());
        text + &format!("\n{}\n", self.params.digest())
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

    fn put(&self, path: &Path, kind: Kind, pair: &Pair) -> Outcome<()> {
        let (checksum, mut bytes) = (TransportKey::checksum(), Vec::new());
        let mut link = Link::new(&checksum, self.params.digest(), 0);
        pair.write(&mut link, kind, &self.shape(), |piece| append(&mut bytes, piece))?;
        Ok(fs::write(path, bytes)?)
    }

    /// Decrypts every ciphertext of a directory and prints how far it is from its message.
    fn read(&self, directory: &Path) -> Outcome<()> {
        let secret: Secret = Ternary::from_packed(fs::read(directory.join("secret.bin"))?)?;
        let mut frames: Vec<PathBuf> = fs::read_dir(directory)?
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<_, std::io::Error>>()?;
        frames
            .retain(|path| path.extension().is_some_and(|e| e == "frame") && kind(path).is_some());
        frames.sort();
        for path in frames {
            let ciphertext = self.take(&path)?;
            let doubles = doubles(&fs::read(path.with_extension("slots"))?);
            let (&variance, parts) = doubles.split_first().ok_or("no message")?;
            let found = self.encryptor().decrypt(&secret, &ciphertext);
            let errors: Vec<f64> = found
                .iter()
                .zip(parts.as_chunks().0)
                .map(|(&z, &[re, im])| (z - Complex::new(re, im)).abs())
                .collect();
            let worst = errors.iter().copied().fold(0.0, f64::max);
            let slots = f64::from(u32::try_from(errors.len())?);
            let rms = (errors.iter().map(|e| e * e).sum::<f64>() / slots).sqrt();
            let predicted = (2.0 * slots * variance).sqrt() / ciphertext.scale();
            let kind = kind(&path).unwrap_or_default();
            println!(
                "{{\"kind\":\"{kind}\",\"level\":{},\"scale\":{:e},\"predicted\":{predicted:e},\
                 \"rms\":{rms:e},\"worst\":{worst:e}}}",
                ciphertext.level(),
                ciphertext.scale()
            );
        }
        Ok(())
    }

    fn take(&self, path: &Path) -> Outcome<Ciphertext> {
        let bytes = fs::read(path)?;
        let mut rest = &bytes[..];
        let checksum = TransportKey::checksum();
        let mut link = Link::new(&checksum, self.params.digest(), 0);
        let take = |piece: &mut [u8]| -> Outcome<()> {
            let (head, tail) = rest.split_at_checked(piece.len()).ok_or("a file that is cut")?;
            piece.copy_from_slice(head);
            rest = tail;
            Ok(())
        };
        let frame = link.reader(Pair::limit(&self.shape()), take)?;
        let pair = Pair::read(frame, Kind::Ciphertext, &self.shape())?;
        Ok(Ciphertext::from_pair(&self.ring, &self.params, pair)?)
    }
}

/// What stands after the number in the name of a ciphertext's file.
fn kind(path: &Path) -> Option<&str> {
    Some(path.file_stem()?.to_str()?.split_once('-')?.1)
}

fn append(bytes: &mut Vec<u8>, piece: &[u8]) -> Outcome<()> {
    bytes.extend_from_slice(piece);
    Ok(())
}

/// Uniform in `[−1, 1]`.
fn uniform(rng: &mut ChaCha20Rng) -> f64 {
    f64::from(rng.next_u32().cast_signed()) / f64::from(1u32 << 31)
}

fn doubles(bytes: &[u8]) -> Vec<f64> {
    bytes.as_chunks().0.iter().map(|&chunk| f64::from_le_bytes(chunk)).collect()
}
