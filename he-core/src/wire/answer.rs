//! The encrypted result for a device.
//!
//! | bytes | field |
//! |---|---|
//! | 8 | scale, an IEEE 754 double |
//! | 4 | number of entries |
//! | … | the mask `a` modulo the first base prime, in evaluation form, packed |
//! | 8 each | entries: position of a coefficient, and that of the body `b` |

use super::bits::{pack, packed_len, unpack};
use super::{FrameReader, Kind, Link};
use crate::Error;
use crate::modulus::Modulus;

/// One coefficient of the body.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct AnswerEntry {
    /// Which coefficient.
    pub position: u32,
    /// The coefficient of `b`, below the prime.
    pub body: u32,
}

/// An answer on memory of the caller's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answer<'a> {
    /// The message is the result times this.
    pub scale: f64,
    /// The mask in evaluation form, as long as the degree.
    pub mask: &'a [u32],
    /// The coefficients that hold the result.
    pub entries: &'a [AnswerEntry],
}

impl<'a> Answer<'a> {
    /// Bytes of the body for a mask of `degree` residues below `q`.
    #[must_use]
    pub const fn length(degree: usize, entries: usize, q: Modulus) -> u64 {
        12 + packed_len(degree, q) as u64 + 8 * entries as u64
    }

    /// Sends the answer; its residues are below `q`, the first base prime.
    ///
    /// # Errors
    /// Those of `write`.
    ///
    /// # Panics
    /// If it does not fit a frame.
    pub fn write<W, E>(&self, link: &mut Link<'_>, q: Modulus, write: W) -> Result<(), E>
    where
        W: FnMut(&[u8]) -> Result<(), E>,
    {
        let length = Self::length(self.mask.len(), self.entries.len(), q);
        let length = u32::try_from(length).expect("an answer that fits a frame");
        let count = u32::try_from(self.entries.len()).expect("less than its length");
        let mut frame = link.writer(Kind::Answer, length, write)?;
        frame.put(&self.scale.to_bits().to_le_bytes())?;
        frame.put(&count.to_le_bytes())?;
        pack(self.mask, q, |bytes| frame.put(bytes))?;
        for entry in self.entries {
            frame.put(&entry.position.to_le_bytes())?;
            frame.put(&entry.body.to_le_bytes())?;
        }
        frame.finish()
    }

    /// Reads an answer: fills `mask`, which is as long as the degree, and the front of `entries`.
    ///
    /// # Errors
    /// Those of the closure that reads, or if the frame is not an answer, or has more entries than
    /// there is room for, or has a scale that is not a positive number, or a position or a residue
    /// out of range.
    pub fn read<R, E>(
        mut frame: FrameReader<'_, R>,
        q: Modulus,
        mask: &'a mut [u32],
        entries: &'a mut [AnswerEntry],
    ) -> Result<Self, E>
    where
        R: FnMut(&mut [u8]) -> Result<(), E>,
        E: From<Error>,
    {
        let rest = u64::from(frame.left()).checked_sub(Self::length(mask.len(), 0, q));
        let count = rest.map_or(0, |rest| rest / 8);
        let room =
            usize::try_from(count).ok().and_then(|count| entries.split_at_mut_checked(count));
        let (entries, _) = room.ok_or(Error::Malformed("too many entries"))?;
        frame.expect(Kind::Answer, Self::length(mask.len(), entries.len(), q))?;
        let scale = f64::from_bits(u64::from_le_bytes(frame.take_array()?));
        if !scale.is_normal() || scale.is_sign_negative() {
            return Err(Error::Malformed("a scale that is not a positive number").into());
        }
        if u64::from(u32::from_le_bytes(frame.take_array()?)) != count {
            return Err(Error::Malformed("a number of entries against the length").into());
        }
        unpack(mask, q, |bytes| frame.take(bytes))?;
        for entry in &mut *entries {
            let position = u32::from_le_bytes(frame.take_array()?);
            let body = u32::from_le_bytes(frame.take_array()?);
            if u64::from(position) >= mask.len() as u64 {
                return Err(Error::Malformed("a position beyond the degree").into());
            }
            if body >= q.value() {
                return Err(Error::ResidueOutOfRange { modulus: q.value() }.into());
            }
            *entry = AnswerEntry { position, body };
        }
        frame.finish()?;
        Ok(Self { scale, mask, entries })
    }
}
