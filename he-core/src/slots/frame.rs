//! Ciphertexts and public keys in frames.
//!
//! | bytes | field |
//! |---|---|
//! | 4 | 0 a ciphertext with the seed of its mask, 1 a ciphertext, 2 a public key |
//! | 4 | number of the ciphertext under that seed, else zero |
//! | 8 | scale, an IEEE 754 double; that of a public key is 1 |
//! | 32 | seed of the mask, or zeros |
//! | … | of a ciphertext without seed: for each prime the limb of the mask, packed, in coefficients |
//! | … | for each prime: the limb of the body, packed; in coefficients, of a public key in evaluation form |

#[cfg(feature = "alloc")]
use alloc::{vec, vec::Vec};

use super::SlotParams;
use crate::edge::LimbSink;
use crate::sample::Seed;
#[cfg(feature = "alloc")]
use crate::sample::{domain, uniform};
use crate::wire::bits::pack;
#[cfg(feature = "alloc")]
use crate::wire::{FrameReader, Pair, bits::unpack};
use crate::wire::{FrameWriter, Kind, Link, packed_len};
#[cfg(feature = "alloc")]
use crate::{Error, slots::SlotRing};

/// Bytes before the first limb.
const HEAD: u64 = 4 + 4 + 8 + 32;

/// What is in a frame, but for its limbs.
#[derive(Clone, Debug, PartialEq)]
pub enum SlotHead {
    /// A ciphertext by [`SlotSecret::encrypt`](super::SlotSecret::encrypt): the body follows.
    Seeded {
        /// What slots hold the values times.
        scale: f64,
        /// The seed of the mask.
        seed: Seed,
        /// The number of the ciphertext under that seed.
        index: u32,
    },
    /// A ciphertext by [`SlotPublic::encrypt`](super::SlotPublic::encrypt): mask and body follow.
    Whole {
        /// What slots hold the values times.
        scale: f64,
    },
    /// A public key by [`SlotSecret::public_key`](super::SlotSecret::public_key): its body follows.
    PublicKey {
        /// The seed of its mask.
        seed: Seed,
    },
}

impl SlotHead {
    /// Bytes of the body of the frame.
    #[must_use]
    pub fn length(&self, params: &SlotParams<'_>) -> u64 {
        let degree = params.degree();
        let limbs = params.rings().iter().map(|ring| packed_len(degree, ring.modulus()) as u64);
        let halves = if let Self::Whole { .. } = self { 2 } else { 1 };
        HEAD + halves * limbs.sum::<u64>()
    }

    /// Begins a frame. What encrypts, or makes the key, puts the limbs; the digest of the link should be
    /// [`SlotParams::digest`].
    ///
    /// # Errors
    /// Those of `write`.
    pub fn begin<'k, 'p, W, E>(
        &self,
        link: &mut Link<'k>,
        params: SlotParams<'p>,
        write: W,
    ) -> Result<SlotWriter<'k, 'p, W>, E>
    where
        W: FnMut(&[u8]) -> Result<(), E>,
    {
        let zeros = Seed::new([0; Seed::BYTES]);
        let (form, index, scale, seed) = match self {
            Self::Seeded { scale, seed, index } => (0, *index, *scale, seed),
            Self::Whole { scale } => (1, 0, *scale, &zeros),
            Self::PublicKey { seed } => (2, 0, 1.0, seed),
        };
        // At most 32 limbs: far below.
        let length = u32::try_from(self.length(&params)).unwrap_or(u32::MAX);
        let mut frame = link.writer(Kind::Slots, length, write)?;
        frame.put(&u32::to_le_bytes(form))?;
        frame.put(&index.to_le_bytes())?;
        frame.put(&scale.to_bits().to_le_bytes())?;
        frame.put(seed.as_bytes())?;
        Ok(SlotWriter { frame, params })
    }

