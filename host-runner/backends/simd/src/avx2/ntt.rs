//! The forward transform: two layers for each load, and the last six for one.
//!
//! Layer `l` splits its nodes `2^l, …, 2^(l+1) − 1` in two, node `i` into `2i` and `2i + 1` after
//! butterflies with root `i`. So a node knows its roots, and subtrees that fit the cache are
//! finished one after another. Between layers residues stay in `[0, 2q)`; wider ones would not fit
//! a word.

use core::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_permute2x128_si256, _mm256_sub_epi32, _mm256_unpackhi_epi32,
    _mm256_unpackhi_epi64, _mm256_unpacklo_epi32, _mm256_unpacklo_epi64,
};

use he_core::{modulus::Factor, ntt::NttTable};

use crate::roots::{self, NEAR};

use super::lanes::{
    Factors, Words, even_and_even, load, odd_and_odd, reduce_once, splat, store, swap_middle,
};

/// Coefficients to evaluations; at least 16 words.
#[target_feature(enable = "avx2")]
pub(super) fn forward(table: &NttTable<'_>, limb: &mut [Words]) {
    finish(splat(table.modulus().value()), table.roots(), 1, limb);
}

/// All layers from `node` down, on its own words.
#[target_feature(enable = "avx2")]
fn finish(q: __m256i, roots: &[Factor], node: usize, words: &mut [Words]) {
    let log_children = match words.len() {
        2 => return last_pass::<2, false>(q, roots, node, words),
        4 => return last_pass::<4, false>(q, roots, node, words),
        8 if roots.len() > NEAR => return last_pass::<8, true>(q, roots, node, words),
        8 => return last_pass::<8, false>(q, roots, node, words),
        16 => {
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
#[target_feature(enable = "avx2")]
fn pass<const R: usize>(q: __m256i, roots: &[Factor], node: usize, words: &mut [Words]) {
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
#[target_feature(enable = "avx2")]
fn last_pass<const R: usize, const FAR: bool>(
    q: __m256i,
    roots: &[Factor],
    node: usize,
    words: &mut [Words],
) {
    let factors = Factors::of_layers::<R>(roots, node);
    let mut x = [q; R];
    for (i, x) in x.iter_mut().enumerate() {
        *x = load(&words[i]);
    }
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
#[target_feature(enable = "avx2")]
fn layer<const R: usize, const HALF: usize>(
    q: __m256i,
    factors: &[Factors; R],
    x: &mut [__m256i; R],
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

/// The three layers inside registers; register pair `i` starts at `first_node / 2 + i`.
///
/// The last register bit and the three lane bits of a word's place are `e3` to `e0`. Each of the
/// last layers pairs words that differ in one lane bit, so that moves to the register and the
/// register's bit to a lane.
#[inline]
#[target_feature(enable = "avx2")]
fn last_layers<const R: usize, const FAR: bool>(
    q: __m256i,
    roots: &[Factor],
    first_node: usize,
    x: &mut [__m256i; R],
) {
    let (pairs, _) = x.as_chunks_mut::<2>();
    let (common, factors) = roots::run::<FAR>(roots, first_node, R);
    let common = Factors::splat(common);
    let (factors, _) = factors.as_chunks();
    for ([a, b], factors) in pairs.iter_mut().zip(factors) {
        let (even, odd) = (swap_middle(*a), swap_middle(*b));
        (*a, *b) = (_mm256_unpacklo_epi64(even, odd), _mm256_unpackhi_epi64(even, odd));
        // Lanes (e1, e3, e0).
        (*a, *b) = far_butterfly::<FAR>(*a, *b, [common, Factors::two(factors)], q);
    }
    let (common, factors) = roots::run::<FAR>(roots, 2 * first_node, 2 * R);
    let common = Factors::splat(common);
    let (factors, _) = factors.as_chunks();
    for ([a, b], factors) in pairs.iter_mut().zip(factors) {
        (*a, *b) =
            (_mm256_permute2x128_si256::<0x20>(*a, *b), _mm256_permute2x128_si256::<0x31>(*a, *b));
        // Lanes (e2, e3, e0).
        (*a, *b) = far_butterfly::<FAR>(*a, *b, [common, Factors::four(factors)], q);
    }
    let (common, factors) = roots::run::<FAR>(roots, 4 * first_node, 4 * R);
    let common = Factors::splat(common);
    let (factors, _) = factors.as_chunks().0.as_chunks();
    for ([a, b], factors) in pairs.iter_mut().zip(factors) {
        (*a, *b) = (even_and_even(*a, *b), odd_and_odd(*a, *b));
        // Lanes (e2, e3, e1).
        (*a, *b) = far_butterfly::<FAR>(*a, *b, [common, Factors::eight(factors)], q);
        let (even, odd) = (reduce_once(*a, q), reduce_once(*b, q));
        (*a, *b) = (_mm256_unpacklo_epi32(even, odd), _mm256_unpackhi_epi32(even, odd));
    }
}
