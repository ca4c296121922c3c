//! A global allocator for programs whose blocks are polynomials: a quarter to some tens of
//! megabytes each, and thousands of them a second.
//!
//! The system's allocator returns such blocks to the kernel when they are freed and takes new ones
//! from it, page by page, each page a fault and each page cleared. [`Memory`] keeps their memory
//! instead, in huge pages where the kernel has them: large blocks are runs of frames of 64 KiB, and
//! a new block is the lowest run that is free, so that blocks of different sizes follow each other
//! in the same memory. Small blocks go to the system's allocator as ever, and on machines other
//! than 64-bit Linux all blocks do.
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

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod bits;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod lock;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod piece;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod pool;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
use pool as global;

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
mod system;
#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
use system as global;

use core::alloc::{GlobalAlloc, Layout};

/// The allocator, to be named with `#[global_allocator]`. All values of it are the same one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory;

/// What large blocks hold, those of 128 KiB to 256 MiB, each rounded up to a multiple of 64 KiB.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stats {
    /// Bytes of the blocks in use.
    pub in_use: usize,
    /// Bytes that are kept for reuse: at most 2 GiB, beyond which half of them go back.
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

/// Returns all idle memory to the system.
pub fn trim() {
    global::trim();
}

/// So many words of any values. Those of memory that was used before are not cleared, which for
/// polynomials takes as long as an addition.
#[must_use]
pub fn words(count: usize) -> Vec<u32> {
    global::words(count)
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
