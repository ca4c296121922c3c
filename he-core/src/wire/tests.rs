//! Frames survive the wire, and what was damaged is refused.

use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::edge::{BASE_PRIMES, LimbSink};
use crate::modulus::Modulus;
use crate::sample::{Seed, Ternary};

const DIGEST: u64 = 0x0123_4567_89ab_cdef;
const SEQUENCE: u64 = 77;
const LIMIT: u64 = 1 << 16;
const SMALL_DEGREE: usize = 36;

fn key() -> TransportKey {
    TransportKey::new(SecretSeed::new([42; 32]))
}

fn prime(value: u32) -> Modulus {
    Modulus::new(value).unwrap()
}

fn primes() -> [Modulus; BASE_PRIMES] {
    [prime(0x1fc_0001), prime(0x21c_0001)]
}

fn upload_shape(count: u32) -> UploadShape {
    UploadShape { degree: SMALL_DEGREE, primes: primes(), count }
}

/// Appends to a vector.
fn sink(bytes: &mut Vec<u8>) -> impl FnMut(&[u8]) -> Result<(), Error> {
    |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    }
}

/// Reads from a slice.
fn source(mut bytes: &[u8]) -> impl FnMut(&mut [u8]) -> Result<(), Error> {
    move |piece| {
        let Some((head, rest)) = bytes.split_at_checked(piece.len()) else {
            return Err(Error::Malformed("truncated"));
        };
        piece.copy_from_slice(head);
        bytes = rest;
        Ok(())
    }
}

/// Residues that use all bits, with the edges among them.
fn residues(q: Modulus, count: usize, seed: u8) -> Vec<u32> {
    let mut limb = vec![0; count];
    crate::sample::uniform(&Seed::new([seed; 32]), 1, 0, q, &mut limb);
    for (x, edge) in limb.iter_mut().zip([0, q.value() - 1]) {
        *x = edge;
    }
    limb
}

/// One frame of every kind, of moderate size.
fn samples() -> Vec<(Kind, Vec<u8>)> {
    let key = key();
    let link = |kind, write: &dyn Fn(&mut Link<'_>, &mut Vec<u8>)| {
        let mut bytes = Vec::new();
        write(&mut Link::new(&key, DIGEST, SEQUENCE), &mut bytes);
        (kind, bytes)
    };
    vec![
        link(Kind::Upload, &|link, bytes| write_upload(link, bytes, 2)),
        link(Kind::Answer, &|link, bytes| write_answer(link, bytes)),
        link(Kind::Progress, &|link, bytes| progress().write(link, sink(bytes)).unwrap()),
        link(Kind::Refusal, &|link, bytes| refusal().write(link, sink(bytes)).unwrap()),
        link(Kind::Provision, &|link, bytes| provision().write(link, sink(bytes)).unwrap()),
        link(Kind::EvaluationKey, &|link, bytes| {
            chunk().write(link, &ring_shape(), sink(bytes)).unwrap();
        }),
        link(Kind::PublicKey, &|link, bytes| {
            pair().write(link, Kind::PublicKey, &ring_shape(), sink(bytes)).unwrap();
        }),
        link(Kind::Ciphertext, &|link, bytes| {
            pair().write(link, Kind::Ciphertext, &ring_shape(), sink(bytes)).unwrap();
        }),
        link(Kind::Adapter, &|link, bytes| adapter().write(link, sink(bytes)).unwrap()),
    ]
}

fn write_upload(link: &mut Link<'_>, bytes: &mut Vec<u8>, count: u32) {
    let shape = upload_shape(count);
    let mut writer = UploadWriter::start(link, &shape, &Seed::new([1; 32]), sink(bytes)).unwrap();
    for _ in 0..count {
        for (number, &q) in shape.primes.iter().enumerate() {
            writer.put(number, &residues(q, SMALL_DEGREE, 1)).unwrap();
        }
    }
    writer.finish().unwrap();
}

