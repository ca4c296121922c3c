//! Messages that are not what they should be.

use super::case;
use crate::check;
use crate::harness::{Bench, Case, Failure};
use crate::machine::Machine;
use crate::model::BASE;
use he_core::Error;
use he_core::params::EDGE_128;
use he_core::sample::{SecretSeed, Ternary};
use he_core::wire::{Answer, AnswerEntry, Header, Kind, Link, Provision, TransportKey};
use heapless::Vec;

/// Residues of the mask of a small answer.
const MASK: usize = 32;
/// Room for a small answer, and a byte more.
const ROOM: usize = 256;
/// Longest body that is read.
const LIMIT: u64 = 2048;
const SEQUENCE: u64 = 77;

type Bytes = Vec<u8, ROOM>;

fn key() -> TransportKey {
    TransportKey::new(SecretSeed::new([9; 32]))
}

/// A framed answer with these residues and one entry.
fn framed(mask: &[u32; MASK]) -> Bytes {
    let (key, mut bytes) = (key(), Bytes::new());
    let mut link = Link::new(&key, EDGE_128.digest(), SEQUENCE);
    let entries = [AnswerEntry { position: 3, body: 5 }];
    let answer = Answer { scale: 1024.0, mask, entries: &entries };
    let write = |piece: &[u8]| bytes.extend_from_slice(piece);
    answer.write(&mut link, BASE, write).ok();
    bytes
}

/// Reads an answer as a device does, in the exchange `sequence`.
fn read(bytes: &[u8], sequence: u64) -> Result<(), Error> {
    let (key, mut rest) = (key(), bytes);
    let mut link = Link::new(&key, EDGE_128.digest(), sequence);
    let (mut mask, mut entries) = ([0; MASK], [AnswerEntry::default(); 2]);
    let frame = link.reader(LIMIT, |piece: &mut [u8]| take(&mut rest, piece))?;
    Answer::read(frame, BASE, &mut mask, &mut entries).map(|_| ())
}

fn take(rest: &mut &[u8], piece: &mut [u8]) -> Result<(), Error> {
    let (head, tail) = rest.split_at_checked(piece.len()).ok_or(Error::Malformed("the end"))?;
    piece.copy_from_slice(head);
    *rest = tail;
    Ok(())
}

pub(super) const fn cases<M: Machine>() -> [Case<M>; 3] {
    [
        case("damaged_messages_are_refused", damaged),
        case("messages_of_others_are_refused", foreign),
        case("secrets_arrive_whole_or_not_at_all", provision),
    ]
}

fn damaged<M: Machine>(_: &mut Bench<'_, M>) -> Result<(), Failure> {
    let good = framed(&[17; MASK]);
    check!(read(&good, SEQUENCE).is_ok());
    for end in 0..good.len() {
        check!(read(&good[..end], SEQUENCE).is_err(), "a truncated frame was accepted");
    }
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            check!(read(&bad, SEQUENCE).is_err(), "a frame with a flipped bit was accepted");
        }
    }
    Ok(())
}

fn foreign<M: Machine>(_: &mut Bench<'_, M>) -> Result<(), Failure> {
    let good = framed(&[17; MASK]);
    check!(read(&good, SEQUENCE + 1).is_err(), "a frame of another exchange was accepted");
    let q = BASE.value();
    let found = read(&framed(&[q; MASK]), SEQUENCE);
    check!(found == Err(Error::ResidueOutOfRange { modulus: q }));
    let length = u32::try_from(LIMIT).unwrap_or(0) + 1;
    let (kind, digest) = (Kind::Answer, EDGE_128.digest());
    let long = Header { kind, digest, sequence: SEQUENCE, part: 0, length }.to_bytes();
    check!(read(&long, SEQUENCE).is_err(), "an oversized frame was accepted");
    let other = Header { kind, digest: digest ^ 1, sequence: SEQUENCE, part: 0, length: 0 };
    check!(read(&other.to_bytes(), SEQUENCE).is_err(), "other parameters were accepted");
    Ok(())
}

/// Bytes of a small secret.
const SECRET: usize = 64;

fn provision<M: Machine>(_: &mut Bench<'_, M>) -> Result<(), Failure> {
    let secret = || Ternary::uniform(&SecretSeed::new([2; 32]), 0, [0; SECRET]);
    let checksum = TransportKey::checksum();
    let mut link = Link::new(&checksum, EDGE_128.digest(), 1);
    let mut bytes = Bytes::new();
    let sent = Provision { transport: key(), messages: SecretSeed::new([3; 32]), secret: secret() };
    check!(sent.write(&mut link, |piece: &[u8]| bytes.extend_from_slice(piece)).is_ok());
    let read = |bytes: &[u8]| -> Result<Ternary<[u8; SECRET]>, Error> {
        let mut rest = bytes;
        let read = |piece: &mut [u8]| take(&mut rest, piece);
        let (_, frame) = Link::accept(&checksum, EDGE_128.digest(), LIMIT, read)?;
        Ok(Provision::read(frame, [0; SECRET])?.secret)
    };
    check!(read(&bytes).is_ok_and(|found| found.packed() == secret().packed()));
    for at in 0..bytes.len() {
        bytes[at] ^= 0x40;
        check!(read(&bytes).is_err(), "damaged secrets were accepted");
        bytes[at] ^= 0x40;
    }
    Ok(())
}
