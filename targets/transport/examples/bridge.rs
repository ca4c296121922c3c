//! The host's end of a line: carries a stream between a device on a serial port and a server on the network.
//!
//! ```text
//! bridge LINE SERVER [DAMAGE]
//! ```
//!
//! `LINE` is a serial port, set up before (`stty -F /dev/ttyACM0 115200 raw -echo min 0 time 1`), or
//! `listen`: then one TCP connection plays the port, and `listening on ADDRESS` is printed. `SERVER` is an
//! address like `127.0.0.1:7000`. For tests, one byte in `DAMAGE` is lost or altered in each direction.

use core::error::Error as StdError;
use core::time::Duration;
use std::env;
use std::fs::File;
use std::io::{self, ErrorKind as Kind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use embedded_io::{ErrorKind, ErrorType, Read, ReadReady, Write};
use he_transport::{CHUNK, Error, Serial, Stream};

/// How long the line is waited for: a chunk and its acknowledgement take 24 ms at 115,200 baud.
const LINE: Duration = Duration::from_millis(100);
/// How long the server is waited for, in turn with the line.
const SERVER: Duration = Duration::from_millis(1);
/// Tries of a chunk: ten seconds without answer.
const TRIES: u32 = 100;

/// A port, and what a test does to what passes.
#[derive(Debug)]
pub(crate) struct Line<L> {
    pub(crate) port: L,
    pub(crate) rng: ChaCha20Rng,
    pub(crate) damage: u32,
}

impl<L> Line<L> {
    fn pass(&mut self, byte: u8) -> Option<u8> {
        if self.damage == 0 || !self.rng.next_u32().is_multiple_of(self.damage) {
            return Some(byte);
        }
        (self.rng.next_u32() & 1 == 0).then_some(byte ^ 0x20)
    }
}

impl<L> ErrorType for Line<L> {
    type Error = ErrorKind;
}

impl<L: io::Read> Read for Line<L> {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, ErrorKind> {
        loop {
            let mut byte = [0];
            match self.port.read(&mut byte) {
                // So does a port that is set up as above.
                Ok(0) => return Err(ErrorKind::TimedOut),
                Ok(_) => {}
                Err(error) if matches!(error.kind(), Kind::WouldBlock | Kind::TimedOut) => {
                    return Err(ErrorKind::TimedOut);
                }
                Err(_) => return Err(ErrorKind::ConnectionReset),
            }
            if let Some(byte) = self.pass(byte[0]) {
                bytes[0] = byte;
                return Ok(1);
            }
        }
    }
}

impl<L: io::Write> Write for Line<L> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        let passed: Vec<u8> = bytes.iter().filter_map(|&byte| self.pass(byte)).collect();
        self.port.write_all(&passed).map_err(|_| ErrorKind::ConnectionReset)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        self.port.flush().map_err(|_| ErrorKind::ConnectionReset)
    }
}

fn main() -> Result<(), Box<dyn StdError>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [line, server, damage @ ..] = &arguments[..] else {
        return Err("bridge LINE SERVER [DAMAGE]".into());
    };
    let damage = damage.first().map_or(Ok(0), |damage| damage.parse())?;
    let server = TcpStream::connect(server)?;
    server.set_read_timeout(Some(SERVER))?;
    if line != "listen" {
        let port = File::options().read(true).write(true).open(line)?;
        return carry(port, damage, server);
    }
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("listening on {}", listener.local_addr()?);
    let (port, _) = listener.accept()?;
    port.set_read_timeout(Some(LINE))?;
    port.set_nodelay(true)?;
    carry(port, damage, server)
}

/// Carries bytes both ways until the line or the server is gone.
pub(crate) fn carry(
    port: impl io::Read + io::Write,
    damage: u32,
    mut server: TcpStream,
) -> Result<(), Box<dyn StdError>> {
    let line = Line { port, rng: ChaCha20Rng::from_seed([7; 32]), damage };
    let mut stream = Stream::accept(Serial::new(line), TRIES);
    // A chunk at a time, and what came is read before the next.
    let mut bytes = [0; CHUNK];
    loop {
        match stream.read_ready() {
            Ok(false) => {}
            Ok(true) => {
                let count = stream.read(&mut bytes)?;
                server.write_all(&bytes[..count])?;
                continue;
            }
            Err(Error::Restarted) => {
                return Err("the device has restarted; start the bridge again".into());
            }
            Err(error) => return Err(error.into()),
        }
        match server.read(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                stream.write_all(&bytes[..count])?;
                stream.flush()?;
            }
            Err(error) if matches!(error.kind(), Kind::WouldBlock | Kind::TimedOut) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