    /// Reads what comes before the limbs.
    #[cfg(feature = "alloc")]
    fn read<R, E>(frame: &mut FrameReader<'_, R>) -> Result<Self, E>
    where
        R: FnMut(&mut [u8]) -> Result<(), E>,
        E: From<Error>,
    {
        let form = u32::from_le_bytes(frame.take_array()?);
        let index = u32::from_le_bytes(frame.take_array()?);
        let scale = f64::from_bits(u64::from_le_bytes(frame.take_array()?));
        let seed: [u8; Seed::BYTES] = frame.take_array()?;
        if !scale.is_normal() || scale.is_sign_negative() {
            return Err(Error::Malformed("a scale that is not a positive number").into());
        }
        let is_one = scale.to_bits() == 1.0_f64.to_bits();
        match (form, index) {
            (0, _) => Ok(Self::Seeded { scale, seed: Seed::new(seed), index }),
            (1, 0) if seed == [0; Seed::BYTES] => Ok(Self::Whole { scale }),
            (2, 0) if is_one => Ok(Self::PublicKey { seed: Seed::new(seed) }),
            _ => Err(Error::Malformed("slots of no known form").into()),
        }
    }
}

/// A frame whose head is written, taking limbs as they are made.
#[expect(missing_debug_implementations, reason = "holds a key")]
pub struct SlotWriter<'k, 'p, W> {
    frame: FrameWriter<'k, W>,
    params: SlotParams<'p>,
}

impl<W, E> SlotWriter<'_, '_, W>
where
    W: FnMut(&[u8]) -> Result<(), E>,
{
    /// Sends the tag.
    ///
    /// # Errors
    /// Those of the closure that writes.
    ///
    /// # Panics
    /// If a limb is missing.
    pub fn finish(self) -> Result<(), E> {
        self.frame.finish()
    }
}

impl<W, E> LimbSink for SlotWriter<'_, '_, W>
where
    W: FnMut(&[u8]) -> Result<(), E>,
{
    type Error = E;

    fn put(&mut self, prime: usize, limb: &[u32]) -> Result<(), E> {
        pack(limb, self.params.rings()[prime].modulus(), |bytes| self.frame.put(bytes))
    }
}

/// What came in a frame.
#[cfg(feature = "alloc")]
#[derive(Clone, Debug, PartialEq)]
pub struct SlotFrame {
    /// What it is.
    pub head: SlotHead,
    /// The limbs of the mask of a ciphertext without seed, in coefficients; else none.
    pub mask: Vec<u32>,
    /// The limbs of the body: in coefficients, of a public key in evaluation form.
    pub body: Vec<u32>,
}

#[cfg(feature = "alloc")]
impl SlotFrame {
    /// Reads a frame of these parameters. Nothing is allocated before the length agrees with them.
    ///
    /// # Errors
    /// Those of the closure that reads, or if the frame has no slots of these parameters.
    pub fn read<R, E>(mut frame: FrameReader<'_, R>, params: &SlotParams<'_>) -> Result<Self, E>
    where
        R: FnMut(&mut [u8]) -> Result<(), E>,
        E: From<Error>,
    {
        let length = frame.left().into();
        frame.expect(Kind::Slots, length)?;
        let head = SlotHead::read(&mut frame)?;
        if head.length(params) != length {
            return Err(Error::Malformed("a body of the wrong length").into());
        }
        let mut half = || {
            let mut limbs = vec![0; params.degree() * params.rings().len()];
            for (limb, ring) in limbs.chunks_exact_mut(params.degree()).zip(params.rings()) {
                unpack(limb, ring.modulus(), |bytes| frame.take(bytes))?;
            }
            Ok::<_, E>(limbs)
        };
        let mask = if let SlotHead::Whole { .. } = head { half()? } else { Vec::new() };
        let body = half()?;
        frame.finish()?;
        Ok(Self { head, mask, body })
    }

    /// The same for an evaluator whose first primes are those of `params`, at `level`, which has these primes
    /// and no others: mask and body in evaluation form.
    #[must_use]
    pub fn to_pair(&self, params: &SlotParams<'_>, level: u32) -> Pair {
        let (mask, seed, scale) = match &self.head {
            SlotHead::Seeded { scale, seed, index } => {
                (None, Some((seed, domain::CIPHERTEXT, *index)), *scale)
            }
            SlotHead::Whole { scale } => (Some(&self.mask), None, *scale),
            SlotHead::PublicKey { seed } => (None, Some((seed, domain::PUBLIC_KEY, 0)), 1.0),
        };
        let is_key = matches!(self.head, SlotHead::PublicKey { .. });
        let mut b = self.body.clone();
        let mut a = mask.cloned().unwrap_or_else(|| vec![0; b.len()]);
        let limbs = b.chunks_exact_mut(params.degree()).zip(a.chunks_exact_mut(params.degree()));
        for ((b, a), ring) in limbs.zip(params.rings()) {
            if !is_key {
                evaluate(ring, b);
            }
            match seed {
                Some((seed, purpose, index)) => uniform(seed, purpose, index, ring.modulus(), a),
                None => evaluate(ring, a),
            }
        }
        Pair { level, scale, basis: (1 << params.rings().len()) - 1, b, a }
    }
}

/// Brings a limb into evaluation form.
#[cfg(feature = "alloc")]
fn evaluate(ring: &SlotRing<'_>, limb: &mut [u32]) {
    ring.forward(limb);
    for x in limb {
        *x = ring.signed().canonical(x.cast_signed());
    }
}

#[cfg(test)]
mod tests;
