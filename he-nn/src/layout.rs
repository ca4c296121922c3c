//! Where rows lie in a pack and in slots.
//!
//! The rows of a pack are numbered by digits of a mixed radix, lowest first, with the feature as
//! the highest digit: then a rotation by one feature is cyclic over all slots, and sums over
//! features are rotations by powers of two. Row `ρ`, token `t < T/2` is slot `rev(t) + (T/2)·ρ`.

use alloc::vec::Vec;

use he_core::bootstrap::dft;
use he_core::complex::Complex;
use he_core::eval::{Evaluator, SCALE_TOLERANCE};
use he_core::ntt::bit_reversed;
use he_core::refresh::{Halves, Refresh, Term};

use crate::Error;

/// Rows numbered by `D` digits, and slots by such a row and a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout<const D: usize> {
    sizes: [usize; D],
    tokens: usize,
}

impl<const D: usize> Layout<D> {
    /// Digits of these sizes, lowest first, for sentences of `tokens` tokens.
    ///
    /// # Errors
    /// If a pack has not exactly that many rows.
    pub fn new(sizes: [usize; D], tokens: usize, rows_per_pack: usize) -> Result<Self, Error> {
        if sizes.iter().product::<usize>() != rows_per_pack || tokens < 2 {
            return Err(Error::Unsupported("the model does not fill the rows of a pack"));
        }
        Ok(Self { sizes, tokens })
    }

    /// How many values a digit has.
    #[must_use]
    pub const fn size(&self, digit: usize) -> usize {
        self.sizes[digit]
    }

    /// The number of the row with these digits.
    #[must_use]
    pub fn row(&self, digits: [usize; D]) -> usize {
        self.sizes.iter().zip(digits).rev().fold(0, |row, (size, digit)| row * size + digit)
    }

    /// The rotation that brings the next value of `digit` here.
    #[must_use]
    pub fn step(&self, digit: usize) -> isize {
        let stride: usize = self.sizes.iter().take(digit).product();
        (self.tokens / 2 * stride).cast_signed()
    }

    /// One entry for each row, in order.
    pub fn pack(&self, mut terms: impl FnMut([usize; D]) -> Vec<Term>) -> Vec<Vec<Term>> {
        let rows: usize = self.sizes.iter().product();
        (0..rows).map(|row| terms(self.digits(row))).collect()
    }

    /// Slots whose value depends on digits and token, the latter below `T/2`.
    pub fn values(&self, value: impl Fn([usize; D], usize) -> f64) -> Vec<Complex> {
        let half = self.tokens / 2;
        let rows: usize = self.sizes.iter().product();
        let mut values = Vec::with_capacity(rows * half);
        for digits in (0..rows).map(|row| self.digits(row)) {
            let slots = (0..half).map(|slot| value(digits, bit_reversed(slot, half)));
            values.extend(slots.map(Complex::real));
        }
        values
    }

    fn digits(&self, mut row: usize) -> [usize; D] {
        self.sizes.map(|size| {
            let digit = row % size;
            row /= size;
            digit
        })
    }
}

/// The row as it is.
#[must_use]
pub const fn row(row: usize) -> Term {
    Term { row, shift: 0 }
}

/// These rows, as they are.
#[must_use]
pub fn rows_of(range: core::ops::Range<usize>) -> Vec<Vec<Term>> {
    range.map(|index| alloc::vec![row(index)]).collect()
}

/// Tokens of the upper half moved to the lower one; what was there leaves it.
#[must_use]
pub const fn upper_half(row: usize, tokens: usize) -> Term {
    Term { row, shift: 2 * tokens - tokens / 2 }
}

/// Tokens of the lower half moved to the upper one, the inverse of [`upper_half`].
#[must_use]
pub const fn to_upper_half(row: usize, tokens: usize) -> Term {
    Term { row, shift: tokens / 2 }
}

/// Minus a term.
#[must_use]
pub const fn negated(term: Term, tokens: usize) -> Term {
    Term { row: term.row, shift: (term.shift + tokens) % (2 * tokens) }
}

/// The first token of rows whose other tokens are zero, copied to every token.
///
/// # Errors
/// None: shifts are below the number of tokens.
pub fn broadcast<E: Refresh>(eval: &E, rows: &E::Rows) -> Result<E::Rows, Error> {
    copied(eval, rows, 1..eval.tokens())
}

