//! Ciphertexts of the big ring, in evaluation form.

use crate::ring::Poly;

/// A pair `(b, a)` with `b + a·S = m` modulo the primes of one level.
#[derive(Clone)]
pub struct Ciphertext {
    /// The part that carries the message.
    pub(crate) b: Poly,
    /// The mask.
    pub(crate) a: Poly,
    pub(crate) level: usize,
    pub(crate) scale: f64,
}

/// An encoded vector, in evaluation form.
pub struct Plaintext {
    pub(crate) poly: Poly,
    pub(crate) level: usize,
    pub(crate) scale: f64,
}

impl core::fmt::Debug for Ciphertext {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Ciphertext {{ level: {}, scale: {} }}", self.level, self.scale)
    }
}

impl core::fmt::Debug for Plaintext {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Plaintext {{ level: {}, scale: {} }}", self.level, self.scale)
    }
}
