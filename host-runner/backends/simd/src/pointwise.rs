//! Point by point: the kernels that see each residue once.

use he_core::{
    modulus::{Factor, Modulus},
    ring::Combination,
};

use crate::lanes::{self, Factors, Lanes, Montgomery, Reducer, Task};

/// `acc += rhs`.
pub(crate) struct AddAssign<'a, L: Lanes> {
    pub(crate) q: Modulus,
    pub(crate) acc: &'a mut [L::Words],
    pub(crate) rhs: &'a [L::Words],
}

impl<L: Lanes> Task<L> for AddAssign<'_, L> {
    #[inline(always)]
    fn run(self, lanes: L) {
        let q = lanes.splat(self.q.value());
        for (a, b) in self.acc.iter_mut().zip(self.rhs) {
            lanes.store(a, lanes::add(lanes, lanes.load(a), lanes.load(b), q));
        }
    }
}

/// `acc −= rhs`.
pub(crate) struct SubAssign<'a, L: Lanes> {
    pub(crate) q: Modulus,
    pub(crate) acc: &'a mut [L::Words],
    pub(crate) rhs: &'a [L::Words],
}

impl<L: Lanes> Task<L> for SubAssign<'_, L> {
    #[inline(always)]
    fn run(self, lanes: L) {
        let q = lanes.splat(self.q.value());
        for (a, b) in self.acc.iter_mut().zip(self.rhs) {
            lanes.store(a, lanes::sub(lanes, lanes.load(a), lanes.load(b), q));
        }
    }
}

/// `acc *= rhs`.
pub(crate) struct MulAssign<'a, L: Lanes> {
    pub(crate) q: Modulus,
    pub(crate) acc: &'a mut [L::Words],
    pub(crate) rhs: &'a [L::Words],
}

impl<L: Lanes> Task<L> for MulAssign<'_, L> {
    #[inline(always)]
    fn run(self, lanes: L) {
        let reducer = Reducer::new(lanes, self.q);
        for (a, b) in self.acc.iter_mut().zip(self.rhs) {
            lanes.store(a, reducer.reduce(lanes, product(lanes, a, b)));
        }
    }
}

/// `acc *= f`.
pub(crate) struct ScaleAssign<'a, L: Lanes> {
    pub(crate) q: Modulus,
    pub(crate) acc: &'a mut [L::Words],
    pub(crate) f: Factor,
}

impl<L: Lanes> Task<L> for ScaleAssign<'_, L> {
    #[inline(always)]
    fn run(self, lanes: L) {
        let (q, f) = (lanes.splat(self.q.value()), Factors::splat(lanes, self.f));
        for a in self.acc {
            lanes.store(a, f.mul(lanes, lanes.load(a), q));
        }
    }
}

/// `acc += lhs · rhs`.
pub(crate) struct MulAddAssign<'a, L: Lanes> {
    pub(crate) q: Modulus,
    pub(crate) acc: &'a mut [L::Words],
    pub(crate) lhs: &'a [L::Words],
    pub(crate) rhs: &'a [L::Words],
}

impl<L: Lanes> Task<L> for MulAddAssign<'_, L> {
    #[inline(always)]
    fn run(self, lanes: L) {
        let reducer = Reducer::new(lanes, self.q);
        for (a, (l, r)) in self.acc.iter_mut().zip(self.lhs.iter().zip(self.rhs)) {
            let product = reducer.reduce(lanes, product(lanes, l, r));
            lanes.store(a, lanes::add(lanes, lanes.load(a), product, reducer.q));
        }
    }
}

/// The factors of a product.
type Pair<'a, L> = (&'a [<L as Lanes>::Words], &'a [<L as Lanes>::Words]);

/// `out = Σ_i lhs_i · rhs_i` over one pair and at most three more: the sum fits a word of 64 bits.
pub(crate) struct Dot<'a, L: Lanes, const MORE: usize> {
    pub(crate) q: Modulus,
    pub(crate) out: &'a mut [L::Words],
    pub(crate) pair: Pair<'a, L>,
    pub(crate) more: [Pair<'a, L>; MORE],
}

impl<L: Lanes, const MORE: usize> Task<L> for Dot<'_, L, MORE> {
    #[inline(always)]
    fn run(self, lanes: L) {
        let reducer = Reducer::new(lanes, self.q);
        for (i, out) in self.out.iter_mut().enumerate() {
            let mut sum = product(lanes, &self.pair.0[i], &self.pair.1[i]);
            for (lhs, rhs) in self.more {
                sum = lanes.add_wide(sum, product(lanes, &lhs[i], &rhs[i]));
            }
            lanes.store(out, reducer.reduce(lanes, sum));
        }
    }
}

