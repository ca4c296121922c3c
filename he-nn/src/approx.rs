//! The polynomials that stand for the model's functions, each on a declared domain.
//!
//! All are Chebyshev interpolants fitted here. Domains are those of the model's card, the kernel's
//! widened to where its polynomial is still exact enough: one value outside a domain destroys every
//! slot of its ciphertext, and the canary with them.

use he_core::circuit::chebyshev::Chebyshev;

use crate::Error;
use crate::model::Window;
use crate::reference::{gelu, gelu_slope};

/// Five levels.
const DEGREE: usize = 31;

/// `exp(−x)` for kernel exponents: within `2^-38` on `[−1/2, 2·largest]` for `largest = 16`.
///
/// # Errors
/// If the domain is empty.
pub fn exponential(largest: f64) -> Result<Chebyshev, Error> {
    Ok(Chebyshev::fit(|x| libm::exp(-x), (-0.5, 2.0 * largest), DEGREE)?)
}

/// `1/√x`: within `2^-18 / √low` on a window of ratio 30.
///
/// # Errors
/// If the window is empty.
pub fn inverse_root(window: Window) -> Result<Chebyshev, Error> {
    let root = |x: f64| 1.0 / libm::sqrt(x);
    Ok(Chebyshev::fit(root, (window.low, window.high), DEGREE)?)
}

/// The Gaussian error linear unit: within `2^-20` on `±6`.
///
/// # Errors
/// If the domain is empty.
pub fn error_linear(largest: f64) -> Result<Chebyshev, Error> {
    Ok(Chebyshev::fit(gelu, (-largest, largest), DEGREE)?)
}

/// The derivative of the Gaussian error linear unit: within `2^-16` on `±6`.
///
/// # Errors
/// If the domain is empty.
pub fn error_linear_slope(largest: f64) -> Result<Chebyshev, Error> {
    Ok(Chebyshev::fit(gelu_slope, (-largest, largest), DEGREE)?)
}

/// The hyperbolic tangent: within `2^-17` on `±4`.
///
/// # Errors
/// If the domain is empty.
pub fn tangent(largest: f64) -> Result<Chebyshev, Error> {
    Ok(Chebyshev::fit(libm::tanh, (-largest, largest), DEGREE)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(error: f64) -> f64 {
        -libm::log2(error)
    }

    #[test]
    fn errors_are_as_stated() {
        let exponential = exponential(16.0).unwrap().max_error(|x| libm::exp(-x));
        assert!(bits(exponential) > 38.0, "{}", bits(exponential));
        let window = Window { low: 0.5, high: 15.0 };
        let root = inverse_root(window).unwrap().max_error(|x| 1.0 / libm::sqrt(x));
        assert!(bits(root * libm::sqrt(0.5)) > 18.0, "{}", bits(root * libm::sqrt(0.5)));
        let gelu_error = error_linear(6.0).unwrap().max_error(gelu);
        assert!(bits(gelu_error) > 20.0, "{}", bits(gelu_error));
        let slope_error = error_linear_slope(6.0).unwrap().max_error(gelu_slope);
        assert!(bits(slope_error) > 16.0, "{}", bits(slope_error));
        let tanh = tangent(4.0).unwrap().max_error(libm::tanh);
        assert!(bits(tanh) > 17.0, "{}", bits(tanh));
    }
}
