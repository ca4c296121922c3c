//! How the kernels read the factors of a transform.
//!
//! Bit reversal keeps sums of numbers without a common bit, so
//! `ψ^rev(i + j) = ψ^rev(i) · ψ^rev(j)` for `j` below [`NEAR`] and `i` a multiple of it. A large
//! transform takes the many factors of its last layers apart in this way: it multiplies once more,
//! and a sixteenth of its factors have to come from memory.

use he_core::modulus::Factor;

/// How many factors are near: they fit the first cache.
pub(crate) const NEAR: usize = 1 << 12;

/// Whether a [`Factor`] lies in memory as its value, then its quotient, and nothing else.
pub(crate) const VALUE_COMES_FIRST: bool = {
    let factor = he_core::modulus::Modulus::new(17).unwrap().factor(5);
    // SAFETY: both are two words without padding; any bits are words.
    let words: [u32; 2] = unsafe { core::mem::transmute(factor) };
    words[0] == factor.value() && words[1] == factor.quotient()
};

/// The `count` factors from `place` on: one that all have in common if they are `FAR`, and the
/// near ones that it is multiplied by.
#[inline]
pub(crate) fn run<const FAR: bool>(
    roots: &[Factor],
    place: usize,
    count: usize,
) -> (Factor, &[Factor]) {
    debug_assert!(!FAR || place % NEAR + count <= NEAR);
    let common = if FAR { place - place % NEAR } else { 0 };
    (roots[common], &roots[place - common..][..count])
}
