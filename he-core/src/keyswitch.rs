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
use core::ops::Range;

use crate::ciphertext::{SIDES, Side};
use crate::modulus::Factor;
use crate::ring::{Basis, Converter, Operands, Poly, Rescaler, Ring};

pub(crate) use generate::secret_poly;
pub use generate::{KeyAuthority, Secret, SeededKey};
pub use keys::{EvaluationKeys, GaloisKey, KeyKind, KeyPlan, KeySpec};

/// One digit of a switching key: an encryption under the target secret.
#[derive(Clone)]
pub(crate) struct Part {
    pub(crate) b: Poly,
    pub(crate) a: Poly,
}

impl Part {
    pub(crate) const fn side(&self, side: Side) -> &Poly {
        match side {
            Side::B => &self.b,
            Side::A => &self.a,
        }
    }
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

impl SwitchingKey {
    /// Whether the key reaches every prime of `basis`: one that was made for low levels does not
    /// serve a high one.
    pub(crate) fn serves(&self, basis: Basis) -> bool {
        basis.is_subset(self.digits.iter().fold(Basis::EMPTY, |all, &digit| all.union(digit)))
    }

    /// Cuts `c`, in evaluation form, into the digits of this key.
    pub(crate) fn decompose<'a>(&self, ring: &Ring, c: &'a Poly) -> Decomposed<'a> {
        let extended = c.basis().union(self.special);
        let own = self.digits.iter().map(|digit| digit.intersection(c.basis()));
        let used = own.enumerate().filter(|(_, own)| !own.is_empty());
        let (numbers, converters): (Vec<_>, Vec<_>) = used
            .map(|(number, own)| (number, Converter::new(ring, own, extended.difference(own))))
            .unzip();
        let load = |_: usize, i: usize, limb: &mut [u32]| {
            limb.copy_from_slice(c.limb_at(i));
            ring.kernels().inverse_ntt(&ring.table(i), limb);
        };
        let operands = Operands::new(ring, converters.iter().collect(), load);
        let mut extensions: Vec<_> =
            converters.iter().map(|converter| Poly::blank(ring, converter.to())).collect();
        operands.convert(&mut extensions.iter_mut().collect::<Vec<_>>(), |_, i, limb| {
            ring.kernels().ntt(&ring.table(i), limb);
        });
        let digits = numbers.into_iter().zip(extensions);
        let digits = digits.map(|(number, extension)| Digit { number, extension });
        Decomposed { whole: c, digits: digits.collect() }
    }

    /// `Σ_i digit_i · key_i / P`, the pair `(b, a)` in evaluation form over the digits' basis; each
    /// limb is finished while it is close at hand.
    pub(crate) fn apply(
        &self,
        ring: &Ring,
        c: &Decomposed<'_>,
        finish: impl Fn(Side, usize, &mut [u32]) + Sync,
    ) -> [Poly; 2] {
        let basis = c.whole.basis();
        let down = Rescaler::new(ring, basis.union(self.special), basis);
        let product = |side, i, at, out: &mut [u32]| self.product(ring, c, (side, i, at), out);
        rescale_pair(ring, &down, product, finish)
    }

    /// Writes `Σ_i digit_i · key_i` for one side of the key, at places of the limb of one prime of
    /// the digits' basis or the special primes: `P` times a key switch.
    pub(crate) fn product(
        &self,
        ring: &Ring,
        c: &Decomposed<'_>,
        (side, prime, at): (Side, usize, Range<usize>),
        out: &mut [u32],
    ) {
        let pairs = c.digits.iter().map(|digit| {
            let extended = digit.extension.basis().contains(prime);
            let left = if extended { &digit.extension } else { c.whole };
            let right = self.parts[digit.number].side(side);
            (left.places(prime, &at), right.places(prime, &at))
        });
        dot(ring, prime, out, &pairs.collect::<Vec<_>>());
    }

    /// `P` modulo a prime.
    pub(crate) fn special_product(&self, ring: &Ring, prime: usize) -> Factor {
        let q = ring.modulus(prime);
        let primes = self.special.iter().map(|i| q.reduce(ring.primes()[i].into()));
        q.factor(primes.fold(1, |product, p| q.mul(product, p)))
    }

    /// An encryption of `c·source` under the target secret; `c` in evaluation form.
    pub(crate) fn switch(&self, ring: &Ring, c: &Poly) -> [Poly; 2] {
        self.apply(ring, &self.decompose(ring, c), |_, _, _| {})
    }
}

/// The pair `(b, a)` over the primes of `down`, of operands and with a finish as
/// [`Rescaler::apply_to`] takes them.
pub(crate) fn rescale_pair(
    ring: &Ring,
    down: &Rescaler,
    source: impl Fn(Side, usize, Range<usize>, &mut [u32]) + Sync,
    finish: impl Fn(Side, usize, &mut [u32]) + Sync,
) -> [Poly; 2] {
    let [mut b, mut a] = [(); 2].map(|()| Poly::blank(ring, down.to()));
    down.apply_to(
        ring,
        &mut [&mut b, &mut a],
        |j, i, at, out| source(SIDES[j], i, at, out),
        |j, i, limb| finish(SIDES[j], i, limb),
    );
    [b, a]
}

/// Pairs that a kernel multiplies and adds at a time.
const TERMS: usize = 3;

/// Words that are computed at a time, so that partial sums stay in a cache.
pub(crate) const BLOCK: usize = 1 << 11;

/// `out = Σ left_i · right_i` modulo a prime, for any number of pairs.
pub(crate) fn dot(ring: &Ring, prime: usize, out: &mut [u32], pairs: &[(&[u32], &[u32])]) {
    let (q, kernels) = (ring.modulus(prime), ring.kernels());
    if pairs.len() <= TERMS {
        return kernels.dot(q, out, pairs);
    }
    let mut scratch = [0; BLOCK];
    for (number, out) in out.chunks_mut(BLOCK).enumerate() {
        let at = number * BLOCK..number * BLOCK + out.len();
        for (part, terms) in pairs.chunks(TERMS).enumerate() {
            let terms: Vec<_> =
                terms.iter().map(|(l, r)| (&l[at.clone()], &r[at.clone()])).collect();
            if part == 0 {
                kernels.dot(q, out, &terms);
            } else {
                let scratch = &mut scratch[..out.len()];
                kernels.dot(q, scratch, &terms);
                kernels.add_assign(q, out, scratch);
            }
        }
    }
}
