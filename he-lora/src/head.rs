//! The head that was trained, forward: dense layer with its update and hyperbolic tangent, as training has
//! them too, and the answer of inference.
//!
//! Rows `u + 2·(c + 4·f)` as in [`he_nn::layer::head`], whose answer this has: `c < 3` holds the dense layer in
//! `u = 0` and the normalised features in `u = 1`, for every class; `c = 3` holds the canary alone, in `u = 1` of
//! feature 0.
//!
//! Inside the range of the hyperbolic tangent `T_30` is at most 1, and beyond it grows faster than what the tangent's
//! polynomial does. The canary takes up `Σ 2^-14 T_30` over the features: at most `2^-7` inside, and over `2^-5` where
//! an argument is 3 % beyond. It needs no level that scores do not.

use alloc::vec::Vec;

use he_core::circuit::chebyshev::Chebyshev;
use he_core::circuit::polynomial;
use he_core::eval::mul_values;
use he_core::refresh::Refresh;
use he_nn::Error;
use he_nn::approx::tangent;
use he_nn::layer::assembly::Assembly;
use he_nn::layer::normalisation::layout;
use he_nn::layer::update::Linears;
use he_nn::layout::{low_half, mul_to, row, sum_pairs, sum_rotations};
use he_nn::model::{Config, Linear, Model};

use crate::adapter::Adapter;
use crate::trained::Trained;

/// The digits.
const HALF: usize = 0;
const COPY: usize = 1;
const FEATURE: usize = 2;
/// The copy of the canary.
const CANARY: usize = 3;
/// The degree of the polynomial that the canary takes up, and its factor.
const GUARD_DEGREE: usize = 30;
const GUARD: f64 = 1.0 / 16384.0;

/// The dense layer in slots.
pub(crate) struct Hidden<E: Refresh> {
    /// The normalised features in `u = 0`.
    pub(crate) features: E::Ciphertext,
    /// `⟨down_r, n⟩` for each `r`.
    pub(crate) inner: Vec<E::Ciphertext>,
    /// The dense layer, as a polynomial of the tangent's domain takes it.
    argument: E::Ciphertext,
    /// Its hyperbolic tangent, in `u = 0`.
    pub(crate) hidden: E::Ciphertext,
}

impl<E: Refresh> Trained<E> {
    /// From the frozen dense layer in `u = 0` and the normalised features in `u = 1`.
    pub(crate) fn hidden(
        &self,
        eval: &E,
        config: &Config,
        x: &E::Ciphertext,
    ) -> Result<Hidden<E>, Error> {
        let layout = layout(eval, config)?;
        let features = eval.rotate(x, layout.step(HALF))?;
        let products = self.down.iter().map(|down| eval.mul_rescaled(&features, down));
        let products = products.collect::<Result<Vec<_>, _>>()?;
        let inner = sum_pairs(eval, &products, layout.step(FEATURE), 1..config.width)?;
        let is_lower = layout.values(|[u, ..], _| if u == 0 { 1.0 } else { 0.0 });
        let dense = match &self.adapter {
            None => mul_values(eval, x, &is_lower, eval.default_scale())?,
            Some(Adapter { scaling, .. }) => {
                let pairs: Vec<_> = inner.iter().zip(&self.up).collect();
                let update = eval.dot_rescaled(&pairs)?;
                let update = eval.with_scale(&update, eval.scale(&update) / scaling);
                let dense = eval.drop_level(x, eval.level(&update) + 1)?;
                eval.add(&mul_values(eval, &dense, &is_lower, eval.scale(&update))?, &update)?
            }
        };

        let tanh = tangent(config.tanh)?;
        let argument = polynomial::prepare(eval, &dense, tanh.domain())?;
        let hidden = polynomial::evaluate(eval, &argument, &tanh, eval.default_scale())?;
        Ok(Hidden { features, inner, argument, hidden })
    }

