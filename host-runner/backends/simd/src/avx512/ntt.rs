//! The forward transform: two layers for each load, and the last eight for one.
//!
//! Layer `l` splits its nodes `2^l, …, 2^(l+1) − 1` in two, node `i` into `2i` and `2i + 1` after
//! butterflies with root `i`. So a node knows its roots, and subtrees that fit the cache are
//! finished one after another. Between layers residues stay in `[0, 2q)`; wider ones would not fit
//! a word.

use core::arch::x86_64::{
    __m512i, _mm512_add_epi32, _mm512_mask_shuffle_epi32, _mm512_permutex2var_epi32,
    _mm512_setr_epi32, _mm512_shuffle_i64x2, _mm512_sub_epi32, _mm512_unpackhi_epi64,
    _mm512_unpacklo_epi64,
};

use he_core::{modulus::Factor, ntt::NttTable};

use crate::roots::{self, NEAR};

use super::lanes::{
    EVEN, EVEN_TO_ODD, Factors, ODD_TO_EVEN, Words, load, reduce_once, splat, store,
};

/// Coefficients to evaluations; at least 32 words.
#[target_feature(enable = "avx512f")]
pub(super) fn forward(table: &NttTable<'_>, limb: &mut [Words]) {
    finish(splat(table.modulus().value()), table.roots(), 1, limb);
}

/// All layers from `node` down, on its own words.
#[target_feature(enable = "avx512f")]
fn finish(q: __m512i, roots: &[Factor], node: usize, words: &mut [Words]) {
    let log_children = match words.len() {
        2 => return last_pass::<2, false>(q, roots, node, words),
        4 => return last_pass::<4, false>(q, roots, node, words),
        8 => return last_pass::<8, false>(q, roots, node, words),
        16 if roots.len() > NEAR => return last_pass::<16, true>(q, roots, node, words),
        16 => return last_pass::<16, false>(q, roots, node, words),
        32 => {
            pass::<2>(q, roots, node, words);
            1
        }
        _ => {
            pass::<4>(q, roots, node, words);
            2
        }
    };
    let (size, first_child) = (words.len() >> log_children, node << log_children);
    for (i, child) in words.chunks_exact_mut(size).enumerate() {
        finish(q, roots, first_child + i, child);
    }
}

/// `log2(R)` layers of butterflies between registers from `node` down; `R` is at most four.
#[target_feature(enable = "avx512f")]
fn pass<const R: usize>(q: __m512i, roots: &[Factor], node: usize, words: &mut [Words]) {
    let stride = words.len() / R;
    let factors = Factors::of_layers::<R>(roots, node);
    for column in 0..stride {
        let mut x = [q; R];
        for (i, x) in x.iter_mut().enumerate() {
            *x = load(&words[column + i * stride]);
        }
        layer::<R, 2>(q, &factors, &mut x);
        layer::<R, 1>(q, &factors, &mut x);
        for (i, &x) in x.iter().enumerate() {
            store(&mut words[column + i * stride], x);
        }
    }
}

/// All layers from `node` down, on `R` registers.
#[target_feature(enable = "avx512f")]
fn last_pass<const R: usize, const FAR: bool>(
    q: __m512i,
    roots: &[Factor],
    node: usize,
    words: &mut [Words],
) {
    let factors = Factors::of_layers::<R>(roots, node);
    let mut x = [q; R];
    for (i, x) in x.iter_mut().enumerate() {
        *x = load(&words[i]);
    }
    layer::<R, 8>(q, &factors, &mut x);
    layer::<R, 4>(q, &factors, &mut x);
    layer::<R, 2>(q, &factors, &mut x);
    layer::<R, 1>(q, &factors, &mut x);
    last_layers::<R, FAR>(q, roots, node * R, &mut x);
    for (i, &x) in x.iter().enumerate() {
        store(&mut words[i], x);
    }
}

