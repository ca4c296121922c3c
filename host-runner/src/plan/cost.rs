//! What operations cost: processor time, from the limbs of the level that they are at.
//!
//! An operation is so many transforms of a limb, so many pairs of limbs in base conversions, and so
//! many passes over a limb. Key switches have most of all three, and all grow with the limbs of the
//! operand, which is why levels matter. `docs/plan.md` has the weights' calibration.

use anyhow::Result;
use he_core::bootstrap::dft::{Setting, Transform};
use he_core::circuit::linear::Placement;
use he_core::cpu::bootstrap_sine;
use he_core::eval::Evaluator;
use he_core::eval::count::{Bootstrap, Count, Operation};
use he_core::eval::position::Shape;
use he_core::params::Params;
use he_core::refresh::Halves;
use he_core::ring::Basis;

/// Seconds of a transform of one limb of degree `2^16`, with what surrounds it.
const TRANSFORM: f64 = 60e-6;
/// Seconds of one pair of limbs in a base conversion.
const CONVERSION: f64 = 5e-6;
/// Seconds of a product of two limbs, added to a third.
const PASS: f64 = 14e-6;
/// What a map whose rotations are divided by the special primes all at once takes, of the same map with
/// one division for each.
const AT_ONCE: f64 = 0.7;
/// Seconds of the transform from slots to the coefficients of a plain vector.
const ENCODE: f64 = 3e-3;
/// Seconds that one weight of a linear layer takes.
const WEIGHT: f64 = 1e-6;
/// Seconds that packing rows takes.
const PACK: f64 = 0.15;
/// Seconds of the switch of a full pack to the edge ring, rows and their places included.
const TO_EDGE: f64 = 0.15;

/// Costs under one parameter set.
#[derive(Debug)]
pub(crate) struct Costs<'a> {
    params: &'a Params,
    /// What one transform to slots does.
    to_slots: Count,
    /// What one sine does.
    sine: Count,
    /// What one transform to coefficients does.
    to_coeffs: Count,
    /// Bytes of the encoded diagonals of both transforms.
    transform_bytes: u64,
}

/// What an operation does to limbs.
#[derive(Clone, Copy, Debug, Default)]
struct Work {
    transforms: usize,
    conversions: usize,
    passes: usize,
}

impl<'a> Costs<'a> {
    /// Counts the steps of a bootstrap.
    ///
    /// # Errors
    /// If the parameters have no room for one.
    pub(crate) fn new(params: &'a Params) -> Result<Self> {
        let [encoded, to_slots, sine, to_coeffs] =
            [counter(params)?, counter(params)?, counter(params)?, counter(params)?];
        let (top, rows, scale) = (params.max_level(), params.rows_level(), sine.default_scale());
        let setting = |level| {
            let at = Placement { level, input_scale: scale, to_scale: scale };
            Setting { at, constant: 1.0 }
        };
        let up = Transform::coeffs_to_slots(&encoded, setting(top))?;
        up.apply(&to_slots, &to_slots.input(top, scale)?)?;
        let down = Transform::slots_to_coeffs(&encoded, setting(rows))?;
        down.apply(&to_coeffs, &to_coeffs.input(rows, scale)?)?;
        let level = top - params.coeffs_to_slots_levels();
        let y = sine.input(level, params.step(level))?;
        sine.conjugate(&y)?;
        bootstrap_sine()?.apply(&sine, &y, params.step(level))?;
        let transform_bytes = transform_bytes(params, &encoded);
        Ok(Self { params, to_slots, sine, to_coeffs, transform_bytes })
    }

    /// The parameters.
    #[must_use]
    pub(crate) const fn params(&self) -> &Params {
        self.params
    }

    /// Bytes of the encoded diagonals between coefficients and slots.
    #[must_use]
    pub(crate) const fn transform_bytes(&self) -> u64 {
        self.transform_bytes
    }

    /// Seconds of all that was counted but bootstraps.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    pub(crate) fn counted(&self, count: &Count) -> f64 {
        let weights = WEIGHT * relative_degree(self.params) * count.weights() as f64;
        seconds(count, self.params) + count.descents() as f64 * self.descent() + weights
    }

    /// Seconds of a bootstrap that returns to `level`.
    ///
    /// # Errors
    /// If there is no such level.
    pub(crate) fn bootstrap(&self, bootstrap: &Bootstrap, level: usize) -> Result<f64> {
        let chain = self.params.returning_to(level)?;
        let sines = match bootstrap.halves {
            Halves::Low => 1.0,
            Halves::Both => 2.0,
        };
        let top = chain.basis(chain.max_level());
        let lifted = Work {
            transforms: 2 * top.len(),
            conversions: 2 * chain.base().len() * top.len(),
            passes: 0,
        };
        let raise = lifted + hoist(&chain, top) + switch(&chain, top);
        let pack = PACK * relative_degree(&chain);
        let slots = raise.seconds(&chain) + AT_ONCE * seconds(&self.to_slots, &chain);
        Ok(pack + slots + sines * seconds(&self.sine, &chain))
    }

    /// Seconds of a way from slots to rows.
    fn descent(&self) -> f64 {
        TO_EDGE * relative_degree(self.params) + seconds(&self.to_coeffs, self.params)
    }
}

