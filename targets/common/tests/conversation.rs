//! The whole client on the host, with a key authority, an operator and a server that knows the
//! secret and so can check what the device sent and choose what it gets back.
#![expect(clippy::unwrap_used, reason = "a test helper that fails, fails the test")]

#[expect(dead_code, reason = "its main function")]
#[path = "../examples/stand_in.rs"]
mod stand_in;

use core::fmt::Arguments;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;

use he_firmware::client::{self, Links};
use he_firmware::machine::{Entropy, Exhausted, Machine, Memory};
use stand_in::{Reply, SENTENCE, provision, serve};

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

    fn forget(&mut self) -> Result<(), Exhausted> {
        self.1.clear();
        Ok(())
    }
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
        scope.spawn(move || serve(&server_end, &server_end, replies));
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
