//! Encrypted rows from a device.
//!
//! | bytes | field |
//! |---|---|
//! | 4 | number of ciphertexts |
//! | 32 | seed of the masks; that of ciphertext `j` has the index `j` |
//! | … | for each ciphertext, for each base prime: the body `b` in coefficients, packed |

#[cfg(feature = "alloc")]
use alloc::vec;
#[cfg(feature = "alloc")]
use alloc::vec::Vec;

use super::bits::{pack, packed_len};
use super::{FrameWriter, Kind, Link};
use crate::edge::{BASE_PRIMES, LimbSink};
use crate::modulus::Modulus;
use crate::sample::Seed;
#[cfg(feature = "alloc")]
use {
    super::{FrameReader, bits::unpack},
    crate::Error,
};

/// Bytes before the first limb.
const HEAD: u64 = 4 + Seed::BYTES as u64;

/// What both sides know about an upload.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct UploadShape {
    /// The degree of the edge ring.
    pub degree: usize,
    /// The base primes.
    pub primes: [Modulus; BASE_PRIMES],
    /// The number of ciphertexts.
    pub count: u32,
}

impl UploadShape {
    /// Bytes of the body.
    #[must_use]
    pub fn length(&self) -> u64 {
        let limbs = self.primes.map(|q| packed_len(self.degree, q) as u64);
        HEAD + u64::from(self.count) * limbs.iter().sum::<u64>()
    }
}

/// Sends limbs as encryption makes them.
#[expect(missing_debug_implementations, reason = "holds a key")]
pub struct UploadWriter<'k, W> {
    frame: FrameWriter<'k, W>,
    primes: [Modulus; BASE_PRIMES],
}

impl<'k, W, E> UploadWriter<'k, W>
where
    W: FnMut(&[u8]) -> Result<(), E>,
{
    /// Begins the upload. Ciphertexts follow in order of their index.
    ///
    /// # Errors
    /// Those of `write`.
    ///
    /// # Panics
    /// If the body does not fit a frame.
    pub fn start(
        link: &mut Link<'k>,
        shape: &UploadShape,
        masks: &Seed,
        write: W,
    ) -> Result<Self, E> {
        let length = u32::try_from(shape.length()).expect("an upload that fits a frame");
        let mut frame = link.writer(Kind::Upload, length, write)?;
        frame.put(&shape.count.to_le_bytes())?;
        frame.put(masks.as_bytes())?;
        Ok(Self { frame, primes: shape.primes })
    }

    /// Ends it.
    ///
    /// # Errors
    /// Those of the closure that writes.
    ///
    /// # Panics
    /// If there were not as many limbs as announced.
    pub fn finish(self) -> Result<(), E> {
        self.frame.finish()
    }
}

impl<W, E> LimbSink for UploadWriter<'_, W>
where
    W: FnMut(&[u8]) -> Result<(), E>,
{
    type Error = E;

    fn put(&mut self, prime: usize, limb: &[u32]) -> Result<(), E> {
        pack(limb, self.primes[prime], |bytes| self.frame.put(bytes))
    }
}

/// An upload as a server has it.
#[cfg(feature = "alloc")]
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Upload {
    /// The seed of the masks; that of ciphertext `j` has the index `j`.
    pub masks: Seed,
    /// For each ciphertext, for each base prime: the body in coefficients, below the prime.
    pub bodies: Vec<[Vec<u32>; BASE_PRIMES]>,
}

#[cfg(feature = "alloc")]
impl Upload {
    /// Reads an upload of exactly this shape.
    ///
    /// # Errors
    /// Those of the closure that reads, or if the frame is not such an upload.
    pub fn read<R, E>(mut frame: FrameReader<'_, R>, shape: &UploadShape) -> Result<Self, E>
    where
        R: FnMut(&mut [u8]) -> Result<(), E>,
        E: From<Error>,
    {
        frame.expect(Kind::Upload, shape.length())?;
        if u32::from_le_bytes(frame.take_array()?) != shape.count {
            return Err(Error::Malformed("another number of ciphertexts").into());
        }
        let masks = Seed::new(frame.take_array()?);
        let mut bodies = Vec::new();
        for _ in 0..shape.count {
            let mut body = [vec![0; shape.degree], vec![0; shape.degree]];
            for (limb, &q) in body.iter_mut().zip(&shape.primes) {
                unpack(limb, q, |bytes| frame.take(bytes))?;
            }
            bodies.push(body);
        }
        frame.finish()?;
        Ok(Self { masks, bodies })
    }
}
