//! Encryption by who has only a public key.

use zeroize::Zeroize;

use super::{Message, SlotParams, SlotRing, Workspace, check};
use crate::Error;
use crate::edge::LimbSink;
use crate::sample::{MessageSeeds, Seed, Ternary, domain, errors_each, uniform_each};

/// What the secrets of one public encryption are derived as.
const PUBLIC: u32 = u32::from_le_bytes(*b"pub1");

/// The mask of a public key.
#[derive(Clone, Copy, Debug)]
pub enum KeyMask<'k> {
    /// Of a key that [`SlotSecret::public_key`](super::SlotSecret::public_key) made.
    Seed(Seed),
    /// Residues in evaluation form, a limb for each prime.
    Limbs(&'k [&'k [u32]]),
}

/// A public key, in flash for instance.
#[derive(Clone, Copy, Debug)]
pub struct SlotPublic<'k> {
    params: SlotParams<'k>,
    mask: KeyMask<'k>,
    body: &'k [&'k [u32]],
}

impl<'k> SlotPublic<'k> {
    /// A key with a body of residues in evaluation form, a limb for each prime of the parameters.
    ///
    /// # Errors
    /// If there are not as many limbs as primes, or one is not as long as the degree, or a residue is not
    /// below its prime.
    pub fn new(
        params: SlotParams<'k>,
        mask: KeyMask<'k>,
        body: &'k [&'k [u32]],
    ) -> Result<Self, Error> {
        let halves = match mask {
            KeyMask::Seed(_) => [body, body],
            KeyMask::Limbs(limbs) => [body, limbs],
        };
        for half in halves {
            check(params.rings().len(), half.len())?;
            for (ring, limb) in params.rings().iter().zip(half) {
                check(params.degree(), limb.len())?;
                let modulus = ring.modulus().value();
                if limb.iter().any(|&x| x >= modulus) {
                    return Err(Error::ResidueOutOfRange { modulus });
                }
            }
        }
        Ok(Self { params, mask, body })
    }

    /// Encrypts a message, number `index` of those that share these seeds, which must differ for every
    /// call; the public seed among them is not used. The sink gets the *mask* modulo each prime and then the
    /// body modulo each prime, in coefficients. `ternary` is a buffer of `N/4` bytes, zero after.
    ///
    /// # Errors
    /// Those of the sink.
    ///
    /// # Panics
    /// If a buffer has another length, or more bits are to be cut off than there are.
    pub fn encrypt<S: LimbSink>(
        &self,
        (seeds, index): (&MessageSeeds, u32),
        message: &Message<impl Fn(usize) -> i32>,
        work: &mut Workspace<'_>,
        ternary: &mut [u8],
        sink: &mut S,
    ) -> Result<(), S::Error> {
        work.check(self.params.degree());
        assert_eq!(ternary.len(), self.params.degree() / 4);
        let seed = seeds.error.derive_any(PUBLIC, index);
        let u = Ternary::frugal(&seed, 0, ternary);
        // The message has to wait until the mask is through, because its buffer holds the mask's errors.
        errors_each(&seed, 1, &mut *work.message, |word, error| {
            *word = i32::from(error).cast_unsigned();
        });
        let mut result = self.half(&u, Half::Mask, work, sink);
        if result.is_ok() {
            work.encode(message, &seed, 0);
            result = self.half(&u, Half::Body, work, sink);
        }
        work.message.zeroize();
        result
    }

    /// One half of a ciphertext: `u` times that half of the key, and what is in the message's buffer.
    fn half<S: LimbSink>(
        &self,
        u: &Ternary<&mut [u8]>,
        half: Half,
        work: &mut Workspace<'_>,
        sink: &mut S,
    ) -> Result<(), S::Error> {
        for (prime, ring) in self.params.rings().iter().enumerate() {
            u.words(work.limb);
            ring.forward(work.limb);
            match (half, self.mask) {
                (Half::Mask, KeyMask::Seed(seed)) => {
                    let q = ring.modulus();
                    uniform_each(&seed, domain::PUBLIC_KEY, 0, q, &mut *work.limb, |x, a| {
                        *x = negative_product(ring, *x, a);
                    });
                }
                (Half::Mask, KeyMask::Limbs(limbs)) => multiply(ring, work.limb, limbs[prime]),
                (Half::Body, _) => multiply(ring, work.limb, self.body[prime]),
            }
            ring.inverse(work.limb);
            work.finish(prime, ring, sink)?;
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Half {
    Mask,
    Body,
}

fn multiply(ring: &SlotRing<'_>, limb: &mut [u32], key: &[u32]) {
    for (x, &k) in limb.iter_mut().zip(key) {
        *x = negative_product(ring, *x, k);
    }
}

/// `−x·k / 2^32`: what is finished is subtracted.
#[inline]
fn negative_product(ring: &SlotRing<'_>, x: u32, k: u32) -> u32 {
    ring.signed().multiply_signed(x.cast_signed(), -k.cast_signed()).cast_unsigned()
}
