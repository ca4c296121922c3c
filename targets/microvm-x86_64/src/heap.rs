//! The heap.

use critical_section::RawRestoreState;
use key_authority::heap::Heap;

#[global_allocator]
pub(crate) static HEAP: Heap = Heap::empty();

/// Nothing interrupts: interrupts are off, and there is one processor.
struct Masked;

critical_section::set_impl!(Masked);

// SAFETY: with interrupts off and one processor, all code is in a critical section at all times.
unsafe impl critical_section::Impl for Masked {
    unsafe fn acquire() -> RawRestoreState {}

    unsafe fn release((): RawRestoreState) {}
}
