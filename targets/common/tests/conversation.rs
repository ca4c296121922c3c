//! The whole client on the host, with a key authority, an operator and a server that knows the
//! secret and so can check what the device sent and choose what it gets back.
#![expect(clippy::unwrap_used, reason = "a test helper that fails, fails the test")]

use core::fmt::Arguments;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;

use he_core::edge::{DEGREE, EdgeKey, EdgeSecret};
use he_core::params::EDGE_128;
use he_core::sample::{SecretSeed, Ternary, domain, uniform};
use he_core::wire::{
    Answer, AnswerEntry, Link, Progress, Provision, Refusal, Text, TransportKey, Upload,
    UploadShape,
};
use he_firmware::client::{self, Links};
use he_firmware::machine::{Entropy, Exhausted, Machine, Memory};
use he_firmware::model::{CIPHERTEXTS, SCALE_BITS, TOKENS, embedding, rings, tokenizer};
use he_nn::client::input::Input;

const SCALE: f64 = 65536.0;
const SENTENCE: &str = "a gripping, funny and deeply human film .";

/// A socket as the device sees its serial port.
struct Port(UnixStream);

impl embedded_io::ErrorType for Port {
    type Error = embedded_io::ErrorKind;
}

impl embedded_io::Read for Port {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Self::Error> {
        Read::read(&mut self.0, bytes).map_err(|_| embedded_io::ErrorKind::Other)
    }
}

impl embedded_io::Write for Port {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        Write::write(&mut self.0, bytes).map_err(|_| embedded_io::ErrorKind::Other)
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// A board that counts, and keeps its secrets, while it is not dropped.
#[derive(Default)]
struct Host(u64, Vec<u8>);

impl Machine for Host {
    fn instructions(&mut self) -> u64 {
        0
    }
    fn ram_high_water(&self) -> usize {
        1
    }
    fn print(&mut self, _: Arguments<'_>) {}
}

impl Entropy for Host {
    fn fresh(&mut self) -> Result<[u8; 32], Exhausted> {
        Ok([self.0.to_le_bytes()[0]; 32])
    }
    fn sequence(&mut self) -> Result<u64, Exhausted> {
        self.0 += 1;
        Ok(self.0)
    }
}

impl Memory for Host {
    fn recall(&mut self, secrets: &mut [u8]) -> Result<bool, Exhausted> {
        let is_kept = !self.1.is_empty();
        if is_kept {
            secrets.copy_from_slice(&self.1);
        }
        Ok(is_kept)
    }

    fn keep(&mut self, secrets: &mut [u8], first: u64) -> Result<(), Exhausted> {
        self.0 = self.0.max(first - 1);
        self.1 = secrets.to_vec();
        secrets.fill(0);
        Ok(())
    }
}

/// What the server does with a question.
#[derive(Clone, Copy)]
enum Reply {
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

fn provision(mut port: UnixStream) {
    let checksum = TransportKey::checksum();
    let mut link = Link::new(&checksum, EDGE_128.digest(), 1);
    let messages = SecretSeed::new([3; 32]);
    let secrets = Provision { transport: transport(), messages, secret: secret() };
    secrets.write(&mut link, |bytes: &[u8]| port.write_all(bytes)).unwrap();
}

/// Answers questions until there are no replies left, and checks each upload.
fn serve(mut port: UnixStream, replies: &[Reply]) {
    let primes = rings().map(|ring| ring.modulus());
    let shape = UploadShape { degree: DEGREE, primes, count: u32::try_from(CIPHERTEXTS).unwrap() };
    for &reply in replies {
        let transport = transport();
        let mut reader = port.try_clone().unwrap();
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
        uniform(&he_core::sample::Seed::new([5; 32]), domain::EDGE_MASK, 0, primes[0], &mut mask);
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

/// The device's lines after each of the operator's. The authority is there unless the board is
/// provisioned.
fn converse(board: &mut Host, lines: &[&str], replies: &[Reply]) -> Vec<String> {
    let (server, server_end) = UnixStream::pair().unwrap();
    let (authority, authority_end) = UnixStream::pair().unwrap();
    let (operator, operator_end) = UnixStream::pair().unwrap();
    thread::scope(|scope| {
        if board.1.is_empty() {
            scope.spawn(move || provision(authority_end));
        }
        scope.spawn(move || serve(server_end, replies));
        scope.spawn(move || {
            let links = Links {
                server: Port(server),
                authority: Port(authority),
                operator: Port(operator),
            };
            client::run(links, board).unwrap_err()
        });
        let mut keyboard = operator_end.try_clone().unwrap();
        for line in lines {
            writeln!(keyboard, "{line}").unwrap();
        }
        keyboard.shutdown(std::net::Shutdown::Write).unwrap();
        BufReader::new(operator_end).lines().map_while(Result::ok).collect()
    })
}

#[test]
fn the_device_answers_refuses_and_goes_on_until_its_links_fail() {
    let long = "film ".repeat(100);
    let longest = "x".repeat(2000);
    let sentences = [SENTENCE, "", &long, &longest, SENTENCE, SENTENCE, SENTENCE, SENTENCE];
    let replies = [
        Reply::Numbers([-1.5, 0.5, 1.0]),
        Reply::Refuse,
        Reply::Numbers([2.0, -2.0, 1.0]),
        Reply::Numbers([2.0, -2.0, 0.25]),
        Reply::TooShort,
    ];
    let mut board = Host::default();
    let said = converse(&mut board, &sentences, &replies);
    let events: Vec<_> = said.iter().filter(|line| !line.contains("\"ready\"")).collect();
    let expected = [
        "\"tokens\"",
        "\"sent\"",
        "\"stage\": \"a \\\"stage\\\"\"",
        "\"label\": \"positive\", \"logits\": [-1.500000, 0.500000]",
        "the sentence is empty",
        "more than 62 word pieces",
        "more than 1024 bytes",
        "\"tokens\"",
        "\"sent\"",
        "\"stage\"",
        "\"message\": \"not now\"",
        "refused with code 4",
        "\"tokens\"",
        "\"sent\"",
        "\"stage\"",
        "\"label\": \"negative\"",
        "\"tokens\"",
        "\"sent\"",
        "\"stage\"",
        "canary is broken",
        "\"tokens\"",
        "\"sent\"",
        "\"stage\"",
        "an answer of the wrong length",
    ];
    for (line, expected) in events.iter().zip(expected) {
        assert!(line.contains(expected), "{line} does not say {expected}");
    }
    assert_eq!(events.len(), expected.len(), "{events:#?}");

    // After a restart the device knows its secrets, and its numbers go on.
    let number = board.0;
    let said = converse(&mut board, &[SENTENCE], &[Reply::Numbers([-1.5, 0.5, 1.0])]);
    assert!(said.iter().any(|line| line.contains("\"label\": \"positive\"")), "{said:#?}");
    assert!(board.0 > number);
}
