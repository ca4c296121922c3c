//! Integer matrices put together from those of the model, so that one product does the work of
//! several and passes canaries on.

use alloc::vec;
use alloc::vec::Vec;

use he_core::refresh::{Refresh, Weights};

use crate::Error;
use crate::layout::row;
use crate::model::Config;

/// Bits by which products are above the scale that parameters have for them. A bootstrap's noise counts
/// the less the larger that scale is, and its sine bends the more; parameters balance both for values
/// up to 16, and nearly all values of a model are far below.
const GAIN: u32 = 2;

/// The more bits of a product of matrices ([`Assembly::with_transposed_after`]).
pub const REST_BITS: u32 = 6;

/// Rows that are multiplied by one at once.
const BLOCK: usize = 128;

/// Rows as they are, at the scale of a product: to bootstrap what no matrix is applied to.
///
/// # Errors
/// None: every row is there.
pub fn as_product<E: Refresh>(eval: &E, config: &Config, rows: &E::Rows) -> Result<E::Rows, Error> {
    let count = eval.row_count(rows);
    let mut all: Option<E::Rows> = None;
    for first in (0..count).step_by(BLOCK) {
        let indices = first..(first + BLOCK).min(count);
        let size = indices.len();
        let block: Vec<_> = indices.map(|index| vec![row(index)]).collect();
        let one = Assembly::new(size, size, config.weight_frac_bits).with_identity(0, 0, size);
        let block = eval.matmul(&eval.select(rows, &block)?, &one.finish())?;
        all = Some(match all {
            None => block,
            Some(all) => eval.concat(&all, &block)?,
        });
    }
    all.ok_or(Error::Unsupported("no rows"))
}

/// A matrix that is being filled.
#[derive(Clone, Debug)]
pub struct Assembly {
    weights: Weights,
}

impl Assembly {
    /// Zeros.
    #[must_use]
    pub fn new(inputs: usize, outputs: usize, frac_bits: u32) -> Self {
        let entries = vec![0; inputs * outputs];
        Self { weights: Weights { inputs, outputs, entries, frac_bits: frac_bits + GAIN } }
    }

    /// Adds `sign · block`, which has the fractional bits of [`Self::new`], from row `input` and column
    /// `output` on.
    ///
    /// # Panics
    /// If the block does not fit.
    #[must_use]
    pub fn with(mut self, input: usize, output: usize, block: &Weights, sign: i32) -> Self {
        for (i, row) in block.entries.chunks_exact(block.outputs).enumerate() {
            for (o, &w) in row.iter().enumerate() {
                *self.entry(input + i, output + o) += sign * (w << GAIN);
            }
        }
        self
    }

    /// Adds `factor` times the transposed block from row `input` and column `output` on.
    ///
    /// # Panics
    /// If it does not fit.
    #[must_use]
    pub fn with_transposed(
        mut self,
        input: usize,
        output: usize,
        block: &Weights,
        factor: i32,
    ) -> Self {
        for (o, row) in block.entries.chunks_exact(block.outputs).enumerate() {
            for (i, &w) in row.iter().enumerate() {
                *self.entry(input + i, output + o) += factor * (w << GAIN);
            }
        }
        self
    }

    /// Adds the product of `first`, a finished matrix, and the transposed block from the first row and column `output` on.
    /// What rounding leaves out is added from row `rest` on, where inputs are expected again, times `2^-`[`REST_BITS`].
    ///
    /// # Panics
    /// If it does not fit.
    #[must_use]
    pub fn with_transposed_after(
        mut self,
        rest: usize,
        output: usize,
        first: &Weights,
        block: &Weights,
    ) -> Self {
        let mut add = |input, output, w: i64| {
            #[expect(clippy::cast_possible_truncation, reason = "weights are far below 2^31")]
            let w = w as i32;
            *self.entry(input, output) += w;
        };
        for (i, row) in first.entries.chunks_exact(first.outputs).enumerate() {
            for (o, column) in block.entries.chunks_exact(block.outputs).enumerate() {
                let terms = row.iter().zip(column).map(|(&a, &b)| i64::from(a) * i64::from(b));
                let sum: i64 = terms.sum();
                let rounded = sum >> block.frac_bits;
                add(i, output + o, rounded);
                let left = sum - (rounded << block.frac_bits);
                if left != 0 {
                    add(rest + i, output + o, (left << REST_BITS) >> block.frac_bits);
                }
            }
        }
        self
    }

