//! Eight residues in one register.

use core::arch::x86_64::{
    __m256i, _mm_loadu_si128, _mm256_add_epi32, _mm256_blend_epi32, _mm256_broadcastsi128_si256,
    _mm256_castps_si256, _mm256_castsi256_ps, _mm256_loadu_si256, _mm256_min_epu32,
    _mm256_mul_epu32, _mm256_mullo_epi32, _mm256_permute4x64_epi64, _mm256_set1_epi32,
    _mm256_shuffle_epi32, _mm256_shuffle_ps, _mm256_storeu_si256, _mm256_sub_epi32,
};

use he_core::modulus::{Factor, Modulus};

use crate::roots::VALUE_COMES_FIRST;

/// What one register holds.
pub(super) type Words = [u32; 8];

/// The even lanes.
const EVEN: i32 = 0x55;
/// Copies each odd lane over the even lane before it.
const ODD_TO_EVEN: i32 = 0b11_11_01_01;
/// Copies each even lane over the odd lane after it.
const EVEN_TO_ODD: i32 = 0b10_10_00_00;

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load(words: &Words) -> __m256i {
    // SAFETY: 32 readable bytes; the load needs no alignment.
    unsafe { _mm256_loadu_si256(words.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn store(words: &mut Words, x: __m256i) {
    // SAFETY: 32 writable bytes; the store needs no alignment.
    unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), x) };
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn splat(x: u32) -> __m256i {
    _mm256_set1_epi32(x.cast_signed())
}

/// The odd lanes in the places of the even ones.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn odd(x: __m256i) -> __m256i {
    _mm256_shuffle_epi32::<ODD_TO_EVEN>(x)
}

/// The even lanes of `a`, and those of `b` in the places of the odd ones.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn even_and_even(a: __m256i, b: __m256i) -> __m256i {
    _mm256_blend_epi32::<EVEN>(_mm256_shuffle_epi32::<EVEN_TO_ODD>(b), a)
}

/// The odd lanes of `b`, and those of `a` in the places of the even ones.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn odd_and_odd(a: __m256i, b: __m256i) -> __m256i {
    _mm256_blend_epi32::<EVEN>(b, odd(a))
}

/// The even and the odd lanes: in each half those of `a`, then those of `b`.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn unzip(a: __m256i, b: __m256i) -> (__m256i, __m256i) {
    let (a, b) = (_mm256_castsi256_ps(a), _mm256_castsi256_ps(b));
    (
        _mm256_castps_si256(_mm256_shuffle_ps::<0b10_00_10_00>(a, b)),
        _mm256_castps_si256(_mm256_shuffle_ps::<0b11_01_11_01>(a, b)),
    )
}

/// The four pairs of lanes in the order 0, 2, 1 and 3.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn swap_middle(x: __m256i) -> __m256i {
    _mm256_permute4x64_epi64::<0b11_01_10_00>(x)
}

/// `x mod q` for `x < 2q`: if `x < q` then `x − q` wraps to a huge word.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn reduce_once(x: __m256i, q: __m256i) -> __m256i {
    _mm256_min_epu32(x, _mm256_sub_epi32(x, q))
}

/// `a + b` in `[0, q)`.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn add(a: __m256i, b: __m256i, q: __m256i) -> __m256i {
    reduce_once(_mm256_add_epi32(a, b), q)
}

/// `a − b` in `[0, q)`: if `a − b` wraps then adding `q` makes it the smaller.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn sub(a: __m256i, b: __m256i, q: __m256i) -> __m256i {
    let difference = _mm256_sub_epi32(a, b);
    _mm256_min_epu32(difference, _mm256_add_epi32(difference, q))
}

/// Eight products of 64 bits: those of the even lanes and those of the odd lanes.
#[derive(Clone, Copy)]
pub(super) struct Wide {
    pub(super) even: __m256i,
    pub(super) odd: __m256i,
}

