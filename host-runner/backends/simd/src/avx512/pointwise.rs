//! Point by point: the kernels that see each residue once.

use core::arch::x86_64::{
    __m512i, _mm512_add_epi64, _mm512_min_epu64, _mm512_mul_epu32, _mm512_set1_epi64,
    _mm512_setzero_si512, _mm512_sub_epi64,
};

use he_core::modulus::{Factor, Modulus};

use super::lanes::{self, Factors, Reducer, Wide, Words, load, odd, reduce_once, splat, store};

#[target_feature(enable = "avx512f")]
pub(super) fn add_assign(q: Modulus, acc: &mut [Words], rhs: &[Words]) {
    let q = splat(q.value());
    for (a, b) in acc.iter_mut().zip(rhs) {
        store(a, lanes::add(load(a), load(b), q));
    }
}

#[target_feature(enable = "avx512f")]
pub(super) fn sub_assign(q: Modulus, acc: &mut [Words], rhs: &[Words]) {
    let q = splat(q.value());
    for (a, b) in acc.iter_mut().zip(rhs) {
        store(a, lanes::sub(load(a), load(b), q));
    }
}

#[target_feature(enable = "avx512f")]
pub(super) fn mul_assign(q: Modulus, acc: &mut [Words], rhs: &[Words]) {
    let reducer = Reducer::new(q);
    for (a, b) in acc.iter_mut().zip(rhs) {
        store(a, reducer.reduce(Wide::product(load(a), load(b))));
    }
}

#[target_feature(enable = "avx512f")]
pub(super) fn scale_assign(q: Modulus, acc: &mut [Words], f: Factor) {
    let (q, f) = (splat(q.value()), Factors::splat(f));
    for a in acc {
        store(a, reduce_once(f.mul_lazy(load(a), q), q));
    }
}

#[target_feature(enable = "avx512f")]
pub(super) fn mul_add_assign(q: Modulus, acc: &mut [Words], lhs: &[Words], rhs: &[Words]) {
    let reducer = Reducer::new(q);
    for (a, (l, r)) in acc.iter_mut().zip(lhs.iter().zip(rhs)) {
        let product = reducer.reduce(Wide::product(load(l), load(r)));
        store(a, lanes::add(load(a), product, reducer.q));
    }
}

/// `out = Σ_i lhs_i · rhs_i` over at most four pairs: their sum fits a word of 64 bits.
#[target_feature(enable = "avx512f")]
pub(super) fn dot<const PAIRS: usize>(
    q: Modulus,
    out: &mut [Words],
    pairs: [(&[Words], &[Words]); PAIRS],
) {
    let reducer = Reducer::new(q);
    for (i, out) in out.iter_mut().enumerate() {
        let mut sum = Wide { even: _mm512_setzero_si512(), odd: _mm512_setzero_si512() };
        for (lhs, rhs) in pairs {
            let product = Wide::product(load(&lhs[i]), load(&rhs[i]));
            sum.even = _mm512_add_epi64(sum.even, product.even);
            sum.odd = _mm512_add_epi64(sum.odd, product.odd);
        }
        store(out, reducer.reduce(sum));
    }
}

/// Registers of `out` that [`combine`] fills at a time.
pub(super) const COMBINED: usize = 4;

/// `out = Σ_i inputs_i · weights_i`.
///
/// A word of 64 bits holds a sum below `2^63 + q` and as many products as fit below `2^63 − q`.
/// Taking `⌊2^63 / q⌋ q` from a word that has its top bit leaves at most `2^63 + q`.
#[target_feature(enable = "avx512f")]
pub(super) fn combine(
    q: Modulus,
    out: &mut [[Words; COMBINED]],
    inputs: &[&[u32]],
    weights: &[u32],
) {
    let reducer = Reducer::new(q);
    let wide_q = u64::from(q.value());
    let multiple = (1 << 63) / wide_q * wide_q;
    let products = ((1 << 63) - wide_q) / (wide_q << 31);
    let products = usize::try_from(products).unwrap_or(usize::MAX);
    let multiple = _mm512_set1_epi64(u64::cast_signed(multiple));
    for (i, out) in out.iter_mut().enumerate() {
        let zero = _mm512_setzero_si512();
        let mut sums = [Wide { even: zero, odd: zero }; COMBINED];
        for (inputs, weights) in inputs.chunks(products).zip(weights.chunks(products)) {
            for (input, &weight) in inputs.iter().zip(weights) {
                let weight = splat(weight);
                let start = i * 16 * COMBINED;
                let (input, _) = input[start..start + 16 * COMBINED].as_chunks();
                for (sum, x) in sums.iter_mut().zip(input) {
                    let x = load(x);
                    let even = _mm512_mul_epu32(x, weight);
                    sum.even = _mm512_add_epi64(sum.even, even);
                    sum.odd = _mm512_add_epi64(sum.odd, _mm512_mul_epu32(odd(x), weight));
                }
            }
            for sum in &mut sums {
                sum.even = fold(sum.even, multiple);
                sum.odd = fold(sum.odd, multiple);
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            store(out, reducer.reduce(sum));
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn fold(x: __m512i, multiple: __m512i) -> __m512i {
    _mm512_min_epu64(x, _mm512_sub_epi64(x, multiple))
}
