//! Eight residues at a time, with AVX2.

use core::arch::x86_64::{
    __m256i, _mm_loadu_si128, _mm256_add_epi32, _mm256_add_epi64, _mm256_add_pd,
    _mm256_blend_epi32, _mm256_castps_si256, _mm256_castsi128_si256, _mm256_castsi256_ps,
    _mm256_castsi256_si128, _mm256_cvtepi32_pd, _mm256_extracti128_si256, _mm256_loadu_pd,
    _mm256_loadu_si256, _mm256_madd_epi16, _mm256_min_epu32, _mm256_mul_epu32, _mm256_mul_pd,
    _mm256_mullo_epi32, _mm256_permute2x128_si256, _mm256_permute4x64_epi64,
    _mm256_permutevar8x32_epi32, _mm256_set1_epi32, _mm256_set1_pd, _mm256_setr_epi32,
    _mm256_shuffle_epi32, _mm256_shuffle_ps, _mm256_storeu_pd, _mm256_storeu_si256,
    _mm256_sub_epi32, _mm256_unpackhi_epi32, _mm256_unpackhi_epi64, _mm256_unpacklo_epi32,
    _mm256_unpacklo_epi64,
};
use std::is_x86_feature_detected;

use he_core::{modulus::Factor, ring::Kernels};

use crate::lanes::{Factors, Lanes, Task, VALUE_COMES_FIRST};
use crate::set::Set;

/// A witness that this CPU has AVX2: only [`kernels`] makes one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

/// The kernels, if the CPU has AVX2.
pub(crate) fn kernels() -> Option<&'static dyn Kernels> {
    static KERNELS: Set<Avx2> = Set(Avx2(()));
    is_x86_feature_detected!("avx2").then_some(&KERNELS)
}

/// The even lanes.
const EVEN: i32 = 0x55;
/// Copies each odd lane over the even lane before it.
const ODD_TO_EVEN: i32 = 0b11_11_01_01;
/// Copies each even lane over the odd lane after it.
const EVEN_TO_ODD: i32 = 0b10_10_00_00;

impl Lanes for Avx2 {
    const NAME: &'static str = "avx2";
    const WIDTH: usize = 8;
    const REGISTERS: usize = 16;
    type Words = [u32; 8];
    type Register = __m256i;
    /// The words, and the odd ones in the places of the even ones.
    type Halves = [__m256i; 2];
    /// The even words, and the odd ones.
    type Wide = [__m256i; 2];
    type Sums = [f64; 8];

    fn run(self, task: impl Task<Self>) {
        #[target_feature(enable = "avx2")]
        fn compiled<L>(lanes: L, task: impl Task<L>) {
            task.run(lanes);
        }
        // SAFETY: `self` witnesses AVX2.
        unsafe { compiled(self, task) };
    }

    fn split(words: &[u32]) -> (&[Self::Words], &[u32]) {
        words.as_chunks()
    }

    fn split_mut(words: &mut [u32]) -> (&mut [Self::Words], &mut [u32]) {
        words.as_chunks_mut()
    }

    fn split_sums(sums: &mut [f64]) -> (&mut [Self::Sums], &mut [f64]) {
        sums.as_chunks_mut()
    }

    #[inline(always)]
    fn load(self, words: &Self::Words) -> __m256i {
        // SAFETY: `self` witnesses AVX2; 32 readable bytes, which need no alignment.
        unsafe { _mm256_loadu_si256(words.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store(self, words: &mut Self::Words, x: __m256i) {
        // SAFETY: `self` witnesses AVX2; 32 writable bytes, which need no alignment.
        unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), x) };
    }

    #[inline(always)]
    fn splat(self, x: u32) -> __m256i {
        // SAFETY: `self` witnesses AVX2.
        unsafe { _mm256_set1_epi32(x.cast_signed()) }
    }

    #[inline(always)]
    fn wrapping_add(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: `self` witnesses AVX2.
        unsafe { _mm256_add_epi32(a, b) }
    }

    #[inline(always)]
    fn wrapping_sub(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: `self` witnesses AVX2.
        unsafe { _mm256_sub_epi32(a, b) }
    }

    #[inline(always)]
    fn wrapping_mul(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: `self` witnesses AVX2.
        unsafe { _mm256_mullo_epi32(a, b) }
    }

    #[inline(always)]
    fn min(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: `self` witnesses AVX2.
        unsafe { _mm256_min_epu32(a, b) }
    }

    #[inline(always)]
    fn add_dot(self, sums: __m256i, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: `self` witnesses AVX2.
        unsafe { _mm256_add_epi32(sums, _mm256_madd_epi16(a, b)) }
    }

    #[inline(always)]
    fn halves(self, x: __m256i) -> [__m256i; 2] {
        // SAFETY: `self` witnesses AVX2.
        unsafe { [x, _mm256_shuffle_epi32::<ODD_TO_EVEN>(x)] }
    }

