//! Chebyshev series on ciphertexts, in as few levels as their degree allows.
//!
//! Paterson and Stockmeyer's method in the Chebyshev basis: with `T_(n+i) = 2 T_n T_i − T_(n−i)` a
//! series of degree below `2n` is `q · T_n + r`, and so on down to series of low degree, which are
//! sums of the first few `T_i`. A node of the tree is one `dot`, relinearised once, whatever its
//! number of terms: degree 31 takes 10 relinearisations, degree 15 takes 7.
//!
//! Levels and scales go from the root to the leaves: the result's are given, hence those of every
//! quotient, and the plain coefficients are applied at whatever scale makes sums match exactly.
//! After Bossuat, Mouchet, Troncoso-Pastoriza, Hubaux, *Efficient Bootstrapping for Approximate
//! Homomorphic Encryption with Non-sparse Keys* (EUROCRYPT 2021), section 3, and Lee, Lee, Kim, No,
//! *High-Precision Bootstrapping for Approximate Homomorphic Encryption by Error Variance
//! Minimization* (EUROCRYPT 2022), section 5, for the relinearisations.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::chebyshev::Chebyshev;
use crate::Error;
use crate::eval::Evaluator;
use crate::eval::position::equal_scales;

/// How far above a step the scale of the variable may be: a factor squares with every `T_2n`.
const MAX_EXCESS: f64 = 2.5;

/// `p(x)` in every slot, `p.depth()` levels below `x` and at exactly the scale `to_scale`. Values
/// must be real and in the domain of `p`; outside, a series explodes.
///
/// The domain is mapped to `[−1, 1]` by reading the ciphertext with another scale, which must not
/// be much above a step: see [`input_scale`] and [`prepare`].
///
/// # Errors
/// If `x` has too few levels or too large a scale, `p` is constant or a key is missing.
pub fn evaluate<E: Evaluator>(
    eval: &E,
    x: &E::Ciphertext,
    p: &Chebyshev,
    to_scale: f64,
) -> Result<E::Ciphertext, Error> {
    let top = eval.level(x);
    let needed = p.depth();
    let level = top.checked_sub(needed).ok_or(Error::LevelExhausted { needed, left: top })?;
    if needed == 0 {
        return Err(Error::InvalidParameters("a constant needs no evaluation"));
    }
    let (from, to) = p.domain();
    let unit_scale = eval.scale(x) * (to - from) / 2.0;
    if unit_scale > MAX_EXCESS * eval.step(top) {
        return Err(Error::ScaleMismatch { left: unit_scale, right: eval.step(top) });
    }
    let variable = eval.with_scale(x, unit_scale);
    let variable = eval.add_scalar(&variable, -(from + to) / (to - from));
    let babies = 1 << (needed / 2);
    let mut basis = Basis { eval, top, babies, powers: BTreeMap::new() };
    basis.powers.insert((1, top), variable);
    let value = basis.combine(p.coefficients(), Position { level, scale: to_scale })?;
    Ok(eval.with_scale(&value, to_scale))
}

/// The scale at which a variable with this domain should arrive at a level: mapped to `[−1, 1]` it
/// is a step, so that the scales of all `T_n` are. Smaller ones lose precision, larger ones fail.
#[must_use]
pub fn input_scale<E: Evaluator>(eval: &E, level: usize, domain: (f64, f64)) -> f64 {
    eval.step(level) * 2.0 / (domain.1 - domain.0)
}

/// `x` at [`input_scale`], one level down unless it is there already: for values whose scale could not be
/// chosen before.
///
/// # Errors
/// If no level is left.
pub fn prepare<E: Evaluator>(
    eval: &E,
    x: &E::Ciphertext,
    domain: (f64, f64),
) -> Result<E::Ciphertext, Error> {
    let level = eval.level(x);
    if equal_scales(eval.scale(x), input_scale(eval, level, domain)).is_ok() {
        return Ok(x.clone());
    }
    let level = level.checked_sub(1).ok_or(Error::LevelExhausted { needed: 1, left: 0 })?;
    eval.adjust(x, level, input_scale(eval, level, domain))
}

