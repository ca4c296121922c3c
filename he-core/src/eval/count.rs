//! The evaluator without values: it counts what a circuit costs and notes the keys it needs, before
//! any key exists.

mod rows;

use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

pub use self::rows::CountRows;
use super::Evaluator;
use super::position::{Position, Shape, same_length, sum};
use crate::Error;
use crate::complex::Complex;

/// What is counted, at the level of its operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A vector encoded.
    Encode,
    /// A product with a scalar or an integer.
    Scalar,
    /// A product with a plain vector.
    Plain,
    /// A product of two ciphertexts, before relinearisation.
    Product,
    /// A relinearisation: a key switch.
    Relinearize,
    /// A rescale.
    Rescale,
    /// A change of level and scale, asked for or because operands are at different levels.
    Adjust,
    /// What rotations of one ciphertext have in common.
    Hoist,
    /// A rotation after that.
    Rotate,
    /// A conjugation: a key switch.
    Conjugate,
}

const OPERATIONS: usize = Operation::Conjugate as usize + 1;

/// Counts operations.
#[derive(Debug)]
pub struct Count {
    shape: Shape,
    /// `levels` counters for each operation.
    operations: Vec<AtomicUsize>,
    /// For each rotation to the left one more than the highest level it was used at.
    rotations: Vec<AtomicUsize>,
    rows: rows::Tally,
}

impl Count {
    /// Nothing counted yet, on slots and a chain of this shape.
    #[must_use]
    pub fn new(shape: Shape) -> Self {
        let zeros = |n: usize| (0..n).map(|_| AtomicUsize::new(0)).collect();
        Self {
            operations: zeros(OPERATIONS * (shape.top() + 1)),
            rotations: zeros(shape.slots()),
            rows: rows::Tally::default(),
            shape,
        }
    }

    /// The shape.
    #[must_use]
    pub const fn shape(&self) -> &Shape {
        &self.shape
    }

    /// What stands for a fresh ciphertext.
    ///
    /// # Errors
    /// If the level is not on the chain.
    pub fn input(&self, level: usize, scale: f64) -> Result<Position, Error> {
        self.shape.place(level, scale)
    }

    /// How often an operation was used at a level.
    #[must_use]
    pub fn at(&self, operation: Operation, level: usize) -> usize {
        if level > self.shape.top() {
            return 0;
        }
        read(&self.operations[self.index(operation, level)])
    }

    /// How often an operation was used.
    #[must_use]
    pub fn total(&self, operation: Operation) -> usize {
        (0..=self.shape.top()).map(|level| self.at(operation, level)).sum()
    }

    /// The highest level that an operation was used at: where its key has to reach.
    #[must_use]
    pub fn highest(&self, operation: Operation) -> Option<usize> {
        (0..=self.shape.top()).rev().find(|&level| self.at(operation, level) > 0)
    }

    /// The rotations used, to the left in `1 .. slots`, with the highest level of each.
    #[must_use]
    pub fn rotations(&self) -> Vec<(usize, usize)> {
        let levels = self.rotations.iter().map(read).enumerate();
        levels.filter_map(|(step, above)| Some((step, above.checked_sub(1)?))).collect()
    }

    fn index(&self, operation: Operation, level: usize) -> usize {
        operation as usize * (self.shape.top() + 1) + level
    }

    fn note(&self, operation: Operation, level: usize, times: usize) {
        self.operations[self.index(operation, level)].fetch_add(times, Ordering::Relaxed);
    }

    /// Operands above the level of a result are brought down to it.
    fn note_alignment(&self, operands: impl Iterator<Item = Position>, level: usize) {
        for operand in operands.filter(|operand| operand.level > level) {
            self.note(Operation::Adjust, operand.level, 1);
        }
    }
}

fn read(counter: &AtomicUsize) -> usize {
    counter.load(Ordering::Relaxed)
}

impl Evaluator for Count {
    type Ciphertext = Position;
    type Plaintext = Position;

    fn slots(&self) -> usize {
        self.shape.slots()
    }

