//! What a personal adapter's file begins with; its ciphertexts follow as frames of their own: without classes layer
//! by layer, first every row of `down`, then every column of `up`; with classes one ciphertext, a state of training.
//!
//! | bytes | field |
//! |---|---|
//! | 8 | digest of the model that the adapter is for |
//! | 8 | the number of the owner's public key |
//! | 8 | scaling, an IEEE 754 double |
//! | 4 | layers |
//! | 4 | rank |
//! | 4 | classes of a head of its own, or 0 |

use super::{FrameReader, Kind, Link};
use crate::Error;

/// The head of an encrypted adapter: all that its server learns of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdapterHead {
    /// Tells models apart.
    pub model: u64,
    /// Tells owners apart.
    pub owner: u64,
    /// What `up · down` is multiplied by.
    pub scaling: f64,
    /// Layers of the model.
    pub layers: u32,
    /// The rank of each layer's update.
    pub rank: u32,
    /// Classes of a head of its own; 0 if it has none.
    pub classes: u32,
}

impl AdapterHead {
    /// Bytes of the body.
    pub const LENGTH: u32 = 36;

    /// Sends the head.
    ///
    /// # Errors
    /// Those of `write`.
    pub fn write<W, E>(&self, link: &mut Link<'_>, write: W) -> Result<(), E>
    where
        W: FnMut(&[u8]) -> Result<(), E>,
    {
        let mut frame = link.writer(Kind::Adapter, Self::LENGTH, write)?;
        frame.put(&self.model.to_le_bytes())?;
        frame.put(&self.owner.to_le_bytes())?;
        frame.put(&self.scaling.to_bits().to_le_bytes())?;
        frame.put(&self.layers.to_le_bytes())?;
        frame.put(&self.rank.to_le_bytes())?;
        frame.put(&self.classes.to_le_bytes())?;
        frame.finish()
    }

    /// Reads the head.
    ///
    /// # Errors
    /// Those of the closure that reads, or if the frame is not such a head, or has no layers, no
    /// rank, or a scaling that is not a positive number.
    pub fn read<R, E>(mut frame: FrameReader<'_, R>) -> Result<Self, E>
    where
        R: FnMut(&mut [u8]) -> Result<(), E>,
        E: From<Error>,
    {
        frame.expect(Kind::Adapter, Self::LENGTH.into())?;
        let model = u64::from_le_bytes(frame.take_array()?);
        let owner = u64::from_le_bytes(frame.take_array()?);
        let scaling = f64::from_bits(u64::from_le_bytes(frame.take_array()?));
        let layers = u32::from_le_bytes(frame.take_array()?);
        let rank = u32::from_le_bytes(frame.take_array()?);
        let classes = u32::from_le_bytes(frame.take_array()?);
        if !scaling.is_normal() || scaling.is_sign_negative() {
            return Err(Error::Malformed("a scaling that is not a positive number").into());
        }
        if layers == 0 || rank == 0 {
            return Err(Error::Malformed("an adapter without layers or rank").into());
        }
        frame.finish()?;
        Ok(Self { model, owner, scaling, layers, rank, classes })
    }
}
