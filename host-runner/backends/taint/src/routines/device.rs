//! Routines of a device.

use core::convert::Infallible;
use core::hint::black_box;

use he_core::edge::{
    BASE_PRIMES, DEGREE, EdgeKey, EdgeRing, EdgeSecret, EdgeTable, LimbSink, Workspace,
};
use he_core::params::EDGE_128;
use he_core::sample::{self, MessageDigest, MessageSeeds, SecretSeed, Seed, Ternary};
use he_core::wire::{Kind, Link, Provision, TransportKey};
use he_nn::client::embedding::EmbeddingTable;
use he_nn::client::input::Input;

use super::seed;

const TOKENS: usize = 64;
const WIDTH: usize = 128;
/// Any public seed.
pub(crate) const MASK: Seed = Seed::new([7; Seed::BYTES]);
/// The roots of unity that the base primes are used with.
const ROOTS: [u32; BASE_PRIMES] = [27628, 7678];

static TABLES: [EdgeTable<DEGREE>; BASE_PRIMES] = [
    EdgeTable::new(EDGE_128.terminals[0], ROOTS[0]).unwrap(),
    EdgeTable::new(EDGE_128.terminals[1], ROOTS[1]).unwrap(),
];

fn rings() -> [EdgeRing<'static>; BASE_PRIMES] {
    TABLES.each_ref().map(EdgeTable::ring)
}

fn ternary(secret: &[u8]) -> EdgeSecret {
    Ternary::uniform(&SecretSeed::new(seed(secret, 0)), 0, [0; DEGREE / 4])
}

pub(crate) fn secret_seed(secret: &[u8], index: usize) -> SecretSeed {
    SecretSeed::new(seed(secret, index))
}

pub(crate) fn uniform_secret(secret: &[u8]) -> Box<dyn FnMut()> {
    let secret = secret.to_vec();
    Box::new(move || {
        black_box(ternary(&secret).packed());
    })
}

pub(crate) fn residues(secret: &[u8]) -> Box<dyn FnMut()> {
    let (secret, mut limb) = (ternary(secret), vec![0; DEGREE]);
    Box::new(move || secret.residues(rings()[0].modulus(), black_box(&mut limb)))
}

pub(crate) fn errors(secret: &[u8]) -> Box<dyn FnMut()> {
    let (seed, mut errors) = (secret_seed(secret, 1), vec![0; DEGREE]);
    Box::new(move || sample::errors(&seed, 0, black_box(&mut errors)))
}

pub(crate) fn message_seeds(secret: &[u8]) -> Box<dyn FnMut()> {
    let (key, secret) = (secret_seed(secret, 2), secret.to_vec());
    Box::new(move || {
        let mut digest = MessageDigest::new(&key);
        digest.update(&secret[..1000]);
        black_box(MessageSeeds::derive(&key, 1, &seed(&secret, 3), &digest));
    })
}

/// Keeps nothing.
pub(crate) struct Nowhere;

impl LimbSink for Nowhere {
    type Error = Infallible;

    fn put(&mut self, _: usize, limb: &[u32]) -> Result<(), Infallible> {
        black_box(limb);
        Ok(())
    }
}

/// Memory for a key and for one encryption or decryption.
struct Buffers {
    secrets: [Vec<u32>; BASE_PRIMES],
    limb: Vec<u32>,
    errors: Vec<i8>,
}

impl Buffers {
    fn new() -> Self {
        let limb = || vec![0; DEGREE];
        Self { secrets: [limb(), limb()], limb: limb(), errors: vec![0; DEGREE] }
    }

    fn open(&mut self, secret: &EdgeSecret) -> (EdgeKey<'_>, Workspace<'_>) {
        let [first, second] = &mut self.secrets;
        let key = EdgeKey::expand(secret, rings(), [first, second]).expect("one degree");
        (key, Workspace { limb: &mut self.limb, errors: &mut self.errors })
    }
}

