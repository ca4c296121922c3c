//! The bridge between a server and a device whose line is bad.
#![expect(clippy::unwrap_used, reason = "a test helper that fails, fails the test")]

#[expect(dead_code, reason = "its main function")]
#[path = "../examples/bridge.rs"]
mod bridge;

use core::time::Duration;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use bridge::{Accidents, Line, Socket, carry};
use embedded_io::{Read, Write};
use he_transport::{Serial, Stream};

/// One byte in so many is lost or altered, in each direction at each end.
const DAMAGE: u32 = 3000;
const LENGTH: usize = 5000;
/// How long each end waits for the line.
const WAIT: Duration = Duration::from_millis(20);

fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (near, listener.accept().unwrap().0)
}

/// Ends of connections between a device that asks again and again for one, and a bridge whose line is cut.
struct Switchboard(TcpListener);

impl Switchboard {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    /// The device's way to a connection.
    fn dial(&self) -> impl FnMut() -> io::Result<Socket> + use<> {
        let address = self.0.local_addr().unwrap();
        move || Socket::new(TcpStream::connect(address)?, WAIT)
    }

    /// The bridge's.
    fn answer(self) -> impl FnMut() -> io::Result<Socket> {
        move || Socket::new(self.0.accept()?.0, WAIT)
    }
}

/// The device asks, the server answers with every bit turned; both see the plain stream, on lines that
/// are also cut in the middle of it.
#[test]
fn a_question_and_its_answer_pass_the_bridge_whole() {
    for accidents in [
        Accidents { damage: DAMAGE, cut: 0 },
        Accidents { damage: 0, cut: 1500 },
        Accidents { damage: DAMAGE, cut: 4000 },
    ] {
        let switchboard = Switchboard::new();
        let dial = switchboard.dial();
        let (bridge, mut server) = connected();
        thread::spawn(move || {
            // It ends when the server is gone.
            drop(carry(Line::new(switchboard.answer(), 7, accidents), bridge));
        });
        let question: Vec<u8> = (0..LENGTH).map(|i| (i * i).to_le_bytes()[1]).collect();
        let asked = thread::spawn(move || {
            let mut asked = vec![0; LENGTH];
            server.read_exact(&mut asked).unwrap();
            server.write_all(&asked.iter().map(|byte| !byte).collect::<Vec<_>>()).unwrap();
            (asked, server)
        });
        let line = Line::new(dial, 1, Accidents { cut: 0, ..accidents });
        let mut stream = Stream::open(Serial::new(line), 1, 200);
        stream.write_all(&question).unwrap();
        let mut answer = vec![0; LENGTH];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(asked.join().unwrap().0, question, "{accidents:?}");
        let is_turned = question.iter().zip(&answer).all(|(question, answer)| *question == !answer);
        assert!(is_turned, "{accidents:?}");
    }
}
