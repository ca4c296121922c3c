//! The owner's side: from an adapter in the clear to the file for the server.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use chacha20::rand_core::CryptoRng;
use he_core::complex::Complex;
use he_core::encode::Encoder;
use he_core::encrypt::{Encryptor, PublicKey};
use he_core::wire::{AdapterHead, Kind, Link, RingShape, TransportKey};

use super::encrypted::{self, Target};
use super::plain::PlainAdapter;
use crate::files::{Access, AtomicFile};
use crate::store::moduli;

/// Encrypts `adapter` under `key` into the file at `path`; returns the bytes of the file.
///
/// # Errors
/// If model and parameters do not fit each other, the key is of another level, an entry is too
/// large to be encrypted, or the file cannot be written.
pub fn write(
    path: &Path,
    target: Target<'_>,
    key: &PublicKey,
    adapter: &PlainAdapter,
    rng: &mut impl CryptoRng,
) -> Result<u64> {
    let Target { ring, params, model } = target;
    let layout = target.layout()?;
    ensure!(
        key.level() == he_lora::level(params.rows_level()),
        "the public key is of another level"
    );
    let rank = adapter.updates().first().map_or(0, he_lora::Update::rank);
    let head = AdapterHead {
        model: super::digest(model),
        scaling: adapter.scaling(),
        layers: u32::try_from(adapter.updates().len())?,
        rank: u32::try_from(rank)?,
    };
    let encoder = Encoder::new(params.log_degree());
    let encryptor = Encryptor { ring, params, encoder: &encoder };
    let primes = moduli(params);
    let shape = RingShape { degree: params.degree(), primes: &primes };
    let checksum = TransportKey::checksum();
    let mut link = Link::new(&checksum, params.digest(), 0);
    let mut file = AtomicFile::create(path, Access::Public)?;
    let mut put = |bytes: &[u8]| {
        file.write_all(bytes).with_context(|| format!("cannot write {}", path.display()))
    };
    head.write(&mut link, &mut put)?;
    let mut encrypt = |slots: &[Complex]| {
        let ciphertext = encryptor.encrypt_public(key, slots, params.default_scale(), rng)?;
        ciphertext.to_pair().write(&mut link, Kind::Ciphertext, &shape, &mut put)
    };
    for update in adapter.updates() {
        for r in 0..rank {
            encrypt(&update.down_slots(&layout, r))?;
        }
        for r in 0..rank {
            encrypt(&update.up_slots(&layout, r))?;
        }
    }
    file.commit()?;
    Ok(encrypted::file_bytes(params, &head))
}
