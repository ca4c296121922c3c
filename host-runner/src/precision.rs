//! How close decrypted numbers are to those of the plaintext model.

/// The correct bits of `measured` after the binary point: `−log2` of the largest difference.
/// Infinite where the numbers are equal.
///
/// # Panics
/// If the lengths differ.
#[must_use]
pub fn error_bits(measured: &[f64], exact: &[f64]) -> f64 {
    assert_eq!(measured.len(), exact.len());
    let largest = measured.iter().zip(exact).map(|(m, e)| (m - e).abs()).fold(0.0, f64::max);
    if measured.iter().any(|m| m.is_nan()) { f64::NEG_INFINITY } else { -largest.log2() }
}

/// The place of the largest number; the first of several.
#[must_use]
pub fn largest(numbers: &[f64]) -> usize {
    let mut best = 0;
    for (i, number) in numbers.iter().enumerate() {
        if *number > numbers[best] {
            best = i;
        }
    }
    best
}

/// How far the largest number is above the next.
#[must_use]
pub fn margin(numbers: &[f64]) -> f64 {
    let best = largest(numbers);
    let others = numbers.iter().enumerate().filter(|(i, _)| *i != best).map(|(_, &n)| n);
    numbers.get(best).copied().unwrap_or(0.0) - others.fold(f64::NEG_INFINITY, f64::max)
}

/// The number in the middle; the lower of the two for an even count. `NaN` for none.
#[must_use]
pub fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

/// `exp(logit)`, normalised.
#[must_use]
pub fn probabilities(logits: &[f64]) -> Vec<f64> {
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = logits.iter().map(|x| (x - most).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|p| p / sum).collect()
}

/// `part / whole`.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
pub fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_difference_counts() {
        assert!((error_bits(&[1.0, 2.0], &[1.25, 2.0]) - 2.0).abs() < 1e-12);
        assert_eq!(error_bits(&[1.0], &[1.0]), f64::INFINITY);
        assert_eq!(error_bits(&[f64::NAN, 1.0], &[1.0, 1.0]), f64::NEG_INFINITY);
    }

    #[test]
    fn order_statistics_agree_with_the_definition() {
        assert_eq!(largest(&[0.5, 2.0, 2.0]), 1);
        assert!((margin(&[0.5, 2.0, -1.0]) - 1.5).abs() < 1e-12);
        assert_eq!(median(&[3.0, 1.0, 2.0]).to_bits(), 2.0f64.to_bits());
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]).to_bits(), 2.0f64.to_bits());
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn probabilities_sum_to_one_and_keep_ratios() {
        let p = probabilities(&[1000.0, 1001.0, 998.0]);
        assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!((p[1] / p[0] - 1f64.exp()).abs() < 1e-9);
    }
}
