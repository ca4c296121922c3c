//! The device's secrets: from the authority once, from the board's own memory ever after.

use he_core::edge::DEGREE;
use he_core::params::EDGE_128;
use he_core::sample::{SecretSeed, Ternary};
use he_core::wire::{Kind, Link, Provision, TransportKey};
use zeroize::Zeroizing;

use super::Error;
use crate::machine::{Exhausted, Memory};

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
#[inline(never)]
pub fn obtain(
    machine: &mut impl Memory,
    read: impl FnMut(&mut [u8]) -> Result<(), Error>,
) -> Result<Secrets, Error> {
    let mut bytes = Zeroizing::new([0; KEPT]);
    if !machine.recall(&mut *bytes)? {
        let number = receive(&mut bytes, read)?;
        // Numbers go on behind that of this exchange, so that secrets that come twice see none twice.
        machine.keep(&mut *bytes, number.saturating_add(1))?;
        // What was not kept is not used.
        if !machine.recall(&mut *bytes)? {
            return Err(Exhausted::Memory.into());
        }
    }
    parse(&bytes)
}

/// Fills `bytes` with what the authority gives; returns the number of its exchange. What is kept is the
/// body of its frame: copies of the secrets on their way would need more stack than all the rest.
fn receive(
    bytes: &mut [u8; KEPT],
    read: impl FnMut(&mut [u8]) -> Result<(), Error>,
) -> Result<u64, Error> {
    let checksum = TransportKey::checksum();
    let (link, mut frame) = Link::accept(&checksum, EDGE_128.digest(), PROVISION_LIMIT, read)?;
    if frame.header().kind != Kind::Provision || frame.left() as usize != KEPT {
        return Err(he_core::Error::Malformed("a frame of another kind").into());
    }
    frame.take(bytes)?;
    frame.finish()?;
    // What is not a secret is not kept.
    drop(parse(bytes)?);
    Ok(link.sequence())
}

#[inline(never)]
fn parse(bytes: &[u8; KEPT]) -> Result<Secrets, Error> {
    let seed = |at: usize| SecretSeed::new(core::array::from_fn(|i| bytes[at + i]));
    Ok(Provision {
        transport: TransportKey::new(seed(0)),
        messages: seed(SEED),
        secret: Ternary::from_packed(core::array::from_fn(|i| bytes[2 * SEED + i]))?,
    })
}
