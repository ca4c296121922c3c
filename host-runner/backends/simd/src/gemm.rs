//! Products of rows of residues with matrices of small integers, in signed words of 16 bits.
//!
//! A residue `x = x₀ + 2^13 x₁` has `|x₀| ≤ 2^12` and a short `x₁`, so two products of 16 bits take the
//! place of one, and what instruction sets have is the sum of two such products in each word of 32 bits.
//! Two inputs share a word, their sums over all inputs stay in registers, and are reduced once.

use he_core::modulus::Modulus;
use he_core::ring::{Kernels, Portable};

use crate::lanes::{self, Factors, Lanes, Task};

/// Bits of `x₀`.
const LOW_BITS: u32 = 13;
/// Above `|x₀|`, or equal.
const HALF: u32 = 1 << (LOW_BITS - 1);
/// Widest prime: `x₁` has 14 bits.
const MAX_BITS: u32 = 27;
/// Added to signed sums, so that their words are not below zero.
const BIAS: u32 = 1 << 31;
/// Columns that are prepared at a time: those of some hundred inputs fit the second cache.
const COLUMNS: usize = 128;

/// See [`Kernels::matmul`]. Wide primes and weights of more than 15 bits and a sign are left to the reference.
pub(crate) fn matmul<L: Lanes>(
    lanes: L,
    q: Modulus,
    out: &mut [u32],
    rows: &[&[u32]],
    weights: &[u32],
) {
    let largest = weights.iter().map(|&w| q.centred(w).unsigned_abs()).fold(1, u32::max);
    if q.value() >> MAX_BITS > 0 || largest >> 15 > 0 {
        return Portable.matmul(q, out, rows, weights);
    }
    // As many sums of the registers as there are, but for the operands.
    match L::REGISTERS {
        32.. => product::<L, 12>(lanes, q, out, (rows, weights), largest),
        _ => product::<L, 5>(lanes, q, out, (rows, weights), largest),
    }
}

/// The product, `ROWS` rows of it at a time.
fn product<L: Lanes, const ROWS: usize>(
    lanes: L,
    q: Modulus,
    out: &mut [u32],
    (rows, weights): (&[&[u32]], &[u32]),
    largest: u32,
) {
    let (inputs, width) = (rows.len(), rows[0].len());
    assert_eq!(weights.len() / inputs * width, out.len());
    assert!(weights.len().is_multiple_of(inputs) && rows.iter().all(|row| row.len() == width));
    let longest = HALF.max(high(q.value()));
    // Two at least: both factors are below `2^15`. Their sums stay below `2^31`.
    let terms = ((BIAS - 1) / (longest * largest)) & !1;
    let terms = usize::try_from(terms).unwrap_or(usize::MAX);
    out.fill(0);
    for (rows, first) in rows.chunks(terms).zip((0..inputs).step_by(terms)) {
        let weight = |row: usize, input: usize| {
            let weight = weights.get(row * inputs + first + input).filter(|_| input < rows.len());
            weight.map_or(0, |&w| q.centred(w).cast_unsigned())
        };
        let pairs = rows.len().div_ceil(2);
        let mut panels = Vec::with_capacity(weights.len().div_ceil(inputs * ROWS) * pairs * ROWS);
        for group in (0..weights.len() / inputs).step_by(ROWS) {
            for input in (0..2 * pairs).step_by(2) {
                let pair = |row| joined(weight(row, input), weight(row, input + 1));
                panels.extend((group..group + ROWS).map(pair));
            }
        }
        let scratch = vec![0; pairs * 2 * COLUMNS];
        lanes.run_dots(AddProduct::<ROWS> { q, out: &mut *out, rows, panels, scratch });
    }
}

/// `out += weights · rows`, of as many inputs as sums have room for.
struct AddProduct<'a, const ROWS: usize> {
    q: Modulus,
    out: &'a mut [u32],
    rows: &'a [&'a [u32]],
    /// For each group of `ROWS` rows of the result and each pair of inputs a word for each row.
    panels: Vec<u32>,
    /// For each register of columns and each pair of inputs `x₀` and `x₁`.
    scratch: Vec<u32>,
}

