//! The forward transform, one layer after another.
//!
//! Layer `l` splits its nodes `2^l, …, 2^(l+1) − 1` in two, node `i` into `2i` and `2i + 1` after
//! butterflies with root `i`. So a node knows its roots, and subtrees that fit the cache are
//! finished one after another. Between layers residues stay in `[0, 2q)`; wider ones would not fit
//! a word.
//!
//! A loop does one layer and no more. Its rounds are so short that the CPU runs several at once,
//! and that is worth more than the loads and stores of a loop that does two or three.
//!
//! A word's place in a pair of registers is four bits, `e3` to `e0`: the register, then the lane.
//! Each of the last layers pairs words that differ in one lane bit, so that bit moves to the
//! register and another to the lane.

use core::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_permute2x128_si256, _mm256_sub_epi32, _mm256_unpackhi_epi32,
    _mm256_unpackhi_epi64, _mm256_unpacklo_epi32, _mm256_unpacklo_epi64,
};

use he_core::{modulus::Factor, ntt::NttTable};

use crate::roots::{self, NEAR};

use super::lanes::{
    Factors, Words, even_and_even, load, odd_and_odd, reduce_once, splat, store, swap_middle,
};

/// Registers that are transformed layer by layer: they fit the first cache.
const CLOSE: usize = 512;

/// Coefficients to evaluations; at least 16 words.
#[target_feature(enable = "avx2")]
pub(super) fn forward(table: &NttTable<'_>, limb: &mut [Words]) {
    let (q, roots) = (splat(table.modulus().value()), table.roots());
    if roots.len() > NEAR {
        finish::<true>(q, roots, 1, limb);
    } else {
        finish::<false>(q, roots, 1, limb);
    }
}

/// All layers from `node` down, on its own words.
#[target_feature(enable = "avx2")]
fn finish<const FAR: bool>(q: __m256i, roots: &[Factor], node: usize, words: &mut [Words]) {
    if words.len() > CLOSE {
        layer(q, roots, node, words);
        let (left, right) = words.split_at_mut(words.len() / 2);
        finish::<FAR>(q, roots, 2 * node, left);
        return finish::<FAR>(q, roots, 2 * node + 1, right);
    }
    let mut size = words.len();
    let leaf = node * size;
    while size > 1 {
        for (i, words) in words.chunks_exact_mut(size).enumerate() {
            layer(q, roots, leaf / size + i, words);
        }
        size /= 2;
    }
    four_apart::<FAR>(q, roots, leaf, words);
    two_apart::<FAR>(q, roots, leaf, words);
    neighbours::<FAR>(q, roots, leaf, words);
}

/// The layer of `node`.
#[inline]
#[target_feature(enable = "avx2")]
fn layer(q: __m256i, roots: &[Factor], node: usize, words: &mut [Words]) {
    let f = Factors::splat(roots[node]);
    let (left, right) = words.split_at_mut(words.len() / 2);
    for (a, b) in left.iter_mut().zip(right) {
        let (x, y) = butterfly(load(a), load(b), f, q);
        store(a, x);
        store(b, y);
    }
}

/// `(a + b·f, a − b·f)`, all below `2q`.
#[inline]
#[target_feature(enable = "avx2")]
fn butterfly(a: __m256i, b: __m256i, f: Factors, q: __m256i) -> (__m256i, __m256i) {
    let a = reduce_once(a, q);
    let b = reduce_once(f.mul_lazy(b, q), q);
    (_mm256_add_epi32(a, b), _mm256_sub_epi32(_mm256_add_epi32(a, q), b))
}

/// `(a + b·f, a − b·f)`, with a common factor before `f` if that is `FAR`.
#[inline]
#[target_feature(enable = "avx2")]
fn far_butterfly<const FAR: bool>(
    a: __m256i,
    b: __m256i,
    [common, f]: [Factors; 2],
    q: __m256i,
) -> (__m256i, __m256i) {
    let b = if FAR { common.mul_lazy(b, q) } else { b };
    butterfly(a, b, f, q)
}

/// Words that differ in `e2`; their roots are told apart by lanes (`e1`, `e3`, …).
#[target_feature(enable = "avx2")]
fn four_apart<const FAR: bool>(q: __m256i, roots: &[Factor], leaf: usize, words: &mut [Words]) {
    let (common, factors) = roots::run::<FAR>(roots, leaf, words.len());
    let (common, factors) = (Factors::splat(common), factors.as_chunks().0);
    for ([a, b], factors) in words.as_chunks_mut().0.iter_mut().zip(factors) {
        let (x, y) = (load(a), load(b));
        let (x, y) = (swap_middle(x), swap_middle(y));
        let (x, y) = (_mm256_unpacklo_epi64(x, y), _mm256_unpackhi_epi64(x, y));
        let f = Factors::two(factors);
        let (x, y) = far_butterfly::<FAR>(x, y, [common, f], q);
        store(a, x);
        store(b, y);
    }
}

/// Words that differ in `e1`; lanes (`e2`, `e3`, …).
#[target_feature(enable = "avx2")]
fn two_apart<const FAR: bool>(q: __m256i, roots: &[Factor], leaf: usize, words: &mut [Words]) {
    let (common, factors) = roots::run::<FAR>(roots, 2 * leaf, 2 * words.len());
    let (common, factors) = (Factors::splat(common), factors.as_chunks().0);
    for ([a, b], factors) in words.as_chunks_mut().0.iter_mut().zip(factors) {
        let (x, y) = (load(a), load(b));
        let (x, y) =
            (_mm256_permute2x128_si256::<0x20>(x, y), _mm256_permute2x128_si256::<0x31>(x, y));
        let f = Factors::four(factors);
        let (x, y) = far_butterfly::<FAR>(x, y, [common, f], q);
        store(a, x);
        store(b, y);
    }
}

/// Words that differ in `e0`; lanes (`e2`, `e3`, `e1`), and in the end all in their place.
#[target_feature(enable = "avx2")]
fn neighbours<const FAR: bool>(q: __m256i, roots: &[Factor], leaf: usize, words: &mut [Words]) {
    let (common, factors) = roots::run::<FAR>(roots, 4 * leaf, 4 * words.len());
    let (common, factors) = (Factors::splat(common), factors.as_chunks().0.as_chunks().0);
    for ([a, b], factors) in words.as_chunks_mut().0.iter_mut().zip(factors) {
        let (x, y) = (load(a), load(b));
        let (x, y) = (even_and_even(x, y), odd_and_odd(x, y));
        let f = Factors::eight(factors);
        let (x, y) = far_butterfly::<FAR>(x, y, [common, f], q);
        let (x, y) = (reduce_once(x, q), reduce_once(y, q));
        store(a, _mm256_unpacklo_epi32(x, y));
        store(b, _mm256_unpackhi_epi32(x, y));
    }
}