    /// Adds an identity of size `count` from row `input` and column `output` on.
    ///
    /// # Panics
    /// If it does not fit.
    #[must_use]
    pub fn with_identity(self, input: usize, output: usize, count: usize) -> Self {
        self.with_scaled_identity(input, output, count, 1)
    }

    /// Adds `sign` times an identity of size `count`.
    ///
    /// # Panics
    /// If it does not fit.
    #[must_use]
    pub fn with_scaled_identity(
        mut self,
        input: usize,
        output: usize,
        count: usize,
        sign: i32,
    ) -> Self {
        let one = sign << self.weights.frac_bits;
        for i in 0..count {
            *self.entry(input + i, output + i) += one;
        }
        self
    }

    /// Replaces input `last` by minus the sum of the inputs before it, and leaves its own row zero.
    ///
    /// # Panics
    /// If there is no such input.
    #[must_use]
    pub fn with_last_feature_rebuilt(mut self, last: usize) -> Self {
        for output in 0..self.weights.outputs {
            let weight = core::mem::take(self.entry(last, output));
            for input in 0..last {
                *self.entry(input, output) -= weight;
            }
        }
        self
    }

    /// The matrix.
    #[must_use]
    pub fn finish(self) -> Weights {
        self.weights
    }

    fn entry(&mut self, input: usize, output: usize) -> &mut i32 {
        assert!(output < self.weights.outputs);
        &mut self.weights.entries[input * self.weights.outputs + output]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_feature_is_minus_the_sum_of_the_others() {
        let w = Weights { inputs: 3, outputs: 2, entries: vec![1, 2, 3, 4, 5, 6], frac_bits: 4 };
        let folded = Assembly::new(3, 2, 4).with(0, 0, &w, 1).with_last_feature_rebuilt(2).finish();
        let expected = [1 - 5, 2 - 6, 3 - 5, 4 - 6, 0, 0].map(|w| w << GAIN);
        assert_eq!(folded.entries, expected);
    }

    #[test]
    fn a_transposed_block_has_its_rows_as_columns() {
        let w = Weights { inputs: 2, outputs: 3, entries: vec![1, 2, 3, 4, 5, 6], frac_bits: 4 };
        let transposed = Assembly::new(3, 3, 4).with_transposed(0, 1, &w, -2).finish();
        let expected = [0, -2, -8, 0, -4, -10, 0, -6, -12].map(|w| w << GAIN);
        assert_eq!(transposed.entries, expected);
    }

    #[test]
    fn a_product_of_matrices_and_what_it_leaves_out_are_exact_to_six_more_bits() {
        let w = Weights { inputs: 2, outputs: 2, entries: vec![3, 5, -7, 2], frac_bits: 4 };
        let first = Assembly::new(1, 2, 4).with(0, 0, &w_row(&[9, -2]), 1).finish();
        let both = Assembly::new(2, 3, 4).with_transposed_after(1, 1, &first, &w).finish();
        // 4 · (9 · 3 − 2 · 5) / 16 and 4 · (9 · −7 − 2 · 2) / 16, and 64 times what they are above integers.
        assert_eq!(both.entries, [0, 4, -17, 0, 16, 16]);
    }

    fn w_row(entries: &[i32]) -> Weights {
        Weights { inputs: 1, outputs: entries.len(), entries: entries.to_vec(), frac_bits: 4 }
    }

    #[test]
    fn blocks_add_up() {
        let w = Weights { inputs: 1, outputs: 2, entries: vec![7, 9], frac_bits: 1 };
        let sum = Assembly::new(2, 3, 1).with(1, 1, &w, -1).with_identity(0, 1, 2).finish();
        assert_eq!(sum.entries, [0, 2, 0, 0, -7, 2 - 9].map(|w| w << GAIN));
    }
}
