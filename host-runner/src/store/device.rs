//! The device's folder: its secrets, as they are provisioned.

use std::path::Path;

use anyhow::{Context, Result, bail};
use he_core::keyswitch::Secret;
use he_core::params::Params;
use he_core::sample::{SecretSeed, Ternary};
use he_core::wire::{Header, Link, Provision, TransportKey};
use zeroize::Zeroizing;

use crate::files::{self, Access};
use crate::preset;

/// The file that holds everything a device is given.
pub const EDGE_SECRET: &str = "edge.secret";

/// No provisioning frame is longer.
const LIMIT: u64 = 1 << 20;

/// What a device is given, on the heap.
pub type DeviceKeys = Provision<Vec<u8>>;

/// Puts a device's secrets together. `transport` is what the server gets too.
///
/// # Errors
/// If the secret is not ternary, which one from an authority is.
pub fn device_keys(
    secret: &Secret,
    transport: &[u8; 32],
    messages: SecretSeed,
) -> Result<DeviceKeys> {
    Ok(Provision {
        transport: TransportKey::new(SecretSeed::new(*transport)),
        messages,
        secret: Ternary::from_packed(secret.packed().to_vec())?,
    })
}

/// Writes the secrets, for their owner's eyes alone.
///
/// # Errors
/// If the folder cannot be written.
pub fn write(folder: &Path, params: &Params, keys: &DeviceKeys) -> Result<()> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(1 << 16));
    let checksum = TransportKey::checksum();
    let mut link = Link::new(&checksum, params.digest(), 0);
    keys.write(&mut link, |piece| {
        bytes.extend_from_slice(piece);
        Ok::<_, anyhow::Error>(())
    })?;
    files::write(&folder.join(EDGE_SECRET), Access::Private, &bytes)
}

/// The parameter set that a device's secrets are for.
///
/// # Errors
/// If the folder is not a device's, or the set is not a preset of this program.
pub fn params(folder: &Path) -> Result<(&'static str, Params)> {
    super::check_folder(folder, super::DEVICE, EDGE_SECRET)?;
    let path = folder.join(EDGE_SECRET);
    let bytes = Zeroizing::new(files::read(&path, LIMIT)?);
    let Some(header) = bytes.first_chunk() else { bail!("{} is truncated", path.display()) };
    let header = Header::parse(header).with_context(|| format!("in {}", path.display()))?;
    let Some(name) = preset::name(header.digest) else {
        bail!("{} is for parameters that this program does not have", path.display())
    };
    Ok((name, preset::params(name)?))
}

/// Reads the secrets back.
///
/// # Errors
/// If the folder is not a device's, or the file is truncated, damaged or for other parameters.
pub fn read(folder: &Path, params: &Params) -> Result<DeviceKeys> {
    super::check_folder(folder, super::DEVICE, EDGE_SECRET)?;
    let path = folder.join(EDGE_SECRET);
    let bytes = Zeroizing::new(files::read(&path, LIMIT)?);
    let mut rest = bytes.as_slice();
    let checksum = TransportKey::checksum();
    let mut link = Link::new(&checksum, params.digest(), 0);
    let mut read = || {
        let frame = link.reader(LIMIT, |piece: &mut [u8]| {
            let taken = rest.split_off(..piece.len()).context("the file is truncated")?;
            piece.copy_from_slice(taken);
            Ok::<_, anyhow::Error>(())
        })?;
        DeviceKeys::read(frame, vec![0; params.edge_degree() / 4])
    };
    read().with_context(|| format!("in {}", path.display()))
}