impl<L: Lanes, const ROWS: usize> Task<L> for AddProduct<'_, ROWS> {
    #[inline(always)]
    fn run(mut self, lanes: L) {
        let (q, width, pairs) = (self.q, self.rows[0].len(), self.rows.len().div_ceil(2));
        let sums = Sums::new(lanes, q);
        for start in (0..width).step_by(COLUMNS) {
            let end = width.min(start + COLUMNS);
            prepare::<L>(&mut self.scratch, self.rows, start..end);
            let panels = self.panels.chunks_exact(pairs * ROWS);
            for (panel, group) in panels.zip(self.out.chunks_mut(ROWS * width)) {
                let blocks = self.scratch.chunks_exact(pairs * 2 * L::WIDTH);
                for (block, at) in blocks.zip((start..end).step_by(L::WIDTH)) {
                    let tile = tile::<L, ROWS>(lanes, panel, block);
                    for (row, pair) in group.chunks_exact_mut(width).zip(tile) {
                        let mut words = [0; 16];
                        if let [to, ..] = L::split_mut(&mut words).0 {
                            lanes.store(to, sums.reduce(lanes, pair));
                        }
                        let row = &mut row[at..end.min(at + L::WIDTH)];
                        row.iter_mut().zip(words).for_each(|(out, x)| *out = q.add(*out, x));
                    }
                }
            }
        }
    }
}

/// Writes the pieces of these columns, pair by pair of inputs; an odd one is alone in its words.
#[inline(always)]
fn prepare<L: Lanes>(scratch: &mut [u32], rows: &[&[u32]], columns: core::ops::Range<usize>) {
    const ZEROS: [u32; COLUMNS] = [0; COLUMNS];
    let pairs = rows.len().div_ceil(2);
    for (number, pair) in rows.chunks(2).enumerate() {
        let first = &pair[0][columns.clone()];
        let second = pair.get(1).map_or(&ZEROS[..first.len()], |row| &row[columns.clone()]);
        let blocks = scratch.chunks_exact_mut(pairs * 2 * L::WIDTH);
        let columns = first.chunks(L::WIDTH).zip(second.chunks(L::WIDTH));
        for (block, (first, second)) in blocks.zip(columns) {
            let (lows, highs) =
                block[number * 2 * L::WIDTH..][..2 * L::WIDTH].split_at_mut(L::WIDTH);
            let pieces = lows.iter_mut().zip(highs);
            for ((x0, x1), (&a, &b)) in pieces.zip(first.iter().zip(second)) {
                (*x0, *x1) = (joined(low(a), low(b)), joined(high(a), high(b)));
            }
        }
    }
}

/// The sums of products with `x₀` and those with `x₁`, for each row and a register of columns.
#[inline(always)]
fn tile<L: Lanes, const ROWS: usize>(
    lanes: L,
    panel: &[u32],
    block: &[u32],
) -> [[L::Register; 2]; ROWS] {
    let mut sums = [[lanes.splat(BIAS); 2]; ROWS];
    let pieces = L::split(block).0.as_chunks().0;
    for (weights, [low, high]) in panel.as_chunks::<ROWS>().0.iter().zip(pieces) {
        let (low, high) = (lanes.load(low), lanes.load(high));
        for ([lows, highs], &w) in sums.iter_mut().zip(weights) {
            let w = lanes.splat(w);
            *lows = lanes.add_dot(*lows, low, w);
            *highs = lanes.add_dot(*highs, high, w);
        }
    }
    sums
}

/// How pairs of sums become residues.
struct Sums<L: Lanes> {
    q: L::Register,
    one: Factors<L>,
    shift: Factors<L>,
    bias: L::Register,
}

impl<L: Lanes> Sums<L> {
    #[inline(always)]
    fn new(lanes: L, q: Modulus) -> Self {
        let bias = q.reduce(u64::from(BIAS) + (u64::from(BIAS) << LOW_BITS));
        Self {
            q: lanes.splat(q.value()),
            one: Factors::splat(lanes, q.factor(1)),
            shift: Factors::splat(lanes, q.factor(q.reduce(1 << LOW_BITS))),
            bias: lanes.splat(bias),
        }
    }

    /// `lows + 2^13 highs`, both biased.
    #[inline(always)]
    fn reduce(&self, lanes: L, [lows, highs]: [L::Register; 2]) -> L::Register {
        let (lows, highs) =
            (self.one.mul(lanes, lows, self.q), self.shift.mul(lanes, highs, self.q));
        let sum = lanes::add(lanes, lows, highs, self.q);
        lanes::sub(lanes, sum, self.bias, self.q)
    }
}

/// `x₀`, in `[−2^12, 2^12)`.
#[inline(always)]
const fn low(x: u32) -> u32 {
    (x.wrapping_add(HALF) & (2 * HALF - 1)).wrapping_sub(HALF)
}

/// `x₁`.
#[inline(always)]
const fn high(x: u32) -> u32 {
    x.wrapping_add(HALF) >> LOW_BITS
}

/// Two signed words of 16 bits in one of 32.
#[inline(always)]
const fn joined(a: u32, b: u32) -> u32 {
    a & 0xffff | b << 16
}
