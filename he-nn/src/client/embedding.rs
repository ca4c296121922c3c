//! Word and position embeddings, and their normalisation in integers.
//!
//! Both tables hold signed bytes with one common scale, which the normalisation cancels. For a
//! token with the sum `x_f` of its two rows, `v_f = d·x_f − Σ x` has mean zero and
//! `n_f = v_f / sqrt(Σ v² / d)` mean square one. Everything is computed in integers, so that every
//! device and the host send the same bits; the inverse square root takes a fixed number of Newton
//! steps, and nothing branches on a value.

use core::hint::black_box;

use crate::Error;

/// The largest message coefficient: leaves room for an error below 2^31.
pub const LIMIT: i32 = i32::MAX - 0xff;

/// Bits behind the point of [`Token::factor`] beyond those of the message.
const EXTRA_BITS: u32 = 24;

/// Both tables, as they lie in flash: two's-complement bytes, `width` a row.
#[derive(Clone, Copy, Debug)]
pub struct EmbeddingTable<'a> {
    pieces: &'a [u8],
    positions: &'a [u8],
    width: usize,
}

/// What turns one token's table entries into its normalised features.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Token {
    sum: i32,
    factor: u64,
}

impl<'a> EmbeddingTable<'a> {
    /// The tables of `pieces / width` pieces and `positions / width` positions.
    ///
    /// # Errors
    /// If `width` is not a power of two up to 128, or the tables are empty or end within a row.
    pub const fn new(pieces: &'a [u8], positions: &'a [u8], width: usize) -> Result<Self, Error> {
        if !width.is_power_of_two() || width > 128 {
            return Err(Error::Unsupported("the width is a power of two up to 128"));
        }
        if pieces.is_empty() || !pieces.len().is_multiple_of(width) {
            return Err(Error::Malformed("the table of pieces ends within a row"));
        }
        if positions.is_empty() || !positions.len().is_multiple_of(width) {
            return Err(Error::Malformed("the table of positions ends within a row"));
        }
        Ok(Self { pieces, positions, width })
    }

    /// Features of a token.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.width
    }

    /// Pieces in the table.
    #[must_use]
    pub const fn vocabulary(&self) -> usize {
        self.pieces.len() / self.width
    }

    /// Positions in the table.
    #[must_use]
    pub const fn positions(&self) -> usize {
        self.positions.len() / self.width
    }

    /// `E[id] + P[position]` at `feature`; in `−256 ..= 254`. Entries outside the tables are 0.
    #[must_use]
    pub fn sum(&self, id: u16, position: usize, feature: usize) -> i32 {
        let entry = |table: &[u8], row: usize| {
            let byte = table.get(row * self.width + feature).copied().unwrap_or(0);
            i32::from(byte.cast_signed())
        };
        entry(self.pieces, usize::from(id)) + entry(self.positions, position)
    }

    /// The constants of the piece `id` at `position`, for features times `2^scale_bits`.
    #[must_use]
    pub fn token(&self, id: u16, position: usize, scale_bits: u32) -> Token {
        let sum: i32 = (0..self.width).map(|f| self.sum(id, position, f)).sum();
        let square = |f| {
            let v = u64::from(self.centred(id, position, f, sum).unsigned_abs());
            v * v
        };
        let squares: u64 = (0..self.width).map(square).sum();
        // d = 2^log: sqrt(squares / d) = sqrt(squares · 2^odd) / 2^((log + odd) / 2).
        let log = self.width.trailing_zeros();
        let odd = log % 2;
        let factor = inverse_root(squares << odd, scale_bits + EXTRA_BITS + log.div_ceil(2));
        Token { sum, factor }
    }

    /// `round(2^scale_bits · n_feature)`, within `±`[`LIMIT`].
    #[must_use]
    pub fn normalised(&self, id: u16, position: usize, feature: usize, token: Token) -> i32 {
        let v = i64::from(self.centred(id, position, feature, token.sum));
        // |v| · factor is at most 2^(scale_bits + EXTRA_BITS) · sqrt(d), below 2^60.
        let product = v * token.factor.cast_signed();
        let rounded = (product + (1 << (EXTRA_BITS - 1))) >> EXTRA_BITS;
        saturated(rounded)
    }

    fn centred(&self, id: u16, position: usize, feature: usize, sum: i32) -> i32 {
        (self.sum(id, position, feature) << self.width.trailing_zeros()) - sum
    }
}

/// `x` limited to `±LIMIT` without a branch: the masks are hidden from compilers, which make jumps of
/// them otherwise.
#[expect(clippy::cast_possible_truncation, reason = "what is cut off is replaced")]
fn saturated(x: i64) -> i32 {
    let limit = i64::from(LIMIT);
    let above = black_box(((limit - x) >> 63) as i32);
    let below = black_box(((limit + x) >> 63) as i32);
    (x as i32 & !(above | below)) | (LIMIT & above) | (-LIMIT & below)
}