pub(crate) fn edge_key(secret: &[u8]) -> Box<dyn FnMut()> {
    let (secret, mut buffers) = (ternary(secret), Buffers::new());
    Box::new(move || {
        black_box(buffers.open(&secret));
    })
}

pub(crate) fn edge_encryption(secret: &[u8]) -> Box<dyn FnMut()> {
    let (key, mut buffers) = (ternary(secret), Buffers::new());
    let seeds = MessageSeeds { mask: MASK, error: secret_seed(secret, 1) };
    let message: Vec<i32> =
        secret.as_chunks().0.iter().map(|&x| i32::from_le_bytes(x) >> 3).collect();
    Box::new(move || {
        let (key, mut workspace) = buffers.open(&key);
        let Ok(()) = key.encrypt(&seeds, 0, |i| message[i], &mut workspace, &mut Nowhere);
    })
}

pub(crate) fn edge_decryption(secret: &[u8]) -> Box<dyn FnMut()> {
    let (secret, mut buffers) = (ternary(secret), Buffers::new());
    Box::new(move || {
        let (key, workspace) = buffers.open(&secret);
        let q = key.rings()[0].modulus();
        sample::uniform(&MASK, sample::domain::EDGE_MASK, 0, q, workspace.limb);
        let decryption = key.decrypt(0, workspace.limb);
        black_box(
            (0..DEGREE).fold(0, |sum: i32, i| sum.wrapping_add(decryption.coefficient(i, 1))),
        );
    })
}

/// From rows of the tables on: which rows are read depends on the sentence, and is excepted.
pub(crate) fn embedding(secret: &[u8]) -> Box<dyn FnMut()> {
    let (pieces, positions) =
        (secret[..32 * WIDTH].to_vec(), secret[32 * WIDTH..][..TOKENS * WIDTH].to_vec());
    Box::new(move || {
        let table = EmbeddingTable::new(&pieces, &positions, WIDTH).expect("whole rows");
        let input = Input::<TOKENS>::from_ids(table, &[2, 5, 9, 31, 0, 3], 28).expect("a sentence");
        black_box(
            (0..DEGREE).fold(0, |sum: i32, i| sum.wrapping_add(input.coefficient(DEGREE, 0, i))),
        );
    })
}

pub(crate) fn frame(secret: &[u8]) -> Box<dyn FnMut()> {
    let key = TransportKey::new(secret_seed(secret, 4));
    let body = secret[..4096].to_vec();
    Box::new(move || {
        let mut link = Link::new(&key, 1, 1);
        let mut write = |bytes: &[u8]| {
            black_box(bytes);
            Ok::<(), Infallible>(())
        };
        let Ok(mut frame) = link.writer(Kind::Upload, 4096, &mut write);
        let Ok(()) = frame.put(&body);
        let Ok(()) = frame.finish();
    })
}

pub(crate) fn provision(secret: &[u8]) -> Box<dyn FnMut()> {
    let bytes = provisioned(secret);
    Box::new(move || {
        let (checksum, mut rest) = (TransportKey::checksum(), &bytes[..]);
        let read = |piece: &mut [u8]| -> Result<(), he_core::Error> {
            let (head, tail) = rest.split_at(piece.len());
            piece.copy_from_slice(head);
            rest = tail;
            Ok(())
        };
        let frame = Link::new(&checksum, 1, 1).reader(1 << 12, read).expect("a frame");
        black_box(Provision::read(frame, [0; DEGREE / 4]).is_ok());
    })
}

fn provisioned(secret: &[u8]) -> Vec<u8> {
    let provision = Provision {
        transport: TransportKey::new(secret_seed(secret, 5)),
        messages: secret_seed(secret, 6),
        secret: ternary(secret),
    };
    let (checksum, mut bytes) = (TransportKey::checksum(), Vec::new());
    let write = |piece: &[u8]| {
        bytes.extend_from_slice(piece);
        Ok::<(), Infallible>(())
    };
    let Ok(()) = provision.write(&mut Link::new(&checksum, 1, 1), write);
    he_taint::public(&bytes[bytes.len() - 16..]);
    bytes
}
