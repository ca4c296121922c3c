//! The device's secrets: from the authority once, from the board's own memory ever after.

use he_core::edge::DEGREE;
use he_core::params::EDGE_128;
use he_core::sample::{SecretSeed, Ternary};
use he_core::wire::{Link, Provision, TransportKey};
use zeroize::Zeroizing;

use super::Error;
use crate::machine::Memory;

/// Longest body of a frame from the key authority.
const PROVISION_LIMIT: u64 = 2048;
const SEED: usize = SecretSeed::BYTES;
const SECRET: usize = DEGREE / 4;
/// As they are kept: transport key, seed of message seeds, edge secret.
const KEPT: usize = 2 * SEED + SECRET;

type Secrets = Provision<[u8; SECRET]>;

/// The secrets that the board kept; else those that `read` brings, which the board keeps before they
/// are used.
///
/// # Errors
/// Those of the board's memory or of `read`, or if what comes is not a device's secrets.
pub(super) fn obtain(
    machine: &mut impl Memory,
    read: impl FnMut(&mut [u8]) -> Result<(), Error>,
) -> Result<Secrets, Error> {
    let mut bytes = Zeroizing::new([0; KEPT]);
    if machine.recall(&mut *bytes)? {
        defmt::info!("secrets recalled");
        return parse(&bytes);
    }
    let (number, secrets) = accept(read)?;
    let (mut transport, mut messages) = (Zeroizing::new([0; SEED]), Zeroizing::new([0; SEED]));
    secrets.copy_to(&mut transport, &mut messages, &mut bytes[2 * SEED..]);
    bytes[..SEED].copy_from_slice(&*transport);
    bytes[SEED..2 * SEED].copy_from_slice(&*messages);
    // Numbers go on behind that of this exchange, so that secrets that come twice see none twice.
    machine.keep(&mut *bytes, number.saturating_add(1))?;
    defmt::info!("provisioned");
    Ok(secrets)
}

/// Reads the device's secrets.
///
/// # Errors
/// Those of `read`, or if what comes is not a device's secrets.
pub fn provisioned<E: From<he_core::Error>>(
    read: impl FnMut(&mut [u8]) -> Result<(), E>,
) -> Result<Secrets, E> {
    accept(read).map(|(_, secrets)| secrets)
}

/// The same with the number of the authority's exchange.
fn accept<E: From<he_core::Error>>(
    read: impl FnMut(&mut [u8]) -> Result<(), E>,
) -> Result<(u64, Secrets), E> {
    let checksum = TransportKey::checksum();
    let (link, frame) = Link::accept(&checksum, EDGE_128.digest(), PROVISION_LIMIT, read)?;
    Ok((link.sequence(), Provision::read(frame, [0; SECRET])?))
}

fn parse(bytes: &[u8; KEPT]) -> Result<Secrets, Error> {
    let seed = |at: usize| SecretSeed::new(core::array::from_fn(|i| bytes[at + i]));
    Ok(Provision {
        transport: TransportKey::new(seed(0)),
        messages: seed(SEED),
        secret: Ternary::from_packed(core::array::from_fn(|i| bytes[2 * SEED + i]))?,
    })
}
