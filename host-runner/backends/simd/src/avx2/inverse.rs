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

/// Evaluations to coefficients; at least 16 words.
#[target_feature(enable = "avx2")]
pub(super) fn inverse(table: &NttTable<'_>, limb: &mut [Words]) {
    let q = splat(table.modulus().value());
    start(q, table.inverse_roots(), 1, limb);
    let degree = Factors::splat(table.inverse_degree());
    for x in limb {
        store(x, reduce_once(degree.mul_lazy(load(x), q), q));
    }
}

/// All layers up to `node`, on its own words.
#[target_feature(enable = "avx2")]
fn start(q: __m256i, roots: &[Factor], node: usize, words: &mut [Words]) {
    match words.len() {
        2 => return first_pass::<2, false>(q, roots, node, words),
        4 => return first_pass::<4, false>(q, roots, node, words),
        8 if roots.len() > NEAR => return first_pass::<8, true>(q, roots, node, words),
        8 => return first_pass::<8, false>(q, roots, node, words),
        _ => {}
    }
    let log_children = if words.len() == 16 { 1 } else { 2 };
    let (size, first_child) = (words.len() >> log_children, node << log_children);
    for (i, child) in words.chunks_exact_mut(size).enumerate() {
        start(q, roots, first_child + i, child);
    }
    if log_children == 1 {
        pass::<2>(q, roots, node, words);
    } else {
        pass::<4>(q, roots, node, words);
    }
}

/// `log2(R)` layers of butterflies between registers up to `node`; `R` is at most four.
#[target_feature(enable = "avx2")]
fn pass<const R: usize>(q: __m256i, roots: &[Factor], node: usize, words: &mut [Words]) {
    let stride = words.len() / R;
    let factors = Factors::of_layers::<R>(roots, node);
    for column in 0..stride {
        let mut x = [q; R];
        for (i, x) in x.iter_mut().enumerate() {
            *x = load(&words[column + i * stride]);
        }
        layer::<R, 1>(q, &factors, &mut x);
        layer::<R, 2>(q, &factors, &mut x);
        for (i, &x) in x.iter().enumerate() {
            store(&mut words[column + i * stride], x);
        }
    }
}

/// All layers up to `node`, on `R` registers.
#[target_feature(enable = "avx2")]
fn first_pass<const R: usize, const FAR: bool>(
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
    first_layers::<R, FAR>(q, roots, node * R, &mut x);
    layer::<R, 1>(q, &factors, &mut x);
    layer::<R, 2>(q, &factors, &mut x);
    layer::<R, 4>(q, &factors, &mut x);
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

/// The three layers inside registers; register pair `i` ends at `first_node / 2 + i`.
///
/// The last register bit and the three lane bits of a word's place are `e3` to `e0`. Each of the
/// layers pairs words that differ in one lane bit, so that moves to the register and the
/// register's bit to a lane.
#[inline]
#[target_feature(enable = "avx2")]
fn first_layers<const R: usize, const FAR: bool>(
    q: __m256i,
    roots: &[Factor],
    first_node: usize,
    x: &mut [__m256i; R],
) {
    let (pairs, _) = x.as_chunks_mut::<2>();
    let (common, factors) = roots::run::<FAR>(roots, 4 * first_node, 4 * R);
    let common = Factors::splat(common);
    let (factors, _) = factors.as_chunks().0.as_chunks();
    for ([a, b], factors) in pairs.iter_mut().zip(factors) {
        (*a, *b) = unzip(*a, *b);
        // Lanes (e2, e3, e1).
        (*a, *b) = far_butterfly::<FAR>(*a, *b, [common, Factors::eight(factors)], q);
    }
    let (common, factors) = roots::run::<FAR>(roots, 2 * first_node, 2 * R);
    let common = Factors::splat(common);
    let (factors, _) = factors.as_chunks();
    for ([a, b], factors) in pairs.iter_mut().zip(factors) {
        (*a, *b) = (even_and_even(*a, *b), odd_and_odd(*a, *b));
        // Lanes (e2, e3, e0).
        (*a, *b) = far_butterfly::<FAR>(*a, *b, [common, Factors::four(factors)], q);
    }
    let (common, factors) = roots::run::<FAR>(roots, first_node, R);
    let common = Factors::splat(common);
    let (factors, _) = factors.as_chunks();
    for ([a, b], factors) in pairs.iter_mut().zip(factors) {
        (*a, *b) =
            (_mm256_permute2x128_si256::<0x20>(*a, *b), _mm256_permute2x128_si256::<0x31>(*a, *b));
        // Lanes (e1, e3, e0).
        (*a, *b) = far_butterfly::<FAR>(*a, *b, [common, Factors::two(factors)], q);
        let (low, high) = (_mm256_unpacklo_epi64(*a, *b), _mm256_unpackhi_epi64(*a, *b));
        (*a, *b) = (swap_middle(low), swap_middle(high));
    }
}
