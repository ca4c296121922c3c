//! What noise operations add: variances of a coefficient, in units of the ciphertext's modulus.
//!
//! With `σ²` the variance of an error, `N` the degree and secrets of variance `2/3`:
//!
//! | what | variance |
//! |---|---|
//! | encryption by the secret key | `σ²` |
//! | encryption by a public key, `e + u·e' + e''·s` | `σ²·(1 + 4N/3)` |
//! | rounding both halves after a division | `(1 + 2N/3) / 12` |
//! | inner product with a key over `P`, digits `D_i` | `N·σ²·Σ_i D_i² / 12P²` |
//! | product with slots `z` at scale `Δ` | `Δ²·E(z²)` times that of the other factor |
//!
//! A slot is a sum of `N` coefficients times roots of unity, so its noise has `N` times the variance.
//! After Costache, Curtis, Hales, Murphy, Ogilvie, Player, *On the precision loss in approximate
//! homomorphic encryption* (SAC 2023), sections 3 and 4.

use crate::params::Params;
use crate::sample::ERROR_VARIANCE;

/// Of a coefficient of a dense ternary secret.
const SECRET_VARIANCE: f64 = 2.0 / 3.0;

/// The noise of operations under one parameter set.
#[derive(Clone, Copy, Debug)]
pub struct Noise<'a> {
    params: &'a Params,
}

impl<'a> Noise<'a> {
    /// That of `params`.
    #[must_use]
    pub const fn new(params: &'a Params) -> Self {
        Self { params }
    }

    /// Of an encryption by the secret key.
    #[must_use]
    pub const fn fresh(self) -> f64 {
        ERROR_VARIANCE
    }

    /// Of an encryption by a public key.
    #[must_use]
    pub fn public(self) -> f64 {
        ERROR_VARIANCE * (1.0 + 2.0 * self.degree() * SECRET_VARIANCE)
    }

    /// Of rounding both halves of a ciphertext.
    #[must_use]
    pub fn rounding(self) -> f64 {
        (1.0 + self.degree() * SECRET_VARIANCE) / 12.0
    }

    /// Of the inner product with a switching key at `level`, divided by the special primes but not
    /// rounded.
    ///
    /// # Panics
    /// If there is no such level.
    #[must_use]
    pub fn inner_product(self, level: usize) -> f64 {
        let (primes, basis) = (self.params.primes(), self.params.basis(level));
        let special = self.params.specials().log2_product(primes);
        let digits = self.params.digits().iter().map(|digit| digit.intersection(basis));
        let ratio = |log: f64| libm::exp2(2.0 * (log - special)) / 12.0;
        let ratios: f64 = digits
            .filter(|digit| !digit.is_empty())
            .map(|digit| ratio(digit.log2_product(primes)))
            .sum();
        self.degree() * ERROR_VARIANCE * ratios
    }

    /// Of a key switch at `level`: a rotation, a conjugation or a relinearisation.
    ///
    /// # Panics
    /// If there is no such level.
    #[must_use]
    pub fn key_switch(self, level: usize) -> f64 {
        self.inner_product(level) + self.rounding()
    }

    /// Of a ciphertext of `level` with this noise, rescaled.
    ///
    /// # Panics
    /// If there is no such level, or it is the base.
    #[must_use]
    pub fn rescaled(self, noise: f64, level: usize) -> f64 {
        let step = self.params.step(level);
        noise / (step * step) + self.rounding()
    }

    /// Of a product of two ciphertexts with noises `noise`, before it is relinearised or rescaled;
    /// `energy` are the mean squares of their slots, times the squares of their scales.
    #[must_use]
    pub fn product(self, noise: [f64; 2], energy: [f64; 2]) -> f64 {
        energy[0] * noise[1] + energy[1] * noise[0] + self.degree() * noise[0] * noise[1]
    }

    fn degree(self) -> f64 {
        libm::exp2(f64::from(self.params.log_degree()))
    }
}
