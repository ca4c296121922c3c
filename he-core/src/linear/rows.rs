//! Rows of tokens under the edge secret, at the base modulus.

use alloc::vec;
use alloc::vec::Vec;

use super::EdgePair;
use crate::Error;
use crate::eval::refresh::{Term, Weights};
use crate::ntt::bit_reversed;
use crate::params::Params;
use crate::ring::{Basis, Combination, Poly, Ring};

/// A matrix with fewer non-zero entries than one in so many is sparse.
const SPARSE: usize = 8;

/// Most rows that one call of a kernel makes: few enough to share between threads, and enough to
/// pay for the preparation of its operands.
const BLOCK_ROWS: usize = 256;

/// Rows, each `1 + r` blocks of `T` words for each base prime: the message block, then the `r`
/// blocks that meet the parts of the secret.
#[derive(Clone)]
pub struct Rows {
    /// `[prime][row][block][token]`.
    words: Vec<u32>,
    count: usize,
    tokens: usize,
    rank: usize,
    pub(crate) scale: f64,
}

impl core::fmt::Debug for Rows {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Rows {{ count: {}, scale: {} }}", self.count, self.scale)
    }
}

impl Rows {
    fn zero(count: usize, like: &Shape, scale: f64) -> Self {
        let words = vec![0; like.primes * count * like.width()];
        Self { words, count, tokens: like.tokens, rank: like.rank, scale }
    }

    /// Reads edge ciphertexts in coefficient form: ciphertext `i` gives rows `i·r .. (i+1)·r`,
    /// feature `f`, token `t` being coefficient `f + r·t`.
    #[must_use]
    pub fn from_edge(params: &Params, ciphertexts: &[EdgePair], scale: f64) -> Self {
        let shape = Shape::new(params);
        let rank = shape.rank;
        let mut rows = Self::zero(ciphertexts.len() * rank, &shape, scale);
        let (count, width) = (rows.count, shape.width());
        let primes: Vec<usize> = params.base().iter().collect();
        for (number, out) in rows.words.chunks_exact_mut(width).enumerate() {
            let (prime, row) = (number / count, number % count);
            let pair = &ciphertexts[row / rank];
            shape.read(params.primes()[primes[prime]], row % rank, pair, prime, out);
        }
        rows
    }

