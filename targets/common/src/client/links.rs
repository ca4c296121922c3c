//! The device's links, with the client's errors and a count of what passed.

use core::fmt::Arguments;

use embedded_io::{Error as _, Read, ReadExactError, Write};

use super::Error;

/// Three links: to the server, to the key authority, to the operator.
#[derive(Debug)]
pub struct Links<S, A, O> {
    /// Ciphertexts out, progress and answer in.
    pub server: S,
    /// Secrets in, once.
    pub authority: A,
    /// Lines of text in, lines of JSON out.
    pub operator: O,
}

/// A link that counts bytes.
#[derive(Debug)]
pub(super) struct Counted<'l, L> {
    link: &'l mut L,
    received: usize,
    sent: usize,
}

impl<'l, L> Counted<'l, L> {
    pub(super) const fn new(link: &'l mut L) -> Self {
        Self { link, received: 0, sent: 0 }
    }

    /// Bytes that came in.
    pub(super) const fn received(&self) -> usize {
        self.received
    }

    /// Bytes that went out.
    pub(super) const fn sent(&self) -> usize {
        self.sent
    }
}

impl<L: Read> Counted<'_, L> {
    /// Fills `bytes`.
    pub(super) fn read(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.received += bytes.len();
        self.link.read_exact(bytes).map_err(|error| match error {
            ReadExactError::UnexpectedEof => Error::Closed,
            ReadExactError::Other(error) => Error::Link(error.kind()),
        })
    }
}

impl<L: Write> Counted<'_, L> {
    /// Sends `bytes`.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.sent += bytes.len();
        self.link.write_all(bytes).map_err(|error| Error::Link(error.kind()))
    }
}

/// Writes a line to the operator.
pub(super) fn say(operator: &mut impl Write, line: Arguments<'_>) -> Result<(), Error> {
    writeln!(operator, "{line}").map_err(|error| match error {
        embedded_io::WriteFmtError::FmtError => Error::Link(embedded_io::ErrorKind::Other),
        embedded_io::WriteFmtError::Other(error) => Error::Link(error.kind()),
    })
}
