//! Pieces of address space, of which blocks are runs of frames.

use core::ops::Range;
use core::ptr::{NonNull, null_mut};

use crate::bits::{BITS, Bits};

/// What blocks are counted in: a multiple of the page size of any Linux.
pub(crate) const FRAME: usize = 1 << 16;

/// What is mapped at a time, and so the largest block. It costs no memory until it is touched.
pub(crate) const PIECE: usize = FRAME * BITS;

/// The size of a huge page on most machines, to which pieces are aligned.
const HUGE_PAGE: usize = 1 << 21;

/// A piece, and what becomes of its frames.
#[derive(Debug)]
pub(crate) struct Piece {
    start: NonNull<u8>,
    /// The frames of blocks in use.
    used: Bits,
    /// The frames that have memory. All others hold zeros.
    touched: Bits,
    /// At least the number of frames of the longest run that is not in use.
    longest: usize,
}

// SAFETY: a piece belongs to its value and not to the thread that mapped it.
unsafe impl Send for Piece {}

impl Piece {
    /// A new piece, if the system has one.
    pub(crate) fn map() -> Option<Self> {
        let start = map(PIECE)?;
        Some(Self { start, used: Bits::EMPTY, touched: Bits::EMPTY, longest: BITS })
    }

    /// The first of the frames of the block that starts at `block`, if it is one of this piece.
    pub(crate) fn frame(&self, block: NonNull<u8>) -> Option<usize> {
        let distance = block.addr().get().checked_sub(self.start.addr().get())?;
        (distance < PIECE).then_some(distance / FRAME)
    }

    /// Where a frame, one of `0 .. BITS`, starts.
    pub(crate) fn address(&self, frame: usize) -> NonNull<u8> {
        // SAFETY: every frame is within the piece.
        unsafe { self.start.add(frame * FRAME) }
    }

    /// The lowest run of `count` frames that is not in use; it is then, and has memory. Also, how
    /// many of them had memory already.
    pub(crate) fn take(&mut self, count: usize) -> Option<(usize, usize)> {
        if count > self.longest {
            return None;
        }
        let Some(run) = self.used.not().runs().find(|run| run.len() >= count) else {
            self.longest = count - 1;
            return None;
        };
        Some((run.start, self.occupy(run.start..run.start + count)))
    }

    /// Takes the frames of a range, if none is in use. As [`Self::take`], says how many had memory.
    pub(crate) fn extend(&mut self, range: Range<usize>) -> Option<usize> {
        (range.end <= BITS && self.used.count(range.clone()) == 0).then(|| self.occupy(range))
    }

    /// Frames are no longer in use, but keep their memory.
    pub(crate) fn give(&mut self, range: Range<usize>) {
        self.used.remove(range);
        self.longest = BITS;
    }

    /// Returns the memory of all frames that are not in use to the system, and says of how many.
    pub(crate) fn trim(&mut self) -> usize {
        let idle = self.touched.and(&self.used.not());
        let mut count = 0;
        for run in idle.runs() {
            let (start, size) = (self.address(run.start), run.len() * FRAME);
            // SAFETY: no one uses these frames, which are of one anonymous mapping.
            let result = unsafe { libc::madvise(start.as_ptr().cast(), size, libc::MADV_DONTNEED) };
            // Pages that are locked in memory stay as they are.
            if result == 0 {
                count += run.len();
                self.touched.remove(run);
            }
        }
        count
    }

    fn occupy(&mut self, range: Range<usize>) -> usize {
        let touched = self.touched.count(range.clone());
        self.used.insert(range.clone());
        self.touched.insert(range);
        touched
    }
}

/// Maps `size` bytes of zeros, a multiple of [`HUGE_PAGE`], from a multiple of it.
fn map(size: usize) -> Option<NonNull<u8>> {
    let total = size + HUGE_PAGE;
    let (rights, kind) = (
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
    );
    // SAFETY: an anonymous mapping at an address of the kernel's choice changes nothing that is.
    let start = unsafe { libc::mmap(null_mut(), total, rights, kind, -1, 0) };
    if start == libc::MAP_FAILED {
        return None;
    }
    let head = start.align_offset(HUGE_PAGE);
    let tail = HUGE_PAGE - head;
    // SAFETY: `head + size + tail` is the whole mapping, and head and tail are multiples of the page
    // size, since its start is; so the three parts are in it. The outer ones go, the middle one
    // stays; advice does not change contents. An error leaves more mapped than is needed, or pages
    // small: nothing to act upon.
    unsafe {
        let (middle, end) = (start.add(head), start.add(head + size));
        if head > 0 {
            libc::munmap(start, head);
        }
        libc::munmap(end, tail);
        libc::madvise(middle, size, libc::MADV_HUGEPAGE);
        NonNull::new(middle.cast())
    }
}
