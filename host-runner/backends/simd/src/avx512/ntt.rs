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
//! A word's place in a pair of registers is five bits, `e4` to `e0`: the register, then the lane.
//! Each of the last layers pairs words that differ in one lane bit, so that bit moves to the
//! register and another to the lane.

use core::arch::x86_64::{
    __m512i, _mm512_add_epi32, _mm512_permutex2var_epi32, _mm512_setr_epi32, _mm512_shuffle_i64x2,
    _mm512_sub_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi64,
};

use he_core::{modulus::Factor, ntt::NttTable};

use crate::roots::{self, NEAR};

use super::lanes::{Factors, Words, even_and_even, load, odd_and_odd, reduce_once, splat, store};

/// Registers that are transformed layer by layer: they fit the first cache.
const CLOSE: usize = 256;

/// Coefficients to evaluations; at least 32 words.
#[target_feature(enable = "avx512f")]
pub(super) fn forward(table: &NttTable<'_>, limb: &mut [Words]) {
    let (q, roots) = (splat(table.modulus().value()), table.roots());
    if roots.len() > NEAR {
        finish::<true>(q, roots, 1, limb);
    } else {
        finish::<false>(q, roots, 1, limb);
    }
}

/// All layers from `node` down, on its own words.
#[target_feature(enable = "avx512f")]
fn finish<const FAR: bool>(q: __m512i, roots: &[Factor], node: usize, words: &mut [Words]) {
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
    eight_apart::<FAR>(q, roots, leaf, words);
    four_apart::<FAR>(q, roots, leaf, words);
    two_apart::<FAR>(q, roots, leaf, words);
    neighbours::<FAR>(q, roots, leaf, words);
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

/// `(a + b·f, a − b·f)`, all below `2q`.
#[inline]
#[target_feature(enable = "avx512f")]
fn butterfly(a: __m512i, b: __m512i, f: Factors, q: __m512i) -> (__m512i, __m512i) {
    let a = reduce_once(a, q);
    let b = reduce_once(f.mul_lazy(b, q), q);
    (_mm512_add_epi32(a, b), _mm512_sub_epi32(_mm512_add_epi32(a, q), b))
}

/// `(a + b·f, a − b·f)`, with a common factor before `f` if that is `FAR`.
#[inline]
#[target_feature(enable = "avx512f")]
fn far_butterfly<const FAR: bool>(
    a: __m512i,
    b: __m512i,
    [common, f]: [Factors; 2],
    q: __m512i,
) -> (__m512i, __m512i) {
    let b = if FAR { common.mul_lazy(b, q) } else { b };
    butterfly(a, b, f, q)
}

/// Words that differ in `e3`; their roots are told apart by lanes (`e4`, …).
#[target_feature(enable = "avx512f")]
fn eight_apart<const FAR: bool>(q: __m512i, roots: &[Factor], leaf: usize, words: &mut [Words]) {
    let of_two = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2, 2, 2, 2);
    let (common, factors) = roots::run::<FAR>(roots, leaf, words.len());
    let (common, factors) = (Factors::splat(common), factors.as_chunks().0);
    for ([a, b], factors) in words.as_chunks_mut().0.iter_mut().zip(factors) {
        let (x, y) = (load(a), load(b));
        let (x, y) = (_mm512_shuffle_i64x2::<0x44>(x, y), _mm512_shuffle_i64x2::<0xee>(x, y));
        let f = Factors::spread::<2>(factors, of_two);
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
        let (x, y) = (_mm512_shuffle_i64x2::<0x88>(x, y), _mm512_shuffle_i64x2::<0xdd>(x, y));
        let f = Factors::spread::<4>(factors, of_four);
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
        let (x, y) = (_mm512_unpacklo_epi64(x, y), _mm512_unpackhi_epi64(x, y));
        let f = Factors::spread::<8>(factors, of_eight);
        let (x, y) = far_butterfly::<FAR>(x, y, [common, f], q);
        store(a, x);
        store(b, y);
    }
}

/// Words that differ in `e0`; lanes (`e3`, `e4`, `e2`, `e1`), and in the end all in their place.
#[target_feature(enable = "avx512f")]
fn neighbours<const FAR: bool>(q: __m512i, roots: &[Factor], leaf: usize, words: &mut [Words]) {
    let of_sixteen = _mm512_setr_epi32(0, 2, 4, 6, 16, 18, 20, 22, 8, 10, 12, 14, 24, 26, 28, 30);
    let low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 8, 24, 9, 25, 10, 26, 11, 27);
    let high = _mm512_setr_epi32(4, 20, 5, 21, 6, 22, 7, 23, 12, 28, 13, 29, 14, 30, 15, 31);
    let (common, factors) = roots::run::<FAR>(roots, 8 * leaf, 8 * words.len());
    let (common, factors) = (Factors::splat(common), factors.as_chunks().0.as_chunks().0);
    for ([a, b], factors) in words.as_chunks_mut().0.iter_mut().zip(factors) {
        let (x, y) = (load(a), load(b));
        let (x, y) = (even_and_even(x, y), odd_and_odd(x, y));
        let f = Factors::permute(factors, of_sixteen);
        let (x, y) = far_butterfly::<FAR>(x, y, [common, f], q);
        let (x, y) = (reduce_once(x, q), reduce_once(y, q));
        store(a, _mm512_permutex2var_epi32(x, low, y));
        store(b, _mm512_permutex2var_epi32(x, high, y));
    }
}
