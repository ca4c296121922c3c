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
    /// The bootstraps that `answer` comes from, in order of execution, each with the level it is
    /// needed at if the answer is wanted at `level`.
    ///
    /// # Errors
    /// If there were others, which nobody needs: then this order is not that of execution.
    pub fn needed_bootstraps(
        &self,
        answer: &Counted,
        level: usize,
    ) -> Result<Vec<Bootstrap>, Error> {
        let mut bootstraps = Vec::new();
        // Consumers have larger numbers, so a node that is taken out knows its level.
        let mut pending = BTreeMap::from([(answer.node.number, (&answer.node, level))]);
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
