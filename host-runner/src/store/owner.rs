//! The owner's folder: the public key that personal adapters are encrypted with. It holds no secret.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use he_core::encrypt::PublicKey;
use he_core::params::Params;
use he_core::ring::Ring;
use he_core::wire::{Header, Kind, Link, Pair, RingShape, TransportKey};

use super::moduli;
use crate::files::{self, Access, AtomicFile};
use crate::preset;

/// The file that holds the public key.
pub const PUBLIC_KEY: &str = "public.key";

/// No public key is longer.
const LIMIT: u64 = 1 << 26;

/// Writes a public key; returns its number, as [`number`] does.
///
/// # Errors
/// If the folder cannot be written.
pub fn write(folder: &Path, params: &Params, key: &PublicKey) -> Result<u64> {
    let path = folder.join(PUBLIC_KEY);
    let checksum = TransportKey::checksum();
    let mut link = Link::new(&checksum, params.digest(), 0);
    let primes = moduli(params);
    let shape = RingShape { degree: params.degree(), primes: &primes };
    let mut file = AtomicFile::create(&path, Access::Public)?;
    key.to_pair().write(&mut link, Kind::PublicKey, &shape, |bytes| {
        file.write_all(bytes).with_context(|| format!("cannot write {}", path.display()))
    })?;
    file.commit()?;
    number(&path)
}

/// What tells owners apart: the end of the tag of their public key, which every byte of it enters.
///
/// # Errors
/// If the file cannot be read.
pub fn number(path: &Path) -> Result<u64> {
    let bytes = files::read(path, LIMIT)?;
    let end = bytes.last_chunk().with_context(|| format!("{} is truncated", path.display()))?;
    Ok(u64::from_le_bytes(*end))
}

/// The parameter set that a public key is for.
///
/// # Errors
/// If the file is not a public key, or the set is not a preset of this program.
pub fn params(path: &Path) -> Result<(&'static str, Params)> {
    let bytes = files::read(path, LIMIT)?;
    let Some(header) = bytes.first_chunk() else { bail!("{} is truncated", path.display()) };
    let header = Header::parse(header).with_context(|| format!("in {}", path.display()))?;
    let is_key = header.kind == Kind::PublicKey;
    ensure!(
        is_key,
        "{} is not a public key; name the DIR/owner/{PUBLIC_KEY} that `host-runner keygen` wrote",
        path.display()
    );
    let Some(name) = preset::name(header.digest) else {
        bail!("{} is for parameters that this program does not have", path.display())
    };
    Ok((name, preset::params(name)?))
}

/// Reads a public key back.
///
/// # Errors
/// If the file is missing, truncated, damaged, or for other parameters.
pub fn read(path: &Path, ring: &Ring, params: &Params) -> Result<PublicKey> {
    let bytes = files::read(path, LIMIT)?;
    let mut rest = bytes.as_slice();
    let checksum = TransportKey::checksum();
    let mut link = Link::new(&checksum, params.digest(), 0);
    let primes = moduli(params);
    let shape = RingShape { degree: params.degree(), primes: &primes };
    let mut read = || {
        let frame = link.reader(Pair::limit(&shape), |piece: &mut [u8]| {
            let taken = rest.split_off(..piece.len()).context("the file is truncated")?;
            piece.copy_from_slice(taken);
            Ok::<_, anyhow::Error>(())
        })?;
        let pair = Pair::read(frame, Kind::PublicKey, &shape)?;
        Ok::<_, anyhow::Error>(PublicKey::from_pair(ring, params, pair)?)
    };
    let key = read().with_context(|| format!("in {}", path.display()))?;
    ensure!(rest.is_empty(), "{} has bytes after its end", path.display());
    Ok(key)
}
