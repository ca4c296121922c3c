//! Sixteen residues at a time, with AVX-512 F and BW.

use core::arch::x86_64::{
    __m512i, _mm512_add_epi32, _mm512_add_epi64, _mm512_add_pd, _mm512_castsi512_si256,
    _mm512_cvtepu32_pd, _mm512_extracti64x4_epi64, _mm512_loadu_pd, _mm512_loadu_si512,
    _mm512_madd_epi16, _mm512_mask_shuffle_epi32, _mm512_mask_shuffle_i64x2,
    _mm512_maskz_loadu_epi32, _mm512_min_epu32, _mm512_mul_epu32, _mm512_mul_pd,
    _mm512_mullo_epi32, _mm512_permutex2var_epi32, _mm512_permutexvar_epi32, _mm512_set1_epi32,
    _mm512_set1_pd, _mm512_shuffle_epi32, _mm512_shuffle_i64x2, _mm512_storeu_pd,
    _mm512_storeu_si512, _mm512_sub_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi64,
};
use std::is_x86_feature_detected;

use he_core::{modulus::Factor, ring::Kernels};

use crate::lanes::{Factors, Lanes, Task, VALUE_COMES_FIRST};
use crate::set::Set;

/// A witness that this CPU has AVX-512 F and BW: only [`kernels`] makes one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512(());

/// The kernels, if the CPU has AVX-512 F and BW.
pub(crate) fn kernels() -> Option<&'static dyn Kernels> {
    static KERNELS: Set<Avx512> = Set(Avx512(()));
    let has_both = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
    has_both.then_some(&KERNELS)
}

/// The even lanes.
const EVEN: u16 = 0x5555;
/// Copies each odd lane over the even lane before it.
const ODD_TO_EVEN: i32 = 0b11_11_01_01;
/// Copies each even lane over the odd lane after it.
const EVEN_TO_ODD: i32 = 0b10_10_00_00;

/// Place `i` has `start + step · ⌊i / 2^log_run⌋`, and every second place `turn` more.
const fn places(start: u32, step: u32, log_run: u32, turn: u32) -> [u32; 16] {
    let mut places = [0; 16];
    let mut i = 0;
    while i < 16 {
        places[i as usize] = start + step * (i >> log_run) + turn * (i % 2);
        i += 1;
    }
    places
}

impl Lanes for Avx512 {
    const NAME: &'static str = "avx512";
    const WIDTH: usize = 16;
    const REGISTERS: usize = 32;
    type Words = [u32; 16];
    type Register = __m512i;
    /// The words, and the odd ones in the places of the even ones.
    type Halves = [__m512i; 2];
    /// The even words, and the odd ones.
    type Wide = [__m512i; 2];
    type Sums = [f64; 16];

    fn run(self, task: impl Task<Self>) {
        #[target_feature(enable = "avx512f,avx512bw")]
        fn compiled<L>(lanes: L, task: impl Task<L>) {
            task.run(lanes);
        }
        // SAFETY: `self` witnesses AVX-512 F and BW.
        unsafe { compiled(self, task) };
    }

