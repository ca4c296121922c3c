//! The derivative of the loss by the scores.
//!
//! A softmax does not change when all scores do by the same, so it is taken of scores less their mean, `u`: then
//! `Σ e^u ≥ C`, and both polynomials have a window that the largest `|u|` alone declares.

use alloc::vec::Vec;

use he_core::circuit::chebyshev::Chebyshev;
use he_core::circuit::polynomial;
use he_core::eval::mul_values;
use he_core::refresh::{Refresh, Weights};
use he_nn::Error;
use he_nn::layer::normalisation::layout;
use he_nn::layout::{factor_scale, low_half, negated, row, sum_rotations};
use he_nn::levels::Levels;
use he_nn::model::Config;

use super::Training;
use crate::reference::Loss;

/// The digit of the class.
const COPY: usize = 1;
/// Scores are divided by this on rows, for the sake of the polynomial's scale.
pub(super) const PART: i32 = 4;

/// Whether the derivative is a function of the difference of two scores, which [`logistic`] is.
pub(super) fn is_logistic(config: &Config, training: &Training) -> bool {
    training.loss == Loss::CrossEntropy && config.classes == 2
}

/// `gain / (1 + e^(−v))` of differences `v` that are in slots over [`PART`], as are numbers of at most 1, whose images
/// mean nothing.
pub(super) fn logistic(training: &Training) -> Result<Chebyshev, Error> {
    let (gain, part) = (f64::from(training.gain), f64::from(PART));
    let largest = (2.0 * training.largest_score / part).max(1.0);
    Ok(Chebyshev::fit(|x| gain / (1.0 + libm::exp(-part * x)), (-largest, largest), 31)?)
}

/// Twice the derivatives from rows of scores and of labels' doubles, one for each class.
pub(super) fn derivative<E: Refresh>(
    eval: &E,
    (config, training): (&Config, &Training),
    scores: &E::Rows,
    doubles: &E::Rows,
    levels: &mut Levels<'_>,
) -> Result<E::Rows, Error> {
    let values = match training.loss {
        Loss::CrossEntropy => {
            softmax(eval, config, training.largest_score, scores, levels.next(eval)?)?
        }
        Loss::Squared => scores.clone(),
    };
    let both = eval.concat(&values, doubles)?;
    let classes = config.classes;
    let times = match training.loss {
        Loss::CrossEntropy => 1,
        Loss::Squared => 2,
    };
    let difference = |c| {
        let terms = [row(c), row(c), negated(row(classes + c), config.tokens)];
        terms.repeat(times)
    };
    Ok(eval.select(&both, &(0..classes).map(difference).collect::<Vec<_>>())?)
}

/// One row for each class, lower tokens only.
fn softmax<E: Refresh>(
    eval: &E,
    config: &Config,
    largest: f64,
    scores: &E::Rows,
    level: usize,
) -> Result<E::Rows, Error> {
    let (classes, layout) = (config.classes, layout(eval, config)?);
    let rows = eval.matmul(scores, &centred(config)?)?;
    let sums = layout.pack(|[_, c, _]| if c < classes { alloc::vec![row(c)] } else { Vec::new() });
    let x = low_half(eval, &eval.select(&rows, &sums)?, level)?;
    let x = eval.with_scale(&x, eval.scale(&x) / f64::from(PART));
    let count = u32::try_from(classes).map_err(|_| Error::Unsupported("too many classes"))?;
    let (exp, inverse) = polynomials(f64::from(count), largest)?;

    let exp = polynomial::evaluate(eval, &x, &exp, eval.default_scale())?;
    let level = eval.level(&exp).saturating_sub(1);
    let input = polynomial::input_scale(eval, level, inverse.domain());
    let is_class = layout.values(|[_, c, _], _| if c < classes { 1.0 } else { 0.0 });
    let exp = mul_values(eval, &exp, &is_class, input)?;
    // All features hold the same, so the copies are cyclic.
    let sum = sum_rotations(eval, &exp, layout.step(COPY), 1..layout.size(COPY))?;
    let level = eval.level(&sum).saturating_sub(inverse.depth());
    let to = factor_scale(eval, &exp, level);
    let inverse = polynomial::evaluate(eval, &sum, &inverse, to)?;
    let shares = eval.mul_rescaled(&inverse, &eval.drop_level(&exp, level)?)?;
    let all: Vec<_> = (0..classes).map(|c| alloc::vec![row(layout.row([0, c, 0]))]).collect();
    Ok(eval.select(&eval.slots_to_rows(&shares)?, &all)?)
}

/// The exponential and the inverse of sums of as many as there are classes.
fn polynomials(classes: f64, largest: f64) -> Result<(Chebyshev, Chebyshev), Error> {
    let exp = Chebyshev::fit(libm::exp, (-largest, largest), 15)?;
    let window = (0.9 * classes, libm::exp(largest) + classes);
    Ok((exp, Chebyshev::fit(|x| 1.0 / x, window, 31)?))
}

