//! Limbs on their way out, in a frame.

use super::FrameWriter;
use super::bits::pack;
use crate::modulus::Modulus;

/// A frame whose head is written, waiting for its limbs one by one.
#[expect(missing_debug_implementations, reason = "holds a key")]
pub struct LimbWriter<'k, W> {
    frame: FrameWriter<'k, W>,
}

impl<'k, W, E> LimbWriter<'k, W>
where
    W: FnMut(&[u8]) -> Result<(), E>,
{
    pub(super) const fn new(frame: FrameWriter<'k, W>) -> Self {
        Self { frame }
    }

    /// Sends a limb: residues below `q`.
    ///
    /// # Errors
    /// Those of the closure that writes.
    ///
    /// # Panics
    /// If the limbs become longer than the head says.
    pub fn limb(&mut self, q: Modulus, limb: &[u32]) -> Result<(), E> {
        pack(limb, q, |bytes| self.frame.put(bytes))
    }

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
