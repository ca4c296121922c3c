//! A lock that never allocates, as an allocator needs.

use core::cell::UnsafeCell;
use core::hint::spin_loop;
use core::sync::atomic::{AtomicBool, Ordering};
use std::thread::yield_now;

/// How often a taken lock is looked at before the other threads are given the processor: its
/// holder needs some tens of nanoseconds unless it was interrupted.
const SPINS: usize = 64;

/// A value that one thread at a time has.
#[derive(Debug, Default)]
pub(crate) struct Lock<T> {
    taken: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: `with` hands the value to one thread at a time.
unsafe impl<T: Send> Sync for Lock<T> {}

impl<T> Lock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self { taken: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    /// Calls `f` with the value, which must neither panic nor allocate nor call `with` of the same
    /// lock: that would wait for ever.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        while self.taken.swap(true, Ordering::Acquire) {
            let mut spins = 0;
            while self.taken.load(Ordering::Relaxed) {
                spins += 1;
                if spins < SPINS { spin_loop() } else { yield_now() }
            }
        }
        // SAFETY: `taken` was false and is now true by this thread's swap, so that no other thread
        // is between here and the store below.
        let result = f(unsafe { &mut *self.value.get() });
        self.taken.store(false, Ordering::Release);
        result
    }
}
