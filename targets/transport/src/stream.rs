//! A stream over packets: numbered chunks, each repeated until it is acknowledged.
//!
//! | bytes | field |
//! |---|---|
//! | 1 | kind: 1 chunk, 2 acknowledgement |
//! | 4 | session, little-endian |
//! | 4 | number, little-endian: of the chunk, or of the next chunk that is wanted |
//! | … | the chunk, up to 240 bytes |
//!
//! One chunk is under way in each direction. The side that opens sends an empty chunk 0, whose session the
//! other side takes over. A chunk that was read by nobody is not acknowledged, so nothing is lost for
//! want of room; who sends keeps repeating meanwhile, and gives up after some tries. So one side at a time
//! should write more than a chunk before it reads: two that both do wait for each other.

use core::fmt;

use embedded_io::{Error as _, ErrorKind, ErrorType, Read, ReadReady, Write};

use crate::packet::{LONGEST, Packets};

/// Most bytes of a chunk.
pub const CHUNK: usize = LONGEST - HEADER;
const HEADER: usize = 9;
/// Most packets that are looked at for an acknowledgement before a chunk is sent again.
const ANSWERS: usize = 4;
const KIND_CHUNK: u8 = 1;
const KIND_ACKNOWLEDGEMENT: u8 = 2;

/// Why a stream does not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// The line is gone.
    Line(ErrorKind),
    /// The other side did not answer so many times. The next call goes on where this one stopped.
    Silent,
    /// The other side has begun a new stream.
    Restarted,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(kind) => write!(f, "the line is gone: {kind:?}"),
            Self::Silent => f.write_str("the other side does not answer"),
            Self::Restarted => f.write_str("the other side has begun a new stream"),
        }
    }
}

impl core::error::Error for Error {}

impl embedded_io::Error for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Line(kind) => *kind,
            Self::Silent => ErrorKind::TimedOut,
            Self::Restarted => ErrorKind::ConnectionReset,
        }
    }
}

/// A packet, understood.
enum Packet {
    Chunk { session: u32, number: u32, length: usize },
    Acknowledgement { session: u32, number: u32 },
}

/// A stream in both directions.
#[derive(Debug)]
pub struct Stream<P> {
    packets: P,
    session: Option<u32>,
    tries: u32,
    /// The chunk to send, or being sent. Once it was sent it may have arrived, and stays as it is.
    outgoing: [u8; LONGEST],
    filled: usize,
    was_sent: bool,
    /// Its number, which is also how many were acknowledged.
    number: u32,
    /// The packet that came last, and of it, what was not read yet.
    incoming: [u8; LONGEST],
    unread: core::ops::Range<usize>,
    wanted: u32,
}

impl<P: Packets> Stream<P> {
    /// Begins a stream when something is first written or read; `session` should differ from that of
    /// earlier ones. A chunk is sent up to `tries` times, and reading waits for as many packets.
    pub const fn open(packets: P, session: u32, tries: u32) -> Self {
        let mut stream = Self::new(packets, Some(session), tries);
        // The greeting, which no more bytes go into; the other side's is its acknowledgement.
        (stream.was_sent, stream.wanted) = (true, 1);
        stream
    }

    /// Waits for the other side to begin a stream when something is first written or read.
    pub const fn accept(packets: P, tries: u32) -> Self {
        Self::new(packets, None, tries)
    }

    const fn new(packets: P, session: Option<u32>, tries: u32) -> Self {
        Self {
            packets,
            session,
            tries,
            outgoing: [0; LONGEST],
            filled: 0,
            was_sent: false,
            number: 0,
            incoming: [0; LONGEST],
            unread: 0..0,
            wanted: 0,
        }
    }

    /// The line, for another stream.
    pub fn into_packets(self) -> P {
        self.packets
    }

    /// Sends what waits to be sent, if anything, until it is acknowledged.
    fn transmit(&mut self) -> Result<(), Error> {
        if self.filled == 0 && !self.was_sent {
            return Ok(());
        }
        for _ in 0..self.tries {
            if let Some(session) = self.session {
                let header = header(KIND_CHUNK, session, self.number);
                self.outgoing[..HEADER].copy_from_slice(&header);
                self.was_sent = true;
                let sent = self.packets.send(&self.outgoing[..HEADER + self.filled]);
                sent.map_err(|error| Error::Line(error.kind()))?;
            }
            let number = self.number;
            for _ in 0..ANSWERS {
                if !self.listen()? || self.number != number {
                    break;
                }
            }
            if self.was_sent && self.number != number {
                (self.filled, self.was_sent) = (0, false);
                return Ok(());
            }
        }
        Err(Error::Silent)
    }