    /// How many rows there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    fn width(&self) -> usize {
        self.tokens * (1 + self.rank)
    }

    /// Row `row` modulo the base prime number `prime`.
    fn row(&self, prime: usize, row: usize) -> &[u32] {
        let start = (prime * self.count + row) * self.width();
        &self.words[start..start + self.width()]
    }

    /// Block `block` of every row, as `[row][token]`, modulo base prime number `prime`.
    pub(crate) fn token(&self, prime: usize, row: usize, block: usize, token: usize) -> u32 {
        self.row(prime, row)[block * self.tokens + token]
    }

    /// The same words as another count of rows of the same shape, all zero.
    fn blank(&self, count: usize, scale: f64) -> Self {
        let words = vec![0; self.words.len() / self.count.max(1) * count];
        Self { words, count, scale, ..*self }
    }

    /// Fills every row of `out` by `f(base prime number, row number, row)`, in parallel.
    fn fill(ring: &Ring, out: &mut Self, f: impl Fn(usize, usize, &mut [u32]) + Sync) {
        let (count, width) = (out.count, out.width());
        ring.for_each_limb(&mut out.words, width, |i, row| f(i / count, i % count, row));
    }

    /// See [`Refresh::select`](crate::eval::refresh::Refresh::select).
    pub(crate) fn select(
        &self,
        ring: &Ring,
        base: Basis,
        sums: &[Vec<Term>],
    ) -> Result<Self, Error> {
        let fits = |term: &Term| term.row < self.count && term.shift < 2 * self.tokens;
        if !sums.iter().flatten().all(fits) {
            return Err(Error::WrongLength { expected: self.count, found: sums.len() });
        }
        let primes: Vec<usize> = base.iter().collect();
        let mut out = self.blank(sums.len(), self.scale);
        Self::fill(ring, &mut out, |prime, row, words| {
            let (q, kernels) = (ring.modulus(primes[prime]), ring.kernels());
            let add = |out: &mut [u32], x: &[u32], negate: bool| match negate {
                false => kernels.add_assign(q, out, x),
                true => kernels.sub_assign(q, out, x),
            };
            for term in &sums[row] {
                let (by, flip) = (term.shift % self.tokens, term.shift >= self.tokens);
                let source = self.row(prime, term.row);
                if by == 0 {
                    add(words, source, flip);
                    continue;
                }
                let blocks = words.chunks_exact_mut(self.tokens);
                for (out, block) in blocks.zip(source.chunks_exact(self.tokens)) {
                    // What passes the last token comes back with another sign.
                    let (wrapped, straight) = out.split_at_mut(by);
                    let (head, tail) = block.split_at(self.tokens - by);
                    add(straight, head, flip);
                    add(wrapped, tail, !flip);
                }
            }
        });
        Ok(out)
    }

    /// See [`Refresh::concat`](crate::eval::refresh::Refresh::concat).
    pub(crate) fn concat(&self, other: &Self) -> Self {
        let mut out = self.blank(self.count + other.count, self.scale);
        let (left, right) = (self.count * self.width(), other.count * self.width());
        if left + right > 0 {
            for (prime, chunk) in out.words.chunks_exact_mut(left + right).enumerate() {
                chunk[..left].copy_from_slice(&self.words[prime * left..(prime + 1) * left]);
                chunk[left..].copy_from_slice(&other.words[prime * right..(prime + 1) * right]);
            }
        }
        out
    }

    /// `self + other`, row by row.
    pub(crate) fn add(&self, ring: &Ring, base: Basis, other: &Self) -> Result<Self, Error> {
        if self.count != other.count {
            return Err(Error::WrongLength { expected: self.count, found: other.count });
        }
        let primes: Vec<usize> = base.iter().collect();
        let mut out = self.clone();
        Self::fill(ring, &mut out, |prime, row, words| {
            let q = ring.modulus(primes[prime]);
            ring.kernels().add_assign(q, words, other.row(prime, row));
        });
        Ok(out)
    }

    /// Adds integers to every token of the listed rows.
    pub(crate) fn add_constants(
        &self,
        ring: &Ring,
        base: Basis,
        constants: &[(usize, i64)],
    ) -> Result<Self, Error> {
        let primes: Vec<usize> = base.iter().collect();
        let mut out = self.clone();
        for &(row, value) in constants {
            if row >= self.count {
                return Err(Error::WrongLength { expected: self.count, found: row });
            }
            for (number, &prime) in primes.iter().enumerate() {
                let q = ring.modulus(prime);
                let constant = q.reduce_signed(value);
                let start = (number * self.count + row) * self.width();
                for word in &mut out.words[start..start + self.tokens] {
                    *word = q.add(*word, constant);
                }
            }
        }
        Ok(out)
    }

    /// `out[g] = Σ_f w[f][g] · x[f]` on integers.
    pub(crate) fn matmul(
        &self,
        ring: &Ring,
        base: Basis,
        weights: &Weights,
    ) -> Result<Self, Error> {
        if weights.inputs != self.count || weights.entries.len() != weights.inputs * weights.outputs
        {
            return Err(Error::WrongLength { expected: weights.inputs, found: self.count });
        }
        let scale = self.scale * libm::ldexp(1.0, weights.frac_bits.cast_signed());
        let used = weights.entries.iter().filter(|&&w| w != 0).count();
        if used <= weights.entries.len() / SPARSE {
            return Ok(self.matmul_sparse(ring, base, weights, scale));
        }
        Ok(self.matmul_dense(ring, base, weights, scale))
    }

    /// A product with a matrix of mostly zeros, one row after another.
    fn matmul_sparse(&self, ring: &Ring, base: Basis, weights: &Weights, scale: f64) -> Self {
        let primes: Vec<usize> = base.iter().collect();
        let mut out = self.blank(weights.outputs, scale);
        Self::fill(ring, &mut out, |prime, row, words| {
            let q = ring.modulus(primes[prime]);
            let column = weights.entries.iter().skip(row).step_by(weights.outputs);
            let used = column.enumerate().filter(|(_, w)| **w != 0);
            let (inputs, factors): (Vec<&[u32]>, Vec<u32>) = used
                .map(|(f, &w)| (self.row(prime, f), q.montgomery(q.reduce_signed(w.into()))))
                .unzip();
            let limb = Combination { q, weights: &factors, out: words };
            ring.kernels().combine(&mut [limb], &inputs, q.value());
        });
        out
    }

    /// A product with any matrix, in blocks of rows.
    fn matmul_dense(&self, ring: &Ring, base: Basis, weights: &Weights, scale: f64) -> Self {
        let Weights { inputs, outputs, entries, .. } = weights;
        let primes: Vec<usize> = base.iter().collect();
        let blocks = outputs.div_ceil(BLOCK_ROWS);
        let height = outputs.div_ceil(blocks);
        let mut out = self.blank(*outputs, scale);
        let (all, block) = (outputs * out.width(), height * out.width());
        let limbs = out.words.chunks_exact_mut(all);
        let mut parts: Vec<_> = limbs.flat_map(|limb| limb.chunks_mut(block)).collect();
        ring.threads().for_each(&mut parts, 1, &|i, parts| {
            let (prime, first) = (i / blocks, i % blocks * height);
            let (q, last) = (ring.modulus(primes[prime]), (first + height).min(*outputs));
            let columns = (first..last).flat_map(|g| entries[g..].iter().step_by(*outputs));
            let factors: Vec<u32> = columns.map(|&w| q.reduce_signed(w.into())).collect();
            let rows: Vec<&[u32]> = (0..*inputs).map(|f| self.row(prime, f)).collect();
            for part in parts {
                ring.kernels().matmul(q, part, &rows, &factors);
            }
        });
        out
    }
}

