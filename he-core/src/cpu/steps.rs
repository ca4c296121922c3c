//! Linear maps of slots on ciphertexts: rotations are not divided by the special primes one by one,
//! but all of them once, after everything is summed.
//!
//! Modulo `QP` a ciphertext times `P` is a pair `(b, a)` with `b + a·S = P·m`. The products of digits
//! and keys are such pairs as they are, plaintexts multiply them, and only the mask of a sum that is
//! rotated by a giant step is divided, to be cut into digits. After Bossuat, Mouchet,
//! Troncoso-Pastoriza and Hubaux, *Efficient bootstrapping for approximate homomorphic encryption
//! with non-sparse keys* (EUROCRYPT 2021), section 4.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::observe::Span;
use super::{Cpu, Operation, check_levels, check_scales};
use crate::Error;
use crate::ciphertext::{Ciphertext, Plaintext, SIDES, Side, pair};
use crate::eval::steps::{self, GiantSteps};
use crate::keyswitch::{BLOCK, Decomposed, GaloisKey, dot, rescale_pair};
use crate::modulus::Factor;
use crate::ring::{Basis, Poly, Rescaler, galois_of_rotation};

/// A pair `(b, a)` modulo `QP`.
type Pair = [Poly; 2];

/// One sum for one ciphertext.
struct Sum<'a> {
    cpu: &'a Cpu,
    x: &'a Ciphertext,
    steps: &'a GiantSteps<Plaintext>,
    /// By baby step: its key, or none for a rotation by 0.
    babies: BTreeMap<usize, Option<&'a GaloisKey>>,
    /// The primes of `QP`.
    all: Basis,
    /// `P` modulo each prime of `Q`.
    gains: Vec<Factor>,
    /// From `QP` to `Q`.
    down: Rescaler,
}

impl Cpu {
    /// See [`Evaluator::giant_steps`](crate::eval::Evaluator::giant_steps).
    pub(super) fn sum_steps(
        &self,
        x: &Ciphertext,
        steps: &GiantSteps<Plaintext>,
    ) -> Result<Ciphertext, Error> {
        let mut plains = steps.terms.values().flatten().map(|(_, plain)| plain);
        let first = plains.next().ok_or(Error::InvalidParameters("the map is zero"))?;
        check_levels(x.level, first.level)?;
        for plain in plains {
            check_scales(first.scale, plain.scale)?;
            check_levels(x.level, plain.level)?;
        }
        let (ring, basis) = (&self.ring, x.a.basis());
        let babies = steps.babies().into_iter();
        let babies = babies.map(|(baby, step)| Ok((baby, self.rotation_key(step, basis)?)));
        let babies = babies.collect::<Result<BTreeMap<_, _>, Error>>()?;
        let Some(key) = babies.values().find_map(|entry| entry.map(|entry| &entry.key)) else {
            return steps::apply(self, x, steps);
        };
        let all = basis.union(key.special);
        if !all.is_subset(first.poly.basis()) {
            return steps::apply(self, x, steps);
        }
        let level = x.level.checked_sub(1).ok_or(Error::LevelExhausted { needed: 1, left: 0 })?;
        let gains = basis.iter().map(|i| key.special_product(ring, i)).collect();
        let down = Rescaler::new(ring, all, basis);
        let sum = Sum { cpu: self, x, steps, babies, all, gains, down };
        let cut = {
            let _span = self.span("decompose", x.level, 1);
            key.decompose(ring, &x.a)
        };
        let mut inner = sum.inner(&cut);
        let total = steps.horner(
            |giant| inner.remove(&giant).ok_or(Error::InvalidParameters("a step has no sum")),
            |pair, step, next| sum.turn(&pair, step, next.as_ref()),
        )?;
        let to = self.params.basis(level);
        let _span = self.span_to("rescale", x.level, [all, to], 1);
        let down = Rescaler::new(ring, all, to);
        let source = |side, prime, at, out: &mut [u32]| {
            out.copy_from_slice(of(&total, side).places(prime, &at));
        };
        let [b, a] = rescale_pair(ring, &down, source, |_, _, _| {});
        Ok(Ciphertext { b, a, level, scale: x.scale * first.scale / self.params.step(x.level) })
    }

    /// The key of a rotation that moves anything.
    fn rotation_key(&self, step: isize, basis: Basis) -> Result<Option<&GaloisKey>, Error> {
        let galois = galois_of_rotation(self.ring.log_degree(), step);
        (galois != 1).then(|| self.keys.galois(galois, basis)).transpose()
    }
}