    fn default_scale(&self) -> f64 {
        self.shape.default_scale()
    }

    fn step(&self, level: usize) -> f64 {
        self.shape.step(level)
    }

    fn level(&self, a: &Position) -> usize {
        a.level
    }

    fn scale(&self, a: &Position) -> f64 {
        a.scale
    }

    fn with_scale(&self, a: &Position, scale: f64) -> Position {
        Position { scale, ..*a }
    }

    fn encode(&self, values: &[Complex], level: usize, scale: f64) -> Result<Position, Error> {
        if values.len() > self.slots() {
            same_length(self.slots(), values.len())?;
        }
        let position = self.shape.place(level, scale)?;
        self.note(Operation::Encode, level, 1);
        Ok(position)
    }

    fn add(&self, a: &Position, b: &Position) -> Result<Position, Error> {
        let position = a.add(*b)?;
        self.note_alignment([*a, *b].into_iter(), position.level);
        Ok(position)
    }

    fn sub(&self, a: &Position, b: &Position) -> Result<Position, Error> {
        self.add(a, b)
    }

    fn neg(&self, a: &Position) -> Position {
        *a
    }

    fn add_scalar(&self, a: &Position, _value: f64) -> Position {
        *a
    }

    fn add_plain(&self, a: &Position, p: &Position) -> Result<Position, Error> {
        a.same_level(*p)?;
        a.add(*p)
    }

    fn mul_scalar(&self, a: &Position, _value: f64, scale: f64) -> Position {
        self.note(Operation::Scalar, a.level, 1);
        Position { scale: a.scale * scale, ..*a }
    }

    fn mul_i(&self, a: &Position) -> Position {
        *a
    }

    fn dot(&self, pairs: &[(&Position, &Position)]) -> Result<Position, Error> {
        let position = sum(pairs.iter().map(|(a, b)| Ok(a.mul(**b))))?;
        self.note_alignment(pairs.iter().flat_map(|(a, b)| [**a, **b]), position.level);
        self.note(Operation::Product, position.level, pairs.len());
        self.note(Operation::Relinearize, position.level, 1);
        Ok(position)
    }

    fn dot_plain(&self, pairs: &[(&Position, &Position)]) -> Result<Position, Error> {
        let first = pairs.first().ok_or(Error::WrongLength { expected: 1, found: 0 })?.0;
        let product = |(a, p): &(&Position, &Position)| {
            first.same_level(**a)?;
            Ok(a.mul(a.same_level(**p)?))
        };
        let position = sum(pairs.iter().map(product))?;
        self.note(Operation::Plain, position.level, pairs.len());
        Ok(position)
    }

    fn rescale(&self, a: &Position) -> Result<Position, Error> {
        let position = self.shape.rescale(*a)?;
        self.note(Operation::Rescale, a.level, 1);
        Ok(position)
    }

    fn adjust(&self, a: &Position, level: usize, scale: f64) -> Result<Position, Error> {
        let position = a.adjust(level, scale)?;
        self.note_alignment([*a].into_iter(), level);
        Ok(position)
    }

    fn rotate_many(&self, a: &Position, steps: &[isize]) -> Result<Vec<Position>, Error> {
        let slots = self.slots().cast_signed();
        let left = steps.iter().map(|step| step.rem_euclid(slots).cast_unsigned());
        let mut rotated = 0;
        for step in left.filter(|&step| step != 0) {
            self.rotations[step].fetch_max(a.level + 1, Ordering::Relaxed);
            rotated += 1;
        }
        self.note(Operation::Rotate, a.level, rotated);
        self.note(Operation::Hoist, a.level, rotated.min(1));
        Ok(alloc::vec![*a; steps.len()])
    }