/// The shape of rows for one parameter set.
struct Shape {
    tokens: usize,
    rank: usize,
    primes: usize,
}

impl Shape {
    fn new(params: &Params) -> Self {
        let tokens = 1 << params.log_tokens();
        let rank = (1 << params.log_edge_degree()) / tokens;
        Self { tokens, rank, primes: params.base().len() }
    }

    fn width(&self) -> usize {
        self.tokens * (1 + self.rank)
    }

    /// Row `f` of one ciphertext, modulo the base prime number `prime`, of value `q`.
    fn read(&self, q: u32, f: usize, pair: &EdgePair, prime: usize, out: &mut [u32]) {
        let (b, a) = (&pair.b[prime], &pair.a[prime]);
        let (message, blocks) = out.split_at_mut(self.tokens);
        (0..self.tokens).for_each(|t| message[t] = b[f + self.rank * t]);
        for (j, block) in blocks.chunks_exact_mut(self.tokens).enumerate() {
            if f >= j {
                (0..self.tokens).for_each(|t| block[t] = a[f - j + self.rank * t]);
            } else {
                // Multiplication by Y: the last token comes first, with its sign changed.
                let from = |t: usize| a[f + self.rank - j + self.rank * t];
                (1..self.tokens).for_each(|t| block[t] = from(t - 1));
                block[0] = negate(q, from(self.tokens - 1));
            }
        }
    }
}

fn negate(q: u32, x: u32) -> u32 {
    if x == 0 { 0 } else { q - x }
}

/// `X^block` polynomials of a pack: coefficient `o + K·t` is token `t` of the row at offset `o`.
pub(crate) fn scatter(ring: &Ring, base: Basis, rows: &Rows, block: usize) -> Poly {
    let count = rows.count;
    Poly::from_limbs(ring, base, |prime, limb| {
        let Some(number) = base.position(prime) else { return };
        for (i, word) in limb.iter_mut().enumerate() {
            // Slots see coefficients in bit-reversed order, and rows are numbered by slots.
            let row = bit_reversed(i % count, count);
            *word = rows.token(number, row, block, i / count);
        }
    })
}
