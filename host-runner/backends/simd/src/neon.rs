//! Four residues at a time, with NEON.

use core::arch::aarch64::{
    uint32x4_t, uint64x2_t, vaddq_f64, vaddq_u32, vaddq_u64, vcvtq_f64_u64, vdupq_n_f64,
    vdupq_n_u32, vget_high_u32, vget_low_s16, vget_low_u32, vld1q_f64, vld1q_u32, vld2q_u32,
    vminq_u32, vmovl_u32, vmull_high_s16, vmull_high_u32, vmull_s16, vmull_u32, vmulq_f64,
    vmulq_u32, vpaddq_s32, vreinterpretq_s16_u32, vreinterpretq_u32_s32, vreinterpretq_u32_u64,
    vreinterpretq_u64_u32, vst1q_f64, vst1q_u32, vsubq_u32, vtrn1q_u32, vtrn1q_u64, vtrn2q_u32,
    vtrn2q_u64, vuzp1q_u32, vuzp2q_u32, vzip1q_u32, vzip2q_u32,
};

use he_core::{modulus::Factor, ring::Kernels};

use crate::lanes::{Factors, Lanes, Task, VALUE_COMES_FIRST};
use crate::set::Set;

/// The witness of NEON, which every 64-bit ARM that runs `std` has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Neon;

/// The kernels.
pub(crate) fn kernels() -> &'static dyn Kernels {
    &Set(Neon)
}

impl Lanes for Neon {
    const NAME: &'static str = "neon";
    const WIDTH: usize = 4;
    const REGISTERS: usize = 32;
    type Words = [u32; 4];
    type Register = uint32x4_t;
    type Halves = uint32x4_t;
    /// The lower words, and the upper ones.
    type Wide = [uint64x2_t; 2];
    type Sums = [f64; 4];

