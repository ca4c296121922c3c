//! The inverse transform: the forward one run backwards.
//!
//! Between layers residues stay in `[0, q)`: a sum of two lazy ones would not fit a word.

use core::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_permute2x128_si256, _mm256_sub_epi32, _mm256_unpackhi_epi64,
    _mm256_unpacklo_epi64,
};

use he_core::{modulus::Factor, ntt::NttTable};

use crate::roots::{self, NEAR};

use super::lanes::{
    self, Factors, Words, even_and_even, load, odd_and_odd, reduce_once, splat, store, swap_middle,
    unzip,
};

/// Registers that are transformed layer by layer: they fit the first cache.
const CLOSE: usize = 512;

/// Evaluations to coefficients; at least 16 words.
#[target_feature(enable = "avx2")]
pub(super) fn inverse(table: &NttTable<'_>, limb: &mut [Words]) {
    let (q, roots) = (splat(table.modulus().value()), table.inverse_roots());
    if roots.len() > NEAR {
        start::<true>(q, roots, 1, limb);
    } else {
        start::<false>(q, roots, 1, limb);
    }
    let degree = Factors::splat(table.inverse_degree());
    for x in limb {
        store(x, reduce_once(degree.mul_lazy(load(x), q), q));
    }
}

/// All layers up to `node`, on its own words.
#[target_feature(enable = "avx2")]
fn start<const FAR: bool>(q: __m256i, roots: &[Factor], node: usize, words: &mut [Words]) {
    if words.len() > CLOSE {
        let (left, right) = words.split_at_mut(words.len() / 2);
        start::<FAR>(q, roots, 2 * node, left);
        start::<FAR>(q, roots, 2 * node + 1, right);
        return layer(q, roots, node, words);
    }
    let leaf = node * words.len();
    neighbours::<FAR>(q, roots, leaf, words);
    two_apart::<FAR>(q, roots, leaf, words);
    four_apart::<FAR>(q, roots, leaf, words);
    let mut size = 2;
    while size <= words.len() {
        for (i, words) in words.chunks_exact_mut(size).enumerate() {
            layer(q, roots, leaf / size + i, words);
        }
        size *= 2;
    }
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

/// `(a + b, (a − b)·f)`.
#[inline]
#[target_feature(enable = "avx2")]
fn butterfly(a: __m256i, b: __m256i, f: Factors, q: __m256i) -> (__m256i, __m256i) {
    far_butterfly::<false>(a, b, [f, f], q)
}

/// `(a + b, (a − b)·f)`, with a common factor before `f` if that is `FAR`.
#[inline]
#[target_feature(enable = "avx2")]
fn far_butterfly<const FAR: bool>(
    a: __m256i,
    b: __m256i,
    [common, f]: [Factors; 2],
    q: __m256i,
) -> (__m256i, __m256i) {
    let difference = _mm256_sub_epi32(_mm256_add_epi32(a, q), b);
    let difference = if FAR { common.mul_lazy(difference, q) } else { difference };
    (lanes::add(a, b, q), reduce_once(f.mul_lazy(difference, q), q))
}

/// Words that differ in `e0`; lanes (`e2`, `e3`, `e1`).
#[target_feature(enable = "avx2")]
fn neighbours<const FAR: bool>(q: __m256i, roots: &[Factor], leaf: usize, words: &mut [Words]) {
    let (common, factors) = roots::run::<FAR>(roots, 4 * leaf, 4 * words.len());
    let (common, factors) = (Factors::splat(common), factors.as_chunks().0.as_chunks().0);
    for ([a, b], factors) in words.as_chunks_mut().0.iter_mut().zip(factors) {
        let (x, y) = (load(a), load(b));
        let (x, y) = unzip(x, y);
        let f = Factors::eight(factors);
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
        let (x, y) = (even_and_even(x, y), odd_and_odd(x, y));
        let f = Factors::four(factors);
        let (x, y) = far_butterfly::<FAR>(x, y, [common, f], q);
        store(a, x);
        store(b, y);
    }
}

/// Words that differ in `e2`; lanes (`e1`, `e3`, …), and in the end all in their place.
#[target_feature(enable = "avx2")]
fn four_apart<const FAR: bool>(q: __m256i, roots: &[Factor], leaf: usize, words: &mut [Words]) {
    let (common, factors) = roots::run::<FAR>(roots, leaf, words.len());
    let (common, factors) = (Factors::splat(common), factors.as_chunks().0);
    for ([a, b], factors) in words.as_chunks_mut().0.iter_mut().zip(factors) {
        let (x, y) = (load(a), load(b));
        let (x, y) =
            (_mm256_permute2x128_si256::<0x20>(x, y), _mm256_permute2x128_si256::<0x31>(x, y));
        let f = Factors::two(factors);
        let (x, y) = far_butterfly::<FAR>(x, y, [common, f], q);
        let (x, y) = (_mm256_unpacklo_epi64(x, y), _mm256_unpackhi_epi64(x, y));
        store(a, swap_middle(x));
        store(b, swap_middle(y));
    }
}
