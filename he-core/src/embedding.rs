//! The special Fourier transform of the canonical embedding, in place.
//!
//! A real polynomial `m` of degree below `N` has the `N/2` slots `m(ζ^(5^j))`, `ζ = exp(iπ/N)`. As
//! `5^j = 1 mod 4`, the upper half of the coefficients enters with a factor `i`, so slots are `N/2`
//! values of the complex polynomial with coefficients `m_k + i·m_(k+N/2)`, and a fast Fourier
//! transform of half the length computes them. After Cheon, Han, Kim, Kim and Song, *Bootstrapping
//! for Approximate Homomorphic Encryption* (<https://eprint.iacr.org/2018/153>), section 5.

use alloc::vec;
use alloc::vec::Vec;

use crate::complex::Complex;
use crate::ntt::bit_reversed;
use crate::ring::Threads;

/// Parts that the inverse transform is cut into, each for one thread at a time.
const PARTS: usize = 16;

/// The twiddle factors of one degree.
#[derive(Clone, Debug)]
pub struct Embedding {
    /// For every half block length `h`, at `h + j`: `exp(2πi · 5^j / 8h)`.
    twiddles: Vec<Complex>,
}

impl Embedding {
    /// The largest supported `log2 N`.
    pub const MAX_LOG_DEGREE: u32 = 17;

    /// Twiddle factors for `N = 2^log_degree`.
    ///
    /// # Panics
    /// Unless `1 ≤ log_degree ≤` [`Self::MAX_LOG_DEGREE`].
    #[must_use]
    pub fn new(log_degree: u32) -> Self {
        assert!((1..=Self::MAX_LOG_DEGREE).contains(&log_degree));
        let slots = 1 << (log_degree - 1);
        let mut twiddles = vec![Complex::ZERO; slots];
        let mut half = 1;
        let mut order: u32 = 8;
        while half < slots {
            let mut exponent: u32 = 1;
            for twiddle in &mut twiddles[half..2 * half] {
                *twiddle = Complex::root_of_unity(f64::from(exponent) / f64::from(order));
                exponent = 5 * exponent % order;
            }
            half *= 2;
            order *= 2;
        }
        Self { twiddles }
    }

    /// `N/2`.
    #[must_use]
    pub const fn slots(&self) -> usize {
        self.twiddles.len()
    }

    /// From coefficients `m_k + i·m_(k+N/2)` at place `k` to slots at place `j`.
    ///
    /// # Panics
    /// If there are not `N/2` values.
    pub fn coefficients_to_slots(&self, values: &mut [Complex]) {
        assert_eq!(values.len(), self.slots());
        reverse(values);
        let mut half = 1;
        while half < values.len() {
            let twiddles = &self.twiddles[half..2 * half];
            for block in values.chunks_exact_mut(2 * half) {
                let (left, right) = block.split_at_mut(half);
                for ((a, b), &twiddle) in left.iter_mut().zip(right).zip(twiddles) {
                    let t = *b * twiddle;
                    (*a, *b) = (*a + t, *a - t);
                }
            }
            half *= 2;
        }
    }

    /// The inverse of [`Self::coefficients_to_slots`], with what `finish` makes of each value.
    ///
    /// # Panics
    /// If there are not `N/2` values.
    #[expect(clippy::cast_precision_loss, reason = "at most 2^16 slots")]
    pub fn slots_to_coefficients(
        &self,
        threads: &dyn Threads,
        values: &mut Vec<Complex>,
        finish: impl Fn(Complex) -> Complex + Sync,
    ) {
        let count = values.len();
        assert_eq!(count, self.slots());
        let parts = PARTS.min(count);
        let (length, width) = (count / parts, (count / parts).div_ceil(PARTS));
        // Layers between parts: a group is the same columns of every part.
        let mut rows: Vec<_> =
            values.chunks_exact_mut(length).map(|part| part.chunks_exact_mut(width)).collect();
        let columns = (0..length / width)
            .flat_map(|_| rows.iter_mut().filter_map(Iterator::next).collect::<Vec<_>>());
        threads.for_each_complex(&mut columns.collect::<Vec<_>>(), parts, &|i, group| {
            let mut half = parts / 2;
            while half > 0 {
                for block in group.chunks_exact_mut(2 * half) {
                    let (left, right) = block.split_at_mut(half);
                    for (row, (left, right)) in left.iter_mut().zip(right).enumerate() {
                        self.divide(half * length + row * length + i * width, left, right);
                    }
                }
                half /= 2;
            }
        });
        // Layers within parts.
        let mut blocks: Vec<_> = values.chunks_exact_mut(length).collect();
        threads.for_each_complex(&mut blocks, 1, &|_, block| {
            let mut half = length / 2;
            while half > 0 {
                for block in block.iter_mut().flat_map(|part| part.chunks_exact_mut(2 * half)) {
                    let (left, right) = block.split_at_mut(half);
                    self.divide(half, left, right);
                }
                half /= 2;
            }
        });
        let (share, mut straight) = (1.0 / count as f64, vec![Complex::ZERO; count]);
        let mut blocks: Vec<_> = straight.chunks_exact_mut(length).collect();
        threads.for_each_complex(&mut blocks, 1, &|i, block| {
            for (k, out) in block.iter_mut().flat_map(|part| part.iter_mut()).enumerate() {
                *out = finish(values[bit_reversed(i * length + k, count)].scaled(share));
            }
        });
        *values = straight;
    }

