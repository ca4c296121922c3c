//! The kernels on whichever registers, with the reference for the words that fill none.

use he_core::{
    modulus::{Factor, Modulus},
    ntt::NttTable,
    ring::{Combination, Kernels, Portable},
};

use crate::gemm;
use crate::lanes::Lanes;
use crate::pointwise::{
    AddAssign, AddFractions, Combine, Dot, MulAddAssign, MulAssign, ScaleAssign, SubAssign,
};
use crate::transform;

/// The kernels of one instruction set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Set<L>(pub(crate) L);

impl<L: Lanes> Kernels for Set<L> {
    fn name(&self) -> &'static str {
        L::NAME
    }

    fn add_assign(&self, q: Modulus, acc: &mut [u32], rhs: &[u32]) {
        assert_eq!(acc.len(), rhs.len());
        let ((acc, acc_tail), (rhs, rhs_tail)) = (L::split_mut(acc), L::split(rhs));
        self.0.run(AddAssign { q, acc, rhs });
        Portable.add_assign(q, acc_tail, rhs_tail);
    }

    fn sub_assign(&self, q: Modulus, acc: &mut [u32], rhs: &[u32]) {
        assert_eq!(acc.len(), rhs.len());
        let ((acc, acc_tail), (rhs, rhs_tail)) = (L::split_mut(acc), L::split(rhs));
        self.0.run(SubAssign { q, acc, rhs });
        Portable.sub_assign(q, acc_tail, rhs_tail);
    }

    fn mul_assign(&self, q: Modulus, acc: &mut [u32], rhs: &[u32]) {
        assert_eq!(acc.len(), rhs.len());
        let ((acc, acc_tail), (rhs, rhs_tail)) = (L::split_mut(acc), L::split(rhs));
        self.0.run(MulAssign { q, acc, rhs });
        Portable.mul_assign(q, acc_tail, rhs_tail);
    }

    fn scale_assign(&self, q: Modulus, acc: &mut [u32], f: Factor) {
        let (acc, acc_tail) = L::split_mut(acc);
        self.0.run(ScaleAssign { q, acc, f });
        Portable.scale_assign(q, acc_tail, f);
    }

    fn mul_add_assign(&self, q: Modulus, acc: &mut [u32], lhs: &[u32], rhs: &[u32]) {
        assert_eq!(acc.len(), lhs.len());
        assert_eq!(lhs.len(), rhs.len());
        let (acc, acc_tail) = L::split_mut(acc);
        let ((lhs, lhs_tail), (rhs, rhs_tail)) = (L::split(lhs), L::split(rhs));
        self.0.run(MulAddAssign { q, acc, lhs, rhs });
        Portable.mul_add_assign(q, acc_tail, lhs_tail, rhs_tail);
    }

    fn dot(&self, q: Modulus, out: &mut [u32], pairs: &[(&[u32], &[u32])]) {
        assert!(pairs.len() <= 3);
        if pairs.is_empty() {
            return out.fill(0);
        }
        let whole = out.len() - out.len() % L::WIDTH;
        let (words, tail) = L::split_mut(out);
        let split = |i: usize| (L::split(pairs[i].0).0, L::split(pairs[i].1).0);
        let (lanes, out, pair) = (self.0, words, split(0));
        match pairs.len() {
            1 => lanes.run(Dot { q, out, pair, more: [] }),
            2 => lanes.run(Dot { q, out, pair, more: [split(1)] }),
            _ => lanes.run(Dot { q, out, pair, more: [split(1), split(2)] }),
        }
        if !tail.is_empty() {
            let pairs: Vec<_> = pairs.iter().map(|(l, r)| (&l[whole..], &r[whole..])).collect();
            Portable.dot(q, tail, &pairs);
        }
    }

    fn combine(&self, limbs: &mut [Combination<'_>], inputs: &[&[u32]], bound: u32) {
        assert!(bound <= 1 << Modulus::MAX_BITS);
        // The sums of six limbs take 24 registers, those of four 16.
        let wide = if L::REGISTERS < 32 { 0 } else { limbs.len() / 6 * 6 };
        let (sixes, rest) = limbs.split_at_mut(wide);
        let sixes = sixes.as_chunks_mut().0;
        sixes.iter_mut().for_each(|limbs| combine::<L, 6>(self.0, limbs, inputs, bound));
        let (fours, rest) = rest.as_chunks_mut();
        let (twos, ones) = rest.as_chunks_mut();
        fours.iter_mut().for_each(|limbs| combine::<L, 4>(self.0, limbs, inputs, bound));
        twos.iter_mut().for_each(|limbs| combine::<L, 2>(self.0, limbs, inputs, bound));
        let ones = ones.as_chunks_mut().0;
        ones.iter_mut().for_each(|limb| combine::<L, 1>(self.0, limb, inputs, bound));
    }

    fn add_fractions(&self, q: Modulus, limb: &[u32], sums: &mut [f64]) {
        assert_eq!(limb.len(), sums.len());
        let ((limb, limb_tail), (sums, sums_tail)) = (L::split(limb), L::split_sums(sums));
        self.0.run(AddFractions { q, limb, sums });
        Portable.add_fractions(q, limb_tail, sums_tail);
    }

    fn matmul(&self, q: Modulus, out: &mut [u32], rows: &[&[u32]], weights: &[u32]) {
        gemm::matmul(self.0, q, out, rows, weights);
    }

    fn ntt(&self, table: &NttTable<'_>, limb: &mut [u32]) {
        assert_eq!(limb.len(), table.degree());
        if limb.len() < 2 * L::WIDTH {
            return Portable.ntt(table, limb);
        }
        transform::forward(self.0, table, L::split_mut(limb).0);
    }

    fn inverse_ntt(&self, table: &NttTable<'_>, limb: &mut [u32]) {
        assert_eq!(limb.len(), table.degree());
        if limb.len() < 2 * L::WIDTH {
            return Portable.inverse_ntt(table, limb);
        }
        transform::inverse(self.0, table, L::split_mut(limb).0);
    }
}

