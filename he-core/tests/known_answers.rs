//! Seeds, samplers, the edge ring and frames against an independent implementation:
//! `kat/edge.txt` is what `python3 kat/edge.py` prints.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use he_core::edge::{EdgeKey, EdgeRing, LimbSink, Workspace};
use he_core::modulus::{Factor, Modulus};
use he_core::ntt::NttTable;
use he_core::primes::primitive_root_2n;
use he_core::sample::{
    MessageDigest, MessageSeeds, SecretSeed, Seed, Ternary, domain, errors, uniform,
};
use he_core::wire::{Link, TransportKey, UploadShape, UploadWriter};

const ANSWERS: &str = include_str!("kat/edge.txt");
const PRIMES: [u32; 2] = [0x1fc_0001, 0x1f6_0001];
const DEGREE: usize = 64;

/// The numbers of a line.
fn answer(name: &str) -> Vec<i64> {
    let mut lines = ANSWERS.lines().map(|line| line.split(' '));
    let numbers = lines.find_map(|mut words| (words.next() == Some(name)).then_some(words));
    numbers.unwrap().map(|word| word.parse().unwrap()).collect()
}

fn wide<T: Into<i64>>(values: impl IntoIterator<Item = T>) -> Vec<i64> {
    values.into_iter().map(Into::into).collect()
}

fn bytes(start: u8) -> [u8; 32] {
    core::array::from_fn(|i| start + u8::try_from(i).unwrap())
}

fn master() -> SecretSeed {
    SecretSeed::new(bytes(100))
}

fn message_seeds() -> MessageSeeds {
    let mut digest = MessageDigest::new(&master());
    digest.update(b"a sentence of the test");
    MessageSeeds::derive(&master(), (1 << 40) + 9, &bytes(200), &digest)
}

#[test]
fn uniform_residues_are_known() {
    for q in [0x1fc_0001, 0x21c_0001, 0x3ffc_0001] {
        let mut found = [0_u32; 40];
        let modulus = Modulus::new(q).unwrap();
        uniform(&Seed::new(bytes(0)), domain::EVALUATION_KEY, 7, modulus, &mut found);
        assert_eq!(wide(found), answer(&format!("uniform-{q}")));
    }
}

#[test]
fn errors_and_secrets_are_known() {
    let mut found = [0; 100];
    errors(&master(), 3, &mut found);
    assert_eq!(wide(found), answer("errors"));
    let found = Ternary::uniform(&master(), 4, [0; 25]);
    assert_eq!(wide(found.coefficients()), answer("ternary"));
    let found = Ternary::with_weight(&master(), 5, 9, [0; 25]).unwrap();
    assert_eq!(wide(found.coefficients()), answer("sparse"));
    let mut found = [0; 40];
    errors(&master().derive(11, 12), 0, &mut found);
    assert_eq!(wide(found), answer("derive"));
}

/// Takes limbs twice: as they are, and in a frame.
struct Both<'a, S> {
    limbs: &'a mut Vec<Vec<u32>>,
    frame: S,
}

impl<S: LimbSink> LimbSink for Both<'_, S> {
    type Error = S::Error;

    fn put(&mut self, prime: usize, limb: &[u32]) -> Result<(), S::Error> {
        self.limbs.push(limb.to_vec());
        self.frame.put(prime, limb)
    }
}

#[test]
fn an_upload_is_known_to_its_last_byte() {
    let mut tables = PRIMES.map(|prime| {
        let modulus = Modulus::new(prime).unwrap();
        (modulus, vec![Factor::default(); DEGREE], vec![Factor::default(); DEGREE])
    });
    let rings = tables.each_mut().map(|(modulus, roots, inverse_roots)| {
        let psi = primitive_root_2n(*modulus, 64).unwrap();
        EdgeRing::of(&NttTable::new(*modulus, psi, roots, inverse_roots).unwrap()).unwrap()
    });
    let primes = rings.map(|ring| ring.modulus());
    let secret = Ternary::uniform(&master(), 8, [0; DEGREE / 4]);
    let (mut first, mut second) = ([0; DEGREE], [0; DEGREE]);
    let key = EdgeKey::expand(&secret, rings, [&mut first, &mut second]).unwrap();
    let seeds = message_seeds();
    assert_eq!(wide(*seeds.mask.as_bytes()), answer("mask-seed"));

    let transport = TransportKey::new(master());
    let mut link = Link::new(&transport, 0x1122_3344_5566_7788, (1 << 33) + 5);
    let shape = UploadShape { degree: DEGREE, primes, count: 1 };
    let (mut limbs, mut frame) = (Vec::new(), Vec::new());
    let write = |piece: &[u8]| {
        frame.extend_from_slice(piece);
        Ok::<(), he_core::Error>(())
    };
    let upload = UploadWriter::start(&mut link, &shape, &seeds.mask, write).unwrap();
    let message = |i| {
        let i = i32::try_from(i).unwrap();
        (i * i * 7919 + 12345) % (1 << 26) - (1 << 25)
    };
    let (mut words, mut small) = ([0; DEGREE], [0; DEGREE]);
    let mut workspace = Workspace { limb: &mut words, errors: &mut small };
    let mut sink = Both { limbs: &mut limbs, frame: upload };
    key.encrypt(&seeds, 6, message, &mut workspace, &mut sink).unwrap();
    sink.frame.finish().unwrap();

    for (limb, prime) in limbs.into_iter().zip(PRIMES) {
        assert_eq!(wide(limb), answer(&format!("body-{prime}")));
    }
    assert_eq!(wide(frame), answer("upload"));
}
