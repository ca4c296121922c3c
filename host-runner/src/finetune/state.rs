//! An encrypted state of a job, as it is kept and sent: a frame for each ciphertext, numbered after its job and iteration.

use anyhow::{Context, Result};
use he_core::ciphertext::Ciphertext;
use he_core::params::Params;
use he_core::ring::Ring;
use he_core::wire::{Kind, Link, Pair, RingShape, TransportKey};

use crate::store::moduli;

/// A state as it is kept and sent. `sequence` is [`exchange`](super::job::Declared::exchange) of its iteration.
///
/// # Errors
/// None: it is written to memory.
pub fn state_bytes(params: &Params, sequence: u64, state: &[Ciphertext]) -> Result<Vec<u8>> {
    let checksum = TransportKey::checksum();
    let mut link = Link::new(&checksum, params.digest(), sequence);
    let primes = moduli(params);
    let shape = RingShape { degree: params.degree(), primes: &primes };
    let mut bytes = Vec::new();
    for ciphertext in state {
        ciphertext.to_pair().write(&mut link, Kind::Ciphertext, &shape, |piece| {
            bytes.extend_from_slice(piece);
            Ok::<_, anyhow::Error>(())
        })?;
    }
    Ok(bytes)
}

/// Reads a state.
///
/// # Errors
/// If it is truncated, damaged, or of another job or iteration.
pub fn read_state(
    mut bytes: &[u8],
    sequence: u64,
    (ring, params): (&Ring, &Params),
) -> Result<Vec<Ciphertext>> {
    let checksum = TransportKey::checksum();
    let mut link = Link::new(&checksum, params.digest(), sequence);
    let primes = moduli(params);
    let shape = RingShape { degree: params.degree(), primes: &primes };
    let mut state = Vec::new();
    while !bytes.is_empty() || state.is_empty() {
        let frame = link.reader(Pair::limit(&shape), |piece: &mut [u8]| take(&mut bytes, piece))?;
        let pair = Pair::read(frame, Kind::Ciphertext, &shape)?;
        state.push(Ciphertext::from_pair(ring, params, pair)?);
    }
    Ok(state)
}

/// Fills `piece` from the front of `bytes`.
///
/// # Errors
/// If there are too few.
pub fn take(bytes: &mut &[u8], piece: &mut [u8]) -> Result<()> {
    let taken = bytes.split_off(..piece.len()).context("it is truncated")?;
    piece.copy_from_slice(taken);
    Ok(())
}
