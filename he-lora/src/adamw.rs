//! AdamW with decoupled weight decay and corrected biases, in the clear and on one ciphertext.
//!
//! `θ ← (1 − η λ) θ − η m̂ / √(v̂ + ε)`: `ε` is under the root, so that the argument of the inverse root
//! is in a declared window. Everything that depends on the number of the step is public. Loshchilov and
//! Hutter, *Decoupled Weight Decay Regularization* (ICLR 2019), algorithm 2; the window after Rho et al.,
//! *Encryption-Friendly LLM Architecture* (ICLR 2025), section 5.

mod circuit;

use he_core::circuit::chebyshev::Chebyshev;
use he_nn::Error;

pub use self::circuit::{step, update};
use crate::parameters::{Parameters, PerKind};

/// How the learning rate changes with the number of steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Schedule {
    /// Always 1.
    Constant,
    /// Rises from 0 during the first steps, then falls to 0 at the last one.
    Linear {
        /// Steps that rise.
        warmup: u32,
        /// All steps.
        total: u32,
    },
    /// As `Linear`, falling like a half cosine.
    Cosine {
        /// Steps that rise.
        warmup: u32,
        /// All steps.
        total: u32,
    },
}

impl Schedule {
    /// The part of the learning rate in step `number`, from 1: in `0 ..= 1`.
    #[must_use]
    pub fn factor(self, number: u32) -> f64 {
        let (warmup, total) = match self {
            Self::Constant => return 1.0,
            Self::Linear { warmup, total } | Self::Cosine { warmup, total } => (warmup, total),
        };
        if number <= warmup {
            return f64::from(number) / f64::from(warmup);
        }
        let rest = f64::from(total.saturating_sub(warmup).max(1));
        let done = (f64::from(number - warmup) / rest).min(1.0);
        match self {
            Self::Cosine { .. } => 0.5 * (1.0 + libm::cos(core::f64::consts::PI * done)),
            _ => 1.0 - done,
        }
    }
}

/// The optimizer's settings, for gradients in units of the declared gain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// The largest learning rate, `η`.
    pub rate: f64,
    /// How it changes.
    pub schedule: Schedule,
    /// What it is multiplied by for each kind of vector.
    pub rates: PerKind,
    /// Decay of the mean of gradients, `β₁`.
    pub mean_decay: f64,
    /// Decay of the mean of their squares, `β₂`.
    pub square_decay: f64,
    /// What is taken off the parameters, `λ`.
    pub weight_decay: f64,
    /// Added to the squares, `ε`: the lower end of the window.
    pub epsilon: f64,
    /// The largest square that the window is declared for.
    pub limit: f64,
    /// The degree of the inverse root's polynomial.
    pub degree: usize,
}

/// The state of the optimizer besides the parameters. Zeroized on drop.
#[expect(missing_debug_implementations, reason = "made of private gradients")]
pub struct Moments {
    /// The mean of gradients.
    pub mean: Parameters,
    /// The mean of their squares.
    pub square: Parameters,
}

/// What depends on the number of a step alone.
#[derive(Clone, Copy, Debug)]
struct Factors {
    /// The learning rate.
    rate: f64,
    /// What means are multiplied by.
    unbias_mean: f64,
    /// What squares are multiplied by.
    unbias: f64,
}

impl AdamW {
    /// The inverse root on the window.
    ///
    /// # Errors
    /// If the window is empty.
    pub fn inverse_root(&self) -> Result<Chebyshev, Error> {
        let window = (self.epsilon, self.epsilon + self.limit);
        Ok(Chebyshev::fit(|x| 1.0 / libm::sqrt(x), window, self.degree)?)
    }

    /// Step `number`, from 1, in the clear, with an inverse root of the caller's.
    pub fn apply(
        &self,
        number: u32,
        parameters: &mut Parameters,
        moments: &mut Moments,
        gradient: &Parameters,
        inverse_root: &dyn Fn(f64) -> f64,
    ) {
        for vector in parameters.shape().vectors() {
            let mean = moments.mean.vector_mut(vector);
            let state = [parameters.vector_mut(vector), mean, moments.square.vector_mut(vector)];
            let rate = self.rates.of(vector);
            self.apply_to((number, rate), state, gradient.vector(vector), inverse_root);
        }
    }

    /// The same for any parameters, their means and squares, with a part of the learning rate.
    pub fn apply_to(
        &self,
        (number, part): (u32, f64),
        [theta, mean, square]: [&mut [f64]; 3],
        gradient: &[f64],
        inverse_root: &dyn Fn(f64) -> f64,
    ) {
        let factors = self.factors(number);
        let rate = factors.rate * part;
        let keep = 1.0 - rate * self.weight_decay;
        let means = mean.iter_mut().zip(square);
        for ((theta, g), (mean, square)) in theta.iter_mut().zip(gradient).zip(means) {
            *mean = self.mean_decay * *mean + (1.0 - self.mean_decay) * g;
            *square = self.square_decay * *square + (1.0 - self.square_decay) * g * g;
            let root = inverse_root(*square * factors.unbias + self.epsilon);
            *theta = keep * *theta - rate * factors.unbias_mean * *mean * root;
        }
    }

    fn factors(&self, number: u32) -> Factors {
        let rate = self.rate * self.schedule.factor(number);
        let bias = |decay: f64| 1.0 - libm::pow(decay, f64::from(number));
        Factors {
            rate,
            unbias_mean: 1.0 / bias(self.mean_decay),
            unbias: 1.0 / bias(self.square_decay),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_rise_and_fall_to_zero() {
        let linear = Schedule::Linear { warmup: 4, total: 12 };
        let cosine = Schedule::Cosine { warmup: 4, total: 12 };
        for schedule in [linear, cosine] {
            assert!((schedule.factor(1) - 0.25).abs() < 1e-15);
            assert!((schedule.factor(4) - 1.0).abs() < 1e-15);
            assert!((schedule.factor(8) - 0.5).abs() < 1e-15);
            assert!(schedule.factor(12).abs() < 1e-15 && schedule.factor(99).abs() < 1e-15);
            assert!((4..12).all(|n| schedule.factor(n) > schedule.factor(n + 1)));
        }
        assert!((Schedule::Constant.factor(7) - 1.0).abs() < 1e-15);
    }

    #[test]
    fn the_first_step_is_the_sign_of_the_gradient_where_it_is_large() {
        let optimizer = AdamW {
            rate: 0.5,
            schedule: Schedule::Constant,
            rates: PerKind::EQUAL,
            mean_decay: 0.9,
            square_decay: 0.99,
            weight_decay: 0.0,
            epsilon: 1e-12,
            limit: 1.0,
            degree: 31,
        };
        let factors = optimizer.factors(1);
        for g in [-3.0, 0.25] {
            let (mean, square) = (0.1 * g, 0.01 * g * g);
            let step = factors.rate * factors.unbias_mean * mean
                / libm::sqrt(square * factors.unbias + 1e-12);
            assert!((step - 0.5 * f64::signum(g)).abs() < 1e-9, "{step}");
        }
    }
}
