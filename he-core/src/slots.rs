//! CKKS with slots for small devices: no heap, no floating point, buffers of the caller's.
//!
//! For whoever wants ordinary RNS-CKKS on a device, against any server: `N/2` real numbers in fixed point
//! become an encrypted polynomial modulo a few primes of at most 28 bits, and back. The device of this
//! project's own model needs less: [`edge`](crate::edge).
//!
//! A ciphertext is a body `b` and a mask `a` with `b + a·s = m + e`. Under the secret key ([`SlotSecret`])
//! the mask is expanded from a seed of 32 bytes, directly in evaluation form, and only the body travels, in
//! coefficients; under a public key ([`SlotPublic`]) both travel, in coefficients. Primes are worked on one
//! after the other in two buffers of `N` words; tables take half a kilobyte a prime ([`SlotTable`]) and
//! 4.5 KB for the transform of slots.
//!
//! A slot is an integer of at most [`SLOT_BOUND`] in absolute value: a number `x` with `f` bits behind the
//! point is `x·2^f`. Encryption cuts [`Message::shift`] bits off the coefficients, so the scale of the
//! ciphertext is `2^(f − shift)`. Before the cut a coefficient is off by 0.5 in the root of the mean
//! square, errors of encryption by 3.2 after it. Who wants a larger scale multiplies the ciphertext by a
//! power of two, which loses nothing that was there.
//!
//! Everything that touches secrets or messages takes the same time whatever they are.
//!
//! ```
//! use he_core::sample::{MessageDigest, MessageSeeds, SecretSeed, Ternary};
//! use he_core::slots::{Message, SLOTS_1024, SlotSecret, Workspace};
//!
//! // INSECURE: take 32 bytes from a generator, and derive one seed for each purpose.
//! let master = SecretSeed::new([7; 32]);
//! let secret = SlotSecret::new(SLOTS_1024, Ternary::uniform(&master, 0, [0; 256]))?;
//! let (mut message, mut limb) = ([0; 1024], [0; 1024]);
//! let mut work = Workspace { message: &mut message, limb: &mut limb };
//!
//! // Numbers with 28 bits behind the point, encrypted with 20.
//! let values = Message { shift: 8, slot: |j| (j as i32 - 256) << 19 };
//! let seeds = MessageSeeds::derive(&master, 1, &[3; 32], &MessageDigest::new(&master));
//! let mut limbs: Vec<Vec<u32>> = Vec::new();
//! secret.encrypt(&seeds, 0, &values, &mut work, &mut limbs).unwrap();
//! assert_eq!((limbs.len(), limbs[0].len()), (1, 1024));
//! # Ok::<(), he_core::Error>(())
//! ```

mod fourier;
mod packed;
mod params;
mod public;
mod ring;
mod secret;

mod frame;
#[cfg(test)]
mod tests;

use crate::Error;
use crate::edge::LimbSink;
use crate::sample::{SecretSeed, errors_each};

pub use fourier::SLOT_BOUND;
#[cfg(feature = "alloc")]
pub use frame::SlotFrame;
pub use frame::{SlotHead, SlotWriter};
pub use packed::PackedLimbs;
pub use params::{SLOTS_1024, SLOTS_2048, SLOTS_4096, SLOTS_8192, SLOTS_16384, SlotParams};
pub use public::{KeyMask, SlotPublic};
pub use ring::{SlotRing, SlotTable};
pub use secret::{SlotDecryption, SlotSecret};

/// What is to be encrypted.
#[expect(missing_debug_implementations, reason = "a message is not printed")]
pub struct Message<F> {
    /// How many bits are cut off behind the point; at most 29.
    pub shift: u32,
    /// Slot `j`, at most [`SLOT_BOUND`] in absolute value, asked for once. What is larger gives a wrong
    /// message and does no other harm.
    pub slot: F,
}

/// The buffers of an encryption: as many words each as the degree.
#[derive(Debug)]
pub struct Workspace<'a> {
    /// Holds the message while it works; zero after.
    pub message: &'a mut [u32],
    /// Holds products with secrets while it works, and the last limb of the result after.
    pub limb: &'a mut [u32],
}

impl Workspace<'_> {
    /// Refuses buffers of another degree.
    fn check(&self, degree: usize) {
        assert_eq!(self.message.len(), degree);
        assert_eq!(self.limb.len(), degree);
    }

    /// Puts the coefficients of a message into its buffer, with errors.
    fn encode(&mut self, message: &Message<impl Fn(usize) -> i32>, seed: &SecretSeed, index: u32) {
        let slots = self.message.len() / 2;
        let (re, im) = self.message.split_at_mut(slots);
        im.fill(0);
        for (j, place) in fourier::places(slots).enumerate() {
            re[place] = (message.slot)(j).cast_unsigned();
        }
        fourier::slots_to_coefficients(re, im);
        let (shift, half) = (message.shift, (1 << message.shift) >> 1);
        errors_each(seed, index, &mut *self.message, |word, error| {
            let rounded = (word.cast_signed() + half) >> shift;
            *word = rounded.wrapping_add(error.into()).cast_unsigned();
        });
    }

    /// Hands on the residues of the message with its errors, less the limb, which fits a word.
    fn finish<S: LimbSink>(
        &mut self,
        prime: usize,
        ring: &SlotRing<'_>,
        sink: &mut S,
    ) -> Result<(), S::Error> {
        let q = ring.signed();
        for (x, &m) in self.limb.iter_mut().zip(&*self.message) {
            *x = q.canonical(m.wrapping_sub(*x).cast_signed());
        }
        sink.put(prime, self.limb)
    }
}

/// Refuses a length that is not the expected one.
const fn check(expected: usize, found: usize) -> Result<(), Error> {
    if expected == found { Ok(()) } else { Err(Error::WrongLength { expected, found }) }
}
