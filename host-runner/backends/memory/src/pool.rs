//! The pool: lists of idle blocks, one for each size class.

#[cfg(test)]
mod tests;

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::alloc::System;

use crate::Stats;
use crate::class::{CLASSES, Class};
use crate::lock::Lock;
use crate::pages::{Pages, unmap};

/// The pool behind [`crate::Memory`].
pub(crate) static ALLOCATOR: Pool = Pool::new(1 << 31);

pub(crate) fn stats() -> Option<Stats> {
    Some(ALLOCATOR.stats())
}

pub(crate) fn reset_peak() {
    ALLOCATOR.reset_peak();
}

pub(crate) fn trim() {
    ALLOCATOR.trim();
}

/// An idle block: the next one of its class is written at its start.
#[derive(Clone, Copy, Debug)]
struct Idle(NonNull<Option<Self>>);

// SAFETY: an idle block belongs to who has this value, in whatever thread.
unsafe impl Send for Idle {}

/// An allocator that keeps freed large blocks.
#[derive(Debug)]
pub(crate) struct Pool {
    lists: [Lock<Option<Idle>>; CLASSES],
    pages: Lock<Pages>,
    limit: usize,
    in_use: AtomicUsize,
    idle: AtomicUsize,
    peak: AtomicUsize,
}

impl Pool {
    /// A pool that keeps at most `limit` idle bytes.
    pub(crate) const fn new(limit: usize) -> Self {
        Self {
            lists: [const { Lock::new(None) }; CLASSES],
            pages: Lock::new(Pages::EMPTY),
            limit,
            in_use: AtomicUsize::new(0),
            idle: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
        }
    }

    /// The three counters, each exact, but read one after another.
    pub(crate) fn stats(&self) -> Stats {
        let (in_use, idle) = (self.in_use.load(Relaxed), self.idle.load(Relaxed));
        Stats { in_use, idle, peak: self.peak.load(Relaxed) }
    }

    pub(crate) fn reset_peak(&self) {
        self.peak.store(self.in_use.load(Relaxed), Relaxed);
    }

    /// Returns all idle blocks to the system.
    pub(crate) fn trim(&self) {
        for class in Class::all() {
            let mut next = self.list(class).with(Option::take);
            while let Some(Idle(block)) = next {
                // SAFETY: this block was on the list, which is now this function's: so it is in no
                // use and its start was written by `put`.
                next = unsafe { block.read() };
                // SAFETY: as above, and an idle block is a whole block of its class.
                if unsafe { unmap(block.cast(), class.size()) } {
                    self.idle.fetch_sub(class.size(), Relaxed);
                } else {
                    self.put(class, block.cast());
                }
            }
        }
    }

    /// A block of a class, and whether it holds zeros.
    fn take(&self, class: Class) -> Option<(NonNull<u8>, bool)> {
        let idle = self.list(class).with(|first| {
            let Idle(block) = (*first)?;
            // SAFETY: the block is on the list, so in no use, and its start was written by `put`.
            *first = unsafe { block.read() };
            Some(block.cast())
        });
        let block = match idle {
            Some(block) => {
                self.idle.fetch_sub(class.size(), Relaxed);
                (block, false)
            }
            None => (self.fresh(class)?, true),
        };
        let in_use = self.in_use.fetch_add(class.size(), Relaxed) + class.size();
        self.peak.fetch_max(in_use, Relaxed);
        Some(block)
    }

    /// A new block; if the system has none, after it got all idle ones.
    fn fresh(&self, class: Class) -> Option<NonNull<u8>> {
        let cut = || self.pages.with(|pages| pages.cut(class.size()));
        cut().or_else(|| {
            self.trim();
            cut()
        })
    }

    /// Keeps a block that is no longer used. If there would then be more than the limit idle, all
    /// others go: what they were for is over. If that is not enough, the block is too large to be
    /// kept, or other threads are returning theirs, and it goes too.
    fn give(&self, class: Class, block: NonNull<u8>) {
        self.in_use.fetch_sub(class.size(), Relaxed);
        if self.idle.fetch_add(class.size(), Relaxed) + class.size() > self.limit {
            self.trim();
            // SAFETY: the block comes from `take` and its user has given it back.
            if self.idle.load(Relaxed) > self.limit && unsafe { unmap(block, class.size()) } {
                self.idle.fetch_sub(class.size(), Relaxed);
                return;
            }
        }
        self.put(class, block);
    }

    /// Puts a block on the list of its class.
    fn put(&self, class: Class, block: NonNull<u8>) {
        let block = block.cast::<Option<Idle>>();
        self.list(class).with(|first| {
            // SAFETY: nobody uses the block, which starts on a page and is larger than what is
            // written.
            unsafe { block.write(*first) };
            *first = Some(Idle(block));
        });
    }

    fn list(&self, class: Class) -> &Lock<Option<Idle>> {
        &self.lists[class.index()]
    }
}

// SAFETY: a block of a class is at least as large as a layout of that class asks for and starts on a
// page, the largest alignment of a layout that has a class; it is on a list or in one use, never
// both. Other layouts are the system's to serve, and the class of a layout never changes, so that
// each block returns to where it came from. Nothing here unwinds.
unsafe impl GlobalAlloc for Pool {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(class) = Class::of(layout) else {
            // SAFETY: the caller's duties are the same.
            return unsafe { System.alloc(layout) };
        };
        self.take(class).map_or(null_mut(), |(block, _)| block.as_ptr())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let Some(class) = Class::of(layout) else {
            // SAFETY: the caller's duties are the same.
            return unsafe { System.alloc_zeroed(layout) };
        };
        let Some((block, zeros)) = self.take(class) else { return null_mut() };
        if !zeros {
            // SAFETY: the block has at least the layout's size and is nobody else's.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block.as_ptr()
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match (Class::of(layout), NonNull::new(block)) {
            (Some(class), Some(block)) => self.give(class, block),
            // SAFETY: the caller's duties are the same.
            _ => unsafe { System.dealloc(block, layout) },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller vouches that `size`, rounded up to the alignment, fits an `isize`.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (Class::of(layout), Class::of(wanted)) {
            // SAFETY: the caller's duties are the same.
            (None, None) => unsafe { System.realloc(block, layout, size) },
            (old, new) if old == new => block,
            // SAFETY: the caller vouches for `block` and `layout`, and that `size` is not zero. The
            // blocks are different ones and the number of bytes is at most the size of either.
            _ => unsafe {
                let moved = self.alloc(wanted);
                if !moved.is_null() {
                    moved.copy_from_nonoverlapping(block, size.min(layout.size()));
                    self.dealloc(block, layout);
                }
                moved
            },
        }
    }
}
