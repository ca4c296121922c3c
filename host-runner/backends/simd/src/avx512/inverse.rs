//! The inverse transform: the forward one run backwards.
//!
//! Between layers residues stay in `[0, q)`: a sum of two lazy ones would not fit a word. The last
//! layer's factors include `N^−1`.

use core::arch::x86_64::{
    __m512i, _mm512_add_epi32, _mm512_mask_shuffle_epi32, _mm512_permutex2var_epi32,
    _mm512_setr_epi32, _mm512_setzero_si512, _mm512_shuffle_i64x2, _mm512_sub_epi32,
    _mm512_unpackhi_epi64, _mm512_unpacklo_epi64,
};

use he_core::{modulus::Factor, ntt::NttTable};

use super::lanes::{
    self, EVEN, EVEN_TO_ODD, Factors, ODD_TO_EVEN, Words, load, reduce_once, splat, store,
};

/// Evaluations to coefficients; at least 32 words.
#[target_feature(enable = "avx512f")]
pub(super) fn inverse(table: &NttTable<'_>, limb: &mut [Words]) {
    let q = splat(table.modulus().value());
    start(q, table.inverse_roots(), 1, limb);
    let degree = Factors::splat(table.inverse_degree());
    for x in limb {
        store(x, reduce_once(degree.mul_lazy(load(x), q), q));
    }
}

/// All layers up to `node`, on its own words.
#[target_feature(enable = "avx512f")]
fn start(q: __m512i, roots: &[Factor], node: usize, words: &mut [Words]) {
    let layers = (words.len() / 2).ilog2();
    let rest = match layers {
        0 => 0,
        1 => 1,
        2 | 5 => 2,
        4 | 7 | 8 | 10 | 11 => 4,
        _ => 3,
    };
    let size = words.len() >> rest;
    let first_child = node << rest;
    if rest == layers {
        first_layers(q, roots, first_child, words);
    } else {
        for (i, child) in words.chunks_exact_mut(size).enumerate() {
            start(q, roots, first_child + i, child);
        }
    }
    match rest {
        0 => {}
        1 => pass::<2>(q, roots, node, words),
        2 => pass::<4>(q, roots, node, words),
        3 => pass::<8>(q, roots, node, words),
        _ => pass::<16>(q, roots, node, words),
    }
}

/// `log2(R)` layers up to `node`.
#[inline]
#[target_feature(enable = "avx512f")]
fn pass<const R: usize>(q: __m512i, roots: &[Factor], node: usize, words: &mut [Words]) {
    let stride = words.len() / R;
    let mut factors = [Factors::splat(Factor::default()); R];
    let mut groups = 1;
    while groups < R {
        let own = &roots[node * groups..(node + 1) * groups];
        for (factor, &root) in factors[groups..].iter_mut().zip(own) {
            *factor = Factors::splat(root);
        }
        groups *= 2;
    }
    for column in 0..stride {
        let mut x = [_mm512_setzero_si512(); R];
        for (i, x) in x.iter_mut().enumerate() {
            *x = load(&words[column + i * stride]);
        }
        let mut groups = R / 2;
        while groups > 0 {
            let half = R / groups / 2;
            for group in 0..groups {
                for i in 2 * half * group..2 * half * group + half {
                    (x[i], x[i + half]) = butterfly(x[i], x[i + half], factors[groups + group], q);
                }
            }
            groups /= 2;
        }
        for (i, &x) in x.iter().enumerate() {
            store(&mut words[column + i * stride], x);
        }
    }
}

/// `(a + b, (a − b)·f)`.
#[inline]
#[target_feature(enable = "avx512f")]
fn butterfly(a: __m512i, b: __m512i, f: Factors, q: __m512i) -> (__m512i, __m512i) {
    let difference = _mm512_sub_epi32(_mm512_add_epi32(a, q), b);
    (lanes::add(a, b, q), reduce_once(f.mul_lazy(difference, q), q))
}

/// The first five layers, up to `first_node` and the nodes beside it; two registers a node.
///
/// A word's place in its node is five bits, `e4` to `e0`: the register, then the lane. Each layer
/// pairs words that differ in one of them, so that bit moves to the register and another to the
/// lane.
#[target_feature(enable = "avx512f")]
fn first_layers(q: __m512i, roots: &[Factor], first_node: usize, words: &mut [Words]) {
    // Where lanes (e2, e4, …), then (e3, e4, …), find their root among (e4, e3, …).
    let of_two = _mm512_setr_epi32(0, 0, 0, 0, 2, 2, 2, 2, 0, 0, 0, 0, 2, 2, 2, 2);
    let of_four = _mm512_setr_epi32(0, 0, 0, 0, 4, 4, 4, 4, 2, 2, 2, 2, 6, 6, 6, 6);
    let of_eight = _mm512_setr_epi32(0, 0, 2, 2, 8, 8, 10, 10, 4, 4, 6, 6, 12, 12, 14, 14);
    let of_sixteen = _mm512_setr_epi32(0, 2, 4, 6, 16, 18, 20, 22, 8, 10, 12, 14, 24, 26, 28, 30);
    // Registers e0 and lanes (e3, e4, e2, e1), out of words (e4, e3, …).
    let even = _mm512_setr_epi32(0, 2, 4, 6, 16, 18, 20, 22, 8, 10, 12, 14, 24, 26, 28, 30);
    let odd = _mm512_setr_epi32(1, 3, 5, 7, 17, 19, 21, 23, 9, 11, 13, 15, 25, 27, 29, 31);
    for (i, pair) in words.as_chunks_mut::<2>().0.iter_mut().enumerate() {
        let node = first_node + i;
        let (a, b) = (load(&pair[0]), load(&pair[1]));
        let (a, b) = (_mm512_permutex2var_epi32(a, even, b), _mm512_permutex2var_epi32(a, odd, b));
        let (a, b) = butterfly(a, b, Factors::permute(&roots[16 * node..], of_sixteen), q);

        let (a, b) = (
            _mm512_mask_shuffle_epi32::<EVEN_TO_ODD>(a, !EVEN, b),
            _mm512_mask_shuffle_epi32::<ODD_TO_EVEN>(b, EVEN, a),
        );
        let (a, b) = butterfly(a, b, Factors::spread::<8>(&roots[8 * node..], of_eight), q);

        let (a, b) = (_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
        let (a, b) = butterfly(a, b, Factors::spread::<4>(&roots[4 * node..], of_four), q);

        let (a, b) = (_mm512_shuffle_i64x2::<0x44>(a, b), _mm512_shuffle_i64x2::<0xee>(a, b));
        let (a, b) = butterfly(a, b, Factors::spread::<2>(&roots[2 * node..], of_two), q);

        let (a, b) = (_mm512_shuffle_i64x2::<0x88>(a, b), _mm512_shuffle_i64x2::<0xdd>(a, b));
        let (a, b) = butterfly(a, b, Factors::splat(roots[node]), q);
        store(&mut pair[0], a);
        store(&mut pair[1], b);
    }
}
