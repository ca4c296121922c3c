//! One packed limb as an iterator, for those who have no room for it.

use super::bits::{packed_len, unpack};
use crate::Error;
use crate::modulus::Modulus;

/// Residues that are unpacked together, of whole words.
const GROUP: usize = 32;

/// The residues in the bytes of a packed limb, all of them checked.
#[derive(Clone, Debug)]
pub struct Residues<'b> {
    q: Modulus,
    bytes: &'b [u8],
    group: [u32; GROUP],
    /// Where in the group the next one is.
    next: usize,
}

impl<'b> Residues<'b> {
    /// The `count` residues below `q` that `bytes` hold.
    ///
    /// # Errors
    /// If there are more or fewer bytes, a residue is not below `q`, or `count` is not a multiple of 32.
    pub fn new(bytes: &'b [u8], count: usize, q: Modulus) -> Result<Self, Error> {
        let expected = packed_len(count, q);
        if bytes.len() != expected || !count.is_multiple_of(GROUP) {
            return Err(Error::WrongLength { expected, found: bytes.len() });
        }
        let mut residues = Self { q, bytes, group: [0; GROUP], next: GROUP };
        while !residues.bytes.is_empty() {
            residues.fill()?;
        }
        Ok(Self { bytes, ..residues })
    }

    /// Unpacks the next group.
    fn fill(&mut self) -> Result<(), Error> {
        let bytes = &mut self.bytes;
        unpack(&mut self.group, self.q, |group| {
            let (head, rest) = bytes.split_at(group.len());
            group.copy_from_slice(head);
            *bytes = rest;
            Ok(())
        })
    }
}

impl Iterator for Residues<'_> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        if self.next == GROUP {
            if self.bytes.is_empty() {
                return None;
            }
            self.fill().ok()?;
            self.next = 0;
        }
        self.next += 1;
        Some(self.group[self.next - 1])
    }
}