fn write_answer(link: &mut Link<'_>, bytes: &mut Vec<u8>) {
    let [q, _] = primes();
    let entries = [AnswerEntry { position: 3, body: 5 }, AnswerEntry { position: 35, body: 0 }];
    let mask = residues(q, SMALL_DEGREE, 2);
    let answer = Answer { scale: 1048576.0, mask: &mask, entries: &entries };
    answer.write(link, q, sink(bytes)).unwrap();
}

fn progress() -> Progress {
    Progress { index: 3, total: 11, millis: 4567, stage: Text::new("mod_raise") }
}

fn refusal() -> Refusal {
    Refusal { code: 7, needed: 12 << 30, text: Text::new("needs 12 GB of memory") }
}

fn provision() -> Provision<Vec<u8>> {
    let secret = Ternary::uniform(&SecretSeed::new([9; 32]), 0, vec![0; SMALL_DEGREE / 4]);
    Provision {
        transport: TransportKey::new(SecretSeed::new([8; 32])),
        messages: SecretSeed::new([7; 32]),
        secret,
    }
}

/// Five primes of three widths.
const KEY_PRIMES: [Option<Modulus>; 5] = [
    Modulus::new(0x1fc_0001),
    Modulus::new(0x21c_0001),
    Modulus::new(0x3ffc_0001),
    Modulus::new(0x4008_0001),
    Modulus::new(0x7ffe_0001),
];

fn ring_shape() -> RingShape<'static> {
    static PRIMES: [Modulus; 5] = {
        let mut primes = [KEY_PRIMES[0].unwrap(); 5];
        let mut i = 0;
        while i < 5 {
            primes[i] = KEY_PRIMES[i].unwrap();
            i += 1;
        }
        primes
    };
    RingShape { degree: SMALL_DEGREE, primes: &PRIMES }
}

fn chunk() -> KeyChunk {
    let limbs = [0, 2, 4].map(|i| residues(ring_shape().primes[i], SMALL_DEGREE, 3));
    let seed = Seed::new([6; 32]);
    KeyChunk { kind: 1, galois: 5, digit: 2, basis: 0b10101, seed, limbs: limbs.concat() }
}

fn pair() -> Pair {
    let half = |seed| [1, 3].map(|i| residues(ring_shape().primes[i], SMALL_DEGREE, seed)).concat();
    Pair { level: 6, scale: 1048576.0, basis: 0b1010, b: half(4), a: half(5) }
}

fn adapter() -> AdapterHead {
    AdapterHead { model: 0xfedc_ba98, owner: 5, scaling: 4.0, layers: 2, rank: 3, classes: 2 }
}

/// Reads the first frame of an exchange as what its header says; what a server or a device does.
fn read_any(key: &TransportKey, sequence: u64, bytes: &[u8]) -> Result<Kind, Error> {
    let mut link = Link::new(key, DIGEST, sequence);
    let frame = link.reader(LIMIT, source(bytes))?;
    let kind = frame.header().kind;
    match kind {
        Kind::Upload => Upload::read(frame, &upload_shape(2)).map(drop)?,
        Kind::Answer => {
            let (mut mask, mut entries) = ([0; SMALL_DEGREE], [AnswerEntry::default(); 4]);
            Answer::read(frame, primes()[0], &mut mask, &mut entries).map(drop)?;
        }
        Kind::Progress => Progress::read(frame).map(drop)?,
        Kind::Refusal => Refusal::read(frame).map(drop)?,
        Kind::Provision => Provision::read(frame, vec![0; SMALL_DEGREE / 4]).map(drop)?,
        Kind::EvaluationKey => KeyChunk::read(frame, &ring_shape()).map(drop)?,
        Kind::PublicKey | Kind::Ciphertext => Pair::read(frame, kind, &ring_shape()).map(drop)?,
        Kind::Adapter => AdapterHead::read(frame).map(drop)?,
        Kind::Slots | Kind::Request | Kind::Reply => {
            return Err(Error::Malformed("a body that others read"));
        }
    }
    Ok(kind)
}

