//! The edge ring: encryption and decryption on devices, on the caller's buffers.
//!
//! An edge ciphertext is `b = m + e − a·s` modulo each of the two base primes, with coefficients of
//! the message as they are (no slots, no floating point), a ternary secret `s` and a mask `a` that is
//! expanded from a public seed, directly in evaluation form. Primes are worked on one after the
//! other, so a device needs the secret in evaluation form, one limb to work in and one byte an
//! error: 52 KB at degree 4096.
//!
//! Everything that touches secrets takes the same time whatever they are.

mod arithmetic;
mod table;

use zeroize::Zeroize;

use crate::Error;
use crate::sample::{ERROR_BOUND, MessageSeeds, Ternary, domain, errors, uniform_each};

pub use arithmetic::EdgeRing;
pub use table::EdgeTable;

/// The degree of the edge ring.
pub const DEGREE: usize = 4096;

/// The primes of an upload: the base of the chain.
pub const BASE_PRIMES: usize = 2;

/// The secret of a device, two bits a coefficient.
pub type EdgeSecret = Ternary<[u8; DEGREE / 4]>;

/// The largest absolute value of a message coefficient.
pub const MESSAGE_BOUND: i32 = i32::MAX - ERROR_BOUND as i32;

/// Who takes finished limbs: a frame on its way out, or memory.
pub trait LimbSink {
    /// What can go wrong on the way.
    type Error;

    /// Takes the body `b` of one ciphertext modulo prime number `prime`, in coefficients.
    ///
    /// # Errors
    /// If it cannot be taken; encryption stops there.
    fn put(&mut self, prime: usize, limb: &[u32]) -> Result<(), Self::Error>;
}

/// Keeps every limb, in the order of arrival.
#[cfg(feature = "alloc")]
impl LimbSink for alloc::vec::Vec<alloc::vec::Vec<u32>> {
    type Error = core::convert::Infallible;

    fn put(&mut self, _prime: usize, limb: &[u32]) -> Result<(), Self::Error> {
        self.push(limb.into());
        Ok(())
    }
}

/// A secret ready for use: in evaluation form for each prime. Erased on drop.
///
/// An upload has [`BASE_PRIMES`]; a device that only wants short messages back may do with one prime
/// and a degree that [`max_log_qp`](crate::params::max_log_qp) allows for it.
#[expect(missing_debug_implementations, reason = "a secret is not printed")]
pub struct EdgeKey<'a, const PRIMES: usize = BASE_PRIMES> {
    rings: [EdgeRing<'a>; PRIMES],
    /// `s · 2^32 / N`, so that a Montgomery product with a mask needs no factor after the inverse
    /// transform.
    secrets: [&'a mut [u32]; PRIMES],
}

/// The buffers of an encryption: as many words and as many bytes as the degree.
#[derive(Debug)]
pub struct Workspace<'a> {
    /// Holds products with the secret while it works, and the last limb of the ciphertext after.
    pub limb: &'a mut [u32],
    /// Holds the errors while it works; zero after.
    pub errors: &'a mut [i8],
}

