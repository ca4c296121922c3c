//! Slots to integer coefficients and back.

use alloc::vec;
use alloc::vec::Vec;

use crate::Error;
use crate::complex::Complex;
use crate::embedding::Embedding;
use crate::ring::Threads;

/// Encodes for one degree.
#[derive(Clone, Debug)]
pub struct Encoder {
    embedding: Embedding,
}

impl Encoder {
    /// The absolute value that coefficients stay below.
    pub const BOUND: f64 = (1_u64 << 62) as f64;

    /// An encoder for `N = 2^log_degree`.
    ///
    /// # Panics
    /// Unless `1 ≤ log_degree ≤` [`Embedding::MAX_LOG_DEGREE`].
    #[must_use]
    pub fn new(log_degree: u32) -> Self {
        Self { embedding: Embedding::new(log_degree) }
    }

    /// `N/2`.
    #[must_use]
    pub const fn slots(&self) -> usize {
        self.embedding.slots()
    }

    /// The transform underneath.
    #[must_use]
    pub const fn embedding(&self) -> &Embedding {
        &self.embedding
    }

    /// The `N` integers nearest to `scale` times the polynomial with these slots; missing ones are
    /// zero.
    ///
    /// # Errors
    /// If there are more than [`Self::slots`] values, or a coefficient is not below
    /// [`Self::BOUND`].
    pub fn coefficients(
        &self,
        threads: &dyn Threads,
        slots: &[Complex],
        scale: f64,
    ) -> Result<Vec<i64>, Error> {
        if slots.len() > self.slots() {
            return Err(Error::WrongLength { expected: self.slots(), found: slots.len() });
        }
        let mut values = vec![Complex::ZERO; self.slots()];
        values[..slots.len()].copy_from_slice(slots);
        self.embedding.slots_to_coefficients(threads, &mut values, |z| {
            Complex::new(libm::rint(z.re * scale), libm::rint(z.im * scale))
        });
        let (re, im) = (values.iter().map(|z| z.re), values.iter().map(|z| z.im));
        re.chain(im).map(integer).collect()
    }

    /// The slots of a polynomial given by its `N` coefficients, divided by `scale`.
    ///
    /// # Panics
    /// If there are not `N` coefficients.
    #[must_use]
    pub fn slots_of(&self, coefficients: &[f64], scale: f64) -> Vec<Complex> {
        assert_eq!(coefficients.len(), 2 * self.slots());
        let (re, im) = coefficients.split_at(self.slots());
        let share = 1.0 / scale;
        let mut values: Vec<Complex> =
            re.iter().zip(im).map(|(&re, &im)| Complex::new(re, im).scaled(share)).collect();
        self.embedding.coefficients_to_slots(&mut values);
        values
    }
}

/// An integer as such.
fn integer(x: f64) -> Result<i64, Error> {
    // Written so that a NaN is refused.
    if x.abs() < Encoder::BOUND {
        #[expect(clippy::cast_possible_truncation, reason = "below 2^62, and an integer")]
        return Ok(x as i64);
    }
    Err(Error::ValueOutOfRange)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::Serial;

    fn slots(count: u32) -> Vec<Complex> {
        let angle = |j: u32| Complex::root_of_unity(f64::from(j) * 0.618_033_988);
        (0..count).map(|j| angle(j * j % 10_007)).collect()
    }

    #[expect(clippy::cast_precision_loss, reason = "coefficients below 2^53")]
    fn decode(encoder: &Encoder, coefficients: &[i64], scale: f64) -> Vec<Complex> {
        let floats: Vec<f64> = coefficients.iter().map(|&c| c as f64).collect();
        encoder.slots_of(&floats, scale)
    }

    #[test]
    fn decoding_undoes_encoding_to_forty_bits() {
        for (log_degree, scale) in [(1, 50), (4, 50), (16, 50)] {
            let encoder = Encoder::new(log_degree);
            let original = slots(u32::try_from(encoder.slots()).unwrap());
            let scale = libm::exp2(f64::from(scale));
            let coefficients = encoder.coefficients(&Serial, &original, scale).unwrap();
            let found = decode(&encoder, &coefficients, scale);
            let error =
                original.iter().zip(&found).map(|(&a, &b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(-libm::log2(error) > 40.0, "log N = {log_degree}: {}", -libm::log2(error));
        }
    }

    #[test]
    fn a_real_constant_is_its_first_coefficient() {
        let encoder = Encoder::new(5);
        let coefficients =
            encoder.coefficients(&Serial, &[Complex::real(3.0); 16], 1024.0).unwrap();
        assert_eq!(coefficients[0], 3072);
        assert!(coefficients[1..].iter().all(|&c| c == 0));
    }

    #[test]
    fn missing_slots_are_zero() {
        let encoder = Encoder::new(6);
        let found =
            decode(&encoder, &encoder.coefficients(&Serial, &slots(5), 1e12).unwrap(), 1e12);
        assert!(found[5..].iter().all(|z| z.abs() < 1e-9));
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let encoder = Encoder::new(3);
        for value in [f64::NAN, f64::INFINITY, 2.0] {
            let slots = [Complex::real(value); 4];
            let found = encoder.coefficients(&Serial, &slots, Encoder::BOUND);
            assert_eq!(found, Err(Error::ValueOutOfRange));
        }
        assert_eq!(
            encoder.coefficients(&Serial, &[Complex::ZERO; 5], 1.0),
            Err(Error::WrongLength { expected: 4, found: 5 })
        );
    }
}