/// Where a node of the tree has to be.
#[derive(Clone, Copy)]
struct Position {
    level: usize,
    scale: f64,
}

/// The `T_i` of one variable.
struct Basis<'a, E: Evaluator> {
    eval: &'a E,
    /// The level of `T_1`.
    top: usize,
    /// Series of a lower degree are sums of `T_i`, where levels allow it.
    babies: usize,
    /// `T_i` at its own level and at lower ones that were asked for.
    powers: BTreeMap<(usize, usize), E::Ciphertext>,
}

impl<E: Evaluator> Basis<'_, E> {
    /// `Σ c_i T_i`, not constant.
    fn combine(&mut self, series: &[f64], to: Position) -> Result<E::Ciphertext, Error> {
        let above = to.level + 1;
        let product_scale = to.scale * self.eval.step(above);
        let mut rest = series.to_vec();
        let mut terms = Vec::new();
        let mut products = Vec::new();
        while !self.is_leaf(&rest, above) {
            let n = 1 << (rest.len() - 1).ilog2();
            let (quotient, remainder) = divide(&rest, n);
            if let [constant] = quotient[..] {
                terms.push((n, constant));
            } else {
                self.compute(n)?;
                let scale = product_scale / self.eval.scale(&self.powers[&(n, self.level(n))]);
                let quotient = self.combine(&quotient, Position { level: above, scale })?;
                self.lower(n, above)?;
                products.push((quotient, n));
            }
            rest = remainder;
        }
        terms.extend(rest.iter().copied().enumerate().skip(1).filter(|&(_, c)| c != 0.0));

        let products: Vec<_> =
            products.iter().map(|(quotient, n)| (quotient, &self.powers[&(*n, above)])).collect();
        let product = match products[..] {
            [] => None,
            _ => Some(self.eval.dot_rescaled(&products)?),
        };
        let sum = if terms.is_empty() { None } else { Some(self.weighted_sum(&terms, to)?) };
        let total = match (product, sum) {
            (Some(product), Some(sum)) => self.eval.add(&product, &sum)?,
            (Some(only), None) | (None, Some(only)) => only,
            (None, None) => return Err(Error::InvalidParameters("an empty series")),
        };
        Ok(if rest[0] == 0.0 { total } else { self.eval.add_scalar(&total, rest[0]) })
    }

    /// Whether a series is a sum of a few `T_i` that exist at `level` or above.
    fn is_leaf(&self, series: &[f64], level: usize) -> bool {
        let mut terms = series.iter().enumerate().skip(1).filter(|(_, c)| **c != 0.0);
        series.len() <= self.babies.max(2) && terms.all(|(i, _)| self.level(i) >= level)
            || series.len() == 1
    }

    /// `Σ c_i T_i` over the terms `(i, c_i)`.
    fn weighted_sum(
        &mut self,
        terms: &[(usize, f64)],
        to: Position,
    ) -> Result<E::Ciphertext, Error> {
        let level = terms.iter().map(|&(i, _)| self.level(i)).min().unwrap_or(self.top);
        let eval = self.eval;
        let step = eval.step(level);
        let is_next = level == to.level + 1;
        let scale = step * if is_next { to.scale } else { step };
        let mut total: Option<E::Ciphertext> = None;
        for &(i, coefficient) in terms {
            let power = self.lower(i, level)?;
            let factor_scale = scale / eval.scale(power);
            let term = eval.mul_scalar(power, coefficient, factor_scale);
            total = Some(match total {
                None => term,
                Some(total) => eval.add(&total, &term)?,
            });
        }
        let total = total.ok_or(Error::WrongLength { expected: 1, found: 0 })?;
        if is_next {
            self.eval.rescale(&total)
        } else {
            self.eval.adjust(&total, to.level, to.scale)
        }
    }

    /// The level of `T_i`.
    const fn level(&self, i: usize) -> usize {
        self.top - i.next_power_of_two().trailing_zeros() as usize
    }

    /// `T_i` at a level of its own or lower.
    fn lower(&mut self, i: usize, level: usize) -> Result<&E::Ciphertext, Error> {
        self.compute(i)?;
        if !self.powers.contains_key(&(i, level)) {
            let lowered = self.eval.drop_level(&self.powers[&(i, self.level(i))], level)?;
            self.powers.insert((i, level), lowered);
        }
        Ok(&self.powers[&(i, level)])
    }

    /// Makes sure that `T_i = 2 T_a T_b − T_(a−b)` exists at its own level.
    fn compute(&mut self, i: usize) -> Result<(), Error> {
        let level = self.level(i);
        if self.powers.contains_key(&(i, level)) {
            return Ok(());
        }
        let a = i.next_power_of_two() / 2;
        let b = i - a;
        for factor in [a, b, a - b] {
            if factor > 0 {
                self.compute(factor)?;
            }
        }
        let eval = self.eval;
        let [left, right] = [a, b].map(|factor| &self.powers[&(factor, self.level(factor))]);
        let doubled = twice(eval, left, right)?;
        let power = if a == b {
            eval.add_scalar(&doubled, -1.0)
        } else {
            let difference = &self.powers[&(a - b, self.level(a - b))];
            eval.sub(&doubled, &eval.adjust(difference, level, eval.scale(&doubled))?)?
        };
        self.powers.insert((i, level), power);
        Ok(())
    }
}