impl core::ops::Add for Work {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            transforms: self.transforms + other.transforms,
            conversions: self.conversions + other.conversions,
            passes: self.passes + other.passes,
        }
    }
}

impl Work {
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    fn seconds(self, params: &Params) -> f64 {
        let Self { transforms, conversions, passes } = self;
        let of_limbs =
            transforms as f64 * TRANSFORM + conversions as f64 * CONVERSION + passes as f64 * PASS;
        of_limbs * relative_degree(params)
    }
}

/// Counts on the chain of these parameters.
fn counter(params: &Params) -> Result<Count> {
    let steps = (1..=params.max_level()).map(|level| params.step(level)).collect();
    Ok(Count::new(Shape::new(params.degree() / 2, steps, params.default_scale())?))
}

/// Bytes of vectors encoded for transforms: those to slots have all primes there are, to serve every
/// chain and sums that are not divided.
fn transform_bytes(params: &Params, encoded: &Count) -> u64 {
    let limbs = |level| match level > params.rows_level() {
        true => params.primes().len(),
        false => params.basis(level).len(),
    };
    let limbs = (0..params.level_count())
        .map(|level| (encoded.at(Operation::Encode, level) * limbs(level)) as u64);
    4 * (limbs.sum::<u64>() << params.log_degree())
}

/// The degree as a multiple of that which the weights were measured at.
fn relative_degree(params: &Params) -> f64 {
    2f64.powi(params.log_degree().cast_signed() - 16)
}

/// Seconds of everything that was counted, with the limbs of `chain`.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn seconds(count: &Count, chain: &Params) -> f64 {
    let encoded = count.total(Operation::Encode) as f64 * ENCODE * relative_degree(chain);
    let levels = (0..=chain.max_level()).flat_map(|level| OPERATIONS.map(|one| (one, level)));
    let all = levels.map(|(operation, level)| {
        let times = count.at(operation, level) as f64;
        if times == 0.0 { 0.0 } else { times * work(operation, chain, level).seconds(chain) }
    });
    encoded + all.sum::<f64>()
}

const OPERATIONS: [Operation; 11] = [
    Operation::Encode,
    Operation::Add,
    Operation::Scalar,
    Operation::Plain,
    Operation::Product,
    Operation::Relinearize,
    Operation::Rescale,
    Operation::Adjust,
    Operation::Hoist,
    Operation::Rotate,
    Operation::Conjugate,
];

/// What one operation at a level does.
fn work(operation: Operation, chain: &Params, level: usize) -> Work {
    let basis = chain.basis(level);
    let passes = |passes| Work { passes: passes * basis.len(), ..Work::default() };
    let below = |level: usize| chain.basis(level.saturating_sub(1));
    match operation {
        Operation::Encode => Work { transforms: basis.len(), ..passes(1) },
        Operation::Add | Operation::Scalar | Operation::Plain => passes(2),
        Operation::Product => passes(4),
        Operation::Rescale | Operation::Adjust => divide(basis, below(level)),
        Operation::Hoist => hoist(chain, basis),
        Operation::Rotate => switch(chain, basis),
        Operation::Relinearize | Operation::Conjugate => hoist(chain, basis) + switch(chain, basis),
    }
}

/// Two polynomials taken from one set of primes to another.
fn divide(from: Basis, to: Basis) -> Work {
    let gone = from.difference(to).len();
    Work {
        transforms: 2 * (gone + to.len()),
        conversions: 2 * gone * to.len(),
        passes: 4 * to.len(),
    }
}

/// A polynomial cut into digits, each extended to all primes.
fn hoist(chain: &Params, basis: Basis) -> Work {
    let all = basis.len() + chain.specials().len();
    let digits = chain.digits().iter().map(|digit| digit.intersection(basis).len());
    digits.filter(|&own| own > 0).fold(
        Work { transforms: basis.len(), ..Work::default() },
        |work, own| {
            let others = all - own;
            work + Work { transforms: others, conversions: own * others, passes: 0 }
        },
    )
}

/// The inner product of digits and a key, divided by the special primes, and permuted.
fn switch(chain: &Params, basis: Basis) -> Work {
    let all = basis.union(chain.specials());
    let digits = chain.digits().iter().filter(|digit| !digit.intersection(basis).is_empty());
    let passes = 2 * digits.count() * all.len() + 4 * basis.len();
    divide(all, basis) + Work { passes, ..Work::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bootstrap_costs_less_four_primes_lower_and_for_one_half() {
        let params = Params::insecure_small(10, 7, 4).unwrap();
        let costs = Costs::new(&params).unwrap();
        let of = |halves| Bootstrap { rows: 64, halves, needed: 3 };
        let seconds = |halves, level| costs.bootstrap(&of(halves), level).unwrap();
        // Three levels of 40 bits are four primes; chains between them split into other primes.
        for level in params.rows_level() + 3..=params.computing_level() {
            assert!(seconds(Halves::Low, level - 3) < seconds(Halves::Low, level), "{level}");
            assert!(seconds(Halves::Low, level) < seconds(Halves::Both, level), "{level}");
        }
    }
}
