//! What a server does with uploads that are altered, cut short, too long, replayed or too slow.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use core::net::SocketAddr;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;

use anyhow::Result;
use he_core::edge::LimbSink;
use he_core::modulus::Modulus;
use he_core::sample::{SecretSeed, Seed};
use he_core::wire::{
    AnswerEntry, Header, Kind, Link, TransportKey, Upload, UploadShape, UploadWriter,
};
use he_nn::stage::Event;
use host_runner::engine::EncryptedAnswer;
use host_runner::server::{Answerer, Limits, Server, Until, User};

const DIGEST: u64 = 0x1234_5678_9abc_def0;
const DEGREE: usize = 64;
const PRIMES: [u32; 2] = [33_292_289, 32_899_073];

fn transport() -> TransportKey {
    TransportKey::new(SecretSeed::new([7; 32]))
}

fn shape() -> UploadShape {
    UploadShape { degree: DEGREE, primes: PRIMES.map(|q| Modulus::new(q).unwrap()), count: 1 }
}

/// An upload as it travels.
fn upload(sequence: u64) -> Vec<u8> {
    upload_of(&transport(), sequence)
}

fn upload_of(key: &TransportKey, sequence: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut link = Link::new(key, DIGEST, sequence);
    let write = |piece: &[u8]| {
        bytes.extend_from_slice(piece);
        Ok::<_, he_core::Error>(())
    };
    let mut writer = UploadWriter::start(&mut link, &shape(), &Seed::new([9; 32]), write).unwrap();
    for prime in 0..2 {
        let limb: Vec<u32> = (0..).map(|i: u32| i * 12_345).take(DEGREE).collect();
        writer.put(prime, &limb).unwrap();
    }
    writer.finish().unwrap();
    bytes
}

/// Serves with an answer of zeros while `talk` is talking, and then one good question, which shows
/// that the server still works and ends it; returns how many uploads got through before.
fn serve(limits: Limits, talk: impl FnOnce(&dyn Fn() -> TcpStream) + Send) -> usize {
    let all = serve_until(limits, |connect| {
        talk(connect);
        assert_eq!(kinds(&say(connect(), &upload(u64::MAX))), [Kind::Answer]);
    });
    all - 1
}

/// Serves with an answer of zeros until a connection ends with an answer.
fn serve_until(limits: Limits, talk: impl FnOnce(&dyn Fn() -> TcpStream) + Send) -> usize {
    let got_through = AtomicUsize::new(0);
    let answerer = |_, _: &mut dyn FnMut(_)| {
        got_through.fetch_add(1, Ordering::SeqCst);
        let entries = vec![AnswerEntry::default(); 3];
        Ok(EncryptedAnswer { scale: 1.0, mask: vec![0; DEGREE], entries })
    };
    let transport = transport();
    let users = vec![User::new((shape(), DIGEST), &transport, &answerer)];
    let server = Server::bind("127.0.0.1:0", limits, users).unwrap();
    let address = server.address();
    thread::scope(|scope| {
        scope.spawn(|| server.run(Until::Answered, &|_| {}).unwrap());
        talk(&|| TcpStream::connect(address).unwrap());
    });
    got_through.into_inner()
}

/// Sends bytes, ends the sending side, and returns everything that comes back.
fn say(mut stream: TcpStream, bytes: &[u8]) -> Vec<u8> {
    // The server may have hung up on us by now.
    let _ = stream.write_all(bytes).and_then(|()| stream.shutdown(Shutdown::Write));
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply);
    reply
}

/// What frames there are in a reply.
fn kinds(mut reply: &[u8]) -> Vec<Kind> {
    let mut kinds = Vec::new();
    while let Some(header) = reply.first_chunk() {
        let header = Header::parse(header).unwrap();
        kinds.push(header.kind);
        let frame = Header::BYTES + usize::try_from(header.length).unwrap() + Header::TAG;
        reply = &reply[frame..];
    }
    kinds
}

#[test]
fn no_altered_upload_gets_through() {
    let good = upload(1);
    let count = serve(Limits::default(), |connect| {
        // A bit in every byte, another one each time.
        for place in 0..good.len() {
            let mut bad = good.clone();
            bad[place] ^= 1 << (place % 8);
            let reply = say(connect(), &bad);
            assert!(matches!(kinds(&reply)[..], [] | [Kind::Refusal]), "byte {place}");
        }
    });
    assert_eq!(count, 0);
}

#[test]
fn no_truncated_or_spliced_upload_gets_through() {
    let (good, other) = (upload(1), upload(2));
    let count = serve(Limits::default(), |connect| {
        for length in (0..good.len()).step_by(7) {
            say(connect(), &good[..length]);
            let spliced = [&good[..length], &other[length..]].concat();
            if spliced != good && spliced != other {
                let reply = say(connect(), &spliced);
                assert_eq!(kinds(&reply), [Kind::Refusal], "cut at {length}");
            }
        }
    });
    assert_eq!(count, 0);
}

