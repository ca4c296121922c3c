//! A part of an evaluation key: one digit, all limbs.
//!
//! | bytes | field |
//! |---|---|
//! | 4 | kind of key, numbered by its owner |
//! | 4 | Galois element, or zero |
//! | 4 | digit |
//! | 4 | zero |
//! | 8 | basis: bit `i` is set if prime `i` of the parameter set has a limb |
//! | 32 | seed of the masks |
//! | … | for each of these primes, upwards: the limb of `b`, packed |

use alloc::vec;
use alloc::vec::Vec;

use super::bits::unpack;
use super::{FrameReader, Kind, LimbWriter, Link, RingShape};
use crate::Error;
use crate::sample::Seed;

/// Bytes before the first limb.
const HEAD: u64 = 4 * 4 + 8 + Seed::BYTES as u64;

/// What a part has before its limbs, for those who have the limbs one by one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct KeyHead {
    /// What the key is for, numbered by its owner.
    pub kind: u32,
    /// The Galois element, or zero.
    pub galois: u32,
    /// The digit.
    pub digit: u32,
    /// Bit `i` is set if prime `i` of the parameter set has a limb.
    pub basis: u64,
    /// The seed of the masks.
    pub seed: Seed,
}

impl KeyHead {
    /// Begins the part; the limbs of `b` follow, upwards.
    ///
    /// # Errors
    /// Those of `write`.
    ///
    /// # Panics
    /// If the basis is not one of the shape, or does not fit a frame.
    pub fn begin<'k, W, E>(
        &self,
        link: &mut Link<'k>,
        shape: &RingShape<'_>,
        write: W,
    ) -> Result<LimbWriter<'k, W>, E>
    where
        W: FnMut(&[u8]) -> Result<(), E>,
    {
        let length = KeyChunk::length(shape, self.basis);
        let length = length.and_then(|length| u32::try_from(length).ok());
        let length = length.expect("a basis of the shape that fits a frame");
        let mut frame = link.writer(Kind::EvaluationKey, length, write)?;
        for number in [self.kind, self.galois, self.digit, 0] {
            frame.put(&number.to_le_bytes())?;
        }
        frame.put(&self.basis.to_le_bytes())?;
        frame.put(self.seed.as_bytes())?;
        Ok(LimbWriter::new(frame))
    }
}

/// One digit of an evaluation key, with the masks as their seed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeyChunk {
    /// What the key is for, numbered by its owner.
    pub kind: u32,
    /// The Galois element, or zero.
    pub galois: u32,
    /// The digit.
    pub digit: u32,
    /// Bit `i` is set if prime `i` of the parameter set has a limb.
    pub basis: u64,
    /// The seed of the masks.
    pub seed: Seed,
    /// The limbs of `b`, one after the other, upwards.
    pub limbs: Vec<u32>,
}

impl KeyChunk {
    /// Bytes of the body for a basis; `None` if it names a prime that does not exist.
    #[must_use]
    pub fn length(shape: &RingShape<'_>, basis: u64) -> Option<u64> {
        Some(HEAD + shape.packed_len(basis)?)
    }

    /// The longest body.
    #[must_use]
    pub fn limit(shape: &RingShape<'_>) -> u64 {
        HEAD + shape.all_packed_len()
    }

    /// Sends the part.
    ///
    /// # Errors
    /// Those of `write`.
    ///
    /// # Panics
    /// If basis and limbs do not agree with the shape, or do not fit a frame.
    pub fn write<W, E>(&self, link: &mut Link<'_>, shape: &RingShape<'_>, write: W) -> Result<(), E>
    where
        W: FnMut(&[u8]) -> Result<(), E>,
    {
        assert_eq!(self.limbs.len(), shape.degree * self.basis.count_ones() as usize);
        let Self { kind, galois, digit, basis, seed, .. } = *self;
        let mut frame = KeyHead { kind, galois, digit, basis, seed }.begin(link, shape, write)?;
        let primes = shape.primes_of(basis).into_iter().flatten();
        for (limb, q) in self.limbs.chunks_exact(shape.degree).zip(primes) {
            frame.limb(q, limb)?;
        }
        frame.finish()
    }

    /// Reads a part. Nothing is allocated before the length agrees with the shape.
    ///
    /// # Errors
    /// Those of the closure that reads, or if the frame is not such a part.
    pub fn read<R, E>(mut frame: FrameReader<'_, R>, shape: &RingShape<'_>) -> Result<Self, E>
    where
        R: FnMut(&mut [u8]) -> Result<(), E>,
        E: From<Error>,
    {
        let length = frame.left().into();
        frame.expect(Kind::EvaluationKey, length)?;
        let [kind, galois, digit, zero] =
            [frame.take_array()?, frame.take_array()?, frame.take_array()?, frame.take_array()?]
                .map(u32::from_le_bytes);
        let basis = u64::from_le_bytes(frame.take_array()?);
        if zero != 0 || Self::length(shape, basis) != Some(length) {
            return Err(Error::Malformed("a basis against the length").into());
        }
        let seed = Seed::new(frame.take_array()?);
        let mut limbs = vec![0; shape.degree * basis.count_ones() as usize];
        let primes = shape.primes_of(basis).into_iter().flatten();
        for (limb, q) in limbs.chunks_exact_mut(shape.degree).zip(primes) {
            unpack(limb, q, |bytes| frame.take(bytes))?;
        }
        frame.finish()?;
        Ok(Self { kind, galois, digit, basis, seed, limbs })
    }
}
