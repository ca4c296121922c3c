//! Limbs on their way out, packed.

use super::SlotParams;
use crate::edge::LimbSink;
use crate::wire::bits::pack;

/// Packs limbs as they come: each residue in the bit length of its prime, without gaps, lowest bits first,
/// as every limb travels (`docs/format.md`). [`Residues`](crate::wire::Residues) undoes it.
#[expect(missing_debug_implementations, reason = "wraps a closure")]
pub struct PackedLimbs<'a, W> {
    params: SlotParams<'a>,
    write: W,
}

impl<'a, W> PackedLimbs<'a, W> {
    /// Hands the bytes to `write`, piece by piece.
    #[must_use]
    pub const fn new(params: SlotParams<'a>, write: W) -> Self {
        Self { params, write }
    }
}

impl<W, E> LimbSink for PackedLimbs<'_, W>
where
    W: FnMut(&[u8]) -> Result<(), E>,
{
    type Error = E;

    fn put(&mut self, prime: usize, limb: &[u32]) -> Result<(), E> {
        pack(limb, self.params.rings()[prime].modulus(), &mut self.write)
    }
}