/// A term of [`Combine`]: an input and its weight in each limb.
pub(crate) type Term<'a, L, const LIMBS: usize> = (&'a [<L as Lanes>::Words], [u32; LIMBS]);

/// `out = Σ_i inputs_i · weights_i`, or `out +=` it if `ADD`, for each of at most six limbs, so that
/// an input is loaded once for all.
pub(crate) struct Combine<'a, 'b, L: Lanes, const LIMBS: usize, const ADD: bool> {
    pub(crate) limbs: &'a mut [Combination<'b>; LIMBS],
    /// So few that their sums stay below both `2^64` and `2^34 · q`.
    pub(crate) terms: &'a [Term<'a, L, LIMBS>],
}

impl<L: Lanes, const LIMBS: usize, const ADD: bool> Task<L> for Combine<'_, '_, L, LIMBS, ADD> {
    #[inline(always)]
    fn run(mut self, lanes: L) {
        const { assert!(LIMBS <= 6) };
        let registers = self.limbs[0].out.len() / L::WIDTH;
        let q = self.limbs.each_ref().map(|limb| Montgomery::new(lanes, limb.q));
        for pair in 0..registers / 2 {
            self.fill::<2>(lanes, &q, 2 * pair);
        }
        if registers % 2 == 1 {
            self.fill::<1>(lanes, &q, registers - 1);
        }
    }
}

impl<L: Lanes, const LIMBS: usize, const ADD: bool> Combine<'_, '_, L, LIMBS, ADD> {
    /// Writes `COUNT` registers of each limb, from number `at` on.
    #[inline(always)]
    fn fill<const COUNT: usize>(&mut self, lanes: L, q: &[Montgomery<L>; LIMBS], at: usize) {
        let zero = lanes.halves(lanes.splat(0));
        let mut sums = [[lanes.product(zero, zero); COUNT]; LIMBS];
        for (input, weights) in self.terms {
            let mut inputs = [zero; COUNT];
            for (halves, words) in inputs.iter_mut().zip(&input[at..at + COUNT]) {
                *halves = lanes.halves(lanes.load(words));
            }
            for (sums, &weight) in sums.iter_mut().zip(weights) {
                let weight = lanes.halves(lanes.splat(weight));
                for (sum, input) in sums.iter_mut().zip(inputs) {
                    *sum = lanes.add_wide(*sum, lanes.product(input, weight));
                }
            }
        }
        // Not a loop: a variable index would send all sums through memory.
        self.finish::<0, COUNT>(lanes, q, &sums, at);
        self.finish::<1, COUNT>(lanes, q, &sums, at);
        self.finish::<2, COUNT>(lanes, q, &sums, at);
        self.finish::<3, COUNT>(lanes, q, &sums, at);
        self.finish::<4, COUNT>(lanes, q, &sums, at);
        self.finish::<5, COUNT>(lanes, q, &sums, at);
    }

    /// Reduces the sums of one limb, if there is such a limb.
    #[inline(always)]
    fn finish<const LIMB: usize, const COUNT: usize>(
        &mut self,
        lanes: L,
        q: &[Montgomery<L>; LIMBS],
        sums: &[[L::Wide; COUNT]; LIMBS],
        at: usize,
    ) {
        let Some(limb) = self.limbs.get_mut(LIMB) else { return };
        let out = &mut L::split_mut(limb.out).0[at..at + COUNT];
        for (out, sum) in out.iter_mut().zip(sums[LIMB]) {
            let mut word = q[LIMB].reduce(lanes, sum);
            if ADD {
                word = lanes::add(lanes, lanes.load(out), word, q[LIMB].q);
            }
            lanes.store(out, word);
        }
    }
}

/// `sums += limb / q`.
pub(crate) struct AddFractions<'a, L: Lanes> {
    pub(crate) q: Modulus,
    pub(crate) limb: &'a [L::Words],
    pub(crate) sums: &'a mut [L::Sums],
}

impl<L: Lanes> Task<L> for AddFractions<'_, L> {
    #[inline(always)]
    fn run(self, lanes: L) {
        let reciprocal = 1.0 / f64::from(self.q.value());
        for (x, sums) in self.limb.iter().zip(self.sums) {
            lanes.add_multiples(sums, lanes.load(x), reciprocal);
        }
    }
}

#[inline(always)]
fn product<L: Lanes>(lanes: L, a: &L::Words, b: &L::Words) -> L::Wide {
    lanes.product(lanes.halves(lanes.load(a)), lanes.halves(lanes.load(b)))
}
