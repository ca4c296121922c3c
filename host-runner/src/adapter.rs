//! Personal adapters: as their owner has them, and as the server does.
//!
//! An owner makes an adapter's matrices ([`plain`]) and encrypts them under the public key that the
//! key authority wrote for that ([`encrypt`]). The server reads and computes with what was encrypted
//! ([`encrypted`]). Full fine-tuning leaves whole matrices ([`matrices`]).

mod tensors;

pub mod encrypt;
pub mod encrypted;
pub mod matrices;
pub mod plain;

use he_nn::model::{Kernel, LayerRanges, Model};

/// Ranks beyond this are refused: a server holds and multiplies two ciphertexts for each.
pub const MAX_RANK: usize = 64;

/// Tells models apart by their shape, their matrices and their kinds of attention (FNV-1a, 64 bits): by accident, not
/// against an adversary.
#[must_use]
pub fn digest(model: &Model) -> u64 {
    let config = model.config();
    let sizes = [config.tokens, config.width, config.heads, config.hidden, config.classes];
    let layers =
        model.layers().iter().flat_map(|layer| {
            let (attention, forward) = (&layer.attention, &layer.feed_forward);
            [&attention.query, &attention.key, &attention.value, &attention.output]
                .into_iter()
                .chain([&forward.value, &forward.gate, &forward.output])
        });
    let head = model.head();
    let entries = layers.chain([&head.dense, &head.classes]).flat_map(|m| &m.entries);
    let entries = entries.flat_map(|x| x.to_le_bytes());
    let sizes = sizes.into_iter().flat_map(|size| (size as u64).to_le_bytes());
    let is_softmax = |layer: &LayerRanges| matches!(layer.kernel, Kernel::Softmax { .. });
    let softmaxes = (0u8..).zip(&config.layers).filter(|(_, layer)| is_softmax(layer));
    sizes
        .chain(config.weight_frac_bits.to_le_bytes())
        .chain(entries)
        .chain(softmaxes.map(|(layer, _)| layer))
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
}
