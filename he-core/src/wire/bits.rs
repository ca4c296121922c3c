//! Residues at the bit length of their prime, without gaps, lowest bits first.

use crate::Error;
use crate::modulus::Modulus;

/// Residues packed together: as many as make whole words.
const GROUP: usize = 32;

/// Bytes of `count` residues below `q`, rounded up.
#[must_use]
pub const fn packed_len(count: usize, q: Modulus) -> usize {
    (count * width(q)).div_ceil(8)
}

/// Packs `words` and hands the bytes on in pieces.
pub(crate) fn pack<E>(
    words: &[u32],
    q: Modulus,
    mut put: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let width = width(q);
    let mut bytes = [0; 4 * GROUP];
    for group in words.chunks(GROUP) {
        let (slots, _) = bytes.as_chunks_mut::<4>();
        let mut slots = slots.iter_mut();
        let (mut pending, mut filled) = (0, 0);
        for &word in group {
            pending |= word << filled;
            filled += width;
            if filled >= 32 {
                if let Some(slot) = slots.next() {
                    *slot = pending.to_le_bytes();
                }
                filled -= 32;
                // What is left of the word; none of it if it ended with the slot.
                pending = (word >> 1) >> (width - 1 - filled);
            }
        }
        if let Some(slot) = slots.next() {
            *slot = pending.to_le_bytes();
        }
        put(&bytes[..packed_len(group.len(), q)])?;
    }
    Ok(())
}

/// Fetches bytes in pieces and fills `words` with the residues in them, each checked.
pub(crate) fn unpack<E: From<Error>>(
    words: &mut [u32],
    q: Modulus,
    mut take: impl FnMut(&mut [u8]) -> Result<(), E>,
) -> Result<(), E> {
    let width = width(q);
    let mask = u32::MAX >> q.value().leading_zeros();
    let mut bytes = [0; 4 * GROUP];
    for group in words.chunks_mut(GROUP) {
        bytes.fill(0);
        take(&mut bytes[..packed_len(group.len(), q)])?;
        let (slots, _) = bytes.as_chunks::<4>();
        let mut slots = slots.iter();
        let (mut pending, mut filled) = (0_u64, 0);
        let mut largest = 0;
        for word in group {
            if filled < width
                && let Some(&slot) = slots.next()
            {
                pending |= u64::from(u32::from_le_bytes(slot)) << filled;
                filled += 32;
            }
            *word = halves(pending)[0] & mask;
            largest = largest.max(*word);
            pending >>= width;
            filled -= width;
        }
        if largest >= q.value() {
            return Err(Error::ResidueOutOfRange { modulus: q.value() }.into());
        }
        if pending != 0 {
            return Err(Error::Malformed("padding that is not zero").into());
        }
    }
    Ok(())
}

/// Bits of a residue.
const fn width(q: Modulus) -> usize {
    (32 - q.value().leading_zeros()) as usize
}

/// The low and the high half.
#[expect(clippy::cast_possible_truncation, reason = "the two halves of a word")]
const fn halves(x: u64) -> [u32; 2] {
    [x as u32, (x >> 32) as u32]
}
