//! Sets of primes.

use core::fmt;
use core::ops::Range;

/// A set of primes of one ring, by their indices in the ring's list.
///
/// The limbs of a polynomial follow each other in ascending order of index.
#[derive(Clone, Copy, Default, Eq, PartialEq)]
pub struct Basis(u64);

impl Basis {
    /// One more than the largest index.
    pub const CAPACITY: usize = 64;

    /// No prime.
    pub const EMPTY: Self = Self(0);

    /// Prime `index` alone.
    ///
    /// # Panics
    /// If `index` is not below [`Self::CAPACITY`].
    #[must_use]
    pub const fn single(index: usize) -> Self {
        Self::range(index..index + 1)
    }

    /// The primes with indices in `indices`.
    ///
    /// # Panics
    /// If the end is above [`Self::CAPACITY`].
    #[must_use]
    pub const fn range(indices: Range<usize>) -> Self {
        assert!(indices.end <= Self::CAPACITY);
        Self(below(indices.end) & !below(indices.start))
    }

    /// The set whose bit `i` says whether prime `i` is in it, as on the wire.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Bit `i` says whether prime `i` is in the set.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// How many primes.
    #[must_use]
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether prime `index` is in the set.
    #[must_use]
    pub const fn contains(self, index: usize) -> bool {
        index < Self::CAPACITY && self.0 >> index & 1 == 1
    }

    /// Whether every prime of the set is in `other`.
    #[must_use]
    pub const fn is_subset(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// The place of prime `index` among the limbs, if it is in the set.
    #[must_use]
    pub const fn position(self, index: usize) -> Option<usize> {
        if self.contains(index) { Some(Self(self.0 & below(index)).len()) } else { None }
    }

    /// The index of the prime at place `rank`, if there are more than `rank`.
    #[must_use]
    pub fn index(self, rank: usize) -> Option<usize> {
        self.iter().nth(rank)
    }

    /// The indices, ascending.
    #[must_use]
    pub fn iter(self) -> impl ExactSizeIterator<Item = usize> {
        let mut rest = self.0;
        (0..self.len()).map(move |_| {
            let index = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            index
        })
    }

    /// The primes of either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The primes of both.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The primes that are not in `other`.
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The base-2 logarithm of the product of these of the given primes.
    pub(crate) fn log2_product(self, primes: &[u32]) -> f64 {
        self.iter().map(|i| libm::log2(f64::from(primes[i]))).sum()
    }

    /// The product of these of the given primes over that of `denominator`, to a relative error
    /// below `2^-46` and without overflow wherever the ratio itself has none.
    pub(crate) fn product_ratio(self, denominator: Self, primes: &[u32]) -> f64 {
        let mut below = denominator.difference(self).iter();
        let mut ratio = 1.0;
        // Divides as soon as the product is above one, to keep it near one as long as it can.
        for above in self.difference(denominator).iter() {
            ratio *= f64::from(primes[above]);
            if ratio > 1.0 {
                ratio = below.next().map_or(ratio, |i| ratio / f64::from(primes[i]));
            }
        }
        below.fold(ratio, |ratio, i| ratio / f64::from(primes[i]))
    }
}

impl fmt::Debug for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// The lowest `count` bits.
const fn below(count: usize) -> u64 {
    if count >= Basis::CAPACITY { u64::MAX } else { (1 << count) - 1 }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn indices() -> impl Strategy<Value = BTreeSet<usize>> {
        proptest::collection::btree_set(0..Basis::CAPACITY, 0..20)
    }

    proptest! {
        #[test]
        fn behaves_as_a_sorted_set(a in indices(), b in indices()) {
            let set = |s: &BTreeSet<usize>| {
                s.iter().map(|&i| Basis::single(i)).fold(Basis::EMPTY, Basis::union)
            };
            let (x, y) = (set(&a), set(&b));
            prop_assert!(x.iter().eq(a.iter().copied()));
            prop_assert_eq!(x.len(), a.len());
            prop_assert_eq!(x.is_empty(), a.is_empty());
            prop_assert_eq!(x.union(y), set(&a.union(&b).copied().collect()));
            prop_assert_eq!(x.intersection(y), set(&a.intersection(&b).copied().collect()));
            prop_assert_eq!(x.difference(y), set(&a.difference(&b).copied().collect()));
            prop_assert_eq!(x.is_subset(y), a.is_subset(&b));
            prop_assert_eq!(Basis::from_bits(x.bits()), x);
            for i in 0..=Basis::CAPACITY {
                prop_assert_eq!(x.contains(i), a.contains(&i));
                prop_assert_eq!(x.position(i), a.iter().position(|&j| j == i));
                prop_assert_eq!(x.index(i), a.iter().nth(i).copied());
            }
        }
    }

    #[test]
    fn ranges_reach_both_ends() {
        assert_eq!(Basis::range(0..64).len(), 64);
        assert_eq!(Basis::range(3..3), Basis::EMPTY);
        assert!(Basis::range(60..64).iter().eq(60..64));
    }
}
