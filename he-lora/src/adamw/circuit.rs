//! A step of the optimizer on the ciphertext that holds all of its state.

use he_core::circuit::polynomial;
use he_core::eval::mul_values;
use he_core::refresh::Refresh;
use he_nn::Error;
use he_nn::layout::factor_scale;

use super::AdamW;
use crate::parameters::Shape;
use crate::state::{Kind, Places};

/// The state after step `number`, from 1, from the state before it and a gradient in its own places, all in
/// one ciphertext at [`he_core::eval::Evaluator::default_scale`]: parameters, mean and squares, with
/// zeros where the next gradient goes. It takes four levels more than the inverse root.
///
/// # Errors
/// If a key is missing or no level is left.
pub fn step<E: Refresh>(
    eval: &E,
    shape: Shape,
    optimizer: &AdamW,
    number: u32,
    state: &E::Ciphertext,
) -> Result<E::Ciphertext, Error> {
    let places = Places::new(eval, shape)?;
    let factors = optimizer.factors(number);
    let (scale, root) = (eval.default_scale(), optimizer.inverse_root()?);
    let quarter = places.step(Kind::Mean);
    let aligned = eval.rotate_many(state, &[quarter, 2 * quarter, 3 * quarter])?;
    let [mean, square, gradient] = &aligned[..] else {
        return Err(Error::Unsupported("not three rotations came back"));
    };
    let masked = |x: &E::Ciphertext, factor: f64, to: f64| {
        let used = places.values(
            |kind, is_used| {
                if kind == Kind::Parameter && is_used { factor } else { 0.0 }
            },
        );
        mul_values(eval, x, &used, to)
    };
    let rates = |vector| factors.rate * optimizer.rates.of(vector);
    let keep = places.parameters(|vector| 1.0 - rates(vector) * optimizer.weight_decay);
    let theta = mul_values(eval, state, &keep, scale)?;
    let fresh = masked(gradient, 1.0 - optimizer.mean_decay, scale)?;
    let mean = eval.add(&masked(mean, optimizer.mean_decay, scale)?, &fresh)?;

    let weight = masked(gradient, 1.0 - optimizer.square_decay, scale)?;
    let gradient = eval.drop_level(gradient, eval.level(&weight))?;
    let fresh = eval.mul_rescaled(&weight, &gradient)?;
    let square = masked(square, optimizer.square_decay, eval.scale(&fresh))?;
    let square = eval.add(&square, &fresh)?;

    let level = eval.level(&square);
    let input = polynomial::input_scale(eval, level.saturating_sub(1), root.domain());
    let factor = input * eval.step(level) / eval.scale(&square);
    let unbiased = eval.rescale(&eval.mul_scalar(&square, factors.unbias, factor))?;
    let argument = eval.add_scalar(&unbiased, optimizer.epsilon);
    let level = eval.level(&argument).saturating_sub(root.depth());
    let rates = places.parameters(|vector| rates(vector) * factors.unbias_mean);
    let weighted = mul_values(eval, &mean, &rates, scale)?;
    let to = factor_scale(eval, &weighted, level);
    let root = polynomial::evaluate(eval, &argument, &root, to)?;
    let change = eval.mul_rescaled(&root, &eval.drop_level(&weighted, level)?)?;

    let low = eval.level(&change);
    let theta = eval.sub(&eval.drop_level(&theta, low)?, &change)?;
    let mean = eval.rotate(&eval.drop_level(&mean, low)?, -quarter)?;
    let square = eval.rotate(&eval.adjust(&square, low, scale)?, -2 * quarter)?;
    Ok(eval.add(&eval.add(&theta, &mean)?, &square)?)
}