/// Tokens below `range.start` of rows whose other tokens are zero, copied to all tokens below `range.end`; both are
/// powers of two.
///
/// # Errors
/// If there are fewer tokens.
pub fn copied<E: Refresh>(
    eval: &E,
    rows: &E::Rows,
    range: core::ops::Range<usize>,
) -> Result<E::Rows, Error> {
    let mut rows = rows.clone();
    let mut copies = range.start;
    while copies < range.end {
        let double = |index| alloc::vec![row(index), Term { row: index, shift: copies }];
        let sums: Vec<_> = (0..eval.row_count(&rows)).map(double).collect();
        rows = eval.select(&rows, &sums)?;
        copies *= 2;
    }
    Ok(rows)
}

/// Rows of `e` sentences in one: of each its first token, the others zero; together sentence `i` at all tokens
/// `i`, `i + e`, `i + 2e`, ….
///
/// # Errors
/// If `e` is not a power of two of at most half of the tokens, or counts or scales differ.
pub fn merged<E: Refresh>(eval: &E, sentences: &[E::Rows]) -> Result<E::Rows, Error> {
    let count = sentences.len();
    if !count.is_power_of_two() || count > eval.tokens() / 2 {
        return Err(Error::Unsupported("sentences share a pack by powers of two"));
    }
    let mut all: Option<E::Rows> = None;
    for (place, rows) in sentences.iter().enumerate() {
        let moved = |index| alloc::vec![Term { row: index, shift: place }];
        let sums: Vec<_> = (0..eval.row_count(rows)).map(moved).collect();
        let rows = eval.select(rows, &sums)?;
        all = Some(match all {
            None => rows,
            Some(all) => eval.add_rows(&all, &rows)?,
        });
    }
    copied(eval, &all.ok_or(Error::Unsupported("no sentences"))?, count..eval.tokens())
}

/// The row with this token moved to the first one; those before it change their sign.
#[must_use]
pub const fn to_first(row: usize, token: usize, tokens: usize) -> Term {
    Term { row, shift: (2 * tokens - token) % (2 * tokens) }
}

/// Bootstraps a pack of which only tokens below `T/2` are wanted, to `level`.
///
/// # Errors
/// If a key is missing, or the rows or the level do not fit.
pub fn low_half<E: Refresh>(
    eval: &E,
    rows: &E::Rows,
    level: usize,
) -> Result<E::Ciphertext, Error> {
    let mut slots = eval.rows_to_slots_at(rows, Halves::Low, level)?;
    slots.pop().ok_or(Error::Unsupported("no slots came back"))
}

/// The scale of a factor at `level` for which its rescaled product with `a` is at the default scale,
/// as rows want it.
#[must_use]
pub fn factor_scale<E: Evaluator>(eval: &E, a: &E::Ciphertext, level: usize) -> f64 {
    eval.default_scale() * eval.step(level) / eval.scale(a)
}

/// `a · b`, rescaled, at exactly `scale`: one level below the lower of the two, or two if they are at
/// the same and neither has the scale for it.
///
/// # Errors
/// If a key is missing or no level is left.
pub fn mul_to<E: Evaluator>(
    eval: &E,
    a: &E::Ciphertext,
    b: &E::Ciphertext,
    scale: f64,
) -> Result<E::Ciphertext, Error> {
    let (high, low) = if eval.level(a) >= eval.level(b) { (a, b) } else { (b, a) };
    let wanted = |level: usize| scale * eval.step(level) / eval.scale(low);
    let mut level = eval.level(low);
    if eval.level(high) == level && !is_close(eval.scale(high), wanted(level)) {
        level = level.saturating_sub(1);
    }
    let high = eval.adjust(high, level, wanted(level))?;
    Ok(eval.mul_rescaled(&high, &eval.drop_level(low, level)?)?)
}

/// `a` at exactly `scale`, one level down unless it has it.
///
/// # Errors
/// If no level is left.
pub fn at_scale<E: Evaluator>(
    eval: &E,
    a: &E::Ciphertext,
    scale: f64,
) -> Result<E::Ciphertext, Error> {
    if is_close(eval.scale(a), scale) {
        return Ok(a.clone());
    }
    Ok(eval.adjust(a, eval.level(a).saturating_sub(1), scale)?)
}

/// Whether two scales are treated as equal.
fn is_close(left: f64, right: f64) -> bool {
    libm::fabs(left / right - 1.0) <= SCALE_TOLERANCE
}

