//! Frames of slots come back as they went, and what was damaged is refused.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::sample::SecretSeed;
use crate::slots::SlotTable;
use crate::wire::{Header, TransportKey};

/// The least degree with slots, INSECURE.
const DEGREE: usize = 256;

static TABLES: [SlotTable<64>; 2] = [
    SlotTable::new(DEGREE, PRIME, 38_753).unwrap(),
    SlotTable::new(DEGREE, 0x1f6_0001, 106788).unwrap(),
];
static RINGS: [SlotRing<'static>; 2] = [TABLES[0].ring(), TABLES[1].ring()];
const PRIME: u32 = 0x1fc_0001;

const fn params() -> SlotParams<'static> {
    SlotParams::insecure(&RINGS)
}

fn key() -> TransportKey {
    TransportKey::new(SecretSeed::new([42; 32]))
}

/// Residues that use all bits, with the edges among them.
fn half(seed: u8) -> Vec<u32> {
    let mut limbs = Vec::new();
    for q in params().rings().iter().map(SlotRing::modulus) {
        let mut limb = vec![0; DEGREE];
        uniform(&Seed::new([seed; 32]), 1, 0, q, &mut limb);
        (limb[0], limb[1]) = (0, q.value() - 1);
        limbs.extend(limb);
    }
    limbs
}

/// One of each form.
fn samples() -> [SlotFrame; 3] {
    let (scale, seed) = (1048576.0, Seed::new([11; 32]));
    let whole = SlotFrame { head: SlotHead::Whole { scale }, mask: half(6), body: half(7) };
    let head = SlotHead::Seeded { scale, seed, index: 9 };
    let seeded = SlotFrame { head, mask: Vec::new(), body: half(8) };
    let head = SlotHead::PublicKey { seed };
    [whole, seeded, SlotFrame { head, mask: Vec::new(), body: half(9) }]
}

/// Appends to a vector.
fn sink(bytes: &mut Vec<u8>) -> impl FnMut(&[u8]) -> Result<(), Error> {
    |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    }
}

fn written(slots: &SlotFrame) -> Vec<u8> {
    let (key, mut bytes) = (key(), Vec::new());
    let mut link = Link::new(&key, params().digest(), 1);
    let mut frame = slots.head.begin(&mut link, params(), sink(&mut bytes)).unwrap();
    for half in [&slots.mask, &slots.body] {
        for (prime, limb) in half.chunks_exact(DEGREE).enumerate() {
            frame.put(prime, limb).unwrap();
        }
    }
    frame.finish().unwrap();
    bytes
}

fn read(mut bytes: &[u8]) -> Result<SlotFrame, Error> {
    let key = key();
    let mut link = Link::new(&key, params().digest(), 1);
    let frame = link.reader(1 << 16, |piece: &mut [u8]| {
        let (head, rest) = bytes.split_at_checked(piece.len()).ok_or(Error::Malformed("cut"))?;
        piece.copy_from_slice(head);
        bytes = rest;
        Ok(())
    })?;
    SlotFrame::read(frame, &params())
}

#[test]
fn every_form_is_read_as_it_was_written() {
    for slots in samples() {
        assert_eq!(read(&written(&slots)), Ok(slots));
    }
}

#[test]
fn every_flipped_bit_and_every_truncation_is_noticed() {
    for slots in samples() {
        let mut bytes = written(&slots);
        for bit in 0..8 * bytes.len() {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&bytes).is_err(), "{:?}, bit {bit}", slots.head);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length]).is_err(), "{:?}, {length}", slots.head);
        }
    }
}

/// What is read of a sample with a right tag and other bytes at one place of its body.
fn with(sample: usize, place: usize, bytes: &[u8]) -> Result<SlotFrame, Error> {
    let frame = written(&samples()[sample]);
    let mut body = frame[Header::BYTES..frame.len() - Header::TAG].to_vec();
    body[place..][..bytes.len()].copy_from_slice(bytes);
    let (key, mut forged) = (key(), Vec::new());
    let mut link = Link::new(&key, params().digest(), 1);
    let length = u32::try_from(body.len()).unwrap();
    let mut frame = link.writer(Kind::Slots, length, sink(&mut forged)).unwrap();
    frame.put(&body).unwrap();
    frame.finish().unwrap();
    read(&forged)
}

#[test]
fn bodies_that_contradict_themselves_are_refused() {
    let malformed = |why| Err(Error::Malformed(why));
    for sample in 0..3 {
        assert_eq!(with(sample, 0, &[3]), malformed("slots of no known form"));
        let scale = with(sample, 8, &(-1.0_f64).to_le_bytes());
        assert_eq!(scale, malformed("a scale that is not a positive number"));
        let residue = with(sample, 48, &[0xff; 4]);
        assert_eq!(residue, Err(Error::ResidueOutOfRange { modulus: PRIME }));
    }
    // A whole ciphertext has no seed and no number, a public key no number and no scale but 1.
    for (sample, place, byte) in [(0, 16, 1), (0, 4, 1), (2, 4, 1), (2, 14, 0xe0)] {
        assert_eq!(with(sample, place, &[byte]), malformed("slots of no known form"));
    }
    // A form with more limbs than there are.
    let mut whole = [0; 48];
    whole[0] = 1;
    whole[8..16].copy_from_slice(&1.0_f64.to_le_bytes());
    assert_eq!(with(1, 0, &whole), malformed("a body of the wrong length"));
}

proptest! {
    #[test]
    fn mutated_and_spliced_frames_are_refused(
        which in 0_usize..3,
        other in 0_usize..3,
        edits in prop::collection::vec((any::<prop::sample::Index>(), 1_u8..), 0..8),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let (original, other) = (written(&samples()[which]), written(&samples()[other]));
        let mut bytes = original.clone();
        for (place, change) in edits {
            bytes[place.index(original.len())] ^= change;
        }
        if let Some(cut) = cut {
            let place = cut.index(original.len().min(other.len()));
            bytes.truncate(place);
            bytes.extend_from_slice(&other[place..]);
        }
        prop_assume!(bytes != original && bytes != other);
        prop_assert!(read(&bytes).is_err());
    }
}
