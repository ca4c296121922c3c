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
pub(crate) struct Decomposed {
    basis: Basis,
    /// The number of the digit, and its extension in evaluation form.
    digits: Vec<(usize, Poly)>,
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
    pub(crate) fn decompose(&self, ring: &Ring, c: &Poly) -> Decomposed {
        let basis = c.basis();
        let extended = basis.union(self.special);
        let coefficients = c.coefficients(ring, basis);
        let digits = self.digits.iter().enumerate().filter_map(|(number, digit)| {
            let own = digit.intersection(basis);
            let raise = |own| Converter::new(ring, own, extended.difference(own));
            (!own.is_empty()).then(|| (number, raise(own).extend(ring, &coefficients, c)))
        });
        Decomposed { basis, digits: digits.collect() }
    }

    /// `Σ_i digit_i · key_i / P`, the pair `(b, a)` in evaluation form over the digits' basis; each
    /// limb is finished as by [`Rescaler::apply_then`].
    pub(crate) fn apply(
        &self,
        ring: &Ring,
        c: &Decomposed,
        finish: [Finish<'_>; 2],
    ) -> (Poly, Poly) {
        let down = Rescaler::new(ring, c.basis.union(self.special), c.basis);
        let [finish_b, finish_a] = finish;
        let b = down.apply_then(ring, &self.product(ring, c, |part| &part.b), finish_b);
        let a = down.apply_then(ring, &self.product(ring, c, |part| &part.a), finish_a);
        (b, a)
    }

    /// `Σ_i digit_i · key_i` for one side of the key, in evaluation form over the digits' basis and
    /// the special primes: `P` times a key switch.
    pub(crate) fn product(&self, ring: &Ring, c: &Decomposed, side: fn(&Part) -> &Poly) -> Poly {
        let pairs: Vec<_> =
            c.digits.iter().map(|(i, digit)| (digit, side(&self.parts[*i]))).collect();
        inner_product(ring, c.basis.union(self.special), &pairs)
    }

    /// An encryption of `c·source` under the target secret; `c` in evaluation form.
    pub(crate) fn switch(&self, ring: &Ring, c: &Poly) -> (Poly, Poly) {
        self.apply(ring, &self.decompose(ring, c), [&|_, _| {}; 2])
    }
}

/// Pairs that a kernel multiplies and adds at a time.
const TERMS: usize = 3;

/// Words of longer sums that are computed at a time, so that partial sums stay in a cache.
const BLOCK: usize = 1 << 13;

/// `Σ left_i · right_i` over `basis`, for pairs that have at least its limbs.
pub(crate) fn inner_product(ring: &Ring, basis: Basis, pairs: &[(&Poly, &Poly)]) -> Poly {
    let block = if pairs.len() > TERMS { BLOCK } else { ring.degree() };
    let mut out = Poly::zero(ring, basis);
    out.for_each_limb(ring, |prime, limb| {
        let (q, kernels) = (ring.modulus(prime), ring.kernels());
        let mut scratch = Vec::new();
        for (number, out) in limb.chunks_mut(block).enumerate() {
            let at = number * block..number * block + out.len();
            for (part, terms) in pairs.chunks(TERMS).enumerate() {
                let terms: Vec<_> = terms
                    .iter()
                    .map(|(l, r)| (&l.limb_at(prime)[at.clone()], &r.limb_at(prime)[at.clone()]))
                    .collect();
                if part == 0 {
                    kernels.dot(q, out, &terms);
                } else {
                    scratch.resize(out.len(), 0);
                    kernels.dot(q, &mut scratch, &terms);
                    kernels.add_assign(q, out, &scratch);
                }
            }
        }
    });
    out
}
