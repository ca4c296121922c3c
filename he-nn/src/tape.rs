//! What the way back needs of a forward pass, to the last attention of one sentence or after it.

use alloc::vec::Vec;

use he_core::refresh::Refresh;

use crate::layer::feed_forward::Gates;
use crate::layer::normalisation::Normalisation;
use crate::layer::token_attention::TokenKernel;
use crate::layer::update::Input;
use crate::layer::wide_attention::{Packs, WideKernel};

/// Intermediate values, in order of execution.
#[expect(missing_debug_implementations, reason = "ciphertexts need not have any")]
pub struct Tape<E: Refresh> {
    /// The normalised input of each layer's projections, in three copies.
    pub inputs: Vec<E::Ciphertext>,
    /// What their updates left besides ([`crate::layer::update::Updates::projections`]).
    pub inner: Vec<Vec<E::Ciphertext>>,
    /// Queries, keys and values of the first layer.
    pub packs: Vec<Packs<E>>,
    /// The kernel of the first layer.
    pub wide: Vec<WideKernel<E>>,
    /// The last layer's attention.
    pub token: Vec<TokenKernel<E>>,
    /// All normalisations: before the first feed-forward network and the last attention; or before the
    /// last feed-forward network and the head.
    pub normalisations: Vec<Normalisation<E>>,
    /// The feed-forward networks.
    pub gates: Vec<Gates<E>>,
    /// The inputs of other linear layers that have updates.
    pub linears: Vec<Input<E>>,
}

impl<E: Refresh> Default for Tape<E> {
    fn default() -> Self {
        Self {
            inputs: Vec::new(),
            inner: Vec::new(),
            packs: Vec::new(),
            wide: Vec::new(),
            token: Vec::new(),
            normalisations: Vec::new(),
            gates: Vec::new(),
            linears: Vec::new(),
        }
    }
}