/// [`Kernels::combine`] for as many limbs as the registers hold sums of.
fn combine<L: Lanes, const LIMBS: usize>(
    lanes: L,
    limbs: &mut [Combination<'_>; LIMBS],
    inputs: &[&[u32]],
    bound: u32,
) {
    let length = limbs[0].out.len();
    let whole = length - length % L::WIDTH;
    let q = limbs.iter().map(|limb| u64::from(limb.q.value())).fold(1, u64::max);
    // Products of an input and a weight whose sum stays below both `2^64` and `2^34 · q`.
    let products = (u64::MAX / (q * u64::from(bound))).min((1 << 34) / u64::from(bound));
    let products = usize::try_from(products).unwrap_or(usize::MAX);
    for limb in &mut *limbs {
        assert_eq!(limb.out.len(), length);
        assert_eq!(limb.weights.len(), inputs.len());
    }
    let terms = inputs
        .iter()
        .enumerate()
        .map(|(i, input)| (L::split(input).0, core::array::from_fn(|limb| limbs[limb].weights[i])));
    let terms: Vec<_> = terms.collect();
    let (first, more) = terms.split_at(products.min(terms.len()));
    lanes.run(Combine::<_, _, false> { limbs: &mut *limbs, terms: first });
    for terms in more.chunks(products) {
        lanes.run(Combine::<_, _, true> { limbs: &mut *limbs, terms });
    }
    if whole < length {
        let inputs: Vec<_> = inputs.iter().map(|input| &input[whole..]).collect();
        for Combination { q, weights, out } in limbs {
            let tail = Combination { q: *q, weights, out: &mut out[whole..] };
            Portable.combine(&mut [tail], &inputs, bound);
        }
    }
}