    /// Takes a packet, if one comes in time: false if none does.
    fn listen(&mut self) -> Result<bool, Error> {
        let mut packet = [0; LONGEST];
        let received = self.packets.receive(&mut packet);
        let Some(length) = received.map_err(|error| Error::Line(error.kind()))? else {
            return Ok(false);
        };
        match parse(&packet[..length]) {
            Some(Packet::Acknowledgement { session, number })
                if Some(session) == self.session && number == self.number.wrapping_add(1) =>
            {
                self.number = number;
            }
            Some(Packet::Chunk { session, number, length }) => {
                self.take(session, number, &packet[HEADER..HEADER + length])?;
            }
            _ => {}
        }
        Ok(true)
    }

    /// Takes a chunk if it is the next one and there is room, and says which one is wanted.
    fn take(&mut self, session: u32, number: u32, chunk: &[u8]) -> Result<(), Error> {
        match self.session {
            None if number == 0 && chunk.is_empty() => {
                // Our greeting is to acknowledge theirs.
                (self.session, self.number) = (Some(session), 1);
            }
            Some(known) if known == session => {}
            Some(_) if number == 0 && chunk.is_empty() => return Err(Error::Restarted),
            _ => return Ok(()),
        }
        if number == self.wanted {
            if !self.unread.is_empty() {
                return Ok(());
            }
            self.incoming[..chunk.len()].copy_from_slice(chunk);
            self.unread = 0..chunk.len();
            self.wanted = self.wanted.wrapping_add(1);
        }
        let answer = header(KIND_ACKNOWLEDGEMENT, session, self.wanted);
        self.packets.send(&answer).map_err(|error| Error::Line(error.kind()))
    }
}

impl<P: Packets> ErrorType for Stream<P> {
    type Error = Error;
}

impl<P: Packets> Read for Stream<P> {
    /// Sends what was written, and waits for bytes.
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Error> {
        if bytes.is_empty() {
            return Ok(0);
        }
        self.transmit()?;
        for _ in 0..self.tries {
            if !self.unread.is_empty() {
                break;
            }
            self.listen()?;
        }
        if self.unread.is_empty() {
            return Err(Error::Silent);
        }
        let count = bytes.len().min(self.unread.len());
        let start = self.unread.start;
        bytes[..count].copy_from_slice(&self.incoming[start..start + count]);
        self.unread.start += count;
        Ok(count)
    }
}

impl<P: Packets> ReadReady for Stream<P> {
    /// Takes a packet if one comes while the line waits; whether there is something to read then.
    fn read_ready(&mut self) -> Result<bool, Error> {
        if self.unread.is_empty() {
            self.listen()?;
        }
        Ok(!self.unread.is_empty())
    }
}

impl<P: Packets> Write for Stream<P> {
    /// Takes bytes into the chunk, which is sent when it is full.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        if self.filled == CHUNK || self.was_sent {
            self.transmit()?;
        }
        let count = bytes.len().min(CHUNK - self.filled);
        let start = HEADER + self.filled;
        self.outgoing[start..start + count].copy_from_slice(&bytes[..count]);
        self.filled += count;
        Ok(count)
    }

    /// Sends what was written; afterwards the other side has it.
    fn flush(&mut self) -> Result<(), Error> {
        self.transmit()
    }
}

fn header(kind: u8, session: u32, number: u32) -> [u8; HEADER] {
    let mut bytes = [kind; HEADER];
    bytes[1..5].copy_from_slice(&session.to_le_bytes());
    bytes[5..].copy_from_slice(&number.to_le_bytes());
    bytes
}

fn parse(packet: &[u8]) -> Option<Packet> {
    let (header, chunk) = packet.split_first_chunk::<HEADER>()?;
    let word = |at: usize| u32::from_le_bytes(core::array::from_fn(|i| header[at + i]));
    let (session, number) = (word(1), word(5));
    match header[0] {
        KIND_CHUNK => Some(Packet::Chunk { session, number, length: chunk.len() }),
        KIND_ACKNOWLEDGEMENT => Some(Packet::Acknowledgement { session, number }),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
