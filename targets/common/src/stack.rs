//! How deep the stack ever grew, by painting it at start-up and looking for the paint later.

/// Words that hold this were never written, as far as one can tell.
const PAINT: u32 = 0xA5C3_5A3C;

/// Bytes below the caller's stack pointer that [`Stack::paint`] leaves alone: its own frame.
const MARGIN: usize = 256;

/// The memory between the end of the statics and the top of the stack.
#[derive(Debug, Clone, Copy)]
pub struct Stack {
    bottom: usize,
    top: usize,
}

impl Stack {
    /// The stack that grows down from address `top` and may not go below `bottom`. Both are
    /// multiples of four.
    ///
    /// # Safety
    /// `bottom..top` is RAM that holds nothing but this processor's only stack, for as long as
    /// the value is used.
    #[must_use]
    pub const unsafe fn new(bottom: usize, top: usize) -> Self {
        Self { bottom, top }
    }

    /// Paints what lies below the stack pointer. Called once, early.
    #[inline(never)]
    pub fn paint(&self) {
        let mark = 0u32;
        let limit = (core::ptr::from_ref(&mark).addr()).saturating_sub(MARGIN);
        let mut at = self.bottom;
        while at < limit {
            // SAFETY: `bottom..limit` is stack memory below every live frame (contract of `new`;
            // this function's frame ends less than MARGIN bytes below `mark`).
            unsafe { core::ptr::with_exposed_provenance_mut::<u32>(at).write_volatile(PAINT) };
            at += 4;
        }
    }

    /// Bytes the stack takes up to the caller.
    #[inline(never)]
    #[must_use]
    pub fn depth(&self) -> usize {
        let mark = 0u32;
        self.top - core::ptr::from_ref(&mark).addr()
    }

    /// Most bytes the stack has taken since it was painted.
    #[must_use]
    pub fn deepest(&self) -> usize {
        let mut at = self.bottom;
        while at < self.top {
            // SAFETY: `bottom..top` is readable RAM (contract of `new`).
            let word = unsafe { core::ptr::with_exposed_provenance::<u32>(at).read_volatile() };
            if word != PAINT {
                break;
            }
            at += 4;
        }
        self.top - at
    }
}
