//! Encryptions of zero, limb by limb, and the gadget that makes a key of one.

use alloc::vec;
use alloc::vec::Vec;

use zeroize::Zeroizing;

use super::super::keys::KeySpec;
use crate::modulus::{Factor, Modulus};
use crate::params::Params;
use crate::ring::{Kernels, Ring};
use crate::sample::{self, SecretSeed, Seed};

/// An encryption of zero, `b = e − a·s`: what its limbs have in common.
pub(super) struct Zeros<'a> {
    seed: &'a Seed,
    domain: u32,
    number: u32,
    errors: Zeroizing<Vec<i8>>,
}

impl<'a> Zeros<'a> {
    /// Number `number` among those of one pair of seeds; its mask is of this `domain`.
    pub(super) fn new(
        seed: &'a Seed,
        errors: &SecretSeed,
        (domain, number): (u32, u32),
        degree: usize,
    ) -> Self {
        let mut all = Zeroizing::new(vec![0; degree]);
        sample::errors(errors, number, &mut all);
        Self { seed, domain, number, errors: all }
    }

    /// The limb of the mask `a` modulo `q`, in evaluation form.
    pub(super) fn mask(&self, q: Modulus, limb: &mut [u32]) {
        sample::uniform(self.seed, self.domain, self.number, q, limb);
    }

    /// The limb of `b` modulo prime `index` of the ring, in evaluation form, under the secret with
    /// this limb.
    pub(super) fn limb(&self, ring: &Ring, index: usize, secret: &[u32], limb: &mut [u32]) {
        let (q, kernels) = (ring.modulus(index), ring.kernels());
        let errors = limb.iter_mut().zip(self.errors.iter());
        errors.for_each(|(x, &e)| *x = q.reduce_signed(e.into()));
        kernels.ntt(&ring.table(index), limb);
        // Beside the mask, which is public, the product would be the secret.
        let mut product = Zeroizing::new(vec![0; limb.len()]);
        self.mask(q, &mut product);
        kernels.mul_assign(q, &mut product, secret);
        kernels.sub_assign(q, limb, &product);
    }
}

/// `P` modulo one prime.
pub(super) struct Gadget {
    q: Modulus,
    special: Factor,
    kernels: &'static dyn Kernels,
}

/// The gadget of a key modulo prime `index` of the ring.
pub(super) fn gadget(ring: &Ring, index: usize, params: &Params, spec: &KeySpec) -> Gadget {
    let q = ring.modulus(index);
    let specials = spec.special(params);
    let product =
        specials.iter().fold(1, |product, p| q.mul(product, q.reduce(params.primes()[p].into())));
    Gadget { q, special: q.factor(product), kernels: ring.kernels() }
}

impl Gadget {
    /// `limb += P·source`.
    pub(super) fn add(&self, source: &[u32], limb: &mut [u32]) {
        let mut product = Zeroizing::new(source.to_vec());
        self.kernels.scale_assign(self.q, &mut product, self.special);
        self.kernels.add_assign(self.q, limb, &product);
    }
}
