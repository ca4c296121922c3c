//! Packets: what a line carries whole or not at all.

use crc::{CRC_32_ISO_HDLC, Crc, NoTable};

/// Most bytes of a packet: with its CRC it is one block of COBS.
pub const LONGEST: usize = 249;
/// Bytes of a packet on the line.
pub(crate) const ROOM: usize = LONGEST + CHECK;
const CHECK: usize = 4;
const CRC: Crc<u32, NoTable> = Crc::<u32, NoTable>::new(&CRC_32_ISO_HDLC);

/// A line that carries packets of 1 to [`LONGEST`] bytes. It may lose and repeat them, and damage a share of
/// about 2^-32 unnoticed.
pub trait Packets {
    /// Why the line is gone.
    type Error: embedded_io::Error;

    /// Sends a packet.
    ///
    /// # Errors
    /// Those of the line.
    fn send(&mut self, packet: &[u8]) -> Result<(), Self::Error>;

    /// Waits for a packet, as long as the line waits. Returns its length; `None` if none came whole.
    ///
    /// # Errors
    /// Those of the line.
    fn receive(&mut self, packet: &mut [u8; LONGEST]) -> Result<Option<usize>, Self::Error>;
}

/// The packet with its CRC, and their length. Of a packet that is too long, nothing.
pub(crate) fn seal(packet: &[u8]) -> ([u8; ROOM], usize) {
    let mut bytes = [0; ROOM];
    let length = packet.len();
    if length > LONGEST {
        return (bytes, 0);
    }
    bytes[..length].copy_from_slice(packet);
    bytes[length..length + CHECK].copy_from_slice(&CRC.checksum(packet).to_le_bytes());
    (bytes, length + CHECK)
}

/// Copies what was sealed, if its CRC holds, and returns its length.
pub(crate) fn open(bytes: &[u8], packet: &mut [u8; LONGEST]) -> Option<usize> {
    let (content, check) = bytes.split_last_chunk::<CHECK>()?;
    let is_whole = CRC.checksum(content) == u32::from_le_bytes(*check);
    let place = packet.get_mut(..content.len())?;
    if content.is_empty() || !is_whole {
        return None;
    }
    place.copy_from_slice(content);
    Some(content.len())
}
