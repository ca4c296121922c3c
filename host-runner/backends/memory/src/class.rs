//! Size classes: sixteen to each power of two, so that at most a sixteenth of a block is lost.

use core::alloc::Layout;

use crate::pages::PAGE;

/// The smallest block of the pool, as a power of two.
const LOG_SMALLEST: usize = 17;

/// The largest block of the pool, as a power of two. Larger ones are too rare to be kept.
const LOG_LARGEST: usize = 30;

/// Classes to a power of two, as a power of two.
const LOG_STEPS: usize = 4;

/// How many classes there are.
pub(crate) const CLASSES: usize = ((LOG_LARGEST - LOG_SMALLEST) << LOG_STEPS) + 1;

/// The number of a size class, below [`CLASSES`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Class(usize);

impl Class {
    /// The class of the blocks that serve `layout`; none if it is the system's to serve.
    pub(crate) const fn of(layout: Layout) -> Option<Self> {
        let size = layout.size();
        if size < 1 << LOG_SMALLEST || size > 1 << LOG_LARGEST || layout.align() > PAGE {
            return None;
        }
        let exponent = size.ilog2() as usize;
        let steps = size.div_ceil(1 << (exponent - LOG_STEPS));
        // If there are as many as in the next power of two, this is its first class.
        Some(Self(((exponent - LOG_SMALLEST) << LOG_STEPS) + steps - (1 << LOG_STEPS)))
    }

    /// All of them, the smallest first.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..CLASSES).map(Self)
    }

    /// Its place among all.
    pub(crate) const fn index(self) -> usize {
        self.0
    }

    /// The bytes of its blocks, a multiple of [`PAGE`].
    pub(crate) const fn size(self) -> usize {
        let (steps, exponent) = (self.0 % (1 << LOG_STEPS), self.0 >> LOG_STEPS);
        ((1 << LOG_STEPS) + steps) << (exponent + LOG_SMALLEST - LOG_STEPS)
    }
}
