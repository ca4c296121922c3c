//! The adapter: encrypted matrices of low rank, layer by layer.

use alloc::vec::Vec;
use core::fmt;

use he_core::eval::Evaluator;
use he_nn::Error;

/// One layer's encrypted update: for each of `r`, a ciphertext with row `r` of `down` and one with
/// column `r` of `up`, for queries, keys and values together.
#[expect(missing_debug_implementations, reason = "ciphertexts need not have any")]
pub struct LayerAdapter<E: Evaluator> {
    pub(crate) down: Vec<E::Ciphertext>,
    pub(crate) up: Vec<E::Ciphertext>,
}

/// An encrypted update `scaling · up · down` of queries, keys and values of every layer.
pub struct Adapter<E: Evaluator> {
    pub(crate) layers: Vec<LayerAdapter<E>>,
    pub(crate) scaling: f64,
    pub(crate) step: isize,
    pub(crate) width: usize,
}

impl<E: Evaluator> fmt::Debug for Adapter<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Adapter {{ layers: {}, scaling: {} }}", self.layers.len(), self.scaling)
    }
}

impl<E: Evaluator> LayerAdapter<E> {
    /// From ciphertexts of [`crate::Update::down_slots`] and [`crate::Update::up_slots`].
    ///
    /// # Errors
    /// If there is none, or not as many of one as of the other.
    pub fn new(down: Vec<E::Ciphertext>, up: Vec<E::Ciphertext>) -> Result<Self, Error> {
        if down.is_empty() || down.len() != up.len() {
            return Err(Error::Unsupported("an adapter has as many rows down as columns up"));
        }
        Ok(Self { down, up })
    }

    /// The rank.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.down.len()
    }
}

impl<E: Evaluator> Adapter<E> {
    /// From one update a layer, for a model of `width` features whose next feature is `step` slots
    /// away ([`he_nn::layout::Layout::step`]), with `scaling = alpha / rank`.
    ///
    /// # Errors
    /// If `scaling` is not a positive number.
    pub fn new(
        layers: Vec<LayerAdapter<E>>,
        scaling: f64,
        width: usize,
        step: isize,
    ) -> Result<Self, Error> {
        if !(scaling > 0.0 && scaling.is_finite()) {
            return Err(Error::Unsupported("an adapter's scaling is positive"));
        }
        Ok(Self { layers, scaling, step, width })
    }
}