impl<'a, const PRIMES: usize> EdgeKey<'a, PRIMES> {
    /// Brings a secret into evaluation form on the caller's buffers.
    ///
    /// # Errors
    /// If rings, buffers and secret are not of one degree.
    pub fn expand<B: AsRef<[u8]> + AsMut<[u8]>>(
        secret: &Ternary<B>,
        rings: [EdgeRing<'a>; PRIMES],
        secrets: [&'a mut [u32]; PRIMES],
    ) -> Result<Self, Error> {
        let expected = secret.degree();
        let mut key = Self { rings, secrets };
        for (ring, limb) in key.rings.iter().zip(&mut key.secrets) {
            for found in [ring.degree(), limb.len()] {
                if found != expected {
                    return Err(Error::WrongLength { expected, found });
                }
            }
            secret.residues(ring.modulus(), limb);
            ring.forward(limb);
            ring.enter(limb);
        }
        Ok(key)
    }

    /// The degree of the ring.
    ///
    /// # Panics
    /// If there is no prime.
    #[must_use]
    pub const fn degree(&self) -> usize {
        self.rings[0].degree()
    }

    /// The rings of the primes.
    #[must_use]
    pub const fn rings(&self) -> &[EdgeRing<'a>; PRIMES] {
        &self.rings
    }

    /// Encrypts one polynomial, number `index` of those that share these seeds, which must differ
    /// for every call. `message(i)` is coefficient `i`, at most [`MESSAGE_BOUND`] in absolute value,
    /// and is asked for once a prime.
    ///
    /// # Errors
    /// Those of the sink.
    ///
    /// # Panics
    /// If a buffer is not as long as the degree.
    pub fn encrypt<S: LimbSink>(
        &self,
        seeds: &MessageSeeds,
        index: u32,
        message: impl Fn(usize) -> i32,
        workspace: &mut Workspace<'_>,
        sink: &mut S,
    ) -> Result<(), S::Error> {
        assert_eq!(workspace.limb.len(), self.degree());
        assert_eq!(workspace.errors.len(), self.degree());
        errors(&seeds.error, index, workspace.errors);
        let mut result = Ok(());
        for (prime, (ring, secret)) in self.rings.iter().zip(&self.secrets).enumerate() {
            let (mask, q) = (&seeds.mask, ring.modulus());
            let places = workspace.limb.iter_mut().zip(&**secret);
            uniform_each(mask, domain::EDGE_MASK, index, q, places, |(x, &s), a| {
                *x = ring.multiply(a, s);
            });
            ring.inverse(workspace.limb);
            for (i, (x, &e)) in workspace.limb.iter_mut().zip(&*workspace.errors).enumerate() {
                *x = ring.difference(message(i).wrapping_add(i32::from(e)), *x);
            }
            result = sink.put(prime, workspace.limb);
            if result.is_err() {
                break;
            }
        }
        workspace.errors.zeroize();
        result
    }

    /// Starts the decryption of a ciphertext modulo prime number `prime`: `limb` comes with
    /// its mask `a` in evaluation form and becomes `a·s`.
    ///
    /// # Panics
    /// If there is no such prime, or the limb is not as long as the degree.
    #[must_use]
    pub fn decrypt<'w>(&self, prime: usize, limb: &'w mut [u32]) -> Decryption<'w>
    where
        'a: 'w,
    {
        assert_eq!(limb.len(), self.degree());
        let ring = self.rings[prime];
        for (x, &s) in limb.iter_mut().zip(&*self.secrets[prime]) {
            *x = ring.multiply(*x, s);
        }
        ring.inverse(limb);
        Decryption { ring, products: limb }
    }
}

impl<const PRIMES: usize> Drop for EdgeKey<'_, PRIMES> {
    fn drop(&mut self) {
        for secret in &mut self.secrets {
            secret.zeroize();
        }
    }
}

/// A decryption under way: values can be asked for one by one. Erased on drop.
#[expect(missing_debug_implementations, reason = "a secret is not printed")]
pub struct Decryption<'w> {
    ring: EdgeRing<'w>,
    products: &'w mut [u32],
}

impl Decryption<'_> {
    /// Coefficient `position` of the message, in `(−q/2, q/2)`, given that of the body `b`.
    ///
    /// # Panics
    /// If `position` is not below the degree.
    #[must_use]
    pub fn coefficient(&self, position: usize, b: u32) -> i32 {
        // In signed words: of a reduced sum, here of secrets, compilers make branches.
        let negated = self.products[position].wrapping_neg();
        self.ring.modulus().centred(self.ring.difference(b.cast_signed(), negated))
    }
}

impl Drop for Decryption<'_> {
    fn drop(&mut self) {
        self.products.zeroize();
    }
}

#[cfg(test)]
mod tests;
