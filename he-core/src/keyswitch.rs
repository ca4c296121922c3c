//! Hybrid key switching: from `c·s` to an encryption of it under another secret.
//!
//! A polynomial `c` modulo `Q` is cut into digits, its residues modulo the primes of each `D_i`,
//! extended to all primes in use and to the special primes `P`; digit `i` meets a key that encrypts
//! `P · s` on the primes of `D_i` and zero elsewhere. The inner product divided by `P` encrypts
//! `c·s`. Because that gadget is local to each prime, one key serves every level: the limbs of the
//! level's basis are simply picked out. After Han and Ki, *Better bootstrapping for approximate
//! homomorphic encryption* (CT-RSA 2020), section 3.

mod generate;
mod keys;

use alloc::vec::Vec;

use crate::ring::{Basis, Converter, Poly, Rescaler, Ring};

pub(crate) use generate::secret_poly;
pub use generate::{KeyAuthority, Secret, SeededKey};
pub use keys::{EvaluationKeys, GaloisKey, KeyKind, KeyPlan, KeySpec};

/// One digit of a switching key: an encryption under the target secret.
#[derive(Clone)]
pub(crate) struct Part {
    pub(crate) b: Poly,
    pub(crate) a: Poly,
}

/// A key that takes `c·source` to an encryption under the target secret.
#[derive(Clone)]
pub struct SwitchingKey {
    pub(crate) digits: Vec<Basis>,
    pub(crate) special: Basis,
    pub(crate) parts: Vec<Part>,
}

impl core::fmt::Debug for SwitchingKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "SwitchingKey {{ digits: {:?}, special: {:?} }}", self.digits, self.special)
    }
}

/// A polynomial cut into digits, each extended to the primes in use and the special primes.
pub(crate) struct Decomposed<'a> {
    whole: &'a Poly,
    digits: Vec<Digit>,
}

/// One digit in evaluation form: on its own primes it is the whole.
struct Digit {
    number: usize,
    /// On the other primes in use and the special primes.
    extension: Poly,
}

/// What is done to limbs of a result, each with the index of its prime.
type Finish<'a> = &'a (dyn Fn(usize, &mut [u32]) + Sync);

impl SwitchingKey {
    /// Whether the key reaches every prime of `basis`: one that was made for low levels does not
    /// serve a high one.
    pub(crate) fn serves(&self, basis: Basis) -> bool {
        basis.is_subset(self.digits.iter().fold(Basis::EMPTY, |all, &digit| all.union(digit)))
    }

    /// Cuts `c`, in evaluation form, into the digits of this key.
    pub(crate) fn decompose<'a>(&self, ring: &Ring, c: &'a Poly) -> Decomposed<'a> {
        let extended = c.basis().union(self.special);
        let coefficients = c.coefficients(ring, c.basis());
        let digits = self.digits.iter().enumerate().filter_map(|(number, digit)| {
            let own = digit.intersection(c.basis());
            let raise = |own| Converter::new(ring, own, extended.difference(own));
            let extension = (!own.is_empty()).then(|| raise(own).evaluate(ring, &coefficients))?;
            Some(Digit { number, extension })
        });
        Decomposed { whole: c, digits: digits.collect() }
    }

    /// `Σ_i digit_i · key_i / P`, the pair `(b, a)` in evaluation form over the digits' basis; each
    /// limb is finished as by [`Rescaler::apply_then`].
    pub(crate) fn apply(
        &self,
        ring: &Ring,
        c: &Decomposed<'_>,
        finish: [Finish<'_>; 2],
    ) -> (Poly, Poly) {
        let basis = c.whole.basis();
        let down = Rescaler::new(ring, basis.union(self.special), basis);
        let [finish_b, finish_a] = finish;
        let b = down.apply_then(ring, &self.product(ring, c, |part| &part.b), finish_b);
        let a = down.apply_then(ring, &self.product(ring, c, |part| &part.a), finish_a);
        (b, a)
    }

    /// `Σ_i digit_i · key_i` for one side of the key, in evaluation form over the digits' basis and
    /// the special primes: `P` times a key switch.
    pub(crate) fn product<'a>(
        &'a self,
        ring: &Ring,
        c: &'a Decomposed<'a>,
        side: fn(&Part) -> &Poly,
    ) -> Poly {
        sum_of_products(ring, c.whole.basis().union(self.special), |prime| {
            let pair = |digit: &'a Digit| {
                let extended = digit.extension.basis().contains(prime);
                let left = if extended { &digit.extension } else { c.whole };
                (left.limb_at(prime), side(&self.parts[digit.number]).limb_at(prime))
            };
            c.digits.iter().map(pair).collect()
        })
    }

    /// An encryption of `c·source` under the target secret; `c` in evaluation form.
    pub(crate) fn switch(&self, ring: &Ring, c: &Poly) -> (Poly, Poly) {
        self.apply(ring, &self.decompose(ring, c), [&|_, _| {}; 2])
    }
}

/// Pairs that a kernel multiplies and adds at a time.
const TERMS: usize = 3;

/// Words of longer sums that are computed at a time, so that partial sums stay in a cache.
const BLOCK: usize = 1 << 12;

/// `Σ left_i · right_i` over `basis`, for pairs that have at least its limbs.
pub(crate) fn inner_product(ring: &Ring, basis: Basis, pairs: &[(&Poly, &Poly)]) -> Poly {
    sum_of_products(ring, basis, |prime| {
        pairs.iter().map(|(l, r)| (l.limb_at(prime), r.limb_at(prime))).collect()
    })
}

/// As [`inner_product`], from the pairs of limbs of each prime.
fn sum_of_products<'a>(
    ring: &Ring,
    basis: Basis,
    pairs: impl Fn(usize) -> Vec<(&'a [u32], &'a [u32])> + Sync,
) -> Poly {
    let mut out = Poly::zero(ring, basis);
    out.for_each_limb(ring, |prime, limb| {
        let (q, kernels, pairs) = (ring.modulus(prime), ring.kernels(), pairs(prime));
        if pairs.len() <= TERMS {
            return kernels.dot(q, limb, &pairs);
        }
        let mut scratch = [0; BLOCK];
        for (number, out) in limb.chunks_mut(BLOCK).enumerate() {
            let at = number * BLOCK..number * BLOCK + out.len();
            for (part, terms) in pairs.chunks(TERMS).enumerate() {
                let terms = terms.iter().map(|(l, r)| (&l[at.clone()], &r[at.clone()]));
                let terms: Vec<_> = terms.collect();
                if part == 0 {
                    kernels.dot(q, out, &terms);
                } else {
                    let scratch = &mut scratch[..out.len()];
                    kernels.dot(q, scratch, &terms);
                    kernels.add_assign(q, out, scratch);
                }
            }
        }
    });
    out
}
