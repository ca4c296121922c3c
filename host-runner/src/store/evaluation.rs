//! One evaluation key in one file: a frame for each digit.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use he_core::keyswitch::{KeySpec, SeededKey};
use he_core::params::Params;
use he_core::ring::{Basis, Poly, Ring};
use he_core::wire::{Header, KeyChunk, Link, RingShape, TransportKey};

use super::moduli;
use crate::files::{Access, AtomicFile};

/// Writes a key; returns the bytes of its file.
///
/// # Errors
/// If the disk is full or fails.
pub fn write_key(path: &Path, params: &Params, key: &SeededKey) -> Result<u64> {
    let checksum = TransportKey::checksum();
    let mut link = Link::new(&checksum, params.digest(), 0);
    let primes = moduli(params);
    let shape = RingShape { degree: params.degree(), primes: &primes };
    let (kind, galois) = key.spec.kind.numbers();
    let mut file = AtomicFile::create(path, Access::Public)?;
    for (part, digit) in key.parts.iter().zip(0..) {
        let chunk = KeyChunk {
            kind,
            galois,
            digit,
            basis: part.basis().bits(),
            seed: key.seed,
            limbs: part.words().to_vec(),
        };
        chunk.write(&mut link, &shape, |bytes| {
            file.write_all(bytes).with_context(|| format!("cannot write {}", path.display()))
        })?;
    }
    file.commit()?;
    Ok(file_bytes(params, &key.spec))
}

/// Reads the key `spec` from its file.
///
/// # Errors
/// If the file is missing, truncated, damaged, or holds another key.
pub fn read_key(path: &Path, ring: &Ring, params: &Params, spec: KeySpec) -> Result<SeededKey> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let (expected, found) = (file_bytes(params, &spec), file.metadata()?.len());
    if found != expected {
        bail!(
            "{} has {found} bytes instead of {expected}: it is truncated or for another key; \
             copy it again or make keys anew with `host-runner keygen`",
            path.display()
        );
    }
    let read = || read_parts(&mut BufReader::with_capacity(1 << 20, file), ring, params, spec);
    read().with_context(|| format!("in {}", path.display()))
}

fn read_parts(
    file: &mut impl Read,
    ring: &Ring,
    params: &Params,
    spec: KeySpec,
) -> Result<SeededKey> {
    let checksum = TransportKey::checksum();
    let mut link = Link::new(&checksum, params.digest(), 0);
    let primes = moduli(params);
    let shape = RingShape { degree: params.degree(), primes: &primes };
    let (mut parts, mut seed) = (Vec::new(), None);
    for digit in 0..spec.digits(params).len() {
        let take = |bytes: &mut [u8]| Ok::<_, anyhow::Error>(file.read_exact(bytes)?);
        let chunk = KeyChunk::read(link.reader(KeyChunk::limit(&shape), take)?, &shape)?;
        let is_expected = (chunk.kind, chunk.galois) == spec.kind.numbers()
            && usize::try_from(chunk.digit) == Ok(digit)
            && chunk.basis == spec.basis(params).bits()
            && *seed.get_or_insert(chunk.seed) == chunk.seed;
        ensure!(is_expected, "the file holds another key");
        parts.push(Poly::from_words(ring, Basis::from_bits(chunk.basis), chunk.limbs));
    }
    let seed = seed.context("a key without digits")?;
    Ok(SeededKey { spec, seed, parts })
}

/// The bytes that the file of a key has.
fn file_bytes(params: &Params, spec: &KeySpec) -> u64 {
    let primes = moduli(params);
    let shape = RingShape { degree: params.degree(), primes: &primes };
    // The basis is one of the parameters, so the length is known.
    let body = KeyChunk::length(&shape, spec.basis(params).bits()).unwrap_or(0);
    let frame = (Header::BYTES + Header::TAG) as u64 + body;
    frame * spec.digits(params).len() as u64
}
