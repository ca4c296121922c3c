//! Looks for one secret's bytes, in each form that it has, through memory.
//!
//! A needle is a window of eight bytes of the secret: 32 coefficients packed (50 bits of entropy), two
//! residues of the expanded key (50 bits), or eight bytes of a seed. So remains of any eight bytes are
//! found, and some hundred thousand words of other data give a false alarm with probability 2^-20.

use core::ops::Range;
use core::ptr::with_exposed_provenance;

/// A form that the secret has in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Form {
    /// The edge secret, two bits a coefficient.
    Packed = 0,
    /// The edge secret in evaluation form, modulo both primes.
    Expanded = 1,
    /// The seed of message seeds.
    Messages = 2,
}

impl Form {
    /// All of them, by number.
    pub const ALL: [Self; 3] = [Self::Packed, Self::Expanded, Self::Messages];

    /// The sorted needles, which lie in flash.
    fn needles(self) -> &'static [u64] {
        static PACKED: &[u64] = include!(concat!(env!("OUT_DIR"), "/packed.in"));
        static EXPANDED: &[u64] = include!(concat!(env!("OUT_DIR"), "/expanded.in"));
        static MESSAGES: &[u64] = include!(concat!(env!("OUT_DIR"), "/messages.in"));
        match self {
            Self::Packed => PACKED,
            Self::Expanded => EXPANDED,
            Self::Messages => MESSAGES,
        }
    }
}

/// How many windows of `form` start at the words of `range`, whose ends are multiples of four.
///
/// # Safety
/// All of `range` is readable memory.
#[must_use]
pub unsafe fn count(range: Range<usize>, form: Form) -> u32 {
    let needles = form.needles();
    let mut found = 0;
    let mut earlier = 0;
    for address in range.step_by(4) {
        // SAFETY: within `range`, at a multiple of four.
        let word = unsafe { with_exposed_provenance::<u32>(address).read_volatile() };
        let window = u64::from(word) << 32 | u64::from(earlier);
        // Most of memory is zeros.
        found += u32::from(window != 0 && needles.binary_search(&window).is_ok());
        earlier = word;
    }
    found
}

/// How many words of `range`, whose ends are multiples of four, are not zero.
///
/// # Safety
/// All of `range` is readable memory.
#[must_use]
#[inline(always)]
pub unsafe fn not_zero(range: Range<usize>) -> u32 {
    let mut found = 0;
    for address in range.step_by(4) {
        // SAFETY: within `range`, at a multiple of four.
        let word = unsafe { with_exposed_provenance::<u32>(address).read_volatile() };
        found += u32::from(word != 0);
    }
    found
}

#[cfg(test)]
mod tests {
    extern crate alloc;
    use super::*;
    use crate::tape;
    use alloc::vec;

    #[test]
    fn a_secret_is_found_at_every_place_and_after_erasure_only_where_it_was_left() {
        let secret = tape::secret(tape::SCANNED);
        for at in 0..8 {
            let mut memory = vec![0u32; 1024];
            let mut bytes = vec![0u8; 4096];
            bytes[at..at + 1024].copy_from_slice(secret.packed());
            for (word, bytes) in memory.iter_mut().zip(bytes.chunks_exact(4)) {
                *word = u32::from_le_bytes(bytes.try_into().unwrap());
            }
            let start = memory.as_ptr().expose_provenance();
            let end = start + 4 * memory.len();
            // SAFETY: the range is the vector.
            let found = Form::ALL.map(|form| unsafe { count(start..end, form) });
            assert!((254..=255).contains(&found[0]), "at {at}: {found:?}");
            assert_eq!(found[1..], [0, 0]);
            memory[4..].fill(0);
            // SAFETY: as above.
            assert!(unsafe { count(start..end, Form::Packed) } <= 3);
        }
    }
}
