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
/// Six levels.
const INVERSE_TERMS: u32 = 64;

/// `exp(−x)` for kernel exponents: within `2^-38` on `[−1/2, 2·largest]` for `largest = 16`.
///
/// # Errors
/// If the domain is empty.
pub fn exponential(largest: f64) -> Result<Chebyshev, Error> {
    Ok(Chebyshev::fit(|x| libm::exp(-x), (-0.5, 2.0 * largest), DEGREE)?)
}

/// `factor · exp(x)` for scores in `±largest`: within `2^-23` of `exp(largest)` for the largest there may be,
/// [`MAX_SCORE`](crate::model::Kernel::MAX_SCORE). Four levels.
///
/// # Errors
/// If the domain is empty.
pub fn score_exponential(largest: f64, factor: f64) -> Result<Chebyshev, Error> {
    Ok(Chebyshev::fit(|x| factor * libm::exp(x), (-largest, largest), DEGREE / 2)?)
}

/// `1/x`: within `2^-15` of it on a window of ratio [`MAX_RATIO`](crate::model::Kernel::MAX_RATIO). Six levels.
///
/// It is `(1 − T(u)/T(u₀))/x` with the Chebyshev polynomial `T` of degree 64, `u = (high + low − 2x)/(high − low)` and
/// `u₀` that of `x = 0`: the series of least *relative* error, `1/T(u₀)`.
///
/// # Errors
/// If the window is empty.
pub fn inverse(window: Window) -> Result<Chebyshev, Error> {
    let Window { low, high } = window;
    let at_zero = libm::acosh((high + low) / (high - low)) * f64::from(INVERSE_TERMS);
    let cut = |x: f64| {
        let u = ((high + low - 2.0 * x) / (high - low)).clamp(-1.0, 1.0);
        (1.0 - libm::cos(libm::acos(u) * f64::from(INVERSE_TERMS)) / libm::cosh(at_zero)) / x
    };
    Ok(Chebyshev::fit(cut, (low, high), 2 * DEGREE + 1)?)
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
    use crate::model::Kernel;

    fn bits(error: f64) -> f64 {
        -libm::log2(error)
    }

    #[test]
    fn errors_are_as_stated() {
        let exponential = exponential(16.0).unwrap().max_error(|x| libm::exp(-x));
        assert!(bits(exponential) > 38.0, "{}", bits(exponential));
        let largest = Kernel::MAX_SCORE;
        let score = score_exponential(largest, 1.0).unwrap().max_error(libm::exp);
        assert!(bits(score / libm::exp(largest)) > 23.0, "{}", bits(score / libm::exp(largest)));
        let window = Window { low: 1.0, high: Kernel::MAX_RATIO };
        let quotient = inverse(window).unwrap();
        for step in 0..=1000 {
            let x = libm::exp(f64::from(step) / 1000.0 * libm::log(Kernel::MAX_RATIO));
            assert!((quotient.eval(x) * x - 1.0).abs() < libm::exp2(-15.0), "{x}");
        }
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
