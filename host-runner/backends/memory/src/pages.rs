//! Pages from the kernel: mapped in large pieces, of which blocks are cut.

use core::ptr::{NonNull, null_mut};

/// The size of a page of x86-64.
pub(crate) const PAGE: usize = 1 << 12;

/// The size of a huge page, to which pieces are aligned.
const HUGE_PAGE: usize = 1 << 21;

/// What is mapped at a time. Address space only: memory comes when a page is first touched.
const PIECE: usize = 1 << 26;

/// The rest of the last piece: addresses, and how many bytes are left there.
#[derive(Debug)]
pub(crate) struct Pages {
    next: *mut u8,
    left: usize,
}

// SAFETY: the pages belong to the value and not to the thread that mapped them.
unsafe impl Send for Pages {}

impl Pages {
    pub(crate) const EMPTY: Self = Self { next: null_mut(), left: 0 };

    /// A block of `size` bytes, a multiple of [`PAGE`], that holds zeros. Blocks lie side by side, so
    /// that those that are smaller than a huge page share one.
    pub(crate) fn cut(&mut self, size: usize) -> Option<NonNull<u8>> {
        if size > PIECE / 2 {
            return map(size);
        }
        if size > self.left {
            // What is left was never touched.
            if let Some(rest) = NonNull::new(self.next).filter(|_| self.left > 0) {
                // SAFETY: the last `left` bytes of the piece are in no block.
                unsafe { unmap(rest, self.left) };
            }
            *self = Self::EMPTY;
            self.next = map(PIECE)?.as_ptr();
            self.left = PIECE;
        }
        let block = NonNull::new(self.next);
        // SAFETY: `size` is at most `left`, the bytes from `next` to the end of the piece.
        self.next = unsafe { self.next.add(size) };
        self.left -= size;
        block
    }
}

/// Returns pages to the kernel, and whether it took them: it may refuse if that would leave a
/// process with too many separate pieces.
///
/// # Safety
/// The pages come from [`Pages::cut`], both ends are multiples of [`PAGE`], and nobody uses them.
pub(crate) unsafe fn unmap(start: NonNull<u8>, size: usize) -> bool {
    // SAFETY: no one uses the pages; they are anonymous ones of this process.
    unsafe { libc::munmap(start.as_ptr().cast(), size) == 0 }
}

/// Maps `size` bytes, a multiple of [`PAGE`], from a multiple of [`HUGE_PAGE`].
fn map(size: usize) -> Option<NonNull<u8>> {
    let total = size.checked_add(HUGE_PAGE - PAGE)?;
    let (rights, kind) = (
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
    );
    // SAFETY: an anonymous mapping at an address of the kernel's choice touches nothing that is.
    let start = unsafe { libc::mmap(null_mut(), total, rights, kind, -1, 0) };
    if start == libc::MAP_FAILED {
        return None;
    }
    let head = start.align_offset(HUGE_PAGE);
    let tail = total - size - head;
    // SAFETY: `head + size + tail` is the whole mapping, which starts on a page; so the three parts
    // are in it. The outer ones go, the middle one stays; advice does not change contents. Errors
    // leave more mapped than is used, or pages small: nothing to act upon.
    unsafe {
        let (start, end) = (start.add(head), start.add(head + size));
        if head > 0 {
            libc::munmap(start.sub(head), head);
        }
        if tail > 0 {
            libc::munmap(end, tail);
        }
        libc::madvise(start, size, libc::MADV_HUGEPAGE);
        NonNull::new(start.cast())
    }
}
