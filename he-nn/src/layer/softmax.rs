//! The series of a softmax: exponentials of scores, and the inverse of their sum.
//!
//! All exponentials of a row are multiplied by one public number, which brings the declared sums below
//! [`LARGEST_SUM`] and leaves the quotient. Sums are bootstrapped alone and inverted there; exponentials wait for the
//! inverse, so no quotient loses bits to a bootstrap. Scores are trained to be small, so that one series of degree 15
//! covers them: normalising in steps as in Cho, Hanrot, Kim et al., *Fast and Accurate Homomorphic Softmax
//! Evaluation* (CCS 2024), for wider scores, takes more bootstraps.

use he_core::circuit::chebyshev::Chebyshev;
use he_core::circuit::polynomial;
use he_core::refresh::Refresh;

use crate::Error;
use crate::approx::{inverse, score_exponential};
use crate::model::Window;

/// What the largest sum comes to: half of what a bootstrap has room for.
const LARGEST_SUM: f64 = 8.0;

/// The series for one layer.
pub(crate) struct Softmax {
    /// `unit · exp(score)`.
    pub(crate) exp: Chebyshev,
    /// What exponentials are multiplied by.
    pub(crate) unit: f64,
    inverse: Chebyshev,
}

impl Softmax {
    /// For scores in `±score` and sums in this window.
    ///
    /// # Errors
    /// If a range is empty.
    pub(crate) fn new(score: f64, sum: Window) -> Result<Self, Error> {
        let unit = LARGEST_SUM / sum.high;
        let window = Window { low: unit * sum.low, high: LARGEST_SUM };
        Ok(Self { exp: score_exponential(score, unit)?, unit, inverse: inverse(window)? })
    }

    /// The inverses of sums, seven levels down.
    ///
    /// # Errors
    /// If a key is missing or no level is left.
    pub(crate) fn invert<E: Refresh>(
        &self,
        eval: &E,
        sums: &E::Ciphertext,
    ) -> Result<E::Ciphertext, Error> {
        let sums = polynomial::prepare(eval, sums, self.inverse.domain())?;
        Ok(polynomial::evaluate(eval, &sums, &self.inverse, eval.default_scale())?)
    }
}