/// `2·a·b`, rescaled. Doubling is multiplication by an integer `m`, read with `m/2` times the scale:
/// `m` is chosen to bring the scale back to a step.
fn twice<E: Evaluator>(
    eval: &E,
    a: &E::Ciphertext,
    b: &E::Ciphertext,
) -> Result<E::Ciphertext, Error> {
    let step = eval.step(eval.level(a).min(eval.level(b)));
    let multiple = libm::round(2.0 * step * step / (eval.scale(a) * eval.scale(b))).max(1.0);
    let product = eval.mul_rescaled(&eval.mul_scalar(a, multiple, 1.0), b)?;
    Ok(eval.with_scale(&product, eval.scale(&product) * multiple / 2.0))
}

/// `(q, r)` with `Σ c_i T_i = q · T_n + r`, for a degree below `2n` and not below `n`.
fn divide(series: &[f64], n: usize) -> (Vec<f64>, Vec<f64>) {
    let (low, high) = series.split_at(n);
    let mut remainder = low.to_vec();
    let mut quotient = high.to_vec();
    for (i, c) in quotient.iter_mut().enumerate().skip(1) {
        remainder[n - i] -= *c;
        *c *= 2.0;
    }
    while remainder.len() > 1 && remainder.last() == Some(&0.0) {
        remainder.pop();
    }
    (quotient, remainder)
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::complex::Complex;
    use crate::eval::clear::{Clear, ClearVector};
    use crate::eval::position::Shape;

    const SLOTS: usize = 256;
    const TOP: usize = 8;

    /// Steps of `2^bits` that are up to three percent off, as products of primes are.
    fn clear(bits: f64) -> Clear {
        let off = [1.01, 0.97, 1.03, 0.98, 0.99, 1.025, 1.0, 0.975];
        let steps = off.iter().map(|off| off * libm::exp2(bits)).collect();
        Clear::new(Shape::new(SLOTS, steps, libm::exp2(bits)).unwrap())
    }

    fn points(domain: (f64, f64)) -> Vec<f64> {
        let point = |i: usize| domain.0 + (domain.1 - domain.0) * i as f64 / (SLOTS - 1) as f64;
        (0..SLOTS).map(point).collect()
    }

    fn error(p: &Chebyshev, values: &ClearVector) -> f64 {
        let pairs = points(p.domain()).into_iter().zip(values.values());
        pairs.map(|(x, value)| (*value - Complex::real(p.eval(x))).abs()).fold(0.0, f64::max)
    }

    /// The error of an evaluation at the top level, after a check of its level and scale.
    fn run(clear: &Clear, p: &Chebyshev, input_scale: f64, to_scale: f64) -> f64 {
        let x = clear.encrypt_real(&points(p.domain()), TOP, input_scale).unwrap();
        let y = evaluate(clear, &x, p, to_scale).unwrap();
        assert_eq!(clear.level(&y), TOP - p.depth());
        assert!(clear.scale(&y).to_bits() == to_scale.to_bits());
        error(p, &y)
    }

    #[test]
    fn every_degree_takes_its_depth_and_meets_the_scale() {
        let clear = clear(50.0);
        for degree in 1..=40 {
            let coefficient = |i: usize| libm::sin((i * i + degree) as f64) / (1.0 + i as f64);
            let p = Chebyshev::new((0..=degree).map(coefficient).collect(), (-1.0, 1.0)).unwrap();
            let error = run(&clear, &p, libm::exp2(50.0), libm::exp2(48.5));
            assert!(error < libm::exp2(-40.0), "degree {degree}: 2^{}", libm::log2(error));
        }
    }

    #[test]
    fn functions_of_the_model_lose_no_precision_at_forty_bits() {
        let clear = clear(40.0);
        let gelu = |x: f64| x * (1.0 + libm::erf(x / core::f64::consts::SQRT_2)) / 2.0;
        for (p, depth) in [
            (Chebyshev::fit(gelu, (-6.0, 6.0), 31).unwrap(), 5),
            (Chebyshev::fit(libm::exp, (-16.0, 0.0), 15).unwrap(), 4),
            (Chebyshev::fit(libm::tanh, (-4.0, 4.0), 31).unwrap(), 5),
            (Chebyshev::fit(|x| 1.0 / libm::sqrt(x), (0.3, 20.0), 31).unwrap(), 5),
        ] {
            assert_eq!(p.depth(), depth);
            let scale = input_scale(&clear, TOP, p.domain());
            let error = run(&clear, &p, scale, clear.default_scale());
            assert!(error < libm::exp2(-36.0), "2^{}", libm::log2(error));
        }
    }

    #[test]
    fn small_scales_are_brought_back_and_large_ones_refused() {
        let clear = clear(50.0);
        let p = Chebyshev::fit(libm::exp, (-1.0, 1.0), 15).unwrap();
        for bits in [43.0, 48.0, 49.3, 50.0, 50.9] {
            let error = run(&clear, &p, libm::exp2(bits), libm::exp2(50.0));
            assert!(error < libm::exp2(-38.0), "2^{bits}: 2^{}", libm::log2(error));
        }
        let x = clear.encrypt_real(&points((-1.0, 1.0)), TOP, libm::exp2(52.0)).unwrap();
        let refused = evaluate(&clear, &x, &p, libm::exp2(50.0));
        assert!(matches!(refused, Err(Error::ScaleMismatch { .. })));
        let prepared = prepare(&clear, &x, p.domain()).unwrap();
        let y = evaluate(&clear, &prepared, &p, libm::exp2(50.0)).unwrap();
        assert!(error(&p, &y) < libm::exp2(-40.0));
    }

    #[test]
    fn too_few_levels_are_an_error() {
        let clear = clear(40.0);
        let p = Chebyshev::fit(libm::exp, (-1.0, 1.0), 7).unwrap();
        let x = clear.encrypt_real(&[0.5], 2, libm::exp2(40.0)).unwrap();
        let exhausted = evaluate(&clear, &x, &p, libm::exp2(40.0));
        assert_eq!(exhausted, Err(Error::LevelExhausted { needed: 3, left: 2 }));
        let constant = Chebyshev::new(vec![1.0], (-1.0, 1.0)).unwrap();
        assert!(evaluate(&clear, &x, &constant, libm::exp2(40.0)).is_err());
    }

    #[test]
    fn division_by_a_power_is_exact() {
        let series: Vec<_> = (0..14).map(|i| f64::from(i) - 4.5).collect();
        let (quotient, remainder) = divide(&series, 8);
        let domain = (-1.0, 1.0);
        let [p, q, r] = [series, quotient, remainder].map(|c| Chebyshev::new(c, domain).unwrap());
        let mut power = vec![0.0; 8];
        power.push(1.0);
        let power = Chebyshev::new(power, domain).unwrap();
        for x in points(domain) {
            assert!((p.eval(x) - q.eval(x) * power.eval(x) - r.eval(x)).abs() < 1e-12);
        }
    }
}