#[test]
fn every_kind_is_read_as_it_was_written() {
    for (kind, bytes) in samples() {
        assert_eq!(read_any(&key(), SEQUENCE, &bytes), Ok(kind));
    }
}

#[test]
fn contents_come_back() {
    let key = key();
    for (kind, bytes) in samples() {
        let mut link = Link::new(&key, DIGEST, SEQUENCE);
        let frame = link.reader(LIMIT, source(&bytes)).unwrap();
        match kind {
            Kind::Upload => {
                let upload = Upload::read(frame, &upload_shape(2)).unwrap();
                assert_eq!(upload.masks, Seed::new([1; 32]));
                let body = primes().map(|q| residues(q, SMALL_DEGREE, 1));
                assert_eq!(upload.bodies, [body.clone(), body]);
            }
            Kind::Answer => {
                let (mut mask, mut entries) = ([0; SMALL_DEGREE], [AnswerEntry::default(); 4]);
                let answer = Answer::read(frame, primes()[0], &mut mask, &mut entries).unwrap();
                assert!(answer.scale.to_bits() == 1048576.0_f64.to_bits());
                assert_eq!(answer.mask, residues(primes()[0], SMALL_DEGREE, 2));
                assert_eq!(answer.entries[0], AnswerEntry { position: 3, body: 5 });
                assert_eq!(answer.entries[1..], [AnswerEntry { position: 35, body: 0 }]);
            }
            Kind::Progress => assert_eq!(Progress::read(frame), Ok(progress())),
            Kind::Refusal => assert_eq!(Refusal::read(frame), Ok(refusal())),
            Kind::Provision => {
                let (found, sent) =
                    (Provision::read(frame, vec![0; SMALL_DEGREE / 4]).unwrap(), provision());
                assert_eq!(found.secret.packed(), sent.secret.packed());
                assert_eq!(found.transport.0.bytes(), sent.transport.0.bytes());
                assert_eq!(found.messages.bytes(), sent.messages.bytes());
            }
            Kind::EvaluationKey => assert_eq!(KeyChunk::read(frame, &ring_shape()), Ok(chunk())),
            Kind::PublicKey | Kind::Ciphertext => {
                assert_eq!(Pair::read(frame, kind, &ring_shape()), Ok(pair()));
            }
            Kind::Adapter => assert_eq!(AdapterHead::read(frame), Ok(adapter())),
            Kind::Slots | Kind::Request | Kind::Reply => panic!("there is no sample of {kind:?}"),
        }
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    for (kind, mut bytes) in samples() {
        for bit in 0..8 * bytes.len() {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(read_any(&key(), SEQUENCE, &bytes).is_err(), "{kind:?}, bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn every_truncation_is_noticed() {
    for (kind, bytes) in samples() {
        for length in 0..bytes.len() {
            assert!(read_any(&key(), SEQUENCE, &bytes[..length]).is_err(), "{kind:?}, {length}");
        }
    }
}

#[test]
fn frames_of_others_are_refused() {
    for (_, bytes) in samples() {
        let wrong_key = read_any(&TransportKey::checksum(), SEQUENCE, &bytes);
        assert_eq!(wrong_key, Err(Error::Malformed("a frame that was altered, or a wrong key")));
        let wrong_exchange = read_any(&key(), SEQUENCE + 1, &bytes);
        assert_eq!(wrong_exchange, Err(Error::Malformed("a frame out of order")));
        let key = key();
        let other = Link::accept(&key, DIGEST + 1, LIMIT, source(&bytes)).err();
        assert_eq!(other, Some(Error::Malformed("a frame for other parameters")));
    }
}

#[test]
fn replayed_swapped_and_dropped_frames_are_refused() {
    let key = key();
    let mut link = Link::new(&key, DIGEST, SEQUENCE);
    let frames: Vec<Vec<u8>> = (0..3)
        .map(|index| {
            let mut bytes = Vec::new();
            Progress { index, ..progress() }.write(&mut link, sink(&mut bytes)).unwrap();
            bytes
        })
        .collect();
    for order in [[0, 0, 1], [0, 2, 1], [1, 0, 2], [0, 1, 1]] {
        let mut link = Link::new(&key, DIGEST, SEQUENCE);
        let good = order.iter().zip(0..).take_while(|&(&found, index)| found == index).count();
        for (place, &number) in order.iter().enumerate() {
            let found = link.reader(LIMIT, source(&frames[number])).and_then(Progress::read);
            assert_eq!(found.is_ok(), place < good, "{order:?} at {place}");
            if found.is_err() {
                break;
            }
        }
    }
}

#[test]
fn lengths_are_checked_before_anything_is_read() {
    let mut header = Header {
        kind: Kind::EvaluationKey,
        digest: DIGEST,
        sequence: SEQUENCE,
        part: 0,
        length: u32::MAX,
    };
    let too_long = read_any(&key(), SEQUENCE, &header.to_bytes());
    assert_eq!(too_long, Err(Error::Malformed("a frame that is too long")));
    header.kind = Kind::Upload;
    header.length = 100;
    let wrong = read_any(&key(), SEQUENCE, &header.to_bytes());
    assert_eq!(wrong, Err(Error::Malformed("a body of the wrong length")));
}

#[test]
fn unknown_magic_version_and_kind_are_named() {
    let bytes = samples()[0].1.clone();
    let altered = |place: usize| {
        let mut bytes = bytes.clone();
        bytes[place] ^= 0x40;
        read_any(&key(), SEQUENCE, &bytes)
    };
    assert_eq!(altered(0), Err(Error::Malformed("not a frame of this project")));
    assert_eq!(altered(4), Err(Error::Malformed("a frame of another version")));
    assert_eq!(altered(6), Err(Error::Malformed("a frame of an unknown kind")));
    assert_eq!(altered(8), Err(Error::Malformed("a frame for other parameters")));
}

/// A frame with a right tag around any body.
fn forged(kind: Kind, body: &[u8]) -> Vec<u8> {
    let (key, mut bytes) = (key(), Vec::new());
    let mut link = Link::new(&key, DIGEST, SEQUENCE);
    let length = u32::try_from(body.len()).unwrap();
    let mut frame = link.writer(kind, length, sink(&mut bytes)).unwrap();
    frame.put(body).unwrap();
    frame.finish().unwrap();
    bytes
}

/// The body of a sample.
fn body_of(kind: Kind) -> Vec<u8> {
    let (_, bytes) = samples().into_iter().find(|&(found, _)| found == kind).unwrap();
    bytes[Header::BYTES..bytes.len() - Header::TAG].to_vec()
}

#[test]
fn residues_at_or_above_the_prime_are_refused_in_every_place() {
    for place in 0..SMALL_DEGREE {
        for value in [0x1fc_0001, 0x1ff_ffff] {
            let mut limb = residues(primes()[0], SMALL_DEGREE, 2);
            limb[place] = value;
            let mut packed = Vec::new();
            bits::pack(&limb, primes()[0], sink(&mut packed)).unwrap();
            for (kind, start) in [(Kind::Upload, 36), (Kind::Answer, 12), (Kind::EvaluationKey, 56)]
            {
                let mut body = body_of(kind);
                body[start..][..packed.len()].copy_from_slice(&packed);
                let found = read_any(&key(), SEQUENCE, &forged(kind, &body));
                assert_eq!(found, Err(Error::ResidueOutOfRange { modulus: 0x1fc_0001 }));
            }
        }
    }
    let mut body = body_of(Kind::Answer);
    let end = body.len();
    body[end - 4..].copy_from_slice(&0x1fc_0001_u32.to_le_bytes());
    let found = read_any(&key(), SEQUENCE, &forged(Kind::Answer, &body));
    assert_eq!(found, Err(Error::ResidueOutOfRange { modulus: 0x1fc_0001 }));
}

#[test]
fn bodies_that_contradict_themselves_are_refused() {
    let with = |kind, place: usize, bytes: &[u8]| {
        let mut body = body_of(kind);
        body[place..][..bytes.len()].copy_from_slice(bytes);
        read_any(&key(), SEQUENCE, &forged(kind, &body))
    };
    let malformed = |why| Err(Error::Malformed(why));
    let count = with(Kind::Upload, 0, &[3]);
    assert_eq!(count, malformed("another number of ciphertexts"));
    let count = with(Kind::Answer, 8, &[3]);
    assert_eq!(count, malformed("a number of entries against the length"));
    for scale in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let scale = with(Kind::Answer, 0, &scale.to_le_bytes());
        assert_eq!(scale, malformed("a scale that is not a positive number"));
    }
    let last = body_of(Kind::Answer).len() - 8;
    assert_eq!(with(Kind::Answer, last, &[36]), malformed("a position beyond the degree"));
    assert_eq!(with(Kind::Progress, 12, &[0xff]), malformed("a text that is not UTF-8"));
    assert_eq!(with(Kind::Provision, 64, &[0xff]), malformed("not a ternary secret"));
    assert_eq!(with(Kind::EvaluationKey, 16, &[0x35]), malformed("a basis against the length"));
    assert_eq!(with(Kind::EvaluationKey, 21, &[1]), malformed("a basis against the length"));
    assert_eq!(with(Kind::EvaluationKey, 12, &[1]), malformed("a basis against the length"));
    // 36 residues of 25 bits end in the middle of a byte.
    let end = 36 + packed_len(SMALL_DEGREE, primes()[0]) - 1;
    let byte = body_of(Kind::Upload)[end] | 0x80;
    assert_eq!(with(Kind::Upload, end, &[byte]), malformed("padding that is not zero"));
}

#[test]
fn pairs_and_adapters_that_contradict_themselves_are_refused() {
    let with = |kind, place: usize, bytes: &[u8]| {
        let mut body = body_of(kind);
        body[place..][..bytes.len()].copy_from_slice(bytes);
        read_any(&key(), SEQUENCE, &forged(kind, &body))
    };
    let malformed = |why| Err(Error::Malformed(why));
    for kind in [Kind::PublicKey, Kind::Ciphertext] {
        assert_eq!(with(kind, 4, &[1]), malformed("a basis against the length"));
        assert_eq!(with(kind, 16, &[0b1110]), malformed("a basis against the length"));
        assert_eq!(with(kind, 17, &[1]), malformed("a basis against the length"));
        let scale = with(kind, 8, &f64::NAN.to_le_bytes());
        assert_eq!(scale, malformed("a scale that is not a positive number"));
        // 26 ones are no residue below a prime of 26 bits, in either half.
        let half = (body_of(kind).len() - 24) / 2;
        for start in [24, 24 + half] {
            let found = with(kind, start, &[0xff; 4]);
            assert_eq!(found, Err(Error::ResidueOutOfRange { modulus: 0x21c_0001 }));
        }
    }
    for scaling in [0.0, -1.0, f64::NAN] {
        let scaling = with(Kind::Adapter, 16, &f64::to_le_bytes(scaling));
        assert_eq!(scaling, malformed("a scaling that is not a positive number"));
    }
    for place in [24, 28] {
        let empty = with(Kind::Adapter, place, &[0; 4]);
        assert_eq!(empty, malformed("an adapter without layers or rank"));
    }
}

#[test]
fn answers_with_more_entries_than_room_are_refused() {
    let mut body = body_of(Kind::Answer);
    body.extend_from_slice(&[0; 24]);
    body[8] = 5;
    let found = read_any(&key(), SEQUENCE, &forged(Kind::Answer, &body));
    assert_eq!(found, Err(Error::Malformed("too many entries")));
}

#[test]
fn texts_are_cut_at_characters_and_long_ones_refused() {
    assert_eq!(Text::<32>::new("é".repeat(20).as_str()).as_str(), "é".repeat(16));
    assert_eq!(Text::<5>::new("aééé").as_str(), "aéé");
    let body = [b'x'; 12 + 33];
    let found = read_any(&key(), SEQUENCE, &forged(Kind::Progress, &body));
    assert_eq!(found, Err(Error::Malformed("a text that is too long")));
}

#[test]
fn headers_have_the_documented_bytes() {
    let header = Header {
        kind: Kind::Answer,
        digest: 0x1122_3344_5566_7788,
        sequence: 0x99aa,
        part: 3,
        length: 0x0102_0304,
    };
    let expected = [
        b'H', b'E', b'L', b'M', 1, 0, 2, 0, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0xaa,
        0x99, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 4, 3, 2, 1,
    ];
    assert_eq!(header.to_bytes(), expected);
    assert_eq!(Header::parse(&expected), Ok(header));
}

#[test]
fn an_upload_of_64_tokens_fits_its_budget() {
    let shape = UploadShape { degree: 4096, primes: [prime(0x1fc_0001); 2], count: 2 };
    assert_eq!(shape.length(), 36 + 2 * 2 * 12_800);
    assert!(2 * shape.length() < 110_000, "a sentence of 128 tokens");
    assert!(Answer::length(4096, 16, prime(0x1fc_0001)) < 16_384);
}

proptest! {
    #[test]
    fn packing_is_undone_and_has_the_declared_length(
        bits in 2_u32..=31,
        words in prop::collection::vec(any::<u32>(), 0..200),
    ) {
        let q = prime((1 << bits) - 1);
        let words: Vec<u32> = words.iter().map(|w| w % q.value()).collect();
        let mut bytes = Vec::new();
        bits::pack(&words, q, sink(&mut bytes)).unwrap();
        prop_assert_eq!(bytes.len(), packed_len(words.len(), q));
        // The definition: bit k of the stream is bit k mod width of word k / width.
        for (i, word) in words.iter().enumerate() {
            for bit in 0..bits as usize {
                let k = i * bits as usize + bit;
                prop_assert_eq!((bytes[k / 8] >> (k % 8)) & 1, (word >> bit).to_le_bytes()[0] & 1);
            }
        }
        let mut found = vec![0; words.len()];
        bits::unpack(&mut found, q, source(&bytes)).unwrap();
        prop_assert_eq!(found, words);
    }

    #[test]
    fn mutated_frames_are_refused(
        which in 0_usize..9,
        edits in prop::collection::vec((any::<prop::sample::Index>(), 1_u8..), 1..8),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let (_, original) = samples().swap_remove(which);
        let mut bytes = original.clone();
        for (place, change) in edits {
            bytes[place.index(original.len())] ^= change;
        }
        if let Some(place) = cut {
            bytes.remove(place.index(original.len()));
        }
        prop_assume!(bytes != original);
        prop_assert!(read_any(&key(), SEQUENCE, &bytes).is_err());
    }

    #[test]
    fn spliced_frames_are_refused(
        left in 0_usize..9,
        right in 0_usize..9,
        cut in any::<prop::sample::Index>(),
    ) {
        let all = samples();
        let (left, right) = (&all[left].1, &all[right].1);
        let cut = cut.index(left.len().min(right.len()));
        let spliced = [&left[..cut], &right[cut..]].concat();
        prop_assume!(&spliced != left && &spliced != right);
        prop_assert!(read_any(&key(), SEQUENCE, &spliced).is_err());
    }

    #[test]
    fn noise_after_a_good_header_is_refused(
        kind in 1_u16..=12,
        length in 0_u32..600,
        noise in prop::collection::vec(any::<u8>(), 0..700),
    ) {
        let kind = Kind::parse(kind).unwrap();
        let header = Header { kind, digest: DIGEST, sequence: SEQUENCE, part: 0, length };
        let bytes = [&header.to_bytes()[..], &noise].concat();
        prop_assert!(read_any(&key(), SEQUENCE, &bytes).is_err());
    }
}
