//! Chebyshev series: polynomials `Σ c_j T_j(u)` on a domain `[a, b]`, with
//! `u = (2x − a − b) / (b − a)` in `[−1, 1]`.
//!
//! The interpolant at the Chebyshev nodes is within a factor `2 + (2/π) ln(degree + 1)` of the best
//! approximation: two bits for every degree of interest. Trefethen, *Approximation Theory and
//! Approximation Practice*, chapters 2 to 4 and 15.

use alloc::vec::Vec;
use core::f64::consts::PI;

use crate::Error;

/// Coefficients below this part of the largest one are rounding errors of the fit: even and odd
/// functions lose every other term.
const NEGLIGIBLE: f64 = 1.0 / (1u64 << 46) as f64;

/// Intervals of the grid on which an error is measured.
const GRID: u32 = 10_000;

/// A Chebyshev series with its domain.
#[derive(Clone, Debug, PartialEq)]
pub struct Chebyshev {
    /// Of `T_0, T_1, …`; the last one is not zero, unless it is the only one.
    coefficients: Vec<f64>,
    domain: (f64, f64),
}

impl Chebyshev {
    /// The series with these coefficients of `T_0, T_1, …`; zeros at the end are dropped.
    ///
    /// # Errors
    /// If a number is not finite or the domain is empty.
    pub fn new(mut coefficients: Vec<f64>, domain: (f64, f64)) -> Result<Self, Error> {
        let (from, to) = domain;
        let is_finite = from.is_finite() && to.is_finite();
        if !is_finite || from >= to || !coefficients.iter().all(|c| c.is_finite()) {
            return Err(Error::InvalidParameters("a series needs finite numbers and a domain"));
        }
        while coefficients.len() > 1 && coefficients.last() == Some(&0.0) {
            coefficients.pop();
        }
        if coefficients.is_empty() {
            coefficients.push(0.0);
        }
        Ok(Self { coefficients, domain })
    }

    /// The interpolant of `f` of this degree. Coefficients below `2^-46` of the largest are zero.
    ///
    /// # Errors
    /// If the domain is empty or `f` is not finite on it.
    pub fn fit(f: impl Fn(f64) -> f64, domain: (f64, f64), degree: usize) -> Result<Self, Error> {
        let nodes = degree + 1;
        let angle = |node: usize| PI * (node as f64 + 0.5) / nodes as f64;
        let values: Vec<_> =
            (0..nodes).map(|node| f(from_unit(domain, libm::cos(angle(node))))).collect();
        let coefficient = |index: usize| {
            let terms = values.iter().enumerate();
            let sum: f64 =
                terms.map(|(node, value)| value * libm::cos(index as f64 * angle(node))).sum();
            sum * if index == 0 { 1.0 } else { 2.0 } / nodes as f64
        };
        let mut coefficients: Vec<_> = (0..nodes).map(coefficient).collect();
        let largest = coefficients.iter().fold(0.0, |largest: f64, c| largest.max(c.abs()));
        for c in &mut coefficients {
            if c.abs() < largest * NEGLIGIBLE {
                *c = 0.0;
            }
        }
        Self::new(coefficients, domain)
    }

    /// The coefficients of `T_0, T_1, …`.
    #[must_use]
    pub fn coefficients(&self) -> &[f64] {
        &self.coefficients
    }

    /// Where the series stands for its function.
    #[must_use]
    pub const fn domain(&self) -> (f64, f64) {
        self.domain
    }

    /// The degree.
    #[must_use]
    pub const fn degree(&self) -> usize {
        self.coefficients.len() - 1
    }

    /// Levels that an evaluation consumes: `⌈log2(degree + 1)⌉`.
    #[must_use]
    pub const fn depth(&self) -> usize {
        self.coefficients.len().next_power_of_two().trailing_zeros() as usize
    }

    /// The value at `x`, by Clenshaw's recurrence.
    #[must_use]
    pub fn eval(&self, x: f64) -> f64 {
        let (from, to) = self.domain;
        let u = (2.0 * x - from - to) / (to - from);
        let (mut next, mut after) = (0.0, 0.0);
        for &c in self.coefficients.iter().skip(1).rev() {
            (next, after) = (2.0 * u * next - after + c, next);
        }
        u * next - after + self.coefficients[0]
    }

    /// The largest difference from `f` on ten thousand and one points of the domain.
    #[must_use]
    pub fn max_error(&self, f: impl Fn(f64) -> f64) -> f64 {
        let (from, to) = self.domain;
        let point = |i: u32| from + (to - from) * f64::from(i) / f64::from(GRID);
        let errors = (0..=GRID).map(point).map(|x| (self.eval(x) - f(x)).abs());
        errors.fold(0.0, f64::max)
    }
}

/// The point of a domain that `u` in `[−1, 1]` stands for.
fn from_unit((from, to): (f64, f64), u: f64) -> f64 {
    (from + to + (to - from) * u) / 2.0
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn a_polynomial_is_its_own_interpolant() {
        let cubic = |x: f64| 2.0 - x + 3.0 * x * x * x;
        let fitted = Chebyshev::fit(cubic, (-1.0, 4.0), 7).unwrap();
        assert_eq!(fitted.degree(), 3);
        assert!(fitted.max_error(cubic) < 1e-12);
    }

    #[test]
    fn the_series_is_the_sum_of_cosines() {
        let series = Chebyshev::new(vec![0.25, -1.0, 0.5, 0.0, 2.0], (-1.0, 1.0)).unwrap();
        for i in 0..100 {
            let angle = f64::from(i) / 30.0;
            let terms = series.coefficients().iter().enumerate();
            let sum: f64 = terms.map(|(j, c)| c * libm::cos(j as f64 * angle)).sum();
            assert!((series.eval(libm::cos(angle)) - sum).abs() < 1e-13);
        }
    }

    #[test]
    fn even_and_odd_functions_have_every_other_coefficient() {
        let even = Chebyshev::fit(libm::cos, (-3.0, 3.0), 15).unwrap();
        assert!(even.coefficients().iter().skip(1).step_by(2).all(|&c| c == 0.0));
        let odd = Chebyshev::fit(libm::tanh, (-3.0, 3.0), 15).unwrap();
        assert!(odd.coefficients().iter().step_by(2).all(|&c| c == 0.0));
    }

    #[test]
    fn the_error_falls_with_the_degree() {
        let f = |x: f64| libm::exp(x);
        let error = |degree| Chebyshev::fit(f, (-16.0, 0.0), degree).unwrap().max_error(f);
        assert!(error(7) < libm::exp2(-5.0) && error(7) > libm::exp2(-9.0));
        assert!(error(15) < libm::exp2(-20.0));
        assert!(error(31) < libm::exp2(-40.0));
    }

    #[test]
    fn depth_is_the_logarithm_of_the_number_of_coefficients() {
        let depth = |degree: usize| {
            let mut coefficients = vec![0.0; degree];
            coefficients.push(1.0);
            Chebyshev::new(coefficients, (-1.0, 1.0)).unwrap().depth()
        };
        assert_eq!(
            [0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32].map(depth),
            [0, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6]
        );
    }

    #[test]
    fn an_empty_domain_is_refused() {
        assert!(Chebyshev::new(vec![1.0], (1.0, 1.0)).is_err());
        assert!(Chebyshev::fit(|x| 1.0 / x, (0.0, 0.0), 3).is_err());
        assert!(Chebyshev::new(vec![f64::NAN], (0.0, 1.0)).is_err());
    }
}
