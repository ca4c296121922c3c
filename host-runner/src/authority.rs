//! The key authority: makes secrets and evaluation keys and writes each to its own folder.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use chacha20::rand_core::CryptoRng;
use he_core::encode::Encoder;
use he_core::encrypt::Encryptor;
use he_core::keyswitch::{KeyAuthority, KeyPlan};
use he_core::params::Params;
use he_core::ring::Ring;
use he_core::sample::SecretSeed;
use he_core::wire::{Link, TransportKey};
use zeroize::Zeroizing;

use crate::connection::{Connection, exchange_number};
use crate::report::KeysReport;
use crate::store::{self, Existing, KeyFile, Manifest, NewKeys, device, owner};
use crate::threads::Rayon;

/// What keys are made for.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The parameter set's name.
    pub preset: &'a str,
    /// The parameter set.
    pub params: &'a Params,
    /// The evaluation keys.
    pub plan: &'a KeyPlan,
}

/// Makes fresh secrets and keys into `place/server`, `place/device` and `place/owner`; `done` hears of each key.
///
/// # Errors
/// If there are keys already and they are to be kept, or the disk is full. Nothing is left behind
/// then.
pub fn generate(
    order: Order<'_>,
    rng: &mut impl CryptoRng,
    place: &Path,
    existing: Existing,
    done: &mut dyn FnMut(&str),
) -> Result<KeysReport> {
    let authority = KeyAuthority::generate(order.params, rng)?;
    write(order, &authority, rng, (place, existing), done)
}

/// As [`generate`], with the secrets of this authority.
///
/// # Errors
/// As [`generate`].
pub fn write(
    order: Order<'_>,
    authority: &KeyAuthority,
    rng: &mut impl CryptoRng,
    (place, existing): (&Path, Existing),
    done: &mut dyn FnMut(&str),
) -> Result<KeysReport> {
    let Order { preset, params, plan } = order;
    let folders = NewKeys::begin(place, existing)?;
    let ring = Ring::new(params.log_degree(), params.primes(), he_simd::best(), &Rayon)?;

    let mut transport = Zeroizing::new([0; 32]);
    rng.fill_bytes(&mut *transport);
    store::write_transport(&folders.server(), &transport)?;
    let messages = SecretSeed::random(rng);
    let keys = device::device_keys(authority.edge_secret(), &transport, messages)?;
    device::write(&folders.device(), params, &keys)?;

    let encoder = Encoder::new(params.log_degree());
    let encryptor = Encryptor { ring: &ring, params, encoder: &encoder };
    let level = he_lora::level(params.rows_level());
    let public = encryptor.public_key(authority.big_secret(), level, rng);
    let number = owner::write(&folders.owner(), params, &public)?;

    let mut wire_bytes = 0;
    for spec in plan.specs() {
        let key = authority.key(&ring, params, spec, rng)?;
        let file = KeyFile::new(&spec).file();
        wire_bytes += store::write_key(&folders.server().join(&file), params, &key)?;
        done(&file);
    }
    let manifest = Manifest::new(preset, params, plan.specs()).owned_by(number);
    manifest.write(&folders.server())?;
    folders.commit()?;
    let resident_bytes = plan.resident_bytes(params);
    Ok(KeysReport { count: plan.specs().len(), wire_bytes, resident_bytes })
}

/// Sends the secrets in `folder` to the device at the other end, whose numbers of exchanges go on behind
/// that of this one.
///
/// # Errors
/// If the folder is not a device's, or the connection breaks.
pub fn provision(folder: &Path, connection: &mut Connection) -> Result<()> {
    let (_, params) = device::params(folder)?;
    let keys = device::read(folder, &params)?;
    let checksum = TransportKey::checksum();
    let mut link = Link::new(&checksum, params.digest(), exchange_number()?);
    keys.write(&mut link, |bytes| connection.write_all(bytes).context("the device hung up"))
}
