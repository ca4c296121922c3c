//! Rows of tokens under the edge secret, at the base modulus.

use alloc::vec;
use alloc::vec::Vec;

use super::EdgePair;
use crate::Error;
use crate::eval::refresh::{Term, Weights};
use crate::ntt::bit_reversed;
use crate::params::Params;
use crate::ring::{Basis, Combination, Ring};

/// A matrix with fewer non-zero entries than one in so many is sparse.
const SPARSE: usize = 8;

/// Most rows that one call of a kernel makes: few enough to share between threads, and enough to
/// pay for the preparation of its operands.
const BLOCK_ROWS: usize = 256;

/// Words of a line of a cache: as many rows are read side by side.
const LINE: usize = 16;

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
    /// Reads edge ciphertexts in coefficient form. Row `f` of ciphertext `i` has token `t` at
    /// coefficient `f + r·t`; row `number` of the result is row `place(number) mod r` of ciphertext
    /// `place(number) / r`.
    #[must_use]
    pub(crate) fn from_edge(
        ring: &Ring,
        params: &Params,
        ciphertexts: &[EdgePair],
        scale: f64,
        place: impl Fn(usize) -> usize + Sync,
    ) -> Self {
        let tokens = 1 << params.log_tokens();
        let rank = (1 << params.log_edge_degree()) / tokens;
        let (shape, primes) = (Shape { tokens, rank }, params.base());
        let count = ciphertexts.len() * rank;
        let words = ring.threads().words(primes.len() * count * shape.width());
        let mut rows = Self { words, count, tokens, rank, scale };
        let values: Vec<u32> = primes.iter().map(|prime| params.primes()[prime]).collect();
        Self::fill(ring, &mut rows, |prime, row, out| {
            let at = place(row);
            shape.read(values[prime], at % rank, &ciphertexts[at / rank], prime, out);
        });
        rows
    }

    /// How many rows there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Row `row` times `factor` as an edge ciphertext: token `t` is at coefficient `r·t`. What other
    /// coefficients hold has no meaning.
    pub(crate) fn to_edge(&self, ring: &Ring, base: Basis, row: usize, factor: u32) -> EdgePair {
        let shape = Shape { tokens: self.tokens, rank: self.rank };
        let limbs = base.iter().enumerate().map(|(prime, number)| {
            let q = ring.modulus(number);
            let factor = q.reduce(factor.into());
            let words: Vec<u32> =
                self.row(prime, row).iter().map(|&word| q.mul(word, factor)).collect();
            shape.write(q.value(), &words)
        });
        let (b, a) = limbs.unzip();
        EdgePair { b, a }
    }

    fn width(&self) -> usize {
        self.tokens * (1 + self.rank)
    }

    /// Row `row` modulo the base prime number `prime`.
    fn row(&self, prime: usize, row: usize) -> &[u32] {
        let start = (prime * self.count + row) * self.width();
        &self.words[start..start + self.width()]
    }

    /// Block `block` as a polynomial of a pack: coefficient `o + K·t` is token `t` of the row at offset
    /// `o`, modulo a prime of the base.
    pub(crate) fn scatter(&self, base: Basis, prime: usize, block: usize, limb: &mut [u32]) {
        let Some(prime) = base.position(prime) else { return };
        for first in (0..self.count).step_by(LINE) {
            // Slots see coefficients in bit-reversed order, and rows are numbered by slots.
            let row = |offset| self.row(prime, bit_reversed(offset, self.count));
            let sources = (first..self.count).take(LINE).map(row);
            let sources: Vec<_> =
                sources.map(|row| &row[block * self.tokens..][..self.tokens]).collect();
            for (token, words) in limb.chunks_exact_mut(self.count).enumerate() {
                let words = words[first..].iter_mut().zip(&sources);
                words.for_each(|(word, source)| *word = source[token]);
            }
        }
    }

    /// As many words as another count of rows of the same shape has, to be written before they are
    /// read.
    fn blank(&self, ring: &Ring, count: usize, scale: f64) -> Self {
        let words = ring.threads().words(self.words.len() / self.count.max(1) * count);
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
        let mut out = self.blank(ring, sums.len(), self.scale);
        Self::fill(ring, &mut out, |prime, row, words| {
            let (q, kernels) = (ring.modulus(primes[prime]), ring.kernels());
            let add = |out: &mut [u32], x: &[u32], negate: bool| match negate {
                false => kernels.add_assign(q, out, x),
                true => kernels.sub_assign(q, out, x),
            };
            let terms = match &sums[row][..] {
                [Term { row, shift: 0 }, terms @ ..] => {
                    words.copy_from_slice(self.row(prime, *row));
                    terms
                }
                terms => {
                    words.fill(0);
                    terms
                }
            };
            for term in terms {
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
    pub(crate) fn concat(&self, ring: &Ring, other: &Self) -> Self {
        let mut out = self.blank(ring, self.count + other.count, self.scale);
        Self::fill(ring, &mut out, |prime, row, words| {
            words.copy_from_slice(match row.checked_sub(self.count) {
                None => self.row(prime, row),
                Some(row) => other.row(prime, row),
            });
        });
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
        let mut out = self.blank(ring, weights.outputs, scale);
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
        let mut out = self.blank(ring, *outputs, scale);
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
}

impl Shape {
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

    /// The edge ciphertext `(b, a)` whose row 0 reads as `words`: the inverse of [`Self::read`] for `f = 0`.
    fn write(&self, q: u32, words: &[u32]) -> (Vec<u32>, Vec<u32>) {
        let (message, blocks) = words.split_at(self.tokens);
        let (mut b, mut a) = (vec![0; self.tokens * self.rank], vec![0; self.tokens * self.rank]);
        (0..self.tokens).for_each(|t| b[self.rank * t] = message[t]);
        for (j, block) in blocks.chunks_exact(self.tokens).enumerate() {
            for t in 0..self.tokens {
                a[(self.rank - j) % self.rank + self.rank * t] = match (j, t + 1 == self.tokens) {
                    (0, _) => block[t],
                    (_, false) => block[t + 1],
                    (_, true) => negate(q, block[0]),
                };
            }
        }
        (b, a)
    }
}

fn negate(q: u32, x: u32) -> u32 {
    if x == 0 { 0 } else { q - x }
}
