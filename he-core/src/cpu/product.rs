//! Sums of products of ciphertexts before they are relinearised: `b + a·S + square·S²`, of which `b`
//! and `a` are computed block by block where they are added to something.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::ops::Range;

use crate::ciphertext::{Ciphertext, Side};
use crate::keyswitch::{BLOCK, dot};
use crate::ring::{Basis, Poly, Ring};

/// `Σ x_i · y_i`.
pub(super) struct Products<'a> {
    /// Their polynomials have at least the limbs of `basis`.
    pub(super) factors: Vec<[Cow<'a, Ciphertext>; 2]>,
    pub(super) basis: Basis,
    pub(super) level: usize,
    pub(super) scale: f64,
}

impl Products<'_> {
    /// What belongs to the square of the secret.
    pub(super) fn square(&self, ring: &Ring) -> Poly {
        Poly::from_limbs(ring, self.basis, |prime, limb| {
            let pairs = self.factors.iter().map(|[x, y]| (x.a.limb_at(prime), y.a.limb_at(prime)));
            dot(ring, prime, limb, &pairs.collect::<Vec<_>>());
        })
    }

    /// Writes places of the limb of one prime of `b` or `a`.
    pub(super) fn write(
        &self,
        ring: &Ring,
        (side, prime, at): (Side, usize, Range<usize>),
        out: &mut [u32],
    ) {
        let factors = self.factors.iter();
        let pairs: Vec<_> = match side {
            Side::B => factors.map(|[x, y]| (&x.b, &y.b)).collect(),
            Side::A => factors.flat_map(|[x, y]| [(&x.b, &y.a), (&x.a, &y.b)]).collect(),
        };
        let pairs = pairs.into_iter().map(|(x, y)| (x.places(prime, &at), y.places(prime, &at)));
        dot(ring, prime, out, &pairs.collect::<Vec<_>>());
    }

    /// Calls `f` for block after block of a limb of `b` or `a`: the places, and what is there.
    pub(super) fn for_each_block(
        &self,
        ring: &Ring,
        side: Side,
        prime: usize,
        mut f: impl FnMut(Range<usize>, &[u32]),
    ) {
        let mut scratch = [0; BLOCK];
        for start in (0..ring.degree()).step_by(BLOCK) {
            let at = start..ring.degree().min(start + BLOCK);
            let block = &mut scratch[..at.len()];
            self.write(ring, (side, prime, at.clone()), block);
            f(at, block);
        }
    }
}
