//! The bridge between a server and a device whose line is bad.
#![expect(clippy::unwrap_used, reason = "a test helper that fails, fails the test")]

#[expect(dead_code, reason = "its main function")]
#[path = "../examples/bridge.rs"]
mod bridge;

use core::time::Duration;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use bridge::{Line, carry};
use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng;
use embedded_io::{Read, Write};
use he_transport::{Serial, Stream};

/// One byte in so many is lost or altered, in each direction at each end.
const DAMAGE: u32 = 3000;
const LENGTH: usize = 5000;

fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (near, listener.accept().unwrap().0)
}

/// The device asks, the server answers with every bit turned; both see the plain stream.
#[test]
fn a_question_and_its_answer_pass_the_bridge_whole() {
    let (device, line) = connected();
    let (bridge, mut server) = connected();
    for (socket, wait) in [(&device, 20), (&line, 20), (&bridge, 1)] {
        socket.set_read_timeout(Some(Duration::from_millis(wait))).unwrap();
        socket.set_nodelay(true).unwrap();
    }
    thread::spawn(move || {
        // It ends when the device is gone.
        drop(carry(line, DAMAGE, bridge));
    });
    let question: Vec<u8> = (0..LENGTH).map(|i| (i * i).to_le_bytes()[1]).collect();
    let asked = thread::spawn(move || {
        let mut asked = vec![0; LENGTH];
        server.read_exact(&mut asked).unwrap();
        server.write_all(&asked.iter().map(|byte| !byte).collect::<Vec<_>>()).unwrap();
        (asked, server)
    });
    let rng = ChaCha20Rng::from_seed([1; 32]);
    let line = Line { port: device, rng, damage: DAMAGE };
    let mut stream = Stream::open(Serial::new(line), 1, 100);
    stream.write_all(&question).unwrap();
    let mut answer = vec![0; LENGTH];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(asked.join().unwrap().0, question);
    assert!(question.iter().zip(&answer).all(|(question, answer)| *question == !answer));
}