    fn run(self, task: impl Task<Self>) {
        task.run(self);
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
    fn load(self, words: &Self::Words) -> uint32x4_t {
        // SAFETY: 16 readable bytes, aligned for words.
        unsafe { vld1q_u32(words.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, words: &mut Self::Words, x: uint32x4_t) {
        // SAFETY: 16 writable bytes, aligned for words.
        unsafe { vst1q_u32(words.as_mut_ptr(), x) };
    }

    #[inline(always)]
    fn splat(self, x: u32) -> uint32x4_t {
        // SAFETY: every AArch64 that runs `std` has NEON.
        unsafe { vdupq_n_u32(x) }
    }

    #[inline(always)]
    fn wrapping_add(self, a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        // SAFETY: every AArch64 that runs `std` has NEON.
        unsafe { vaddq_u32(a, b) }
    }

    #[inline(always)]
    fn wrapping_sub(self, a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        // SAFETY: every AArch64 that runs `std` has NEON.
        unsafe { vsubq_u32(a, b) }
    }

    #[inline(always)]
    fn wrapping_mul(self, a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        // SAFETY: every AArch64 that runs `std` has NEON.
        unsafe { vmulq_u32(a, b) }
    }

    #[inline(always)]
    fn min(self, a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        // SAFETY: every AArch64 that runs `std` has NEON.
        unsafe { vminq_u32(a, b) }
    }

    #[inline(always)]
    fn add_dot(self, sums: uint32x4_t, a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        // SAFETY: every AArch64 that runs `std` has NEON.
        unsafe {
            let (a, b) = (vreinterpretq_s16_u32(a), vreinterpretq_s16_u32(b));
            let low = vmull_s16(vget_low_s16(a), vget_low_s16(b));
            let pairs = vpaddq_s32(low, vmull_high_s16(a, b));
            vaddq_u32(sums, vreinterpretq_u32_s32(pairs))
        }
    }

    #[inline(always)]
    fn halves(self, x: uint32x4_t) -> uint32x4_t {
        x
    }

    #[inline(always)]
    fn product(self, a: uint32x4_t, b: uint32x4_t) -> [uint64x2_t; 2] {
        // SAFETY: every AArch64 that runs `std` has NEON.
        unsafe { [vmull_u32(vget_low_u32(a), vget_low_u32(b)), vmull_high_u32(a, b)] }
    }

    #[inline(always)]
    fn product_of_low(self, a: [uint64x2_t; 2], b: uint32x4_t) -> [uint64x2_t; 2] {
        self.product(self.low(a), b)
    }

    #[inline(always)]
    fn add_wide(self, a: [uint64x2_t; 2], b: [uint64x2_t; 2]) -> [uint64x2_t; 2] {
        // SAFETY: every AArch64 that runs `std` has NEON.
        unsafe { [vaddq_u64(a[0], b[0]), vaddq_u64(a[1], b[1])] }
    }

    #[inline(always)]
    fn low(self, x: [uint64x2_t; 2]) -> uint32x4_t {
        // SAFETY: every AArch64 that runs `std` has NEON.
        unsafe { vuzp1q_u32(vreinterpretq_u32_u64(x[0]), vreinterpretq_u32_u64(x[1])) }
    }

    #[inline(always)]
    fn high(self, x: [uint64x2_t; 2]) -> uint32x4_t {
        // SAFETY: every AArch64 that runs `std` has NEON.
        unsafe { vuzp2q_u32(vreinterpretq_u32_u64(x[0]), vreinterpretq_u32_u64(x[1])) }
    }

    #[inline(always)]
    fn add_multiples(self, sums: &mut Self::Sums, x: uint32x4_t, factor: f64) {
        // SAFETY: as above; twice 16 readable and writable bytes, aligned for doubles.
        unsafe {
            let halves = [vget_low_u32(x), vget_high_u32(x)];
            for (sums, x) in sums.as_chunks_mut::<2>().0.iter_mut().zip(halves) {
                let multiple = vmulq_f64(vcvtq_f64_u64(vmovl_u32(x)), vdupq_n_f64(factor));
                vst1q_f64(sums.as_mut_ptr(), vaddq_f64(vld1q_f64(sums.as_ptr()), multiple));
            }
        }
    }

    #[inline(always)]
    fn exchange<const BIT: usize>(self, x: uint32x4_t, y: uint32x4_t) -> (uint32x4_t, uint32x4_t) {
        // SAFETY: every AArch64 that runs `std` has NEON.
        unsafe {
            if BIT == 1 {
                return (vtrn1q_u32(x, y), vtrn2q_u32(x, y));
            }
            let (x, y) = (vreinterpretq_u64_u32(x), vreinterpretq_u64_u32(y));
            (vreinterpretq_u32_u64(vtrn1q_u64(x, y)), vreinterpretq_u32_u64(vtrn2q_u64(x, y)))
        }
    }

    #[inline(always)]
    fn zip(self, x: uint32x4_t, y: uint32x4_t) -> (uint32x4_t, uint32x4_t) {
        // SAFETY: every AArch64 that runs `std` has NEON.
        unsafe { (vzip1q_u32(x, y), vzip2q_u32(x, y)) }
    }

    #[inline(always)]
    fn unzip(self, x: uint32x4_t, y: uint32x4_t) -> (uint32x4_t, uint32x4_t) {
        // SAFETY: every AArch64 that runs `std` has NEON.
        unsafe { (vuzp1q_u32(x, y), vuzp2q_u32(x, y)) }
    }

    #[inline(always)]
    fn factors<const RUN: usize>(self, factors: &[Factor]) -> Factors<Self> {
        const { assert!(VALUE_COMES_FIRST) };
        assert_eq!(factors.len() * RUN, Self::WIDTH);
        let words: *const u32 = factors.as_ptr().cast();
        // SAFETY: as above; a factor is two readable words, and there are `4 / RUN`.
        unsafe {
            if RUN == 1 {
                let words = vld2q_u32(words);
                return Factors { value: words.0, quotient: words.1 };
            }
            let words = vld1q_u32(words);
            Factors { value: vtrn1q_u32(words, words), quotient: vtrn2q_u32(words, words) }
        }
    }
}
