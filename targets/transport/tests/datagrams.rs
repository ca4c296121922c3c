//! A question and its answer, over and over, on real UDP sockets that lose, repeat and damage.
#![expect(clippy::unwrap_used, reason = "a test helper that fails, fails the test")]

use core::time::Duration;
use std::io;
use std::net::UdpSocket;
use std::thread;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use embedded_io::{ErrorKind, Read, Write};
use he_transport::{Datagram, Datagrams, Error, Stream};

/// Tries of a chunk; with a fifth of all packets gone, all fail with a probability below 2^-50.
const TRIES: u32 = 100;

struct Socket {
    socket: UdpSocket,
    rng: ChaCha20Rng,
}

impl Datagram for Socket {
    type Error = ErrorKind;

    fn send(&mut self, bytes: &[u8]) -> Result<(), ErrorKind> {
        let mut bytes = bytes.to_vec();
        let copies = match self.rng.next_u32() % 10 {
            0 => 0,
            1 => 2,
            2 => {
                let at = self.rng.next_u32() as usize % bytes.len();
                bytes[at] ^= 0x10;
                1
            }
            _ => 1,
        };
        for _ in 0..copies {
            self.socket.send(&bytes).map_err(|_| ErrorKind::Other)?;
        }
        Ok(())
    }

    fn receive(&mut self, bytes: &mut [u8]) -> Result<Option<usize>, ErrorKind> {
        match self.socket.recv(bytes) {
            Ok(length) => Ok(Some(length)),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock) => Ok(None),
            Err(_) => Err(ErrorKind::Other),
        }
    }
}

fn sockets() -> [Socket; 2] {
    let ends = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
    let [one, two] = ends.each_ref().map(|end| end.local_addr().unwrap());
    ends[0].connect(two).unwrap();
    ends[1].connect(one).unwrap();
    let mut seed = 0;
    ends.map(|socket| {
        socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        seed += 1;
        Socket { socket, rng: ChaCha20Rng::from_seed([seed; 32]) }
    })
}

#[test]
fn questions_and_answers_arrive_whole_and_in_order() {
    let [near, far] = sockets();
    let server = thread::spawn(move || {
        let mut stream = Stream::accept(Datagrams(far), TRIES);
        let mut answered = 0;
        let mut question = [0; 700];
        // Until nobody asks any more; answers are questions upside down.
        while stream.read_exact(&mut question).is_ok() {
            answered += 1;
            stream.write_all(&question.map(|byte| !byte)).unwrap();
            stream.flush().unwrap();
        }
        answered
    });
    let mut stream = Stream::open(Datagrams(near), 1, TRIES);
    for round in 0..20_u8 {
        let question: [u8; 700] = core::array::from_fn(|i| i.to_le_bytes()[0].wrapping_mul(round));
        stream.write_all(&question).unwrap();
        let mut answer = [0; 700];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, question.map(|byte| !byte), "round {round}");
    }
    assert_eq!(stream.read(&mut [0]), Err(Error::Silent));
    assert_eq!(server.join().unwrap(), 20);
}
