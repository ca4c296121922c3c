//! Sixteen residues in one register.

use core::arch::x86_64::{
    __m512i, _mm512_add_epi32, _mm512_loadu_si512, _mm512_mask_shuffle_epi32,
    _mm512_maskz_loadu_epi32, _mm512_min_epu32, _mm512_mul_epu32, _mm512_mullo_epi32,
    _mm512_permutex2var_epi32, _mm512_permutexvar_epi32, _mm512_set1_epi32, _mm512_shuffle_epi32,
    _mm512_storeu_si512, _mm512_sub_epi32,
};

use he_core::modulus::{Factor, Modulus};

use crate::roots::VALUE_COMES_FIRST;

/// What one register holds.
pub(super) type Words = [u32; 16];

/// The even lanes.
const EVEN: u16 = 0x5555;
/// Copies each odd lane over the even lane before it.
const ODD_TO_EVEN: i32 = 0b11_11_01_01;
/// Copies each even lane over the odd lane after it.
const EVEN_TO_ODD: i32 = 0b10_10_00_00;

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load(words: &Words) -> __m512i {
    // SAFETY: 64 readable bytes; the load needs no alignment.
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn store(words: &mut Words, x: __m512i) {
    // SAFETY: 64 writable bytes; the store needs no alignment.
    unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), x) };
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn splat(x: u32) -> __m512i {
    _mm512_set1_epi32(x.cast_signed())
}

/// The odd lanes in the places of the even ones.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn odd(x: __m512i) -> __m512i {
    _mm512_shuffle_epi32::<ODD_TO_EVEN>(x)
}

/// The even lanes of `a`, and those of `b` in the places of the odd ones.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn even_and_even(a: __m512i, b: __m512i) -> __m512i {
    _mm512_mask_shuffle_epi32::<EVEN_TO_ODD>(a, !EVEN, b)
}

/// The odd lanes of `b`, and those of `a` in the places of the even ones.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn odd_and_odd(a: __m512i, b: __m512i) -> __m512i {
    _mm512_mask_shuffle_epi32::<ODD_TO_EVEN>(b, EVEN, a)
}

/// `x mod q` for `x < 2q`: if `x < q` then `x − q` wraps to a huge word.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn reduce_once(x: __m512i, q: __m512i) -> __m512i {
    _mm512_min_epu32(x, _mm512_sub_epi32(x, q))
}

/// `a + b` in `[0, q)`.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn add(a: __m512i, b: __m512i, q: __m512i) -> __m512i {
    reduce_once(_mm512_add_epi32(a, b), q)
}

/// `a − b` in `[0, q)`: if `a − b` wraps then adding `q` makes it the smaller.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn sub(a: __m512i, b: __m512i, q: __m512i) -> __m512i {
    let difference = _mm512_sub_epi32(a, b);
    _mm512_min_epu32(difference, _mm512_add_epi32(difference, q))
}

/// Sixteen products of 64 bits: those of the even lanes and those of the odd lanes.
#[derive(Clone, Copy)]
pub(super) struct Wide {
    pub(super) even: __m512i,
    pub(super) odd: __m512i,
}

impl Wide {
    /// `a · b`.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn product(a: __m512i, b: __m512i) -> Self {
        Self { even: _mm512_mul_epu32(a, b), odd: _mm512_mul_epu32(odd(a), odd(b)) }
    }

    /// The low words.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn low(self) -> __m512i {
        even_and_even(self.even, self.odd)
    }

    /// The high words.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn high(self) -> __m512i {
        odd_and_odd(self.even, self.odd)
    }
}

/// Sixteen [`Factor`]s.
#[derive(Clone, Copy)]
pub(super) struct Factors {
    pub(super) value: __m512i,
    /// The quotients of the even lanes, at those lanes; the odd lanes don't matter.
    pub(super) quotient: __m512i,
    /// The quotients of the odd lanes, each one lane below its own.
    pub(super) quotient_of_odd: __m512i,
}

impl Factors {
    /// One factor in all lanes.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn splat(f: Factor) -> Self {
        let quotient = splat(f.quotient());
        Self { value: splat(f.value()), quotient, quotient_of_odd: quotient }
    }

    /// At most eight factors, each in two or more neighbouring lanes.
    ///
    /// Lane `i` gets factor `doubled_places[i] / 2`.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn spread<const COUNT: usize>(
        factors: &[Factor; COUNT],
        doubled_places: __m512i,
    ) -> Self {
        let words = load_factors(factors);
        let odd_places = _mm512_add_epi32(doubled_places, splat(1));
        let quotient = _mm512_permutexvar_epi32(odd_places, words);
        let value = _mm512_permutexvar_epi32(doubled_places, words);
        Self { value, quotient, quotient_of_odd: quotient }
    }

    /// Sixteen factors: lane `i` gets factor `doubled_places[i] / 2`.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn permute([low, high]: &[[Factor; 8]; 2], doubled_places: __m512i) -> Self {
        let (low, high) = (load_factors(low), load_factors(high));
        let odd_places = _mm512_add_epi32(doubled_places, splat(1));
        let quotient = _mm512_permutex2var_epi32(low, odd_places, high);
        let value = _mm512_permutex2var_epi32(low, doubled_places, high);
        Self { value, quotient, quotient_of_odd: odd(quotient) }
    }

    /// `a · self` in `[0, 2q)`, for any words `a`: Shoup's multiplication without its last step.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn mul_lazy(self, a: __m512i, q: __m512i) -> __m512i {
        let even = _mm512_mul_epu32(a, self.quotient);
        let odd = _mm512_mul_epu32(odd(a), self.quotient_of_odd);
        let quotient = Wide { even, odd }.high();
        _mm512_sub_epi32(_mm512_mullo_epi32(a, self.value), _mm512_mullo_epi32(quotient, q))
    }
}

/// At most eight factors: value, quotient, value and so on.
#[inline]
#[target_feature(enable = "avx512f")]
fn load_factors<const COUNT: usize>(factors: &[Factor; COUNT]) -> __m512i {
    const { assert!(0 < COUNT && COUNT <= 8 && VALUE_COMES_FIRST) };
    // SAFETY: the mask leaves two words for each factor.
    unsafe { _mm512_maskz_loadu_epi32(u16::MAX >> (16 - 2 * COUNT), factors.as_ptr().cast()) }
}

/// How words of 64 bits are reduced: `2^32 h + l` is `h` times the residue of `2^32`, plus `l`.
#[derive(Clone, Copy)]
pub(super) struct Reducer {
    pub(super) q: __m512i,
    /// `2^32 mod q`.
    high: Factors,
    /// One; only its quotient is used.
    low: __m512i,
}

impl Reducer {
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn new(q: Modulus) -> Self {
        let high = Factors::splat(q.factor(q.reduce(1 << 32)));
        Self { q: splat(q.value()), high, low: splat(q.factor(1).quotient()) }
    }

    /// `x mod q`.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn reduce(self, x: Wide) -> __m512i {
        let high = reduce_once(self.high.mul_lazy(x.high(), self.q), self.q);
        let low = x.low();
        let quotient = Wide {
            even: _mm512_mul_epu32(low, self.low),
            odd: _mm512_mul_epu32(odd(low), self.low),
        };
        let low = _mm512_sub_epi32(low, _mm512_mullo_epi32(quotient.high(), self.q));
        add(high, reduce_once(low, self.q), self.q)
    }
}