/// The butterflies between registers that are `HALF` apart, if there are any.
#[inline]
#[target_feature(enable = "avx512f")]
fn layer<const R: usize, const HALF: usize>(
    q: __m512i,
    factors: &[Factors; R],
    x: &mut [__m512i; R],
) {
    let groups = R / HALF / 2;
    for group in 0..groups {
        for i in 2 * HALF * group..2 * HALF * group + HALF {
            (x[i], x[i + HALF]) = butterfly(x[i], x[i + HALF], factors[groups + group], q);
        }
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

/// The four layers inside registers; register pair `i` starts at `first_node / 2 + i`.
///
/// The last register bit and the four lane bits of a word's place are `e4` to `e0`. Each of the
/// last layers pairs words that differ in one lane bit, so that moves to the register and the
/// register's bit to a lane.
#[inline]
#[target_feature(enable = "avx512f")]
fn last_layers<const R: usize, const FAR: bool>(
    q: __m512i,
    roots: &[Factor],
    first_node: usize,
    x: &mut [__m512i; R],
) {
    // Where lanes (e4, …), then (e3, e4, …), find their root among (e4, e3, …).
    let of_two = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2, 2, 2, 2);
    let of_four = _mm512_setr_epi32(0, 0, 0, 0, 4, 4, 4, 4, 2, 2, 2, 2, 6, 6, 6, 6);
    let of_eight = _mm512_setr_epi32(0, 0, 2, 2, 8, 8, 10, 10, 4, 4, 6, 6, 12, 12, 14, 14);
    let of_sixteen = _mm512_setr_epi32(0, 2, 4, 6, 16, 18, 20, 22, 8, 10, 12, 14, 24, 26, 28, 30);
    // Where words (e4, e3, …) come from, out of registers e0 and lanes (e3, e4, e2, e1).
    let first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 8, 24, 9, 25, 10, 26, 11, 27);
    let second = _mm512_setr_epi32(4, 20, 5, 21, 6, 22, 7, 23, 12, 28, 13, 29, 14, 30, 15, 31);

    let (pairs, _) = x.as_chunks_mut::<2>();
    let (common, factors) = roots::run::<FAR>(roots, first_node, R);
    let common = Factors::splat(common);
    let (factors, _) = factors.as_chunks();
    for ([a, b], factors) in pairs.iter_mut().zip(factors) {
        (*a, *b) = (_mm512_shuffle_i64x2::<0x44>(*a, *b), _mm512_shuffle_i64x2::<0xee>(*a, *b));
        (*a, *b) = far_butterfly::<FAR>(*a, *b, [common, Factors::spread::<2>(factors, of_two)], q);
    }
    let (common, factors) = roots::run::<FAR>(roots, 2 * first_node, 2 * R);
    let common = Factors::splat(common);
    let (factors, _) = factors.as_chunks();
    for ([a, b], factors) in pairs.iter_mut().zip(factors) {
        (*a, *b) = (_mm512_shuffle_i64x2::<0x88>(*a, *b), _mm512_shuffle_i64x2::<0xdd>(*a, *b));
        (*a, *b) =
            far_butterfly::<FAR>(*a, *b, [common, Factors::spread::<4>(factors, of_four)], q);
    }
    let (common, factors) = roots::run::<FAR>(roots, 4 * first_node, 4 * R);
    let common = Factors::splat(common);
    let (factors, _) = factors.as_chunks();
    for ([a, b], factors) in pairs.iter_mut().zip(factors) {
        (*a, *b) = (_mm512_unpacklo_epi64(*a, *b), _mm512_unpackhi_epi64(*a, *b));
        (*a, *b) =
            far_butterfly::<FAR>(*a, *b, [common, Factors::spread::<8>(factors, of_eight)], q);
    }
    let (common, factors) = roots::run::<FAR>(roots, 8 * first_node, 8 * R);
    let common = Factors::splat(common);
    let (factors, _) = factors.as_chunks().0.as_chunks();
    for ([a, b], factors) in pairs.iter_mut().zip(factors) {
        (*a, *b) = (
            _mm512_mask_shuffle_epi32::<EVEN_TO_ODD>(*a, !EVEN, *b),
            _mm512_mask_shuffle_epi32::<ODD_TO_EVEN>(*b, EVEN, *a),
        );
        (*a, *b) = far_butterfly::<FAR>(*a, *b, [common, Factors::permute(factors, of_sixteen)], q);
        let (even, odd) = (reduce_once(*a, q), reduce_once(*b, q));
        *a = _mm512_permutex2var_epi32(even, first, odd);
        *b = _mm512_permutex2var_epi32(even, second, odd);
    }
}
