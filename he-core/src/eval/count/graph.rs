//! The graph of a circuit that was counted. A value knows the operation that made it, and so the
//! answer of a circuit holds all of it.
//!
//! A bootstrap has to return to the level of the longest path from it: of the rescales on the way to
//! where slots become rows again, and of the levels that this takes. Every path ends there, because
//! rows begin at the bottom of the chain; so the levels of all bootstraps are found in one pass over
//! the graph, from the answer backwards.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering};

use super::Count;
use crate::Error;
use crate::eval::position::Position;
use crate::eval::refresh::Halves;

/// What stands for a ciphertext: where it is on the chain, and where it came from.
#[derive(Clone)]
pub struct Counted {
    pub(super) position: Position,
    pub(super) node: Arc<Node>,
}

/// A bootstrap of a circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bootstrap {
    /// How many rows it packs.
    pub rows: usize,
    /// Which halves of the tokens it brings to slots.
    pub halves: Halves,
    /// The lowest level at which what comes back suffices.
    pub needed: usize,
}

/// An operation with what it was applied to.
pub(super) struct Node {
    /// Larger than those of all inputs.
    number: usize,
    step: Step,
    inputs: Vec<Arc<Self>>,
}

/// What an operation does to levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The result is so many levels below the lowest input.
    Slots(usize),
    /// Rows have no level.
    Rows,
    /// From slots at no less than this level to rows.
    Descent(usize),
    /// From rows to slots.
    Bootstrap { rows: usize, halves: Halves },
}

impl Counted {
    /// Where it is on the chain.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.position
    }
}

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counted").field("position", &self.position).finish_non_exhaustive()
    }
}

/// Numbers operations in order of execution.
#[derive(Debug, Default)]
pub(super) struct Clock(AtomicUsize);

impl Clock {
    /// The next operation.
    pub(super) fn node<'a>(
        &self,
        step: Step,
        inputs: impl IntoIterator<Item = &'a Arc<Node>>,
    ) -> Arc<Node> {
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        Arc::new(Node { number, step, inputs: inputs.into_iter().cloned().collect() })
    }
}

impl Count {
    /// The bootstraps that `answers` come from, in order of execution, each with the level it is
    /// needed at if the answers are wanted at `level`.
    ///
    /// # Errors
    /// If there were others, which nobody needs: then this order is not that of execution.
    pub fn needed_bootstraps(
        &self,
        answers: &[Counted],
        level: usize,
    ) -> Result<Vec<Bootstrap>, Error> {
        let mut bootstraps = Vec::new();
        // Consumers have larger numbers, so a node that is taken out knows its level.
        let mut pending: BTreeMap<_, _> =
            answers.iter().map(|answer| (answer.node.number, (&answer.node, level))).collect();
        while let Some((_, (node, needed))) = pending.pop_last() {
            let below = match node.step {
                Step::Slots(levels) => needed + levels,
                Step::Descent(level) => level,
                Step::Rows => 0,
                Step::Bootstrap { rows, halves } => {
                    bootstraps.push(Bootstrap { rows, halves, needed });
                    0
                }
            };
            for input in &node.inputs {
                let (_, wanted) = pending.entry(input.number).or_insert((input, 0));
                *wanted = below.max(*wanted);
            }
        }
        bootstraps.reverse();
        if bootstraps.len() != self.bootstraps() {
            return Err(Error::InvalidParameters("a bootstrap that nobody needs"));
        }
        Ok(bootstraps)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::eval::Evaluator;
    use crate::eval::count::CountRows;
    use crate::eval::position::{RowShape, Shape};
    use crate::eval::refresh::{Refresh, Weights};

    const ROWS_LEVEL: usize = 3;

    fn count() -> Count {
        let rows = RowShape {
            tokens: 4,
            frac_bits: 13,
            product_scale: libm::exp2(38.0),
            rows_level: ROWS_LEVEL,
            computing_level: 14,
        };
        Count::new(Shape::nominal(8).unwrap().with_rows(rows).unwrap())
    }

    fn product(count: &Count, rows: &CountRows) -> CountRows {
        let inputs = count.row_count(rows);
        let entries = vec![1; 4 * inputs];
        count.matmul(rows, &Weights { inputs, outputs: 4, entries, frac_bits: 13 }).unwrap()
    }

    fn slots(count: &Count, rows: &CountRows) -> Counted {
        count.rows_to_slots(&product(count, rows), Halves::Low).unwrap().remove(0)
    }

    /// A product of `1 + depth` factors one after another, at the default scale.
    fn power(count: &Count, x: &Counted, depth: usize) -> Counted {
        (0..depth).fold(x.clone(), |y, _| {
            let y = count.mul_rescaled(&y, x).unwrap();
            count.with_scale(&y, count.default_scale())
        })
    }

    fn needed(count: &Count, answer: &Counted, level: usize) -> Vec<usize> {
        let all = count.needed_bootstraps(core::slice::from_ref(answer), level).unwrap();
        all.iter().map(|bootstrap| bootstrap.needed).collect()
    }

    #[test]
    fn a_deeper_circuit_gets_higher_levels_and_only_up_to_its_next_rows() {
        for depth in 0..6 {
            let count = count();
            let first = slots(&count, &count.input_rows(4).unwrap());
            let rows = count.slots_to_rows(&power(&count, &first, depth)).unwrap();
            let answer = power(&count, &slots(&count, &rows), 2);
            assert_eq!(needed(&count, &answer, 5), [ROWS_LEVEL + depth, 7], "depth {depth}");
        }
    }

    #[test]
    fn the_longest_path_counts_and_another_scale_is_a_level() {
        let count = count();
        let rows = count.input_rows(4).unwrap();
        let (x, y) = (slots(&count, &rows), slots(&count, &rows));
        let sum = count.add(&power(&count, &x, 4), &power(&count, &y, 1)).unwrap();
        let low = count.drop_level(&x, 6).unwrap();
        let sum = count.add(&sum, &low).unwrap();
        assert_eq!(needed(&count, &sum, 0), [4, 1]);
        let scaled = count.adjust(&sum, 4, 1e9).unwrap();
        let answer = slots(&count, &count.slots_to_rows(&scaled).unwrap());
        assert_eq!(needed(&count, &answer, 0), [ROWS_LEVEL + 6, ROWS_LEVEL + 3, 0]);
        let _unused = slots(&count, &rows);
        assert!(count.needed_bootstraps(&[answer], 0).is_err());
    }
}
