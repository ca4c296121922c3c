//! Rows in the clear: the seam between rows and slots with its slot order, scales and levels.

use alloc::vec::Vec;

use super::{Clear, ClearVector};
use crate::Error;
use crate::complex::Complex;
use crate::eval::position::{check_shift, check_weights, equal_scales, same_length, weight_scale};
use crate::eval::refresh::{Halves, Refresh, Term, Weights};

/// Polynomials in `R_T` in the clear.
#[derive(Clone, Debug, PartialEq)]
pub struct ClearRows {
    rows: Vec<Vec<f64>>,
    scale: f64,
}

impl ClearRows {
    /// One value for each token of each row.
    #[must_use]
    pub fn values(&self) -> &[Vec<f64>] {
        &self.rows
    }

    /// The scale.
    #[must_use]
    pub const fn scale(&self) -> f64 {
        self.scale
    }

    fn row(&self, index: usize) -> Result<&Vec<f64>, Error> {
        self.rows
            .get(index)
            .ok_or(Error::WrongLength { expected: index + 1, found: self.rows.len() })
    }
}

impl Clear {
    /// Rows at the scale of an upload.
    ///
    /// # Errors
    /// If the shape has no rows or one does not have `T` tokens.
    pub fn encrypt_rows(&self, rows: &[Vec<f64>]) -> Result<ClearRows, Error> {
        let shape = self.shape.rows()?;
        for row in rows {
            same_length(shape.tokens, row.len())?;
        }
        Ok(ClearRows { rows: rows.to_vec(), scale: shape.input_scale() })
    }
}

impl Refresh for Clear {
    type Rows = ClearRows;

    fn tokens(&self) -> usize {
        self.shape.rows().map_or(0, |rows| rows.tokens)
    }

    fn row_count(&self, rows: &ClearRows) -> usize {
        rows.rows.len()
    }

    fn rows_per_pack(&self) -> usize {
        self.shape.rows_per_pack()
    }

    fn select(&self, rows: &ClearRows, sums: &[Vec<Term>]) -> Result<ClearRows, Error> {
        let tokens = self.shape.rows()?.tokens;
        let mut selected = Vec::with_capacity(sums.len());
        for terms in sums {
            let mut total = alloc::vec![0.0; tokens];
            for &term in terms {
                check_shift(tokens, term)?;
                for (token, value) in rows.row(term.row)?.iter().enumerate() {
                    let place = (token + term.shift) % (2 * tokens);
                    if place < tokens {
                        total[place] += value;
                    } else {
                        total[place - tokens] -= value;
                    }
                }
            }
            selected.push(total);
        }
        Ok(ClearRows { rows: selected, scale: rows.scale })
    }

    fn concat(&self, a: &ClearRows, b: &ClearRows) -> Result<ClearRows, Error> {
        equal_scales(a.scale, b.scale)?;
        let rows = a.rows.iter().chain(&b.rows).cloned().collect();
        Ok(ClearRows { rows, scale: a.scale })
    }

    fn add_rows(&self, a: &ClearRows, b: &ClearRows) -> Result<ClearRows, Error> {
        equal_scales(a.scale, b.scale)?;
        same_length(a.rows.len(), b.rows.len())?;
        let pairs = a.rows.iter().zip(&b.rows);
        let rows = pairs.map(|(a, b)| a.iter().zip(b).map(|(x, y)| x + y).collect()).collect();
        Ok(ClearRows { rows, scale: a.scale })
    }

    fn add_constants(&self, a: &ClearRows, constants: &[(usize, f64)]) -> Result<ClearRows, Error> {
        let mut out = a.clone();
        for &(index, value) in constants {
            a.row(index)?;
            for x in &mut out.rows[index] {
                *x += value;
            }
        }
        Ok(out)
    }

    fn matmul(&self, x: &ClearRows, weights: &Weights) -> Result<ClearRows, Error> {
        check_weights(x.rows.len(), weights)?;
        let unit = weight_scale(weights.frac_bits);
        let tokens = self.shape.rows()?.tokens;
        let mut rows = alloc::vec![alloc::vec![0.0; tokens]; weights.outputs];
        for (input, entries) in x.rows.iter().zip(weights.entries.chunks(weights.outputs.max(1))) {
            for (row, &entry) in rows.iter_mut().zip(entries).filter(|(_, entry)| **entry != 0) {
                let weight = f64::from(entry) / unit;
                for (y, x) in row.iter_mut().zip(input) {
                    *y += weight * x;
                }
            }
        }
        Ok(ClearRows { rows, scale: x.scale * unit })
    }

    fn slots_to_rows(&self, z: &ClearVector) -> Result<ClearRows, Error> {
        self.shape.check_descent(z.position)?;
        let shape = self.shape.rows()?;
        let row = |row| {
            let value = |token| {
                let value = z.values[shape.slot(row, token)];
                if token < shape.tokens / 2 { value.re } else { value.im }
            };
            (0..shape.tokens).map(value).collect()
        };
        let rows = (0..self.shape.rows_per_pack()).map(row).collect();
        Ok(ClearRows { rows, scale: shape.input_scale() })
    }

    fn rows_level(&self) -> usize {
        self.shape.rows().map_or(0, |rows| rows.rows_level)
    }

    fn computing_level(&self) -> usize {
        self.shape.rows().map_or(0, |rows| rows.computing_level)
    }