impl Wide {
    /// `a · b`.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn product(a: __m256i, b: __m256i) -> Self {
        Self { even: _mm256_mul_epu32(a, b), odd: _mm256_mul_epu32(odd(a), odd(b)) }
    }

    /// The low words.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn low(self) -> __m256i {
        even_and_even(self.even, self.odd)
    }

    /// The high words.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn high(self) -> __m256i {
        odd_and_odd(self.even, self.odd)
    }
}

/// Eight [`Factor`]s.
#[derive(Clone, Copy)]
pub(super) struct Factors {
    pub(super) value: __m256i,
    /// The quotients of the even lanes, at those lanes; the odd lanes don't matter.
    pub(super) quotient: __m256i,
    /// The quotients of the odd lanes, each one lane below its own.
    pub(super) quotient_of_odd: __m256i,
}

impl Factors {
    /// One factor in all lanes.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn splat(f: Factor) -> Self {
        let quotient = splat(f.quotient());
        Self { value: splat(f.value()), quotient, quotient_of_odd: quotient }
    }

    /// Two factors in lanes 0, 1, 4 and 5, and in the others.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn two(factors: &[Factor; 2]) -> Self {
        const { assert!(VALUE_COMES_FIRST) };
        // SAFETY: 16 readable bytes; the load needs no alignment.
        let words = unsafe { _mm_loadu_si128(factors.as_ptr().cast()) };
        Self::shared(_mm256_broadcastsi128_si256(words))
    }

    /// Four factors; the lanes are pairs 0, 2, 1 and 3.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn four(factors: &[Factor; 4]) -> Self {
        Self::shared(swap_middle(load_factors(factors)))
    }

    /// Eight factors; the lanes are 0, 1, 4, 5, 2, 3, 6 and 7.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn eight([low, high]: &[[Factor; 4]; 2]) -> Self {
        let (low, high) = (load_factors(low), load_factors(high));
        let (value, quotient) = unzip(low, high);
        Self { value, quotient, quotient_of_odd: odd(quotient) }
    }

    /// From a value and its quotient in each pair of lanes.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn shared(words: __m256i) -> Self {
        let quotient = odd(words);
        let value = _mm256_shuffle_epi32::<EVEN_TO_ODD>(words);
        Self { value, quotient, quotient_of_odd: quotient }
    }

    /// `a · self` in `[0, 2q)`, for any words `a`: Shoup's multiplication without its last step.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn mul_lazy(self, a: __m256i, q: __m256i) -> __m256i {
        let even = _mm256_mul_epu32(a, self.quotient);
        let odd = _mm256_mul_epu32(odd(a), self.quotient_of_odd);
        let quotient = Wide { even, odd }.high();
        _mm256_sub_epi32(_mm256_mullo_epi32(a, self.value), _mm256_mullo_epi32(quotient, q))
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_factors(factors: &[Factor; 4]) -> __m256i {
    const { assert!(VALUE_COMES_FIRST) };
    // SAFETY: 32 readable bytes; the load needs no alignment.
    unsafe { _mm256_loadu_si256(factors.as_ptr().cast()) }
}

/// How words of 64 bits are reduced: `2^32 h + l` is `h` times the residue of `2^32`, plus `l`.
#[derive(Clone, Copy)]
pub(super) struct Reducer {
    pub(super) q: __m256i,
    /// `2^32 mod q`.
    high: Factors,
    /// One; only its quotient is used.
    low: __m256i,
}

impl Reducer {
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn new(q: Modulus) -> Self {
        let high = Factors::splat(q.factor(q.reduce(1 << 32)));
        Self { q: splat(q.value()), high, low: splat(q.factor(1).quotient()) }
    }

    /// `x mod q`.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn reduce(self, x: Wide) -> __m256i {
        let high = reduce_once(self.high.mul_lazy(x.high(), self.q), self.q);
        let low = x.low();
        let quotient = Wide {
            even: _mm256_mul_epu32(low, self.low),
            odd: _mm256_mul_epu32(odd(low), self.low),
        };
        let low = _mm256_sub_epi32(low, _mm256_mullo_epi32(quotient.high(), self.q));
        add(high, reduce_once(low, self.q), self.q)
    }
}