impl Sum<'_> {
    /// For each giant step the sum of its baby steps.
    fn inner(&self, cut: &Decomposed<'_>) -> BTreeMap<isize, Pair> {
        let _span = Span::begin(self.cpu.observer.as_deref(), || Operation {
            name: "baby_steps",
            level: self.x.level,
            from: self.x.a.basis(),
            to: self.all,
            count: self.babies.values().flatten().count(),
            terms: self.steps.terms.values().map(Vec::len).sum(),
        });
        let (ring, giants) = (&self.cpu.ring, self.steps.terms.len());
        let mut sums: Vec<_> = (0..2 * giants).map(|_| Poly::blank(ring, self.all)).collect();
        let mut limbs: Vec<_> =
            sums.iter_mut().map(|sum| sum.words_mut().chunks_exact_mut(ring.degree())).collect();
        let limbs = self
            .all
            .iter()
            .flat_map(|_| limbs.iter_mut().filter_map(Iterator::next).collect::<Vec<_>>());
        ring.threads().for_each(&mut limbs.collect::<Vec<_>>(), 2 * giants, &|rank, outs| {
            if let Some(prime) = self.all.index(rank) {
                self.inner_limb(cut, prime, outs);
            }
        });
        let mut sums = sums.into_iter();
        let pairs = core::iter::from_fn(|| Some([sums.next()?, sums.next()?]));
        self.steps.terms.keys().copied().zip(pairs).collect()
    }

    /// The limbs of one prime, for each giant step those of `b` and of `a`.
    fn inner_limb(&self, cut: &Decomposed<'_>, prime: usize, outs: &mut [&mut [u32]]) {
        let (ring, n) = (&self.cpu.ring, self.cpu.ring.degree());
        let mut words = ring.threads().words((2 * self.babies.len() + 1) * n);
        let (lifted, words) = words.split_at_mut(n);
        self.lift(Side::B, prime, lifted);
        let rotated = self.babies.values().flat_map(|key| SIDES.map(|side| (*key, side)));
        for ((key, side), limb) in rotated.zip(words.chunks_exact_mut(n)) {
            let Some(key) = key else {
                self.lift(side, prime, limb);
                continue;
            };
            self.turn_limb(cut, key, (side, prime), limb, lifted);
        }
        let places: BTreeMap<usize, usize> = self.babies.keys().copied().zip(0..).collect();
        for start in (0..n).step_by(BLOCK) {
            let at = start..n.min(start + BLOCK);
            for (terms, outs) in self.steps.terms.values().zip(outs.chunks_exact_mut(2)) {
                for (number, out) in outs.iter_mut().enumerate() {
                    let pairs = terms.iter().map(|(baby, plain)| {
                        let limb = &words[(2 * places[baby] + number) * n..][..n];
                        (&limb[at.clone()], plain.poly.places(prime, &at))
                    });
                    dot(ring, prime, &mut out[at.clone()], &pairs.collect::<Vec<_>>());
                }
            }
        }
    }

    /// A sum rotated, with another one added to it.
    fn turn(&self, sum: &Pair, step: isize, next: Option<&Pair>) -> Result<Pair, Error> {
        let _span = self.cpu.span("giant_step", self.x.level, 1);
        let ring = &self.cpu.ring;
        let galois = galois_of_rotation(ring.log_degree(), step);
        let entry = self.cpu.keys.galois(galois, self.x.a.basis())?;
        let mask = self.down.apply(ring, of(sum, Side::A));
        let cut = entry.key.decompose(ring, &mask);
        Ok(pair(ring, self.all, |side, prime, limb| {
            let (q, kernels) = (ring.modulus(prime), ring.kernels());
            self.turn_limb(&cut, entry, (side, prime), limb, of(sum, Side::B).limb_at(prime));
            if let Some(next) = next {
                kernels.add_assign(q, limb, of(next, side).limb_at(prime));
            }
        }))
    }

    /// Writes a limb of the product of digits and a key, to which `b` is added, rotated.
    fn turn_limb(
        &self,
        cut: &Decomposed<'_>,
        entry: &GaloisKey,
        (side, prime): (Side, usize),
        limb: &mut [u32],
        b: &[u32],
    ) {
        let ring = &self.cpu.ring;
        let mut straight = ring.threads().words(limb.len());
        entry.key.product(ring, cut, (side, prime, 0..limb.len()), &mut straight);
        if side == Side::B {
            ring.kernels().add_assign(ring.modulus(prime), &mut straight, b);
        }
        ring.kernels().gather(entry.automorphism.index(), &straight, limb);
    }

    /// Writes a limb of `P·x`, zero modulo the special primes.
    fn lift(&self, side: Side, prime: usize, limb: &mut [u32]) {
        let Some(rank) = self.x.a.basis().position(prime) else { return limb.fill(0) };
        let ring = &self.cpu.ring;
        limb.copy_from_slice(self.x.side(side).limb_at(prime));
        ring.kernels().scale_assign(ring.modulus(prime), limb, self.gains[rank]);
    }
}

const fn of(pair: &Pair, side: Side) -> &Poly {
    let [b, a] = pair;
    match side {
        Side::B => b,
        Side::A => a,
    }
}
