//! Rows without values.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering};

use super::graph::{Node, Step};
use super::{Count, Counted, read};
use crate::Error;
use crate::eval::position::{check_shift, check_weights, equal_scales, same_length, weight_scale};
use crate::eval::refresh::{Halves, Refresh, Term, Weights};

/// A number of rows at a scale.
#[derive(Clone)]
pub struct CountRows {
    rows: usize,
    scale: f64,
    node: Arc<Node>,
}

impl fmt::Debug for CountRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("CountRows");
        shown.field("rows", &self.rows).field("scale", &self.scale).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
pub(super) struct Tally {
    bootstraps: AtomicUsize,
    sines: AtomicUsize,
    descents: AtomicUsize,
    products: AtomicUsize,
    weights: AtomicUsize,
}

impl Count {
    /// What stands for uploaded rows.
    ///
    /// # Errors
    /// If the shape has no rows.
    pub fn input_rows(&self, rows: usize) -> Result<CountRows, Error> {
        self.rows_of(rows, self.shape.rows()?.input_scale(), &[])
    }

    #[expect(clippy::unnecessary_wraps, reason = "what every operation ends with")]
    fn rows_of(&self, rows: usize, scale: f64, inputs: &[&CountRows]) -> Result<CountRows, Error> {
        let inputs = inputs.iter().map(|input| &input.node);
        Ok(CountRows { rows, scale, node: self.clock.node(Step::Rows, inputs) })
    }

    /// Bootstraps.
    #[must_use]
    pub fn bootstraps(&self) -> usize {
        read(&self.rows.bootstraps)
    }

    /// Sine evaluations: one or two for each bootstrap.
    #[must_use]
    pub fn sines(&self) -> usize {
        read(&self.rows.sines)
    }

    /// Ways from slots to rows.
    #[must_use]
    pub fn descents(&self) -> usize {
        read(&self.rows.descents)
    }

    /// Products of rows with a matrix.
    #[must_use]
    pub fn linear_layers(&self) -> usize {
        read(&self.rows.products)
    }

    /// Entries of all these matrices: multiplications of a row by a weight.
    #[must_use]
    pub fn weights(&self) -> usize {
        read(&self.rows.weights)
    }
}

fn count(counter: &AtomicUsize, times: usize) {
    counter.fetch_add(times, Ordering::Relaxed);
}

/// Refuses a row that does not exist.
fn check_row(rows: &CountRows, row: usize) -> Result<(), Error> {
    if row < rows.rows { Ok(()) } else { same_length(row + 1, rows.rows) }
}

impl Refresh for Count {
    type Rows = CountRows;

    fn tokens(&self) -> usize {
        self.shape.rows().map_or(0, |rows| rows.tokens)
    }

    fn row_count(&self, rows: &CountRows) -> usize {
        rows.rows
    }

    fn rows_per_pack(&self) -> usize {
        self.shape.rows_per_pack()
    }

    fn select(&self, rows: &CountRows, sums: &[Vec<Term>]) -> Result<CountRows, Error> {
        let tokens = self.shape.rows()?.tokens;
        for &term in sums.iter().flatten() {
            check_shift(tokens, term)?;
            check_row(rows, term.row)?;
        }
        self.rows_of(sums.len(), rows.scale, &[rows])
    }

    fn concat(&self, a: &CountRows, b: &CountRows) -> Result<CountRows, Error> {
        equal_scales(a.scale, b.scale)?;
        self.rows_of(a.rows + b.rows, a.scale, &[a, b])
    }

    fn add_rows(&self, a: &CountRows, b: &CountRows) -> Result<CountRows, Error> {
        equal_scales(a.scale, b.scale)?;
        same_length(a.rows, b.rows)?;
        self.rows_of(a.rows, a.scale, &[a, b])
    }

    fn add_constants(&self, a: &CountRows, constants: &[(usize, f64)]) -> Result<CountRows, Error> {
        constants.iter().try_for_each(|&(row, _)| check_row(a, row))?;
        Ok(a.clone())
    }

    fn matmul(&self, x: &CountRows, weights: &Weights) -> Result<CountRows, Error> {
        check_weights(x.rows, weights)?;
        count(&self.rows.products, 1);
        count(&self.rows.weights, weights.entries.len());
        self.rows_of(weights.outputs, x.scale * weight_scale(weights.frac_bits), &[x])
    }

    fn slots_to_rows(&self, z: &Counted) -> Result<CountRows, Error> {
        self.shape.check_descent(z.position)?;
        let needed = self.shape.descent_level(z.position.scale)?;
        count(&self.rows.descents, 1);
        let (rows, scale) = (self.shape.rows_per_pack(), self.shape.rows()?.input_scale());
        Ok(CountRows { rows, scale, node: self.clock.node(Step::Descent(needed), [&z.node]) })
    }

    fn rows_level(&self) -> usize {
        self.shape.rows().map_or(0, |rows| rows.rows_level)
    }

    fn computing_level(&self) -> usize {
        self.shape.rows().map_or(0, |rows| rows.computing_level)
    }

    fn rows_to_slots_at(
        &self,
        rows: &CountRows,
        halves: Halves,
        level: usize,
    ) -> Result<Vec<Counted>, Error> {
        self.shape.check_pack(rows.rows, rows.scale)?;
        let position = self.shape.refreshed(level)?;
        let sines = match halves {
            Halves::Low => 1,
            Halves::Both => 2,
        };
        count(&self.rows.bootstraps, 1);
        count(&self.rows.sines, sines);
        let step = Step::Bootstrap { rows: rows.rows, halves };
        let node = self.clock.node(step, [&rows.node]);
        Ok(alloc::vec![Counted { position, node }; sines])
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::eval::position::{RowShape, Shape};

    #[test]
    fn a_round_trip_is_one_of_everything_and_two_sines() {
        let rows = RowShape {
            tokens: 4,
            frac_bits: 13,
            product_scale: libm::exp2(38.0),
            rows_level: 3,
            computing_level: 14,
        };
        let count = Count::new(Shape::nominal(8).unwrap().with_rows(rows).unwrap());
        let weights = Weights { inputs: 3, outputs: 4, entries: vec![1; 12], frac_bits: 13 };
        let input = count.input_rows(3).unwrap();
        let product = count.matmul(&input, &weights).unwrap();
        let halves = count.rows_to_slots(&product, Halves::Both).unwrap();
        assert_eq!((halves.len(), halves[0].position().level), (2, 14));
        let back = count.slots_to_rows(&halves[0]).unwrap();
        assert_eq!(count.row_count(&back), count.rows_per_pack());
        assert_eq!([count.bootstraps(), count.sines(), count.descents()], [1, 2, 1]);
        assert_eq!([count.linear_layers(), count.weights()], [1, 12]);
        assert!(count.rows_to_slots(&back, Halves::Low).is_err());
        assert!(count.select(&back, &[vec![Term { row: 4, shift: 0 }]]).is_err());
    }
}