/// `2^bits / sqrt(x)`, to a relative error below `2^-35`, for `x < 2^41`; some number for `x = 0`.
///
/// `x = m · 4^-e · 2^42` with `m` in `[1/4, 1)`; then `y → y (3 − m y²) / 2` converges to
/// `1 / sqrt(m)` quadratically, and six steps suffice for every `m`.
fn inverse_root(x: u64, bits: u32) -> u64 {
    const POINT: u32 = 60;
    let (m, e) = normalised_pairs(x);
    let m = m << (POINT - 42);
    // The line through both ends is within 19 % of the curve.
    let mut y = (7u64 << POINT) / 3 - mul(m, (4u64 << POINT) / 3, POINT);
    for _ in 0..6 {
        let error = mul(m, mul(y, y, POINT), POINT);
        y = mul(y, (3 << POINT) - error, POINT) >> 1;
    }
    // 1 / sqrt(x) = 2^(e − 21) · y: the shift by e is done bit by bit, in constant time.
    let mut root = y >> (POINT + 21 - bits);
    for bit in 0..5 {
        let mask = u64::from((e >> bit) & 1).wrapping_neg();
        root = (root & !mask) | ((root << (1u32 << bit)) & mask);
    }
    root
}

/// `(m, e)` with `m = x · 4^e` in `2^40 .. 2^42`; `(0, 31)` for 0.
fn normalised_pairs(x: u64) -> (u64, u32) {
    let (mut m, mut e) = (x, 0);
    for bit in [4u32, 3, 2, 1, 0] {
        let shift = 2u32 << bit;
        let is_small = ((m >> (42 - shift)).wrapping_sub(1)) >> 63;
        let mask = is_small.wrapping_neg();
        m = (m & !mask) | ((m << shift) & mask);
        e |= (mask & 1) << bit;
    }
    #[expect(clippy::cast_possible_truncation, reason = "at most 31")]
    let e = e as u32;
    (m, e)
}

/// `a · b / 2^point`.
fn mul(a: u64, b: u64, point: u32) -> u64 {
    #[expect(clippy::cast_possible_truncation, reason = "arguments are below 2^62")]
    let product = ((u128::from(a) * u128::from(b)) >> point) as u64;
    product
}

impl zeroize::DefaultIsZeroes for Token {}

#[cfg(test)]
mod tests {
    use super::*;

    extern crate alloc;
    use alloc::vec::Vec;

    /// Bytes that look random, from a linear congruence.
    fn bytes(count: usize, mut state: u32) -> Vec<u8> {
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn messages_are_the_scaled_normalised_embedding() {
        for width in [4, 8, 64, 128] {
            let (pieces, positions) = (bytes(50 * width, 1), bytes(6 * width, 2));
            let table = EmbeddingTable::new(&pieces, &positions, width).unwrap();
            let d = f64::from(u32::try_from(width).unwrap());
            for id in 0..50u16 {
                let position = usize::from(id % 6);
                let x = |f| f64::from(table.sum(id, position, f));
                let sum: f64 = (0..width).map(x).sum();
                let square: f64 = (0..width).map(|f| (d * x(f) - sum) * (d * x(f) - sum)).sum();
                let token = table.token(id, position, 27);
                for f in 0..width {
                    let exact = (d * x(f) - sum) / libm::sqrt(square / d) * 134_217_728.0;
                    let message = f64::from(table.normalised(id, position, f, token));
                    assert!((message - exact).abs() <= 0.6, "{width} {id} {f}: {message} {exact}");
                }
            }
        }
    }

    #[test]
    fn inverse_roots_hold_their_precision_over_the_whole_range() {
        for x in (0..42).flat_map(|b| [1u64 << b, (1 << b) | 1, (1u64 << b) * 7 / 4]) {
            if x >= 1 << 42 {
                continue;
            }
            #[expect(clippy::cast_precision_loss, reason = "a test in double precision")]
            let (root, exact) =
                (inverse_root(x, 56) as f64, libm::ldexp(1.0, 56) / libm::sqrt(x as f64));
            assert!((root / exact - 1.0).abs() < libm::ldexp(1.0, -34), "{x}: {root} {exact}");
        }
    }

    #[test]
    fn a_constant_row_and_one_outside_the_table_are_zero() {
        let (pieces, positions) = ([5; 8], [0; 4]);
        let table = EmbeddingTable::new(&pieces, &positions, 4).unwrap();
        for id in [0, 1, 2, u16::MAX] {
            let token = table.token(id, 0, 28);
            assert!((0..4).all(|f| table.normalised(id, 0, f, token) == 0));
        }
    }

    #[test]
    fn an_outlier_saturates() {
        let mut pieces = [0; 128];
        pieces[3] = 0x80;
        let table = EmbeddingTable::new(&pieces, &[0; 128], 128).unwrap();
        let token = table.token(0, 0, 28);
        assert_eq!(table.normalised(0, 0, 3, token), -LIMIT);
    }

    #[test]
    fn refuses_tables_that_end_within_a_row() {
        assert!(EmbeddingTable::new(&[0; 7], &[0; 4], 4).is_err());
        assert!(EmbeddingTable::new(&[0; 8], &[], 4).is_err());
        assert!(EmbeddingTable::new(&[0; 6], &[0; 6], 6).is_err());
    }
}
