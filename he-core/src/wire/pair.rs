//! A pair of polynomials of the big ring: a public key or a ciphertext.
//!
//! | bytes | field |
//! |---|---|
//! | 4 | level |
//! | 4 | zero |
//! | 8 | scale, an IEEE 754 double; that of a public key is 1 |
//! | 8 | basis: bit `i` is set if prime `i` of the parameter set has a limb |
//! | … | for each of these primes, upwards: the limb of `b`, packed |
//! | … | for each of these primes, upwards: the limb of `a`, packed |

use alloc::vec;
use alloc::vec::Vec;

use super::bits::unpack;
use super::{FrameReader, Kind, LimbWriter, Link, RingShape};
use crate::Error;

/// Bytes before the first limb.
const HEAD: u64 = 4 + 4 + 8 + 8;

/// What a pair has before its limbs, for those who have the limbs one by one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairHead {
    /// Rescales left above the base.
    pub level: u32,
    /// What slots hold the values times.
    pub scale: f64,
    /// Bit `i` is set if prime `i` of the parameter set has a limb.
    pub basis: u64,
}

impl PairHead {
    /// Begins a frame of `kind`; the limbs of `b` follow, upwards, and then those of `a`.
    ///
    /// # Errors
    /// Those of `write`.
    ///
    /// # Panics
    /// If the basis is not one of the shape, or does not fit a frame.
    pub fn begin<'k, W, E>(
        &self,
        link: &mut Link<'k>,
        kind: Kind,
        shape: &RingShape<'_>,
        write: W,
    ) -> Result<LimbWriter<'k, W>, E>
    where
        W: FnMut(&[u8]) -> Result<(), E>,
    {
        let length = Pair::length(shape, self.basis).and_then(|length| u32::try_from(length).ok());
        let length = length.expect("a basis of the shape that fits a frame");
        let mut frame = link.writer(kind, length, write)?;
        frame.put(&self.level.to_le_bytes())?;
        frame.put(&[0; 4])?;
        frame.put(&self.scale.to_bits().to_le_bytes())?;
        frame.put(&self.basis.to_le_bytes())?;
        Ok(LimbWriter::new(frame))
    }
}

/// Two polynomials in evaluation form, as they travel. Whether level and basis belong together is
/// for those to check who know the parameter set.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// Rescales left above the base.
    pub level: u32,
    /// What slots hold the values times.
    pub scale: f64,
    /// Bit `i` is set if prime `i` of the parameter set has a limb.
    pub basis: u64,
    /// The limbs of `b`, one after the other, upwards.
    pub b: Vec<u32>,
    /// The limbs of `a`, likewise.
    pub a: Vec<u32>,
}

impl Pair {
    /// Bytes of the body for a basis; `None` if it names a prime that does not exist.
    #[must_use]
    pub fn length(shape: &RingShape<'_>, basis: u64) -> Option<u64> {
        Some(HEAD + 2 * shape.packed_len(basis)?)
    }

    /// The longest body.
    #[must_use]
    pub fn limit(shape: &RingShape<'_>) -> u64 {
        HEAD + 2 * shape.all_packed_len()
    }

    /// Sends the pair as a frame of `kind`: [`Kind::PublicKey`] or [`Kind::Ciphertext`].
    ///
    /// # Errors
    /// Those of `write`.
    ///
    /// # Panics
    /// If basis and limbs do not agree with the shape, or do not fit a frame.
    pub fn write<W, E>(
        &self,
        link: &mut Link<'_>,
        kind: Kind,
        shape: &RingShape<'_>,
        write: W,
    ) -> Result<(), E>
    where
        W: FnMut(&[u8]) -> Result<(), E>,
    {
        let words = shape.degree * self.basis.count_ones() as usize;
        assert_eq!((self.b.len(), self.a.len()), (words, words));
        let Self { level, scale, basis, .. } = *self;
        let mut frame = PairHead { level, scale, basis }.begin(link, kind, shape, write)?;
        for half in [&self.b, &self.a] {
            let primes = shape.primes_of(basis).into_iter().flatten();
            for (limb, q) in half.chunks_exact(shape.degree).zip(primes) {
                frame.limb(q, limb)?;
            }
        }
        frame.finish()
    }

    /// Reads a pair from a frame of `kind`. Nothing is allocated before the length agrees with the
    /// shape.
    ///
    /// # Errors
    /// Those of the closure that reads, or if the frame is not such a pair.
    pub fn read<R, E>(
        mut frame: FrameReader<'_, R>,
        kind: Kind,
        shape: &RingShape<'_>,
    ) -> Result<Self, E>
    where
        R: FnMut(&mut [u8]) -> Result<(), E>,
        E: From<Error>,
    {
        let length = frame.left().into();
        frame.expect(kind, length)?;
        let level = u32::from_le_bytes(frame.take_array()?);
        let zero = u32::from_le_bytes(frame.take_array()?);
        let scale = f64::from_bits(u64::from_le_bytes(frame.take_array()?));
        if !scale.is_normal() || scale.is_sign_negative() {
            return Err(Error::Malformed("a scale that is not a positive number").into());
        }
        let basis = u64::from_le_bytes(frame.take_array()?);
        if zero != 0 || Self::length(shape, basis) != Some(length) {
            return Err(Error::Malformed("a basis against the length").into());
        }
        let mut half = || {
            let mut limbs = vec![0; shape.degree * basis.count_ones() as usize];
            let primes = shape.primes_of(basis).into_iter().flatten();
            for (limb, q) in limbs.chunks_exact_mut(shape.degree).zip(primes) {
                unpack(limb, q, |bytes| frame.take(bytes))?;
            }
            Ok::<_, E>(limbs)
        };
        let (b, a) = (half()?, half()?);
        frame.finish()?;
        Ok(Self { level, scale, basis, b, a })
    }
}
