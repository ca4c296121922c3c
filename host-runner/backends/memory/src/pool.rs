//! The pool: pieces of address space, and who uses what of them.

#[cfg(test)]
mod tests;

use core::alloc::{GlobalAlloc, Layout};
use core::arch::asm;
use core::ptr::NonNull;
use std::alloc::System;

use crate::Stats;
use crate::lock::Lock;
use crate::piece::{FRAME, PIECE, Piece};

/// The pool behind [`crate::Memory`].
pub(crate) static ALLOCATOR: Pool = Pool::new(1 << 31);

/// The smallest block that the pool serves, in bytes.
const SMALLEST: usize = 1 << 17;

/// How many pieces there can be: 256 GiB. What does not fit is left to the system's allocator.
const PIECES: usize = 1 << 10;

pub(crate) fn stats() -> Option<Stats> {
    Some(ALLOCATOR.stats())
}

pub(crate) fn reset_peak() {
    ALLOCATOR.reset_peak();
}

pub(crate) fn trim() {
    ALLOCATOR.trim();
}

pub(crate) fn words(count: usize) -> Vec<u32> {
    if 4 * count < SMALLEST {
        return vec![0; count];
    }
    let mut words = Vec::with_capacity(count);
    // SAFETY: the assembly, of no instructions, may for all the compiler knows have written the
    // words, and to the machine memory always has some value. The capacity is at least `count`.
    unsafe {
        asm!("/* {} */", in(reg) words.as_mut_ptr(), options(nostack, preserves_flags));
        words.set_len(count);
    }
    words
}

/// An allocator that keeps the memory of freed large blocks.
#[derive(Debug)]
pub(crate) struct Pool {
    /// The most idle bytes.
    limit: usize,
    frames: Lock<Frames>,
}

/// All pieces; counters are in frames.
#[derive(Debug)]
struct Frames {
    pieces: [Option<Piece>; PIECES],
    in_use: usize,
    idle: usize,
    peak: usize,
}

impl Pool {
    /// A pool that keeps at most `limit` idle bytes.
    pub(crate) const fn new(limit: usize) -> Self {
        let pieces = [const { None }; PIECES];
        Self { limit, frames: Lock::new(Frames { pieces, in_use: 0, idle: 0, peak: 0 }) }
    }

    pub(crate) fn stats(&self) -> Stats {
        self.frames.with(|frames| Stats {
            in_use: frames.in_use * FRAME,
            idle: frames.idle * FRAME,
            peak: frames.peak * FRAME,
        })
    }

    pub(crate) fn reset_peak(&self) {
        self.frames.with(|frames| frames.peak = frames.in_use);
    }

    pub(crate) fn trim(&self) {
        self.frames.with(|frames| frames.trim(0));
    }

    /// A block, and whether it holds zeros; none if it is the system's to serve.
    fn take(&self, layout: Layout) -> Option<(NonNull<u8>, bool)> {
        let count = frames_of(layout)?;
        self.frames.with(|frames| frames.take(count))
    }

    /// Takes a block back; false if it is not of the pool.
    fn give(&self, block: NonNull<u8>, layout: Layout) -> bool {
        let Some(count) = frames_of(layout) else { return false };
        self.frames.with(|frames| frames.resize(block, count, 0, self.limit / FRAME))
    }

    /// Changes the size of a block where it is; false if it cannot, or the block is not of the pool.
    fn resize(&self, block: NonNull<u8>, old: Layout, new: Layout) -> bool {
        let (Some(old), Some(new)) = (frames_of(old), frames_of(new)) else { return false };
        self.frames.with(|frames| frames.resize(block, old, new, self.limit / FRAME))
    }
}

impl Frames {
    /// The lowest run of frames that is free, and whether it holds zeros.
    fn take(&mut self, count: usize) -> Option<(NonNull<u8>, bool)> {
        for piece in &mut self.pieces {
            if piece.is_none() {
                *piece = Piece::map();
            }
            let piece = piece.as_mut()?;
            if let Some((frame, touched)) = piece.take(count) {
                let block = piece.address(frame);
                self.taken(count, touched);
                return Some((block, touched == 0));
            }
        }
        None
    }

    /// A block of `old` frames gets `new` frames, if that is possible where it is.
    fn resize(&mut self, block: NonNull<u8>, old: usize, new: usize, limit: usize) -> bool {
        let mut pieces = self.pieces.iter_mut().map_while(Option::as_mut);
        let owner = pieces.find_map(|piece| piece.frame(block).map(|frame| (piece, frame)));
        let Some((piece, frame)) = owner else { return false };
        if new > old {
            let touched = piece.extend(frame + old..frame + new);
            touched.inspect(|&touched| self.taken(new - old, touched)).is_some()
        } else {
            piece.give(frame + new..frame + old);
            self.in_use -= old - new;
            self.idle += old - new;
            if self.idle > limit {
                self.trim(limit / 2);
            }
            true
        }
    }

    /// Counts frames that are in use now, of which some had memory already.
    fn taken(&mut self, count: usize, touched: usize) {
        self.in_use += count;
        self.peak = self.peak.max(self.in_use);
        self.idle -= touched;
    }

    /// Returns memory to the system, from the highest piece on, until at most `limit` frames are
    /// idle.
    fn trim(&mut self, limit: usize) {
        for piece in self.pieces.iter_mut().rev().flatten() {
            if self.idle <= limit {
                break;
            }
            self.idle -= piece.trim();
        }
    }
}

/// How many frames a layout needs; none if it is the system's to serve.
const fn frames_of(layout: Layout) -> Option<usize> {
    let size = layout.size();
    let large = size >= SMALLEST && size <= PIECE && layout.align() <= FRAME;
    if large { Some(size.div_ceil(FRAME)) } else { None }
}

// SAFETY: a block is a run of frames of the pool, as many as its layout needs, that no other block
// has; or it is one of the system's allocator. Whose it is is known by its address, since that
// allocator has no address of a piece. Frames start at multiples of the largest alignment that they
// are taken for. Nothing here unwinds.
unsafe impl GlobalAlloc for Pool {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match self.take(layout) {
            Some((block, _)) => block.as_ptr(),
            // SAFETY: the caller's duties are the same.
            None => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let Some((block, zeros)) = self.take(layout) else {
            // SAFETY: the caller's duties are the same.
            return unsafe { System.alloc_zeroed(layout) };
        };
        if !zeros {
            // SAFETY: the block has at least the layout's size and is nobody else's.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block.as_ptr()
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if !NonNull::new(block).is_some_and(|block| self.give(block, layout)) {
            // SAFETY: the caller vouches for the block, which is not of the pool.
            unsafe { System.dealloc(block, layout) };
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller vouches that `size`, rounded up to the alignment, fits an `isize`.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        if frames_of(layout).is_none() && frames_of(wanted).is_none() {
            // SAFETY: blocks of such layouts are the system's; else the caller's duties are the same.
            return unsafe { System.realloc(block, layout, size) };
        }
        if NonNull::new(block).is_some_and(|block| self.resize(block, layout, wanted)) {
            return block;
        }
        // SAFETY: the caller vouches for `block` and `layout`, and that `size` is not zero. The
        // blocks are different ones and the number of bytes is at most the size of either.
        unsafe {
            let moved = self.alloc(wanted);
            if !moved.is_null() {
                moved.copy_from_nonoverlapping(block, size.min(layout.size()));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}
