//! Eight residues at a time, with AVX2.

mod inverse;
mod lanes;
mod ntt;
mod pointwise;

use std::is_x86_feature_detected;

use he_core::{
    modulus::{Factor, Modulus},
    ntt::NttTable,
    ring::{Kernels, Portable},
};

/// A witness that this CPU has AVX2: there is no other way to make one.
#[derive(Clone, Copy, Debug)]
pub struct Avx2(());

impl Avx2 {
    /// The witness, if the CPU has the feature.
    #[must_use]
    pub fn detect() -> Option<&'static Self> {
        static WITNESS: Avx2 = Avx2(());
        is_x86_feature_detected!("avx2").then_some(&WITNESS)
    }
}

impl Kernels for Avx2 {
    fn name(&self) -> &'static str {
        "avx2"
    }

    fn add_assign(&self, q: Modulus, acc: &mut [u32], rhs: &[u32]) {
        assert_eq!(acc.len(), rhs.len());
        let (acc, acc_tail) = acc.as_chunks_mut();
        let (rhs, rhs_tail) = rhs.as_chunks();
        // SAFETY: `self` witnesses that the CPU has AVX2.
        unsafe { pointwise::add_assign(q, acc, rhs) };
        Portable.add_assign(q, acc_tail, rhs_tail);
    }

    fn sub_assign(&self, q: Modulus, acc: &mut [u32], rhs: &[u32]) {
        assert_eq!(acc.len(), rhs.len());
        let (acc, acc_tail) = acc.as_chunks_mut();
        let (rhs, rhs_tail) = rhs.as_chunks();
        // SAFETY: `self` witnesses that the CPU has AVX2.
        unsafe { pointwise::sub_assign(q, acc, rhs) };
        Portable.sub_assign(q, acc_tail, rhs_tail);
    }

    fn mul_assign(&self, q: Modulus, acc: &mut [u32], rhs: &[u32]) {
        assert_eq!(acc.len(), rhs.len());
        let (acc, acc_tail) = acc.as_chunks_mut();
        let (rhs, rhs_tail) = rhs.as_chunks();
        // SAFETY: `self` witnesses that the CPU has AVX2.
        unsafe { pointwise::mul_assign(q, acc, rhs) };
        Portable.mul_assign(q, acc_tail, rhs_tail);
    }

    fn scale_assign(&self, q: Modulus, acc: &mut [u32], f: Factor) {
        let (acc, acc_tail) = acc.as_chunks_mut();
        // SAFETY: `self` witnesses that the CPU has AVX2.
        unsafe { pointwise::scale_assign(q, acc, f) };
        Portable.scale_assign(q, acc_tail, f);
    }

    fn mul_add_assign(&self, q: Modulus, acc: &mut [u32], lhs: &[u32], rhs: &[u32]) {
        assert_eq!(acc.len(), lhs.len());
        assert_eq!(lhs.len(), rhs.len());
        let (acc, acc_tail) = acc.as_chunks_mut();
        let (lhs, lhs_tail) = lhs.as_chunks();
        let (rhs, rhs_tail) = rhs.as_chunks();
        // SAFETY: `self` witnesses that the CPU has AVX2.
        unsafe { pointwise::mul_add_assign(q, acc, lhs, rhs) };
        Portable.mul_add_assign(q, acc_tail, lhs_tail, rhs_tail);
    }

    fn dot(&self, q: Modulus, out: &mut [u32], pairs: &[(&[u32], &[u32])]) {
        let (words, tail) = out.as_chunks_mut();
        let done = words.as_flattened().len();
        let chunks = |i: usize| (pairs[i].0.as_chunks().0, pairs[i].1.as_chunks().0);
        // SAFETY: `self` witnesses that the CPU has AVX2.
        unsafe {
            match pairs.len() {
                0 => pointwise::dot(q, words, []),
                1 => pointwise::dot(q, words, [chunks(0)]),
                2 => pointwise::dot(q, words, [chunks(0), chunks(1)]),
                3 => pointwise::dot(q, words, [chunks(0), chunks(1), chunks(2)]),
                more => panic!("at most three pairs, not {more}"),
            }
        }
        if !tail.is_empty() {
            let pairs: Vec<_> = pairs.iter().map(|(l, r)| (&l[done..], &r[done..])).collect();
            Portable.dot(q, tail, &pairs);
        }
    }

    fn combine(&self, q: Modulus, out: &mut [u32], inputs: &[&[u32]], weights: &[u32]) {
        assert_eq!(inputs.len(), weights.len());
        let (words, _) = out.as_chunks_mut();
        let (blocks, _) = words.as_chunks_mut();
        // SAFETY: `self` witnesses that the CPU has AVX2.
        unsafe { pointwise::combine(q, blocks, inputs, weights) };
        let done = blocks.as_flattened().as_flattened().len();
        if done < out.len() {
            let inputs: Vec<_> = inputs.iter().map(|input| &input[done..]).collect();
            Portable.combine(q, &mut out[done..], &inputs, weights);
        }
    }

    fn ntt(&self, table: &NttTable<'_>, limb: &mut [u32]) {
        assert_eq!(limb.len(), table.degree());
        if limb.len() < 16 {
            return Portable.ntt(table, limb);
        }
        // SAFETY: `self` witnesses that the CPU has AVX2.
        unsafe { ntt::forward(table, limb.as_chunks_mut().0) };
    }

    fn inverse_ntt(&self, table: &NttTable<'_>, limb: &mut [u32]) {
        assert_eq!(limb.len(), table.degree());
        if limb.len() < 16 {
            return Portable.inverse_ntt(table, limb);
        }
        // SAFETY: `self` witnesses that the CPU has AVX2.
        unsafe { inverse::inverse(table, limb.as_chunks_mut().0) };
    }
}
