//! The server's inputs contain no secret: neither the files it is given nor what a client sends it.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "support/small.rs"]
mod small;

use core::time::Duration;
use std::collections::HashSet;
use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use std::thread;

use he_core::keyswitch::Secret;
use he_core::modulus::Modulus;
use he_core::wire::Header;
use host_runner::client::Client;
use host_runner::connection::Connection;
use host_runner::store::{DEVICE, OWNER, SERVER, TRANSPORT, device};
use small::Scratch;

/// Bytes in a row that hold 16 coefficients or more are no accident: so many if a coefficient has at
/// most a byte, and if it has a word.
const NARROW: usize = 16;
const WIDE: usize = 64;

/// Every window of some secrets, in each of the ways in which they may lie in memory.
struct Needles {
    narrow: HashSet<[u8; NARROW]>,
    wide: HashSet<[u8; WIDE]>,
}

impl Needles {
    fn new(secrets: &[&Secret]) -> Self {
        let (mut narrow, mut wide) = (HashSet::new(), HashSet::new());
        for secret in secrets {
            let values: Vec<i32> = secret.coefficients().collect();
            let bytes = |f: fn(i32) -> u8| values.iter().map(|&x| f(x)).collect::<Vec<u8>>();
            let mut note = |bytes: &[u8]| narrow.extend(bytes.array_windows().copied());
            note(secret.packed());
            note(&bytes(|x| i8::try_from(x).unwrap().cast_unsigned()));
            note(&bytes(|x| u8::try_from(x + 1).unwrap()));
            let mut note = |words: Vec<[u8; 4]>| {
                wide.extend(words.concat().array_windows().copied());
            };
            note(values.iter().map(|x| x.to_le_bytes()).collect());
            for &prime in small::params().primes() {
                let q = Modulus::new(prime).unwrap();
                let mut residues = vec![0; values.len()];
                secret.residues(q, &mut residues);
                note(residues.into_iter().map(u32::to_le_bytes).collect());
            }
        }
        Self { narrow, wide }
    }

    /// Whether a part of a secret is in `bytes`.
    fn are_in(&self, bytes: &[u8]) -> bool {
        bytes.array_windows().any(|window| self.narrow.contains(window))
            || bytes.array_windows().any(|window| self.wide.contains(window))
    }
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let read = |entry: fs::DirEntry| {
        (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
    };
    fs::read_dir(folder).unwrap().map(|entry| read(entry.unwrap())).collect()
}

/// What a client sends to whoever listens.
fn sent(keys: &Path, model: &host_runner::import::ModelFolder) -> Vec<u8> {
    let params = small::params();
    let client =
        Client::new(device::read(&keys.join(DEVICE), &params).unwrap(), &params, model).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::scope(|scope| {
        let listening = scope.spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
            let (mut all, mut piece) = (Vec::new(), [0; 4096]);
            while let Ok(count @ 1..) = stream.read(&mut piece) {
                all.extend_from_slice(&piece[..count]);
            }
            all
        });
        let mut connection = Connection::connect(&address, Duration::from_secs(10)).unwrap();
        // Nobody answers.
        client.ask(&mut connection, "a fine film .", &mut |_| {}).unwrap_err();
        listening.join().unwrap()
    })
}

#[test]
fn the_server_is_given_no_secret_and_the_device_is() {
    let scratch = Scratch::new("secrets");
    let (model, _, authority) = small::write_keys(scratch.path());
    let needles = Needles::new(&[authority.edge_secret(), authority.big_secret()]);

    // The search finds what is there to be found.
    let device = files(&scratch.path().join(DEVICE));
    assert!(device.iter().any(|(_, bytes)| needles.are_in(bytes)));

    let server = files(&scratch.path().join(SERVER));
    let count = server.iter().filter(|(name, _)| name.ends_with(".key")).count();
    assert!(count > 20, "{count} files");
    let owner = files(&scratch.path().join(OWNER));
    assert_eq!(owner.len(), 1);
    for (name, bytes) in server.iter().chain(&owner) {
        assert!(!needles.are_in(bytes), "{name} has a part of a secret");
    }

    let upload = sent(scratch.path(), &model);
    assert!(upload.len() > 128 * 50 / 8, "{} bytes", upload.len());
    assert!(!needles.are_in(&upload), "the upload has a part of a secret");
}

#[test]
fn the_two_folders_share_only_the_key_that_authenticates_frames() {
    let scratch = Scratch::new("folders");
    small::write_keys(scratch.path());
    let server = files(&scratch.path().join(SERVER));
    let transport = server.iter().find(|(name, _)| name == TRANSPORT).unwrap().1.clone();
    let device = files(&scratch.path().join(DEVICE));
    let [(_, secrets)] = &device[..] else { panic!("{} files", device.len()) };
    let shared: HashSet<&[u8; 16]> = transport.array_windows().collect();
    let parts: HashSet<&[u8; 16]> = secrets[Header::BYTES..].array_windows().collect();
    for (name, bytes) in server.iter().filter(|(name, _)| name != TRANSPORT) {
        let both = bytes.array_windows().filter(|w| parts.contains(w) && !shared.contains(w));
        assert_eq!(both.count(), 0, "{name} has a part of the device's file");
    }
}

#[test]
fn the_servers_code_names_no_type_that_holds_a_secret() {
    let sources = [
        include_str!("../src/adapter/encrypted.rs"),
        include_str!("../src/cli/serve.rs"),
        include_str!("../src/engine.rs"),
        include_str!("../src/finetune/exchange.rs"),
        include_str!("../src/finetune/job.rs"),
        include_str!("../src/finetune/jobs.rs"),
        include_str!("../src/finetune/worker.rs"),
        include_str!("../src/server.rs"),
        include_str!("../src/server/session.rs"),
        include_str!("../src/server/user.rs"),
        include_str!("../src/store/evaluation.rs"),
        include_str!("../src/store/manifest.rs"),
    ];
    for secret in [
        "KeyAuthority",
        "Ternary",
        "EdgeKey",
        "EdgeSecret",
        "Provision",
        "PlainAdapter",
        "device::",
    ] {
        for source in sources {
            assert!(!source.contains(secret), "{secret}: {}", source.lines().next().unwrap());
        }
    }
}
