//! Packets over a line that has packets of its own.

use crate::packet::{LONGEST, Packets, ROOM, open, seal};

/// Datagrams that may be damaged in a row before nothing has come.
const PATIENCE: usize = 4;

/// What sends and receives up to 253 bytes at a time: a radio, an SPI transaction, a UDP socket.
pub trait Datagram {
    /// Why it is gone.
    type Error: embedded_io::Error;

    /// Sends.
    ///
    /// # Errors
    /// Its own.
    fn send(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;

    /// Waits for a while. Returns the length; `None` if nothing came. What is too long is cut.
    ///
    /// # Errors
    /// Its own.
    fn receive(&mut self, bytes: &mut [u8]) -> Result<Option<usize>, Self::Error>;
}

/// Packets over such a line, each with a CRC-32.
#[derive(Debug)]
pub struct Datagrams<D>(pub D);

impl<D: Datagram> Packets for Datagrams<D> {
    type Error = D::Error;

    fn send(&mut self, packet: &[u8]) -> Result<(), D::Error> {
        let (bytes, length) = seal(packet);
        self.0.send(&bytes[..length])
    }

    fn receive(&mut self, packet: &mut [u8; LONGEST]) -> Result<Option<usize>, D::Error> {
        let mut bytes = [0; ROOM];
        for _ in 0..PATIENCE {
            let Some(length) = self.0.receive(&mut bytes)? else { return Ok(None) };
            let found = bytes.get(..length).and_then(|bytes| open(bytes, packet));
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }
}
