//! The inverse transform: the forward one run backwards.
//!
//! Between layers residues stay in `[0, q)`: a sum of two lazy ones would not fit a word.

use core::arch::x86_64::{
    __m512i, _mm512_add_epi32, _mm512_permutex2var_epi32, _mm512_setr_epi32, _mm512_shuffle_i64x2,
    _mm512_sub_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi64,
};

use he_core::{modulus::Factor, ntt::NttTable};

use crate::roots::{self, NEAR};

use super::lanes::{
    self, Factors, Words, even_and_even, load, odd_and_odd, reduce_once, splat, store,
};

/// Registers that are transformed layer by layer: they fit the first cache.
const CLOSE: usize = 256;

/// Evaluations to coefficients; at least 32 words.
#[target_feature(enable = "avx512f")]
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
#[target_feature(enable = "avx512f")]
fn start<const FAR: bool>(q: __m512i, roots: &[Factor], node: usize, words: &mut [Words]) {
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
    eight_apart::<FAR>(q, roots, leaf, words);
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
#[target_feature(enable = "avx512f")]
fn layer(q: __m512i, roots: &[Factor], node: usize, words: &mut [Words]) {
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
#[target_feature(enable = "avx512f")]
fn butterfly(a: __m512i, b: __m512i, f: Factors, q: __m512i) -> (__m512i, __m512i) {
    far_butterfly::<false>(a, b, [f, f], q)
}

/// `(a + b, (a − b)·f)`, with a common factor before `f` if that is `FAR`.
#[inline]
#[target_feature(enable = "avx512f")]
fn far_butterfly<const FAR: bool>(
    a: __m512i,
    b: __m512i,
    [common, f]: [Factors; 2],
    q: __m512i,
) -> (__m512i, __m512i) {
    let difference = _mm512_sub_epi32(_mm512_add_epi32(a, q), b);
    let difference = if FAR { common.mul_lazy(difference, q) } else { difference };
    (lanes::add(a, b, q), reduce_once(f.mul_lazy(difference, q), q))
}

/// Words that differ in `e0`, and their roots; lanes (`e3`, `e4`, `e2`, `e1`).
#[target_feature(enable = "avx512f")]
fn neighbours<const FAR: bool>(q: __m512i, roots: &[Factor], leaf: usize, words: &mut [Words]) {
    let even = _mm512_setr_epi32(0, 2, 4, 6, 16, 18, 20, 22, 8, 10, 12, 14, 24, 26, 28, 30);
    let odd = _mm512_setr_epi32(1, 3, 5, 7, 17, 19, 21, 23, 9, 11, 13, 15, 25, 27, 29, 31);
    let (common, factors) = roots::run::<FAR>(roots, 8 * leaf, 8 * words.len());
    let (common, factors) = (Factors::splat(common), factors.as_chunks().0.as_chunks().0);
    for ([a, b], factors) in words.as_chunks_mut().0.iter_mut().zip(factors) {
        let (x, y) = (load(a), load(b));
        let (x, y) = (_mm512_permutex2var_epi32(x, even, y), _mm512_permutex2var_epi32(x, odd, y));
        let f = Factors::permute(factors, even);
        let (x, y) = far_butterfly::<FAR>(x, y, [common, f], q);
        store(a, x);
        store(b, y);
    }
}

/// Words that differ in `e1`; lanes (`e3`, `e4`, `e2`, …).
#[target_feature(enable = "avx512f")]
fn two_apart<const FAR: bool>(q: __m512i, roots: &[Factor], leaf: usize, words: &mut [Words]) {
    let of_eight = _mm512_setr_epi32(0, 0, 2, 2, 8, 8, 10, 10, 4, 4, 6, 6, 12, 12, 14, 14);
    let (common, factors) = roots::run::<FAR>(roots, 4 * leaf, 4 * words.len());
    let (common, factors) = (Factors::splat(common), factors.as_chunks().0);
    for ([a, b], factors) in words.as_chunks_mut().0.iter_mut().zip(factors) {
        let (x, y) = (load(a), load(b));
        let (x, y) = (even_and_even(x, y), odd_and_odd(x, y));
        let f = Factors::spread::<8>(factors, of_eight);
        let (x, y) = far_butterfly::<FAR>(x, y, [common, f], q);
        store(a, x);
        store(b, y);
    }
}

/// Words that differ in `e2`; lanes (`e3`, `e4`, …).
#[target_feature(enable = "avx512f")]
fn four_apart<const FAR: bool>(q: __m512i, roots: &[Factor], leaf: usize, words: &mut [Words]) {
    let of_four = _mm512_setr_epi32(0, 0, 0, 0, 4, 4, 4, 4, 2, 2, 2, 2, 6, 6, 6, 6);
    let (common, factors) = roots::run::<FAR>(roots, 2 * leaf, 2 * words.len());
    let (common, factors) = (Factors::splat(common), factors.as_chunks().0);
    for ([a, b], factors) in words.as_chunks_mut().0.iter_mut().zip(factors) {
        let (x, y) = (load(a), load(b));
        let (x, y) = (_mm512_unpacklo_epi64(x, y), _mm512_unpackhi_epi64(x, y));
        let f = Factors::spread::<4>(factors, of_four);
        let (x, y) = far_butterfly::<FAR>(x, y, [common, f], q);
        store(a, x);
        store(b, y);
    }
}

/// Words that differ in `e3`; lanes (`e2`, `e4`, …), and in the end all in their place.
#[target_feature(enable = "avx512f")]
fn eight_apart<const FAR: bool>(q: __m512i, roots: &[Factor], leaf: usize, words: &mut [Words]) {
    let of_two = _mm512_setr_epi32(0, 0, 0, 0, 2, 2, 2, 2, 0, 0, 0, 0, 2, 2, 2, 2);
    let (common, factors) = roots::run::<FAR>(roots, leaf, words.len());
    let (common, factors) = (Factors::splat(common), factors.as_chunks().0);
    for ([a, b], factors) in words.as_chunks_mut().0.iter_mut().zip(factors) {
        let (x, y) = (load(a), load(b));
        let (x, y) = (_mm512_shuffle_i64x2::<0x44>(x, y), _mm512_shuffle_i64x2::<0xee>(x, y));
        let f = Factors::spread::<2>(factors, of_two);
        let (x, y) = far_butterfly::<FAR>(x, y, [common, f], q);
        let (x, y) = (_mm512_shuffle_i64x2::<0x88>(x, y), _mm512_shuffle_i64x2::<0xdd>(x, y));
        store(a, x);
        store(b, y);
    }
}