    fn rows_to_slots_at(
        &self,
        rows: &ClearRows,
        halves: Halves,
        level: usize,
    ) -> Result<Vec<ClearVector>, Error> {
        self.shape.check_pack(rows.rows.len(), rows.scale)?;
        let shape = self.shape.rows()?;
        let position = self.shape.refreshed(level)?;
        let half = |offset: usize| {
            let mut values = alloc::vec![Complex::ZERO; self.shape.slots()];
            let repeated = rows.rows.iter().cycle().take(self.shape.rows_per_pack());
            for (index, row) in repeated.enumerate() {
                for token in 0..shape.tokens / 2 {
                    values[shape.slot(index, token)] = Complex::real(row[token + offset]);
                }
            }
            ClearVector { values, position }
        };
        Ok(match halves {
            Halves::Low => alloc::vec![half(0)],
            Halves::Both => alloc::vec![half(0), half(shape.tokens / 2)],
        })
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::eval::Evaluator;
    use crate::eval::position::{RowShape, Shape};

    /// Four rows of eight tokens.
    fn clear() -> Clear {
        let rows = RowShape {
            tokens: 8,
            frac_bits: 13,
            product_scale: libm::exp2(38.0),
            rows_level: 3,
            computing_level: 14,
        };
        Clear::new(Shape::nominal(16).unwrap().with_rows(rows).unwrap())
    }

    fn rows(clear: &Clear) -> ClearRows {
        let value = |row: usize, token: usize| f64::from(u32::try_from(10 * row + token).unwrap());
        let rows: Vec<Vec<_>> =
            (0..4).map(|row| (0..8).map(|token| value(row, token)).collect()).collect();
        clear.encrypt_rows(&rows).unwrap()
    }

    fn identity() -> Weights {
        let entries = (0..16).map(|i| if i % 5 == 0 { 1 << 13 } else { 0 }).collect();
        Weights { inputs: 4, outputs: 4, entries, frac_bits: 13 }
    }

    #[test]
    fn rows_come_back_from_the_slots_of_both_halves() {
        let clear = clear();
        let product = clear.matmul(&rows(&clear), &identity()).unwrap();
        let halves = clear.rows_to_slots(&product, Halves::Both).unwrap();
        assert!(halves.iter().all(|half| clear.level(half) == 14));
        let joined = clear.add(&halves[0], &clear.mul_i(&halves[1])).unwrap();
        assert_eq!(clear.slots_to_rows(&joined).unwrap(), rows(&clear));
    }

    #[test]
    fn tokens_are_bit_reversed_within_a_row() {
        let clear = clear();
        let product = clear.matmul(&rows(&clear), &identity()).unwrap();
        let low = clear.rows_to_slots(&product, Halves::Low).unwrap();
        let values: Vec<_> = low[0].values()[4..8].iter().map(|value| value.re).collect();
        assert_eq!((low.len(), values), (1, vec![10.0, 12.0, 11.0, 13.0]));
    }

    #[test]
    fn fewer_rows_repeat_and_arrive_where_they_are_wanted() {
        let clear = clear();
        let product = clear.matmul(&rows(&clear), &identity()).unwrap();
        let two = [vec![Term { row: 2, shift: 0 }], vec![Term { row: 1, shift: 0 }]];
        let two = clear.select(&product, &two).unwrap();
        let low = clear.rows_to_slots_at(&two, Halves::Low, 5).unwrap().remove(0);
        assert_eq!(clear.level(&low), 5);
        assert_eq!(low.values()[..8], low.values()[8..]);
        assert_eq!(low.values()[4], Complex::real(10.0));
        assert!(clear.rows_to_slots_at(&two, Halves::Low, 15).is_err());
    }

    #[test]
    fn a_shift_past_the_last_token_changes_the_sign() {
        let clear = clear();
        let shifted =
            clear.select(&rows(&clear), &[vec![Term { row: 0, shift: 3 }], vec![]]).unwrap();
        assert_eq!(shifted.values()[0], [-5.0, -6.0, -7.0, 0.0, 1.0, 2.0, 3.0, 4.0]);
        assert_eq!(shifted.values()[1], [0.0; 8]);
        let twice = [vec![Term { row: 0, shift: 8 }, Term { row: 0, shift: 0 }]];
        assert_eq!(clear.select(&rows(&clear), &twice).unwrap().values()[0], [0.0; 8]);
    }

    #[test]
    fn a_pack_at_another_scale_or_of_another_size_is_refused() {
        let clear = clear();
        let mismatch = clear.rows_to_slots(&rows(&clear), Halves::Low);
        assert!(matches!(mismatch, Err(Error::ScaleMismatch { .. })));
        let narrow = Weights { inputs: 4, outputs: 3, entries: vec![0; 12], frac_bits: 13 };
        let three = clear.matmul(&rows(&clear), &narrow).unwrap();
        let short = clear.rows_to_slots(&three, Halves::Low);
        assert_eq!(short, Err(Error::WrongLength { expected: 4, found: 3 }));
        let low = clear.encrypt_real(&[], 2, libm::exp2(40.0)).unwrap();
        let exhausted = clear.slots_to_rows(&low);
        assert_eq!(exhausted, Err(Error::LevelExhausted { needed: 3, left: 2 }));
    }
}
