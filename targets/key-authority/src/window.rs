//! The one stretch of memory that both sides may use, and the check of what the untrusted side says
//! lies in it.

/// Addresses that arguments may point to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Window {
    /// The first address.
    pub start: u64,
    /// The address after the last.
    pub end: u64,
}

impl Window {
    /// Whether `length` bytes from `start`, at least one and at most `limit`, lie in the window; the
    /// end of the range is compared without computing it, so nothing wraps.
    #[must_use]
    pub const fn has(&self, start: u64, length: u64, limit: u64) -> bool {
        start >= self.start
            && start < self.end
            && length > 0
            && length <= limit
            && length <= self.end - start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_taken_exactly_if_all_its_bytes_are_inside_and_it_is_not_too_long() {
        let window = Window { start: 8, end: 16 };
        for start in 0..20_u64 {
            for length in 0..20_u64 {
                let inside = length > 0 && (start..start + length).all(|at| (8..16).contains(&at));
                assert_eq!(window.has(start, length, 6), inside && length <= 6);
            }
        }
    }

    #[test]
    fn ranges_that_wrap_are_refused() {
        let window = Window { start: 8, end: u64::MAX };
        for (start, length) in [(u64::MAX - 1, 2), (16, u64::MAX - 8), (9, u64::MAX), (u64::MAX, 1)]
        {
            assert!(!window.has(start, length, u64::MAX));
        }
    }
}
