//! One bit for each frame of a piece.

use core::iter::from_fn;
use core::ops::Range;

/// How many bits.
pub(crate) const BITS: usize = 64 * WORDS;

const WORDS: usize = 64;

/// A set of numbers below [`BITS`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bits([u64; WORDS]);

impl Bits {
    pub(crate) const EMPTY: Self = Self([0; WORDS]);

    /// Adds the numbers of a range.
    pub(crate) fn insert(&mut self, range: Range<usize>) {
        masks(range).for_each(|(word, mask)| self.0[word] |= mask);
    }

    /// Takes away the numbers of a range.
    pub(crate) fn remove(&mut self, range: Range<usize>) {
        masks(range).for_each(|(word, mask)| self.0[word] &= !mask);
    }

    /// How many numbers of a range are in the set.
    pub(crate) fn count(&self, range: Range<usize>) -> usize {
        masks(range).map(|(word, mask)| (self.0[word] & mask).count_ones() as usize).sum()
    }

    /// Those that are in `other` too.
    pub(crate) fn and(mut self, other: &Self) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(word, other)| *word &= other);
        self
    }

    /// Those that are not in the set.
    pub(crate) fn not(mut self) -> Self {
        self.0.iter_mut().for_each(|word| *word = !*word);
        self
    }

    /// The longest ranges of which all numbers are in the set, in ascending order.
    pub(crate) fn runs(&self) -> impl Iterator<Item = Range<usize>> {
        let mut end = 0;
        from_fn(move || {
            let start = self.first(end, 0)?;
            end = self.first(start, u64::MAX).unwrap_or(BITS);
            Some(start..end)
        })
    }

    /// The first number from `from` on that is in the set or, with every bit of `flip` set, is not.
    fn first(&self, from: usize, flip: u64) -> Option<usize> {
        let mut known = u64::MAX << (from % 64);
        for (number, word) in self.0.iter().enumerate().skip(from / 64) {
            let found = (word ^ flip) & known;
            if found != 0 {
                return Some(64 * number + found.trailing_zeros() as usize);
            }
            known = u64::MAX;
        }
        None
    }
}

/// The words that hold a range, each with the bits of it.
fn masks(range: Range<usize>) -> impl Iterator<Item = (usize, u64)> {
    let words = range.start / 64..range.end.div_ceil(64);
    words.map(move |word| {
        let below = |end: usize| match end.saturating_sub(64 * word) {
            count @ 0..64 => (1 << count) - 1,
            _ => u64::MAX,
        };
        (word, below(range.end) & !below(range.start))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_come_and_go_as_in_a_list_of_booleans() {
        let (mut bits, mut list) = (Bits::EMPTY, [false; BITS]);
        for i in 0..2000 {
            let (start, length) = (i * 7919 % BITS, i * i % 300);
            let range = start..BITS.min(start + length);
            let insert = i % 3 != 0;
            list[range.clone()].fill(insert);
            let change = if insert { Bits::insert } else { Bits::remove };
            change(&mut bits, range.clone());
            let wide = start / 2..range.end;
            assert_eq!(bits.count(wide.clone()), list[wide].iter().filter(|&&x| x).count());
        }
        let mut seen = [false; BITS];
        for run in bits.runs() {
            assert!(!run.is_empty() && (run.start == 0 || !list[run.start - 1]), "{run:?}");
            seen[run].fill(true);
        }
        assert_eq!(seen, list);
        assert_eq!(bits.and(&bits.not()).runs().count(), 0);
        assert_eq!(Bits::EMPTY.not().runs().next(), Some(0..BITS));
    }
}
