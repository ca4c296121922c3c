//! A global allocator for programs whose blocks are polynomials: a quarter to some tens of
//! megabytes each, and thousands of them a second.
//!
//! The system's allocator returns such blocks to the kernel when they are freed and takes new ones
//! from it, page by page, each page a fault and each page cleared. [`Memory`] keeps them instead,
//! on one list for each of some size classes, in huge pages where the kernel has them. Small blocks
//! go to the system's allocator as ever, and on machines other than Linux on x86-64 all blocks do.
//!
//! ```
//! #[global_allocator]
//! static MEMORY: he_memory::Memory = he_memory::Memory;
//!
//! let words = vec![0u32; 1 << 16];
//! assert!(he_memory::stats().is_none_or(|stats| stats.in_use >= 4 * words.len()));
//! ```
//!
//! **Secrets.** A freed block keeps its contents until it is used again, as with any allocator.
//! Who holds secrets wipes them before they are freed; nothing is wiped here.

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod class;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod lock;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod pages;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod pool;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
use pool as global;

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
mod system;
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
use system as global;

use core::alloc::{GlobalAlloc, Layout};

/// The allocator, to be named with `#[global_allocator]`. All values of it are the same one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory;

/// What large blocks, those of 128 KiB to 1 GiB, hold; sizes are rounded up to those of classes,
/// which adds at most a sixteenth.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stats {
    /// Bytes of the blocks in use.
    pub in_use: usize,
    /// Bytes of the blocks kept for reuse: at most 2 GiB, beyond which what is freed goes back.
    pub idle: usize,
    /// The most bytes in use since the start or the last [`reset_peak`].
    pub peak: usize,
}

/// What large blocks hold now; `None` where the system's allocator serves them all.
#[must_use]
pub fn stats() -> Option<Stats> {
    global::stats()
}

/// Sets the peak to what is in use now, so that the next [`stats`] gives the peak of a stage.
pub fn reset_peak() {
    global::reset_peak();
}

/// Returns all idle blocks to the system.
pub fn trim() {
    global::trim();
}

// SAFETY: every method forwards to one allocator, with the same arguments; that one is a correct
// `GlobalAlloc`, for the reasons given there.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's duties are the same.
        unsafe { global::ALLOCATOR.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's duties are the same.
        unsafe { global::ALLOCATOR.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's duties are the same.
        unsafe { global::ALLOCATOR.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's duties are the same.
        unsafe { global::ALLOCATOR.realloc(block, layout, size) }
    }
}