    fn conjugate(&self, a: &Position) -> Result<Position, Error> {
        self.note(Operation::Conjugate, a.level, 1);
        Ok(*a)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::bootstrap::dft::{Dft, Setting, rotations};
    use crate::circuit::chebyshev::Chebyshev;
    use crate::circuit::linear::Placement;
    use crate::circuit::polynomial::{evaluate, input_scale};
    use crate::eval::clear::Clear;

    #[test]
    fn a_polynomial_of_degree_31_takes_10_relinearisations_and_13_products() {
        for (degree, relinearisations, products) in [(7, 4, 5), (15, 7, 8), (31, 10, 13)] {
            let count = Count::new(Shape::nominal(8).unwrap());
            let p = Chebyshev::fit(|x| libm::exp(16.0 * x), (-1.0, 1.0), degree).unwrap();
            let x = count.input(14, input_scale(&count, 14, p.domain())).unwrap();
            let y = evaluate(&count, &x, &p, count.default_scale()).unwrap();
            assert_eq!(y.level, 14 - p.depth());
            assert_eq!(count.total(Operation::Relinearize), relinearisations, "degree {degree}");
            assert_eq!(count.total(Operation::Product), products, "degree {degree}");
        }
    }

    #[test]
    fn even_polynomials_cost_less() {
        let cost = |f: fn(f64) -> f64| {
            let count = Count::new(Shape::nominal(8).unwrap());
            let p = Chebyshev::fit(f, (-1.0, 1.0), 30).unwrap();
            let x = count.input(14, input_scale(&count, 14, p.domain())).unwrap();
            evaluate(&count, &x, &p, count.default_scale()).unwrap();
            count.total(Operation::Product)
        };
        assert!(cost(|x| libm::cos(25.0 * x)) < cost(|x| libm::cos(25.0 * x + 1.0)));
    }

    #[test]
    fn positions_are_those_of_the_evaluator_in_the_clear() {
        let shape = Shape::nominal(8).unwrap();
        let (clear, count) = (Clear::new(shape.clone()), Count::new(shape));
        let p = Chebyshev::fit(libm::tanh, (-3.0, 3.0), 20).unwrap();
        let scale = input_scale(&count, 9, p.domain());
        let x = clear.encrypt_real(&[0.5], 9, scale).unwrap();
        let y = evaluate(&clear, &x, &p, 1e12).unwrap();
        let counted = evaluate(&count, &count.input(9, scale).unwrap(), &p, 1e12).unwrap();
        assert_eq!(y.position(), counted);
    }

    #[test]
    fn the_keys_of_a_transform_are_noted_with_their_levels() {
        let slots = 1 << 9;
        let count = Count::new(Shape::nominal(slots).unwrap());
        let setting = |level| {
            let at = Placement { level, input_scale: 1e12, to_scale: 1e12 };
            Setting { at, constant: 1.0 }
        };
        let dft = Dft::new(&count, setting(25), setting(3)).unwrap();
        let x = count.input(3, 1e12).unwrap();
        dft.slots_to_coeffs.apply(&count, &x).unwrap();
        let wrap = |step: isize| step.rem_euclid(512).cast_unsigned();
        let mut expected: Vec<_> = rotations(slots).unwrap().into_iter().map(wrap).collect();
        expected.sort_unstable();
        let noted = count.rotations();
        assert_eq!(noted.iter().map(|&(step, _)| step).collect::<Vec<_>>(), expected);
        assert!(noted.iter().all(|&(_, level)| (1..=3).contains(&level)));
        assert_eq!(count.highest(Operation::Rotate), Some(3));
        assert_eq!(count.highest(Operation::Conjugate), None);
    }

    #[test]
    fn operands_at_different_levels_are_charged_for() {
        let count = Count::new(Shape::new(8, vec![1e12; 3], 1e12).unwrap());
        let (high, low) = (count.input(3, 1e12).unwrap(), count.input(1, 1e12).unwrap());
        assert_eq!(count.add(&high, &low).unwrap(), low);
        count.dot(&[(&high, &low), (&low, &high)]).unwrap();
        assert_eq!(count.at(Operation::Adjust, 3), 3);
        assert_eq!(count.at(Operation::Relinearize, 1), 1);
        assert!(count.rescale(&count.input(0, 1e12).unwrap()).is_err());
    }
}