    fn run_dots(self, task: impl Task<Self>) {
        #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
        fn compiled<L>(lanes: L, task: impl Task<L>) {
            task.run(lanes);
        }
        if !is_x86_feature_detected!("avx512vnni") {
            return self.run(task);
        }
        // SAFETY: `self` witnesses AVX-512 F and BW, and the CPU has VNNI.
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
    fn load(self, words: &Self::Words) -> __m512i {
        // SAFETY: `self` witnesses AVX-512 F; 64 readable bytes, which need no alignment.
        unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store(self, words: &mut Self::Words, x: __m512i) {
        // SAFETY: `self` witnesses AVX-512 F; 64 writable bytes, which need no alignment.
        unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), x) };
    }

    #[inline(always)]
    fn splat(self, x: u32) -> __m512i {
        // SAFETY: `self` witnesses AVX-512 F.
        unsafe { _mm512_set1_epi32(x.cast_signed()) }
    }

    #[inline(always)]
    fn wrapping_add(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` witnesses AVX-512 F.
        unsafe { _mm512_add_epi32(a, b) }
    }

    #[inline(always)]
    fn wrapping_sub(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` witnesses AVX-512 F.
        unsafe { _mm512_sub_epi32(a, b) }
    }

    #[inline(always)]
    fn wrapping_mul(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` witnesses AVX-512 F.
        unsafe { _mm512_mullo_epi32(a, b) }
    }

    #[inline(always)]
    fn min(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` witnesses AVX-512 F.
        unsafe { _mm512_min_epu32(a, b) }
    }

    #[inline(always)]
    fn add_dot(self, sums: __m512i, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` witnesses AVX-512 F and BW.
        unsafe { _mm512_add_epi32(sums, _mm512_madd_epi16(a, b)) }
    }

    #[inline(always)]
    fn halves(self, x: __m512i) -> [__m512i; 2] {
        // SAFETY: `self` witnesses AVX-512 F.
        unsafe { [x, _mm512_shuffle_epi32::<ODD_TO_EVEN>(x)] }
    }

    #[inline(always)]
    fn product(self, a: [__m512i; 2], b: [__m512i; 2]) -> [__m512i; 2] {
        // SAFETY: `self` witnesses AVX-512 F.
        unsafe { [_mm512_mul_epu32(a[0], b[0]), _mm512_mul_epu32(a[1], b[1])] }
    }

    #[inline(always)]
    fn product_of_low(self, a: [__m512i; 2], b: [__m512i; 2]) -> [__m512i; 2] {
        self.product(a, b)
    }

    #[inline(always)]
    fn add_wide(self, a: [__m512i; 2], b: [__m512i; 2]) -> [__m512i; 2] {
        // SAFETY: `self` witnesses AVX-512 F.
        unsafe { [_mm512_add_epi64(a[0], b[0]), _mm512_add_epi64(a[1], b[1])] }
    }

    #[inline(always)]
    fn low(self, [even, odd]: [__m512i; 2]) -> __m512i {
        // SAFETY: `self` witnesses AVX-512 F.
        unsafe { _mm512_mask_shuffle_epi32::<EVEN_TO_ODD>(even, !EVEN, odd) }
    }

    #[inline(always)]
    fn high(self, [even, odd]: [__m512i; 2]) -> __m512i {
        // SAFETY: `self` witnesses AVX-512 F.
        unsafe { _mm512_mask_shuffle_epi32::<ODD_TO_EVEN>(odd, EVEN, even) }
    }

    #[inline(always)]
    fn add_multiples(self, sums: &mut Self::Sums, x: __m512i, factor: f64) {
        // SAFETY: `self` witnesses AVX-512 F; twice 64 readable and writable bytes.
        unsafe {
            let (low, high) = (_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64::<1>(x));
            for (sums, x) in sums.as_chunks_mut::<8>().0.iter_mut().zip([low, high]) {
                let multiple = _mm512_mul_pd(_mm512_cvtepu32_pd(x), _mm512_set1_pd(factor));
                let sum = _mm512_add_pd(_mm512_loadu_pd(sums.as_ptr()), multiple);
                _mm512_storeu_pd(sums.as_mut_ptr(), sum);
            }
        }
    }

    #[inline(always)]
    fn exchange<const BIT: usize>(self, x: __m512i, y: __m512i) -> (__m512i, __m512i) {
        // SAFETY: `self` witnesses AVX-512 F.
        unsafe {
            match BIT {
                1 => (
                    _mm512_mask_shuffle_epi32::<EVEN_TO_ODD>(x, !EVEN, y),
                    _mm512_mask_shuffle_epi32::<ODD_TO_EVEN>(y, EVEN, x),
                ),
                2 => (_mm512_unpacklo_epi64(x, y), _mm512_unpackhi_epi64(x, y)),
                4 => (
                    _mm512_mask_shuffle_i64x2::<0b10_00_00_00>(x, 0b1100_1100, y, y),
                    _mm512_mask_shuffle_i64x2::<0b00_11_00_01>(y, 0b0011_0011, x, x),
                ),
                _ => (_mm512_shuffle_i64x2::<0x44>(x, y), _mm512_shuffle_i64x2::<0xee>(x, y)),
            }
        }
    }

    #[inline(always)]
    fn zip(self, x: __m512i, y: __m512i) -> (__m512i, __m512i) {
        let low = self.load(&const { places(0, 1, 1, 16) });
        let high = self.load(&const { places(8, 1, 1, 16) });
        // SAFETY: `self` witnesses AVX-512 F.
        unsafe { (_mm512_permutex2var_epi32(x, low, y), _mm512_permutex2var_epi32(x, high, y)) }
    }

    #[inline(always)]
    fn unzip(self, x: __m512i, y: __m512i) -> (__m512i, __m512i) {
        let even = self.load(&const { places(0, 2, 0, 0) });
        let odd = self.load(&const { places(1, 2, 0, 0) });
        // SAFETY: `self` witnesses AVX-512 F.
        unsafe { (_mm512_permutex2var_epi32(x, even, y), _mm512_permutex2var_epi32(x, odd, y)) }
    }

    #[inline(always)]
    fn factors<const RUN: usize>(self, factors: &[Factor]) -> Factors<Self> {
        const { assert!(VALUE_COMES_FIRST) };
        assert_eq!(factors.len() * RUN, Self::WIDTH);
        let words: *const i32 = factors.as_ptr().cast();
        if RUN == 1 {
            // SAFETY: `self` witnesses AVX-512 F; sixteen factors are 128 readable bytes.
            let [x, y] = unsafe { [0, 16].map(|i| _mm512_loadu_si512(words.add(i).cast())) };
            let (value, quotient) = self.unzip(x, y);
            return Factors { value, quotient: self.halves(quotient) };
        }
        let value = self.load(&const { places(0, 2, RUN.trailing_zeros(), 0) });
        let quotient = self.load(&const { places(1, 2, RUN.trailing_zeros(), 0) });
        // SAFETY: `self` witnesses AVX-512 F; the mask leaves two words for each factor.
        unsafe {
            let words = _mm512_maskz_loadu_epi32(u16::MAX >> (16 - 32 / RUN), words);
            let quotient = _mm512_permutexvar_epi32(quotient, words);
            let value = _mm512_permutexvar_epi32(value, words);
            Factors { value, quotient: [quotient, quotient] }
        }
    }
}
