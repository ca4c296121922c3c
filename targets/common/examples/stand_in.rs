//! Stands in for a server and for a key authority, towards the client on a board: knows its secret, and so can
//! check what it sends and choose what it gets back.
//!
//! ```text
//! stand_in authority
//! stand_in server REPLY…
//! ```
//!
//! Prints `listening on ADDRESS`, and serves one connection: as the authority, the secrets; as the server,
//! replies to uploads of [`SENTENCE`], each of which must be what the sentence is encrypted to. A reply is
//! `answer`, `short` (an answer with one number too few) or `refuse`.
#![expect(clippy::unwrap_used, reason = "a test helper that fails, fails the test")]

use std::env;
use std::io::{Read, Write};
use std::net::TcpListener;

use he_core::edge::{DEGREE, EdgeKey, EdgeSecret};
use he_core::params::EDGE_128;
use he_core::sample::{SecretSeed, Seed, Ternary, domain, uniform};
use he_core::wire::{
    Answer, AnswerEntry, Link, Progress, Provision, Refusal, Text, TransportKey, Upload,
    UploadShape,
};
use he_firmware::model::{CIPHERTEXTS, SCALE_BITS, TOKENS, embedding, rings, tokenizer};
use he_nn::client::input::Input;

/// What is asked.
pub(crate) const SENTENCE: &str = "a gripping, funny and deeply human film .";
const SCALE: f64 = 65536.0;

fn main() {
    let words: Vec<String> = env::args().skip(1).collect();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("listening on {}", listener.local_addr().unwrap());
    let (port, _) = listener.accept().unwrap();
    match words.split_first() {
        Some((role, [])) if role == "authority" => provision(&port),
        Some((role, replies)) if role == "server" => {
            let replies: Vec<_> = replies.iter().map(|word| reply(word)).collect();
            serve(&port, &port, &replies);
        }
        _ => panic!("stand_in authority, or stand_in server REPLY…"),
    }
}

fn reply(word: &str) -> Reply {
    match word {
        "answer" => Reply::Numbers([-1.5, 0.5, 1.0]),
        "short" => Reply::TooShort,
        "refuse" => Reply::Refuse,
        _ => panic!("there is no reply {word}"),
    }
}

/// What the server does with a question.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reply {
    /// Logits and canary.
    Numbers([f64; 3]),
    /// An answer with one number too few.
    TooShort,
    Refuse,
}

fn secret() -> EdgeSecret {
    Ternary::uniform(&SecretSeed::new([2; 32]), 0, [0; DEGREE / 4])
}

fn transport() -> TransportKey {
    TransportKey::new(SecretSeed::new([7; 32]))
}

/// Runs `work` with the secret's key.
fn with_key<T>(work: impl FnOnce(&EdgeKey<'_>) -> T) -> T {
    let (mut first, mut second) = (vec![0; DEGREE], vec![0; DEGREE]);
    work(&EdgeKey::expand(&secret(), rings(), [&mut first, &mut second]).unwrap())
}

/// Gives a device its secrets.
pub(crate) fn provision(mut port: impl Write) {
    let checksum = TransportKey::checksum();
    let mut link = Link::new(&checksum, EDGE_128.digest(), 1);
    let messages = SecretSeed::new([3; 32]);
    let secrets = Provision { transport: transport(), messages, secret: secret() };
    secrets.write(&mut link, |bytes: &[u8]| port.write_all(bytes)).unwrap();
}

/// Answers questions until there are no replies left, and checks each upload.
pub(crate) fn serve(mut reader: impl Read, mut port: impl Write, replies: &[Reply]) {
    let primes = rings().map(|ring| ring.modulus());
    let shape = UploadShape { degree: DEGREE, primes, count: u32::try_from(CIPHERTEXTS).unwrap() };
    for &reply in replies {
        let transport = transport();
        let read = |bytes: &mut [u8]| {
            reader.read_exact(bytes).map_err(|_| he_core::Error::Malformed("the end"))
        };
        let accepted = Link::accept(&transport, EDGE_128.digest(), shape.length(), read);
        let (mut link, frame) = accepted.map_err(|error| format!("{error}")).unwrap();
        check_upload(&Upload::read(frame, &shape).unwrap());

        let mut write = |bytes: &[u8]| port.write_all(bytes);
        let stage = Progress { index: 0, total: 1, millis: 5, stage: Text::new("a \"stage\"") };
        stage.write(&mut link, &mut write).unwrap();
        if let Reply::Refuse = reply {
            let refusal = Refusal { code: 4, needed: 12, text: Text::new("not now") };
            refusal.write(&mut link, &mut write).unwrap();
            continue;
        }
        let mut mask = vec![0; DEGREE];
        uniform(&Seed::new([5; 32]), domain::EDGE_MASK, 0, primes[0], &mut mask);
        let mut products = mask.clone();
        let numbers = if let Reply::Numbers(numbers) = reply { numbers } else { [0.0; 3] };
        let entries = with_key(|key| {
            let decryption = key.decrypt(0, &mut products);
            let mut position = 0;
            numbers.map(|number| {
                position += 64;
                let product = decryption.coefficient(position as usize, 0);
                #[expect(clippy::cast_possible_truncation, reason = "small numbers")]
                let body = (number * SCALE) as i64 - i64::from(product);
                AnswerEntry { position, body: primes[0].reduce_signed(body) }
            })
        });
        let used = if let Reply::TooShort = reply { &entries[..2] } else { &entries };
        let answer = Answer { scale: SCALE, mask: &mask, entries: used };
        answer.write(&mut link, primes[0], &mut write).unwrap();
    }
}

/// Decrypts what the device sent: the sentence's messages, apart from errors.
fn check_upload(upload: &Upload) {
    let (tokenizer, table) = (tokenizer().unwrap(), embedding().unwrap());
    let input = Input::<TOKENS>::new(&tokenizer, table, SENTENCE, SCALE_BITS).unwrap();
    with_key(|key| {
        for (index, bodies) in upload.bodies.iter().enumerate() {
            for (prime, body) in bodies.iter().enumerate() {
                let q = key.rings()[prime].modulus();
                let mut mask = vec![0; DEGREE];
                let number = u32::try_from(index).unwrap();
                uniform(&upload.masks, domain::EDGE_MASK, number, q, &mut mask);
                let decryption = key.decrypt(prime, &mut mask);
                for (i, &b) in body.iter().enumerate() {
                    let message = i64::from(input.coefficient(DEGREE, index, i));
                    let found = i64::from(decryption.coefficient(i, b));
                    let error = q.centred(q.reduce_signed(found - message));
                    assert!(error.abs() <= 21, "coefficient {i} of {index} is off by {error}");
                }
            }
        }
    });
}