    /// Butterflies of as many pairs, with the twiddle factors from `first` on.
    fn divide(&self, first: usize, left: &mut [Complex], right: &mut [Complex]) {
        for ((a, b), &twiddle) in left.iter_mut().zip(right).zip(&self.twiddles[first..]) {
            (*a, *b) = (*a + *b, (*a - *b) * twiddle.conjugate());
        }
    }
}

/// Moves the value at each place to the place with the bits in reverse.
fn reverse(values: &mut [Complex]) {
    for i in 0..values.len() {
        let j = bit_reversed(i, values.len());
        if i < j {
            values.swap(i, j);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::Serial;

    fn noise(seed: u64) -> impl FnMut() -> f64 {
        let mut state = seed;
        move || {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            f64::from(u32::try_from(state >> 32).unwrap()) / f64::from(1_u32 << 31) - 1.0
        }
    }

    fn values(slots: usize, seed: u64) -> Vec<Complex> {
        let mut next = noise(seed);
        (0..slots).map(|_| Complex::new(next(), next())).collect()
    }

    fn bits(a: &[Complex], b: &[Complex]) -> f64 {
        let worst = a.iter().zip(b).map(|(&a, &b)| (a - b).abs()).fold(0.0, f64::max);
        -libm::log2(worst)
    }

    #[test]
    fn slots_are_values_at_powers_of_five() {
        for log_degree in 1..=9 {
            let embedding = Embedding::new(log_degree);
            let slots = embedding.slots();
            let coefficients = values(slots, 1);
            let degree = u32::try_from(2 * slots).unwrap();
            let mut exponent = 1;
            let expected: Vec<Complex> = (0..slots)
                .map(|_| {
                    let mut sum = Complex::ZERO;
                    let mut turn = 0;
                    for &c in &coefficients {
                        let turns = f64::from(turn) / f64::from(2 * degree);
                        sum += c * Complex::root_of_unity(turns);
                        turn = (turn + exponent) % (2 * degree);
                    }
                    exponent = 5 * exponent % (2 * degree);
                    sum
                })
                .collect();
            let mut found = coefficients;
            embedding.coefficients_to_slots(&mut found);
            assert!(bits(&found, &expected) > 44.0, "N = {degree}: {}", bits(&found, &expected));
        }
    }

    #[test]
    fn round_trips_keep_their_bits_up_to_the_largest_degree() {
        for log_degree in [1, 2, 3, 10, 16, 17] {
            let embedding = Embedding::new(log_degree);
            let original = values(embedding.slots(), 2);
            let mut found = original.clone();
            embedding.slots_to_coefficients(&Serial, &mut found, |z| z);
            embedding.coefficients_to_slots(&mut found);
            assert!(bits(&found, &original) > 46.0, "log N = {log_degree}");
        }
    }

    #[test]
    fn products_of_polynomials_are_products_of_slots() {
        // X times X^(N/2 − 1) is X^(N/2), which is i in every slot.
        let embedding = Embedding::new(6);
        let (mut x, mut y) = (vec![Complex::ZERO; 32], vec![Complex::ZERO; 32]);
        x[1] = Complex::real(1.0);
        y[31] = Complex::real(1.0);
        embedding.coefficients_to_slots(&mut x);
        embedding.coefficients_to_slots(&mut y);
        let product: Vec<Complex> = x.iter().zip(&y).map(|(&x, &y)| x * y).collect();
        assert!(bits(&product, &[Complex::new(0.0, 1.0); 32]) > 48.0);
    }
}