/// Scores less their mean, divided by [`PART`]; what is taken off is the same for all.
fn centred(config: &Config) -> Result<Weights, Error> {
    let classes = config.classes;
    let count = i32::try_from(classes).map_err(|_| Error::Unsupported("too many classes"))?;
    let one = (1 << config.weight_frac_bits) / PART;
    let mut entries = alloc::vec![-one / count; classes * classes];
    entries.iter_mut().step_by(classes + 1).for_each(|w| *w += one);
    Ok(Weights { inputs: classes, outputs: classes, entries, frac_bits: config.weight_frac_bits })
}

#[cfg(test)]
mod tests {
    use he_core::eval::clear::Clear;
    use he_core::eval::position::{RowShape, Shape};
    use he_nn::model::Window;

    use super::*;
    use crate::adamw::{AdamW, Schedule};
    use crate::parameters::{self, PerKind};
    use crate::training::PerMatrix;

    /// Sixteen tokens, eight features, three classes, at an INSECURE size.
    fn small() -> (Clear, Config, Training) {
        let rows = RowShape {
            tokens: 16,
            frac_bits: 10,
            product_scale: libm::exp2(38.0),
            rows_level: 3,
            computing_level: 14,
        };
        let eval = Clear::new(Shape::nominal(1 << 9).unwrap().with_rows(rows).unwrap());
        let window = Window { low: 0.5, high: 2.0 };
        let config = Config {
            vocabulary: 1,
            tokens: 16,
            width: 8,
            heads: 2,
            hidden: 16,
            classes: 3,
            weight_frac_bits: 10,
            layers: Vec::new(),
            head_norm: window,
            tanh: 4.0,
        };
        let optimizer = AdamW {
            rate: 0.1,
            schedule: Schedule::Constant,
            rates: PerKind::EQUAL,
            mean_decay: 0.9,
            square_decay: 0.9,
            weight_decay: 0.0,
            epsilon: 0.1,
            limit: 1.0,
            degree: 31,
        };
        let two = Config { classes: 2, ..config.clone() };
        let training = Training {
            shape: parameters::Shape::new(1, &two).unwrap(),
            scaling: 1.0,
            loss: Loss::CrossEntropy,
            gain: 1,
            gains: PerKind::EQUAL,
            largest_score: 4.0,
            optimizer,
            matrices: PerMatrix { gain: 1.0, rate: 1.0 },
        };
        (eval, config, training)
    }

    #[test]
    fn three_classes_have_the_derivative_of_their_softmax_or_of_their_squares() {
        let (eval, config, training) = small();
        let rows = |x: &[f64]| {
            let rows: Vec<Vec<f64>> = x.iter().map(|&x| alloc::vec![x; 16]).collect();
            eval.encrypt_rows(&rows).unwrap()
        };
        let (label, doubles) = ([0.0, 1.0, 0.0], [0.0, 2.0, 0.0]);
        for scores in [[0.5, -1.0, 2.5], [4.0, 3.0, -2.0], [-1.0, -1.0, -1.0]] {
            for loss in [Loss::CrossEntropy, Loss::Squared] {
                let training = Training { loss, ..training };
                let mut levels = Levels::default();
                let setting = (&config, &training);
                let found =
                    derivative(&eval, setting, &rows(&scores), &rows(&doubles), &mut levels)
                        .unwrap();
                let (_, wanted) = loss.evaluate(&scores, &label);
                for (row, wanted) in found.values().iter().zip(wanted) {
                    let error = (row[0] / 2.0 - wanted).abs();
                    assert!(error < libm::exp2(-11.0), "{scores:?}: {} {wanted}", row[0]);
                }
            }
        }
    }

    #[test]
    fn the_logistic_function_is_exact_to_sixteen_bits() {
        let logistic = |x: f64| 1.0 / (1.0 + libm::exp(-4.0 * x));
        let p = Chebyshev::fit(logistic, (-2.0, 2.0), 31).unwrap();
        assert!(p.max_error(logistic) < libm::exp2(-16.0));
    }

    #[test]
    fn polynomials_are_exact_to_eleven_bits_of_a_share() {
        for classes in [2.0, 3.0] {
            let (exp, inverse) = polynomials(classes, 4.0).unwrap();
            let error = exp.max_error(libm::exp) / libm::exp(4.0);
            assert!(error < libm::exp2(-12.0), "2^{:.1}", libm::log2(error));
            let error = inverse.max_error(|x| 1.0 / x) * classes;
            assert!(error < libm::exp2(-12.0), "2^{:.1}", libm::log2(error));
        }
    }
}