#[test]
fn a_frame_of_another_version_kind_length_or_parameter_set_is_refused() {
    let good = upload(1);
    let count = serve(Limits::default(), |connect| {
        for (place, bytes) in [
            (0, &b"MLEH"[..]),
            (4, &2u16.to_le_bytes()),
            (6, &(Kind::Answer as u16).to_le_bytes()),
            (6, &77u16.to_le_bytes()),
            (8, &(DIGEST + 1).to_le_bytes()),
            (24, &1u32.to_le_bytes()),
            (28, &u32::MAX.to_le_bytes()),
        ] {
            let mut bad = good.clone();
            bad[place..place + bytes.len()].copy_from_slice(bytes);
            assert_eq!(kinds(&say(connect(), &bad)), [Kind::Refusal], "at {place}");
        }
    });
    assert_eq!(count, 0);
}

#[test]
fn a_replayed_upload_is_refused() {
    let count = serve_until(Limits::default(), |connect| {
        let replayed = [upload(5), upload(6), upload(5)].concat();
        let expected = [Kind::Answer, Kind::Answer, Kind::Refusal];
        assert_eq!(kinds(&say(connect(), &replayed)), expected);
    });
    assert_eq!(count, 2);
}

#[test]
fn one_that_stops_in_the_middle_does_not_hold_the_server() {
    let limits = Limits { frame: Duration::from_millis(200), ..Limits::default() };
    let good = upload(1);
    let count = serve(limits, |connect| {
        let mut stuck = connect();
        stuck.write_all(&good[..100]).unwrap();
        let mut reply = Vec::new();
        let _ = stuck.read_to_end(&mut reply);
    });
    assert_eq!(count, 0);
}

/// A server that serves for as long as the tests run.
fn stay(limits: Limits, answerer: &'static Answerer<'static>) -> SocketAddr {
    stay_for(limits, vec![(transport(), answerer)])
}

/// The same for several users.
fn stay_for(limits: Limits, users: Vec<(TransportKey, &'static Answerer<'static>)>) -> SocketAddr {
    let users = users.into_iter().map(|(transport, answerer)| {
        User::new((shape(), DIGEST), Box::leak(Box::new(transport)), answerer)
    });
    let server = Server::bind("127.0.0.1:0", limits, users.collect()).unwrap();
    let address = server.address();
    thread::spawn(move || server.run(Until::Stopped, &|_| {}).unwrap());
    address
}

fn zeros(_: Upload, _: &mut dyn FnMut(Event)) -> Result<EncryptedAnswer> {
    let entries = vec![AnswerEntry::default(); 3];
    Ok(EncryptedAnswer { scale: 1.0, mask: vec![0; DEGREE], entries })
}

#[test]
fn idle_connections_do_not_keep_others_from_an_answer() {
    let address = stay(Limits::default(), &zeros);
    let idle: Vec<_> = (0..8).map(|_| TcpStream::connect(address).unwrap()).collect();
    let reply = say(TcpStream::connect(address).unwrap(), &upload(1));
    assert_eq!(kinds(&reply), [Kind::Answer]);
    drop(idle);
}

#[test]
fn one_connection_too_many_is_closed() {
    let address = stay(Limits { connections: 1, ..Limits::default() }, &zeros);
    let first = TcpStream::connect(address).unwrap();
    let mut refused = Vec::new();
    TcpStream::connect(address).unwrap().read_to_end(&mut refused).unwrap();
    assert!(refused.is_empty());
    let reply = say(first, &upload(1));
    assert_eq!(kinds(&reply), [Kind::Answer]);
}

#[test]
fn a_panic_in_the_forward_pass_costs_one_answer_and_no_more() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let address = stay(Limits::default(), &|upload, notify| {
        assert!(CALLS.fetch_add(1, Ordering::SeqCst) > 0, "the first one panics");
        zeros(upload, notify)
    });
    let reply = say(TcpStream::connect(address).unwrap(), &upload(1));
    assert_eq!(kinds(&reply), [Kind::Refusal]);
    let reply = say(TcpStream::connect(address).unwrap(), &upload(2));
    assert_eq!(kinds(&reply), [Kind::Answer]);
}

#[test]
fn each_user_is_answered_with_what_is_theirs_and_counts_for_themselves() {
    static CALLS: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];
    let count = |place: usize| CALLS[place].load(Ordering::SeqCst);
    let first: &Answerer<'_> = &|upload, notify| {
        CALLS[0].fetch_add(1, Ordering::SeqCst);
        zeros(upload, notify)
    };
    let second: &Answerer<'_> = &|upload, notify| {
        CALLS[1].fetch_add(1, Ordering::SeqCst);
        zeros(upload, notify)
    };
    let keys = || [1, 2, 3].map(|byte| TransportKey::new(SecretSeed::new([byte; 32])));
    let [one, other, _] = keys();
    let address = stay_for(Limits::default(), vec![(one, first), (other, second)]);
    let [one, other, stranger] = keys();
    let ask = |key, sequence| {
        kinds(&say(TcpStream::connect(address).unwrap(), &upload_of(key, sequence)))
    };
    assert_eq!(ask(&one, 5), [Kind::Answer]);
    assert_eq!(ask(&other, 4), [Kind::Answer]);
    assert_eq!((count(0), count(1)), (1, 1));
    assert_eq!(ask(&other, 4), [Kind::Refusal]);
    assert_eq!(ask(&stranger, 6), [Kind::Refusal]);
    // Several over one connection.
    let both = [upload_of(&other, 6), upload_of(&one, 6)].concat();
    let both = kinds(&say(TcpStream::connect(address).unwrap(), &both));
    assert_eq!(both, [Kind::Answer, Kind::Answer]);
    assert_eq!((count(0), count(1)), (2, 2));
}
