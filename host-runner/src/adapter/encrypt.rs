//! The owner's side: from an adapter in the clear to the file for the server.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use chacha20::rand_core::CryptoRng;
use he_core::complex::Complex;
use he_core::encode::Encoder;
use he_core::encrypt::{Encryptor, PublicKey};
use he_core::params::Params;
use he_core::ring::Ring;
use he_core::wire::{AdapterHead, Kind, Link, RingShape, TransportKey};
use he_lora::state::{Kind as State, Places};

use super::encrypted::{self, Target};
use super::plain::PlainAdapter;
use crate::files::{Access, AtomicFile};
use crate::store::{moduli, owner};

/// A public key and what tells its owner apart.
#[derive(Debug)]
pub struct Public {
    key: PublicKey,
    number: u64,
}

impl Public {
    /// Reads the key in a file of keygen's.
    ///
    /// # Errors
    /// If it is missing, damaged or of other parameters.
    pub fn open(path: &Path, ring: &Ring, params: &Params) -> Result<Self> {
        Ok(Self { key: owner::read(path, ring, params)?, number: owner::number(path)? })
    }
}

/// Encrypts `adapter` under `key` into the file at `path`; returns the bytes of the file. One with a head of its own
/// becomes a state of training.
///
/// # Errors
/// If model and parameters do not fit each other, the key is of another level, an entry is too
/// large to be encrypted, or the file cannot be written.
pub fn write(
    path: &Path,
    target: Target<'_>,
    key: &Public,
    adapter: &PlainAdapter,
    rng: &mut impl CryptoRng,
) -> Result<u64> {
    let Target { ring, params, model } = target;
    ensure!(
        !adapter.is_full(),
        "a server takes what full fine-tuning came to from the job alone: name the job's folder"
    );
    ensure!(
        key.key.level() == he_lora::level(params.rows_level()),
        "the public key is of another level"
    );
    let rank = adapter.updates().first().map_or(0, he_lora::Update::rank);
    let classes = adapter.parameters().map_or(0, |trained| trained.shape().classes());
    let head = AdapterHead {
        model: super::digest(model),
        owner: key.number,
        scaling: adapter.scaling(),
        layers: u32::try_from(adapter.updates().len())?,
        rank: u32::try_from(rank)?,
        classes: u32::try_from(classes)?,
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
    each(target, adapter, |slots| {
        let ciphertext = encryptor.encrypt_public(&key.key, slots, params.default_scale(), rng)?;
        ciphertext.to_pair().write(&mut link, Kind::Ciphertext, &shape, &mut put)
    })?;
    file.commit()?;
    Ok(encrypted::file_bytes(params, &head))
}

/// Hands over the slots of every ciphertext of an adapter, in order.
fn each(
    target: Target<'_>,
    adapter: &PlainAdapter,
    mut encrypt: impl FnMut(&[Complex]) -> Result<()>,
) -> Result<()> {
    let layout = target.layout()?;
    if let Some(trained) = adapter.parameters() {
        let (slots, tokens) = (target.params.degree() / 2, target.params.tokens());
        let places = Places::of_slots(slots, tokens, trained.shape())?;
        return encrypt(&places.pack(State::Parameter, trained));
    }
    for update in adapter.updates() {
        for r in 0..update.rank() {
            encrypt(&update.down_slots(&layout, r))?;
        }
        for r in 0..update.rank() {
            encrypt(&update.up_slots(&layout, r))?;
        }
    }
    Ok(())
}
