//! One TCP connection with a deadline, and a count of what passed.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, ToSocketAddrs};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

/// A connection whose reads and writes fail once the deadline has passed, however slowly the
/// other side trickles.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    deadline: Instant,
    received: usize,
    sent: usize,
}

impl Connection {
    /// Wraps a connection that has just been made; it must be used within `time`.
    ///
    /// # Errors
    /// If the system refuses to configure it.
    pub fn new(stream: TcpStream, time: Duration) -> Result<Self> {
        stream.set_nodelay(true).context("cannot configure the connection")?;
        Ok(Self { stream, deadline: Instant::now() + time, received: 0, sent: 0 })
    }

    /// Connects to a server.
    ///
    /// # Errors
    /// If nobody listens there.
    pub fn connect(address: &str, time: Duration) -> Result<Self> {
        let found = address.to_socket_addrs();
        let found = found.with_context(|| format!("'{address}' is not an address like HOST:PORT"));
        // A name may have several addresses, of which a server listens at one.
        let mut failed = None;
        for resolved in found? {
            match TcpStream::connect_timeout(&resolved, time) {
                Ok(stream) => return Self::new(stream, time),
                Err(error) => failed = Some(error),
            }
        }
        let Some(error) = failed else { bail!("'{address}' has no address") };
        Err(error).with_context(|| {
            format!(
                "cannot connect to {address}; start `host-runner serve --listen {address}` first"
            )
        })
    }

    /// Gives the other side this much time from now.
    pub fn allow(&mut self, time: Duration) {
        self.deadline = Instant::now() + time;
    }

    /// Waits for the other side to say something; false if it has hung up.
    ///
    /// # Errors
    /// If the connection broke or the deadline passed.
    pub fn wait(&self) -> io::Result<bool> {
        self.stream.set_read_timeout(Some(self.time_left()?))?;
        match self.stream.peek(&mut [0]).map_err(timed_out) {
            Ok(count) => Ok(count > 0),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Ends this side of the connection and gives the other one some time to take what was sent
    /// and end its own.
    ///
    /// # Errors
    /// If the connection is broken already.
    pub fn hang_up(mut self, time: Duration) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)?;
        // Closing at once could discard what the other side has not read yet. A device keeps its
        // end open for good, which is no error.
        self.allow(time);
        while matches!(self.read(&mut [0; 64]), Ok(1..)) {}
        Ok(())
    }

    /// Bytes received so far.
    #[must_use]
    pub const fn received(&self) -> usize {
        self.received
    }

    /// Bytes sent so far.
    #[must_use]
    pub const fn sent(&self) -> usize {
        self.sent
    }

    fn time_left(&self) -> io::Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(late()) } else { Ok(left) }
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.time_left()?))?;
        let count = self.stream.read(buffer).map_err(timed_out)?;
        self.received += count;
        Ok(count)
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.time_left()?))?;
        let count = self.stream.write(bytes).map_err(timed_out)?;
        self.sent += count;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// The number of the last exchange of this process.
static LAST: AtomicU64 = AtomicU64::new(0);

/// Codes of refusals.
pub mod refusal {
    /// The upload is not what it claims to be; `needed` is zero.
    pub const MALFORMED: u32 = 1;
    /// The exchange is not newer than one that was answered; `needed` is the next good number.
    pub const REPLAYED: u32 = 3;
    /// The forward pass failed; nothing is known of the sentence.
    pub const FAILED: u32 = 4;
}

/// A socket that waits for connections at `address`.
///
/// # Errors
/// If the address is taken or not one of this machine's.
pub fn listen(address: &str) -> Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => anyhow::anyhow!(
            "the port of {address} is taken; stop the program that uses it or choose another \
             with --listen (port 0 picks a free one)"
        ),
        _ => anyhow::Error::from(error).context(format!("cannot listen at '{address}'")),
    })?;
    let bound = listener.local_addr().context("the socket has no address")?;
    Ok((listener, bound))
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the other side took too long")
}

fn timed_out(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => late(),
        _ => error,
    }
}

/// A number that is larger in every later exchange: nanoseconds since 1970, or one more than the last if the clock
/// was put back meanwhile.
///
/// # Errors
/// If the clock is wrong by decades.
pub fn exchange_number() -> Result<u64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    let now = u64::try_from(since.as_nanos()).context("the clock is beyond 2554")?;
    let next = |last: u64| Some(now.max(last.saturating_add(1)));
    let last = LAST.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next);
    Ok(now.max(last.unwrap_or_else(|last| last).saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Connection, TcpStream) {
        let (listener, address) = listen("127.0.0.1:0").unwrap();
        let far = TcpStream::connect(address).unwrap();
        let (near, _) = listener.accept().unwrap();
        (Connection::new(near, Duration::from_secs(5)).unwrap(), far)
    }

    #[test]
    fn a_trickle_does_not_extend_the_deadline() {
        let (mut connection, mut far) = pair();
        connection.allow(Duration::from_millis(200));
        let begun = Instant::now();
        let trickle = std::thread::spawn(move || {
            while begun.elapsed() < Duration::from_secs(2) && far.write_all(&[0]).is_ok() {
                std::thread::park_timeout(Duration::from_millis(20));
            }
        });
        let error = connection.read_exact(&mut [0; 1 << 20]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() < Duration::from_secs(1));
        drop(connection);
        trickle.join().unwrap();
    }

    #[test]
    fn numbers_of_exchanges_rise_though_the_clock_does_not() {
        let ahead = exchange_number().unwrap() + 1_000_000_000_000;
        LAST.fetch_max(ahead, Ordering::SeqCst);
        assert!(exchange_number().unwrap() > ahead);
        assert!(exchange_number().unwrap() > ahead + 1);
    }

    #[test]
    fn bytes_are_counted_both_ways() {
        let (mut connection, mut far) = pair();
        far.write_all(&[1; 10]).unwrap();
        connection.read_exact(&mut [0; 10]).unwrap();
        connection.write_all(&[2; 7]).unwrap();
        assert_eq!((connection.received(), connection.sent()), (10, 7));
    }

    #[test]
    fn a_taken_port_is_named_with_the_way_out() {
        let (_listener, address) = listen("127.0.0.1:0").unwrap();
        let text = listen(&address.to_string()).unwrap_err().to_string();
        assert!(text.contains(&address.to_string()) && text.contains("--listen"), "{text}");
        assert!(Connection::connect("nowhere", Duration::from_secs(1)).is_err());
    }
}