    /// The answer in slots, where [`he_nn::layer::head`] has it, in place of its `classify`: `rows` are normalised
    /// features and a row of zeros, `mask` a row whose token 0 is 1.
    ///
    /// # Errors
    /// If a key is missing or rows do not fit.
    pub fn classify(
        &self,
        eval: &E,
        model: &Model,
        (rows, mask): (&E::Rows, &E::Rows),
        linears: &mut Linears<'_, E>,
    ) -> Result<E::Ciphertext, Error> {
        let config = model.config();
        let (width, layout) = (config.width, layout(eval, config)?);
        let dense = Assembly::new(width + 1, 2 * width + 1, config.weight_frac_bits)
            .with(0, 0, &model.head().dense, 1)
            .with_identity(0, width, width + 1)
            .finish();
        let product = eval.matmul(rows, &dense)?;
        let product = linears.output(eval, config, (Linear::Dense, rows), product)?;
        let rows = eval.concat(&product, mask)?;
        let sums = layout.pack(|[u, c, f]| match (u, c, f) {
            (1, CANARY, 0) => alloc::vec![row(2 * width), row(2 * width + 1)],
            (_, CANARY, _) => Vec::new(),
            _ => alloc::vec![row(u * width + f)],
        });
        let level = linears.levels.next(eval)?;
        let x = low_half(eval, &eval.select(&rows, &sums)?, level)?;
        let Hidden { argument, hidden, .. } = self.hidden(eval, config, &x)?;

        let guard = guard(config)?;
        let guard = polynomial::evaluate(eval, &argument, &guard, eval.default_scale())?;
        let is_first = layout.values(|[u, c, _], t| if u + c + t == 0 { 1.0 } else { 0.0 });
        let scores = mul_to(eval, &self.classes, &hidden, eval.default_scale())?;
        let (level, scale) = (eval.level(&scores), eval.scale(&scores));
        let guard = eval.drop_level(&guard, level + 1)?;
        let guard = mul_values(eval, &guard, &is_first, scale)?;
        // From the first copy to the canary's, of the feature before.
        let guard = eval.rotate(&guard, layout.step(COPY))?;
        let is_canary =
            layout.values(|digits, t| if digits == [1, CANARY, 0] && t == 0 { 1.0 } else { 0.0 });
        let canary = mul_values(eval, &eval.drop_level(&x, level + 1)?, &is_canary, scale)?;
        let canary = eval.rotate(&canary, layout.step(HALF))?;
        let terms = eval.add(&eval.add(&scores, &guard)?, &canary)?;
        sum_rotations(eval, &terms, layout.step(FEATURE), 1..width)
    }
}

/// `2^-14 T_30` on the domain of the hyperbolic tangent.
fn guard(config: &Config) -> Result<Chebyshev, Error> {
    let mut coefficients = alloc::vec![0.0; GUARD_DEGREE];
    coefficients.push(GUARD);
    Ok(Chebyshev::new(coefficients, (-config.tanh, config.tanh))?)
}

#[cfg(test)]
mod tests {
    use he_nn::client::answer::TOLERANCE;

    use super::*;

    #[test]
    fn an_argument_that_the_tangent_is_wrong_for_is_over_the_canarys_tolerance() {
        let (tanh, mut coefficients) = (tangent(4.0).unwrap(), [0.0; GUARD_DEGREE + 1]);
        coefficients[GUARD_DEGREE] = GUARD;
        let guard = Chebyshev::new(coefficients.to_vec(), (-4.0, 4.0)).unwrap();
        let mut refused = false;
        for x in (0..800).map(|i| f64::from(i) / 100.0) {
            let error = (tanh.eval(x) - libm::tanh(x)).abs();
            let taken = guard.eval(x).abs();
            assert!(x > 4.0 || taken <= GUARD * 1.001, "{x}: {taken}");
            assert!(error < 1.0 / 64.0 || taken > f64::from(TOLERANCE), "{x}: {error} {taken}");
            refused |= taken > f64::from(TOLERANCE);
        }
        assert!(refused);
    }
}
