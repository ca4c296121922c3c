//! The heap: `embedded-alloc`'s, with a mark of how full it ever was.

use core::alloc::{GlobalAlloc, Layout};
use core::sync::atomic::{AtomicUsize, Ordering};

use embedded_alloc::LlffHeap;

/// A heap to be named the global allocator.
#[expect(missing_debug_implementations, reason = "its memory holds secrets")]
pub struct Heap {
    inner: LlffHeap,
    used: AtomicUsize,
    peak: AtomicUsize,
}

impl Default for Heap {
    fn default() -> Self {
        Self::empty()
    }
}

impl Heap {
    /// A heap without memory.
    #[must_use]
    pub const fn empty() -> Self {
        Self { inner: LlffHeap::empty(), used: AtomicUsize::new(0), peak: AtomicUsize::new(0) }
    }

    /// Gives the heap its memory.
    ///
    /// # Safety
    /// `size` bytes from address `start` are RAM that nothing else uses from now on; called once.
    #[expect(unsafe_code, reason = "the contract is the caller's")]
    pub unsafe fn init(&self, start: usize, size: usize) {
        // SAFETY: the contract of this function.
        unsafe { self.inner.init(start, size) }
    }

    /// Most bytes that were in use at once.
    #[must_use]
    pub fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }
}

// SAFETY: every call goes to `LlffHeap`, which keeps the contract of the trait; the counters only count.
#[expect(unsafe_code, reason = "the trait is unsafe")]
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the contract of this function.
        let place = unsafe { self.inner.alloc(layout) };
        if !place.is_null() {
            let used = self.used.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
            self.peak.fetch_max(used, Ordering::Relaxed);
        }
        place
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        self.used.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the contract of this function.
        unsafe { self.inner.dealloc(place, layout) }
    }
}