/// The sum of `a` over the `2^k`-th multiples of `step`, for `from ≤ 2^k < to`: a sum over all
/// values of a cyclic digit for `from = 1` and `to` its size.
///
/// # Errors
/// If a key is missing.
pub fn sum_rotations<E: Evaluator>(
    eval: &E,
    a: &E::Ciphertext,
    step: isize,
    range: core::ops::Range<usize>,
) -> Result<E::Ciphertext, Error> {
    let mut total = a.clone();
    let mut count = range.start;
    while count < range.end {
        let rotated = eval.rotate(&total, step * count.cast_signed())?;
        total = eval.add(&total, &rotated)?;
        count *= 2;
    }
    Ok(total)
}

/// Each of these real ciphertexts, which are at one level and scale, summed as in [`sum_rotations`]: two at a time, as real
/// and imaginary part.
///
/// # Errors
/// If a key is missing.
pub fn sum_pairs<E: Evaluator>(
    eval: &E,
    terms: &[E::Ciphertext],
    step: isize,
    range: core::ops::Range<usize>,
) -> Result<Vec<E::Ciphertext>, Error> {
    let mut doubles = Vec::with_capacity(terms.len());
    for pair in terms.chunks(2) {
        if let [a, b] = pair {
            let both = eval.add(a, &eval.mul_i(b))?;
            doubles.extend(dft::split(eval, &sum_rotations(eval, &both, step, range.clone())?)?);
        } else if let [a] = pair {
            let sum = sum_rotations(eval, a, step, range.clone())?;
            doubles.push(eval.add(&sum, &sum)?);
        }
    }
    Ok(doubles.iter().map(|x| eval.with_scale(x, 2.0 * eval.scale(x))).collect())
}

#[cfg(test)]
mod tests {
    use he_core::eval::clear::Clear;
    use he_core::eval::position::{RowShape, Shape};

    use super::*;

    #[test]
    fn digits_and_rows_are_inverse() {
        let layout = Layout::new([2, 4, 8], 16, 64).unwrap();
        for row in 0..64 {
            assert_eq!(layout.row(layout.digits(row)), row);
        }
        assert_eq!(layout.row([1, 2, 3]), 1 + 2 * (2 + 4 * 3));
        assert_eq!(layout.step(2), 8 * 8);
        assert!(Layout::new([2, 4, 8], 16, 128).is_err());
    }

    #[test]
    fn values_lie_in_the_slots_of_their_row_with_tokens_reversed() {
        let layout = Layout::new([2, 2], 8, 4).unwrap();
        let number = |n: usize| f64::from(u32::try_from(n).unwrap());
        let values = layout.values(|[a, b], t| number(100 * a + 10 * b + t));
        let wanted = [0.0, 2.0, 1.0, 3.0, 100.0, 102.0, 101.0, 103.0, 10.0];
        assert!(values.iter().zip(wanted).all(|(v, w)| *v == Complex::real(w)));
    }

    #[test]
    fn merged_sentences_take_turns_over_tokens_and_come_back_by_shifts() {
        let rows = RowShape {
            tokens: 8,
            frac_bits: 4,
            product_scale: libm::exp2(38.0),
            rows_level: 3,
            computing_level: 14,
        };
        let eval = Clear::new(Shape::nominal(1 << 9).unwrap().with_rows(rows).unwrap());
        let sentence = |x: f64| {
            let first = |x| (0..8).map(|t| if t == 0 { x } else { 0.0 }).collect();
            eval.encrypt_rows(&[first(x), first(-x)]).unwrap()
        };
        let four = merged(&eval, &[1.0, 2.0, 3.0, 4.0].map(sentence)).unwrap();
        assert_eq!(four.values()[0], [1.0, 2.0, 3.0, 4.0, 1.0, 2.0, 3.0, 4.0]);
        assert_eq!(four.values()[1], four.values()[0].iter().map(|x| -x).collect::<Vec<_>>());
        let third = eval.select(&four, &[alloc::vec![to_first(0, 2, 8)]]).unwrap();
        assert_eq!(third.values()[0], [3.0, 4.0, 1.0, 2.0, 3.0, 4.0, -1.0, -2.0]);
        assert_eq!(
            merged(&eval, &[sentence(5.0)]).unwrap().values(),
            broadcast(&eval, &sentence(5.0)).unwrap().values()
        );
        assert!(merged(&eval, &[1.0, 2.0, 3.0].map(sentence)).is_err());
        assert!(merged(&eval, &[1.0; 8].map(sentence)).is_err());
    }

    #[test]
    fn a_term_negated_twice_is_itself() {
        let term = upper_half(3, 8);
        assert_eq!(negated(negated(term, 8), 8), term);
        assert_eq!(term.shift + to_upper_half(3, 8).shift, 16);
    }
}
