//! The system's allocator, where there is no pool.

use std::alloc::System;

use crate::Stats;

pub(crate) static ALLOCATOR: System = System;

pub(crate) const fn stats() -> Option<Stats> {
    None
}

pub(crate) const fn reset_peak() {}

pub(crate) const fn trim() {}

pub(crate) fn words(count: usize) -> Vec<u32> {
    vec![0; count]
}
