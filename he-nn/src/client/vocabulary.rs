//! A vocabulary of word pieces as one block of bytes, searched where it lies.
//!
//! Little-endian: the number of pieces `n` (4 bytes), `n + 1` offsets into the text (4 bytes each),
//! `n` piece numbers (2 bytes each), then the pieces' text, sorted bytewise. A piece that continues
//! a word starts with `##`, as in the list it was compiled from.

use core::cmp::Ordering;

use crate::Error;

/// Pieces that every vocabulary has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Special {
    unknown: u16,
    class: u16,
    separator: u16,
}

/// A compiled vocabulary.
#[derive(Clone, Copy, Debug)]
pub struct Vocabulary<'a> {
    offsets: &'a [[u8; 4]],
    ids: &'a [[u8; 2]],
    text: &'a [u8],
    special: Special,
}

impl<'a> Vocabulary<'a> {
    /// Reads a vocabulary and checks it: lengths, order, and that `[UNK]`, `[CLS]` and `[SEP]`
    /// exist.
    ///
    /// # Errors
    /// If the bytes are not a compiled vocabulary.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        const TRUNCATED: Error = Error::Malformed("the vocabulary is truncated");
        let (count, rest) = bytes.split_first_chunk::<4>().ok_or(TRUNCATED)?;
        let count = usize::try_from(u32::from_le_bytes(*count)).map_err(|_| TRUNCATED)?;
        if count == 0 || count > usize::from(u16::MAX) {
            return Err(Error::Malformed("a vocabulary has between 1 and 65,535 pieces"));
        }
        let (offsets, rest) = rest.split_at_checked(4 * (count + 1)).ok_or(TRUNCATED)?;
        let (ids, text) = rest.split_at_checked(2 * count).ok_or(TRUNCATED)?;
        let special = Special { unknown: 0, class: 0, separator: 0 };
        let mut vocabulary =
            Self { offsets: offsets.as_chunks().0, ids: ids.as_chunks().0, text, special };
        vocabulary.check()?;
        let find = |piece| vocabulary.find(b"", piece).ok_or(Error::Malformed("no special pieces"));
        vocabulary.special = Special {
            unknown: find(b"[UNK]")?,
            class: find(b"[CLS]")?,
            separator: find(b"[SEP]")?,
        };
        Ok(vocabulary)
    }

    /// Pieces.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no piece; never, after parsing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The number of `[UNK]`.
    #[must_use]
    pub const fn unknown(&self) -> u16 {
        self.special.unknown
    }

    /// The number of `[CLS]`.
    #[must_use]
    pub const fn class(&self) -> u16 {
        self.special.class
    }

    /// The number of `[SEP]`.
    #[must_use]
    pub const fn separator(&self) -> u16 {
        self.special.separator
    }

    /// The number of the piece `prefix` followed by `rest`.
    #[must_use]
    pub fn find(&self, prefix: &[u8], rest: &[u8]) -> Option<u16> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            match compare(self.piece(middle), prefix, rest) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return self.ids.get(middle).map(|&id| u16::from_le_bytes(id)),
            }
        }
        None
    }

    fn check(&self) -> Result<(), Error> {
        let ends: bool = self.offset(0) == 0 && self.offset(self.len()) == self.text.len();
        let ordered = (0..self.len()).all(|i| self.offset(i) < self.offset(i + 1));
        if !ends || !ordered {
            return Err(Error::Malformed("the vocabulary's offsets are inconsistent"));
        }
        if !(1..self.len()).all(|i| self.piece(i - 1) < self.piece(i)) {
            return Err(Error::Malformed("the vocabulary is not sorted"));
        }
        Ok(())
    }

    fn offset(&self, index: usize) -> usize {
        let offset = self.offsets.get(index).map_or(0, |&o| u32::from_le_bytes(o));
        usize::try_from(offset).unwrap_or(usize::MAX)
    }

    fn piece(&self, index: usize) -> &'a [u8] {
        self.text.get(self.offset(index)..self.offset(index + 1)).unwrap_or_default()
    }
}

/// Orders `piece` against `prefix` followed by `rest`.
fn compare(piece: &[u8], prefix: &[u8], rest: &[u8]) -> Ordering {
    match piece.split_at_checked(prefix.len()) {
        Some((head, tail)) => head.cmp(prefix).then_with(|| tail.cmp(rest)),
        None => piece.cmp(prefix),
    }
}

/// Compiles a list of pieces, one a line, numbered from 0 in that order.
///
/// # Errors
/// If there are too many pieces, or one occurs twice.
#[cfg(feature = "alloc")]
pub fn compile(list: &str) -> Result<alloc::vec::Vec<u8>, Error> {
    use alloc::vec::Vec;

    let mut pieces = Vec::new();
    for (id, piece) in list.lines().enumerate() {
        let id = u16::try_from(id).map_err(|_| Error::Malformed("too many pieces"))?;
        pieces.push((piece.trim_end_matches('\r').as_bytes(), id));
    }
    pieces.sort_unstable();
    let mut bytes = Vec::new();
    let mut push = |n: usize| -> Result<(), Error> {
        let n = u32::try_from(n).map_err(|_| Error::Malformed("too many pieces"))?;
        bytes.extend_from_slice(&n.to_le_bytes());
        Ok(())
    };
    push(pieces.len())?;
    let mut offset = 0;
    push(offset)?;
    for (piece, _) in &pieces {
        offset += piece.len();
        push(offset)?;
    }
    pieces.iter().for_each(|(_, id)| bytes.extend_from_slice(&id.to_le_bytes()));
    pieces.iter().for_each(|(piece, _)| bytes.extend_from_slice(piece));
    Vocabulary::parse(&bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_is_found_under_its_line_number() {
        let list = "[PAD]\n[UNK]\n[CLS]\n[SEP]\nzebra\n##a\na\nab\n##ab";
        let bytes = compile(list).unwrap();
        let vocabulary = Vocabulary::parse(&bytes).unwrap();
        for (id, piece) in list.lines().enumerate() {
            assert_eq!(vocabulary.find(b"", piece.as_bytes()), u16::try_from(id).ok());
        }
        assert_eq!(vocabulary.find(b"##", b"ab"), Some(8));
        assert_eq!(vocabulary.find(b"##", b"zebra"), None);
        assert_eq!(vocabulary.find(b"", b""), None);
    }

    #[test]
    fn refuses_every_truncation_and_a_wrong_order() {
        let bytes = compile("[UNK]\n[CLS]\n[SEP]\nx\ny").unwrap();
        for end in 0..bytes.len() {
            assert!(Vocabulary::parse(&bytes[..end]).is_err(), "{end}");
        }
        let mut swapped = bytes.clone();
        let last = swapped.len() - 1;
        swapped.swap(last, last - 1);
        assert!(Vocabulary::parse(&swapped).is_err());
        assert!(compile("[UNK]\n[CLS]\n[SEP]\nx\nx").is_err());
        assert!(compile("[UNK]\n[CLS]\nx").is_err());
    }
}
