//! The evaluator without values: it counts what a circuit costs, notes the keys it needs before any
//! key exists, and records the graph from which levels are planned.

mod graph;
mod rows;

use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use self::graph::Step;
pub use self::graph::{Bootstrap, Counted};
pub use self::rows::CountRows;
use super::Evaluator;
use super::position::{Position, Shape, equal_scales, same_length, sum};
use crate::Error;
use crate::complex::Complex;

/// What is counted, at the level of its operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A vector encoded.
    Encode,
    /// A sum or a difference of two ciphertexts.
    Add,
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
    clock: graph::Clock,
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
            clock: graph::Clock::default(),
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
    pub fn input(&self, level: usize, scale: f64) -> Result<Counted, Error> {
        Ok(self.value(self.shape.place(level, scale)?, 0, &[]))
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

    /// The result of an operation that consumes `levels` levels.
    fn value(&self, position: Position, levels: usize, inputs: &[&Counted]) -> Counted {
        let inputs = inputs.iter().map(|input| &input.node);
        Counted { position, node: self.clock.node(Step::Slots(levels), inputs) }
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
    type Ciphertext = Counted;
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

    fn level(&self, a: &Counted) -> usize {
        a.position.level
    }

    fn scale(&self, a: &Counted) -> f64 {
        a.position.scale
    }

    fn with_scale(&self, a: &Counted, scale: f64) -> Counted {
        self.value(Position { scale, ..a.position }, 0, &[a])
    }

    fn encode(&self, values: &[Complex], level: usize, scale: f64) -> Result<Position, Error> {
        if values.len() > self.slots() {
            same_length(self.slots(), values.len())?;
        }
        let position = self.shape.place(level, scale)?;
        self.note(Operation::Encode, level, 1);
        Ok(position)
    }

    fn add(&self, a: &Counted, b: &Counted) -> Result<Counted, Error> {
        let position = a.position.add(b.position)?;
        self.note(Operation::Add, position.level, 1);
        self.note_alignment([a.position, b.position].into_iter(), position.level);
        Ok(self.value(position, 0, &[a, b]))
    }

    fn sub(&self, a: &Counted, b: &Counted) -> Result<Counted, Error> {
        self.add(a, b)
    }

    fn neg(&self, a: &Counted) -> Counted {
        a.clone()
    }

    fn add_scalar(&self, a: &Counted, _value: f64) -> Counted {
        a.clone()
    }

    fn add_plain(&self, a: &Counted, p: &Position) -> Result<Counted, Error> {
        a.position.same_level(*p)?;
        Ok(self.value(a.position.add(*p)?, 0, &[a]))
    }

    fn mul_scalar(&self, a: &Counted, _value: f64, scale: f64) -> Counted {
        let position = Position { scale: a.position.scale * scale, ..a.position };
        self.note(Operation::Scalar, position.level, 1);
        self.value(position, 0, &[a])
    }

    fn mul_i(&self, a: &Counted) -> Counted {
        a.clone()
    }

    fn dot(&self, pairs: &[(&Counted, &Counted)]) -> Result<Counted, Error> {
        let position = sum(pairs.iter().map(|(a, b)| Ok(a.position.mul(b.position))))?;
        let operands: Vec<_> = pairs.iter().flat_map(|(a, b)| [*a, *b]).collect();
        self.note_alignment(operands.iter().map(|a| a.position), position.level);
        self.note(Operation::Product, position.level, pairs.len());
        self.note(Operation::Relinearize, position.level, 1);
        Ok(self.value(position, 0, &operands))
    }

    fn dot_plain(&self, pairs: &[(&Counted, &Position)]) -> Result<Counted, Error> {
        let first = pairs.first().ok_or(Error::WrongLength { expected: 1, found: 0 })?.0;
        let product = |(a, p): &(&Counted, &Position)| {
            first.position.same_level(a.position)?;
            Ok(a.position.mul(a.position.same_level(**p)?))
        };
        let position = sum(pairs.iter().map(product))?;
        self.note(Operation::Plain, position.level, pairs.len());
        Ok(self.value(position, 0, &pairs.iter().map(|(a, _)| *a).collect::<Vec<_>>()))
    }

    fn rescale(&self, a: &Counted) -> Result<Counted, Error> {
        let position = self.shape.rescale(a.position)?;
        self.note(Operation::Rescale, a.position.level, 1);
        Ok(self.value(position, 1, &[a]))
    }

    fn adjust(&self, a: &Counted, level: usize, scale: f64) -> Result<Counted, Error> {
        let position = a.position.adjust(level, scale)?;
        self.note_alignment([a.position].into_iter(), level);
        // Another scale takes a level; the same one is a level or more of limbs left out.
        let levels = usize::from(equal_scales(a.position.scale, scale).is_err());
        Ok(self.value(position, levels, &[a]))
    }

    fn rotate_many(&self, a: &Counted, steps: &[isize]) -> Result<Vec<Counted>, Error> {
        let (slots, level) = (self.slots().cast_signed(), a.position.level);
        let left = steps.iter().map(|step| step.rem_euclid(slots).cast_unsigned());
        let mut rotated = 0;
        for step in left.filter(|&step| step != 0) {
            self.rotations[step].fetch_max(level + 1, Ordering::Relaxed);
            rotated += 1;
        }
        self.note(Operation::Rotate, level, rotated);
        self.note(Operation::Hoist, level, rotated.min(1));
        Ok(alloc::vec![self.value(a.position, 0, &[a]); steps.len()])
    }

    fn conjugate(&self, a: &Counted) -> Result<Counted, Error> {
        self.note(Operation::Conjugate, a.position.level, 1);
        Ok(self.value(a.position, 0, &[a]))
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
            assert_eq!(count.level(&y), 14 - p.depth());
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
        assert_eq!(y.position(), counted.position());
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
        assert_eq!(count.add(&high, &low).unwrap().position(), low.position());
        count.dot(&[(&high, &low), (&low, &high)]).unwrap();
        assert_eq!(count.at(Operation::Adjust, 3), 3);
        assert_eq!(count.at(Operation::Relinearize, 1), 1);
        assert!(count.rescale(&count.input(0, 1e12).unwrap()).is_err());
    }
}