    #[inline(always)]
    fn product(self, a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
        // SAFETY: `self` witnesses AVX2.
        unsafe { [_mm256_mul_epu32(a[0], b[0]), _mm256_mul_epu32(a[1], b[1])] }
    }

    #[inline(always)]
    fn product_of_low(self, a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
        self.product(a, b)
    }

    #[inline(always)]
    fn add_wide(self, a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
        // SAFETY: `self` witnesses AVX2.
        unsafe { [_mm256_add_epi64(a[0], b[0]), _mm256_add_epi64(a[1], b[1])] }
    }

    #[inline(always)]
    fn low(self, [even, odd]: [__m256i; 2]) -> __m256i {
        // SAFETY: `self` witnesses AVX2.
        unsafe { _mm256_blend_epi32::<EVEN>(_mm256_shuffle_epi32::<EVEN_TO_ODD>(odd), even) }
    }

    #[inline(always)]
    fn high(self, [even, odd]: [__m256i; 2]) -> __m256i {
        // SAFETY: `self` witnesses AVX2.
        unsafe { _mm256_blend_epi32::<EVEN>(odd, _mm256_shuffle_epi32::<ODD_TO_EVEN>(even)) }
    }

    #[inline(always)]
    fn add_multiples(self, sums: &mut Self::Sums, x: __m256i, factor: f64) {
        // SAFETY: `self` witnesses AVX2; twice 32 readable and writable bytes.
        unsafe {
            let (low, high) = (_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x));
            for (sums, x) in sums.as_chunks_mut::<4>().0.iter_mut().zip([low, high]) {
                let multiple = _mm256_mul_pd(_mm256_cvtepi32_pd(x), _mm256_set1_pd(factor));
                let sum = _mm256_add_pd(_mm256_loadu_pd(sums.as_ptr()), multiple);
                _mm256_storeu_pd(sums.as_mut_ptr(), sum);
            }
        }
    }

    #[inline(always)]
    fn exchange<const BIT: usize>(self, x: __m256i, y: __m256i) -> (__m256i, __m256i) {
        // SAFETY: `self` witnesses AVX2.
        unsafe {
            match BIT {
                1 => (self.low([x, y]), self.high([x, y])),
                2 => (_mm256_unpacklo_epi64(x, y), _mm256_unpackhi_epi64(x, y)),
                _ => (
                    _mm256_permute2x128_si256::<0x20>(x, y),
                    _mm256_permute2x128_si256::<0x31>(x, y),
                ),
            }
        }
    }

    #[inline(always)]
    fn zip(self, x: __m256i, y: __m256i) -> (__m256i, __m256i) {
        // SAFETY: `self` witnesses AVX2.
        let (x, y) = unsafe { (_mm256_unpacklo_epi32(x, y), _mm256_unpackhi_epi32(x, y)) };
        self.exchange::<4>(x, y)
    }

    #[inline(always)]
    fn unzip(self, x: __m256i, y: __m256i) -> (__m256i, __m256i) {
        // SAFETY: `self` witnesses AVX2.
        unsafe {
            let (x, y) = (_mm256_castsi256_ps(x), _mm256_castsi256_ps(y));
            let even = _mm256_castps_si256(_mm256_shuffle_ps::<0b10_00_10_00>(x, y));
            let odd = _mm256_castps_si256(_mm256_shuffle_ps::<0b11_01_11_01>(x, y));
            (
                _mm256_permute4x64_epi64::<0b11_01_10_00>(even),
                _mm256_permute4x64_epi64::<0b11_01_10_00>(odd),
            )
        }
    }

    #[inline(always)]
    fn factors<const RUN: usize>(self, factors: &[Factor]) -> Factors<Self> {
        const { assert!(VALUE_COMES_FIRST) };
        assert_eq!(factors.len() * RUN, Self::WIDTH);
        let words: *const __m256i = factors.as_ptr().cast();
        // SAFETY: `self` witnesses AVX2; a factor is 8 readable bytes, and there are `8 / RUN`.
        unsafe {
            match RUN {
                1 => {
                    let [x, y] = [0, 1].map(|i| _mm256_loadu_si256(words.add(i)));
                    let (value, quotient) = self.unzip(x, y);
                    Factors { value, quotient: self.halves(quotient) }
                }
                2 => {
                    let words = _mm256_loadu_si256(words);
                    let quotient = _mm256_shuffle_epi32::<ODD_TO_EVEN>(words);
                    let value = _mm256_shuffle_epi32::<EVEN_TO_ODD>(words);
                    Factors { value, quotient: [quotient, quotient] }
                }
                _ => {
                    let words = _mm256_castsi128_si256(_mm_loadu_si128(words.cast()));
                    let values = _mm256_setr_epi32(0, 0, 0, 0, 2, 2, 2, 2);
                    let quotients = _mm256_setr_epi32(1, 1, 1, 1, 3, 3, 3, 3);
                    let quotient = _mm256_permutevar8x32_epi32(words, quotients);
                    let value = _mm256_permutevar8x32_epi32(words, values);
                    Factors { value, quotient: [quotient, quotient] }
                }
            }
        }
    }
}
