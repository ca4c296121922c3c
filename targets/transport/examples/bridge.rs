//! The host's end of a line: carries a stream between a device on a serial port and a server on the network.
//!
//! ```text
//! bridge LINE SERVER [DAMAGE [CUT]]
//! ```
//!
//! `LINE` is a serial port, set up before (`stty -F /dev/ttyACM0 115200 raw -echo min 0 time 1`), or
//! `listen`: then a TCP connection plays the port, and `listening on ADDRESS` is printed. `SERVER` is an
//! address like `127.0.0.1:7000`. A line that is gone is waited for until it is back, and the stream goes on.
//! For tests, one byte in `DAMAGE` is lost or altered in each direction, and the line is cut each `CUT` bytes
//! from the device.

use core::error::Error as StdError;
use core::time::Duration;
use std::env;
use std::fs::File;
use std::io::{self, ErrorKind as Kind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use embedded_io::{ErrorKind, ErrorType, Read, ReadReady, Write};
use he_transport::{CHUNK, Error, Serial, Stream};

/// How long the line is waited for: a chunk and its acknowledgement take 24 ms at 115,200 baud.
const LINE: Duration = Duration::from_millis(100);
/// How long the server is waited for, in turn with the line.
const SERVER: Duration = Duration::from_millis(1);
/// Tries of a chunk, each as long as the line is waited for, before it is tried anew.
const TRIES: u32 = 100;

/// What happens to bytes that pass. For tests.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Accidents {
    /// One byte in so many is lost or altered, in each direction; none if zero.
    pub(crate) damage: u32,
    /// The line is cut when so many bytes have come, again and again; never if zero.
    pub(crate) cut: u32,
}

/// A port, which `open` opens when there is none: or not yet.
#[derive(Debug)]
pub(crate) struct Line<O, L> {
    open: O,
    port: Option<L>,
    rng: ChaCha20Rng,
    accidents: Accidents,
    received: u32,
}

impl<L, O: FnMut() -> io::Result<L>> Line<O, L> {
    pub(crate) fn new(open: O, seed: u8, accidents: Accidents) -> Self {
        let rng = ChaCha20Rng::from_seed([seed; 32]);
        Self { open, port: None, rng, accidents, received: 0 }
    }

    fn pass(&mut self, byte: u8) -> Option<u8> {
        let Accidents { damage, .. } = self.accidents;
        if damage == 0 || !self.rng.next_u32().is_multiple_of(damage) {
            return Some(byte);
        }
        (self.rng.next_u32() & 1 == 0).then_some(byte ^ 0x20)
    }

    /// The port, if it can be opened now.
    fn port(&mut self) -> Option<&mut L> {
        if self.port.is_none() {
            self.port = (self.open)().ok();
        }
        self.port.as_mut()
    }

    /// Counts a byte from the device, and cuts the line if it is time.
    fn count(&mut self) {
        self.received += 1;
        if self.received == self.accidents.cut {
            (self.received, self.port) = (0, None);
            eprintln!("the line is cut");
        }
    }
}

impl<O, L> ErrorType for Line<O, L> {
    type Error = ErrorKind;
}

impl<L: io::Read, O: FnMut() -> io::Result<L>> Read for Line<O, L> {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, ErrorKind> {
        loop {
            let Some(port) = self.port() else {
                thread::sleep(LINE);
                return Err(ErrorKind::TimedOut);
            };
            let mut byte = [0];
            match port.read(&mut byte) {
                Ok(0) => return Err(ErrorKind::TimedOut),
                Ok(_) => self.count(),
                Err(error) => {
                    if !matches!(error.kind(), Kind::WouldBlock | Kind::TimedOut) {
                        self.port = None;
                    }
                    return Err(ErrorKind::TimedOut);
                }
            }
            if let Some(byte) = self.pass(byte[0]) {
                bytes[0] = byte;
                return Ok(1);
            }
        }
    }
}

impl<L: io::Write, O: FnMut() -> io::Result<L>> Write for Line<O, L> {
    /// What a line that is gone does not take is lost.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        let passed: Vec<u8> = bytes.iter().filter_map(|&byte| self.pass(byte)).collect();
        if let Some(port) = self.port()
            && port.write_all(&passed).is_err()
        {
            self.port = None;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

/// A connection that plays a port: an end is not silence, as it is of a port that is set up as above.
#[derive(Debug)]
pub(crate) struct Socket(TcpStream);

impl Socket {
    /// A connection that is waited for so long.
    pub(crate) fn new(socket: TcpStream, wait: Duration) -> io::Result<Self> {
        socket.set_nonblocking(false)?;
        socket.set_read_timeout(Some(wait))?;
        socket.set_nodelay(true)?;
        Ok(Self(socket))
    }
}

impl io::Read for Socket {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self.0.read(bytes) {
            Ok(0) => Err(Kind::UnexpectedEof.into()),
            other => other,
        }
    }
}

impl io::Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn main() -> Result<(), Box<dyn StdError>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [line, server, accidents @ ..] = &arguments[..] else {
        return Err("bridge LINE SERVER [DAMAGE [CUT]]".into());
    };
    let number = |at: usize| accidents.get(at).map_or(Ok(0), |number| number.parse());
    let accidents = Accidents { damage: number(0)?, cut: number(1)? };
    let server = TcpStream::connect(server).map_err(|error| format!("{server}: {error}"))?;
    if line != "listen" {
        let open = || File::options().read(true).write(true).open(line);
        drop(open().map_err(|error| format!("{line}: {error}"))?);
        return carry(Line::new(open, 7, accidents), server);
    }
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("listening on {}", listener.local_addr()?);
    listener.set_nonblocking(true)?;
    let open = || Socket::new(listener.accept()?.0, LINE);
    carry(Line::new(open, 7, accidents), server)
}

/// Carries bytes both ways until the server is gone.
pub(crate) fn carry(line: impl Read + Write, server: TcpStream) -> Result<(), Box<dyn StdError>> {
    server.set_read_timeout(Some(SERVER))?;
    let (mut server, mut stream) = (server, Stream::accept(Serial::new(line), TRIES));
    // A chunk at a time, and what came is read before the next.
    let mut bytes = [0; CHUNK];
    loop {
        if stream.read_ready().map_err(fatal)? {
            let count = stream.read(&mut bytes)?;
            server.write_all(&bytes[..count])?;
            continue;
        }
        match server.read(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(count) => deliver(&mut stream, &bytes[..count])?,
            Err(error) if matches!(error.kind(), Kind::WouldBlock | Kind::TimedOut) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Writes a chunk, however long the device is silent.
fn deliver(stream: &mut impl Write<Error = Error>, bytes: &[u8]) -> Result<(), String> {
    let mut rest = bytes;
    loop {
        let result = if rest.is_empty() { stream.flush().map(|()| 0) } else { stream.write(rest) };
        match result {
            Ok(_) if rest.is_empty() => return Ok(()),
            Ok(count) => rest = &rest[count..],
            Err(Error::Silent) => {}
            Err(error) => return Err(fatal(error)),
        }
    }
}

fn fatal(error: Error) -> String {
    match error {
        Error::Restarted => "the device has restarted; start the bridge again".to_owned(),
        error => error.to_string(),
    }
}
