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
    let scale = eval.default_scale();
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

    let rates = places.parameters(|vector| rates(vector) * factors.unbias_mean);
    let weighted = mul_values(eval, &mean, &rates, scale)?;
    let change = change(eval, (optimizer, factors.unbias), &square, &weighted)?;

    let low = eval.level(&change);
    let theta = eval.sub(&eval.drop_level(&theta, low)?, &change)?;
    let mean = eval.rotate(&eval.drop_level(&mean, low)?, -quarter)?;
    let square = eval.rotate(&eval.adjust(&square, low, scale)?, -2 * quarter)?;
    Ok(eval.add(&eval.add(&theta, &mean)?, &square)?)
}

/// The parameters, the mean and the squares after step `number`, from 1, from those before it and the gradient, each a
/// ciphertext of its own at the default scale, all at one level: elementwise, so in whatever places they are. Every entry
/// has the learning rate as it is. It takes four levels more than the inverse root.
///
/// # Errors
/// If a key is missing or no level is left.
pub fn update<E: Refresh>(
    eval: &E,
    optimizer: &AdamW,
    number: u32,
    [theta, mean, square, gradient]: [&E::Ciphertext; 4],
) -> Result<[E::Ciphertext; 3], Error> {
    let (factors, scale) = (optimizer.factors(number), eval.default_scale());
    let times = |x: &E::Ciphertext, factor: f64, to: f64| {
        let by = to * eval.step(eval.level(x)) / eval.scale(x);
        eval.rescale(&eval.mul_scalar(x, factor, by))
    };
    let theta = times(theta, 1.0 - factors.rate * optimizer.weight_decay, scale)?;
    let fresh = times(gradient, 1.0 - optimizer.mean_decay, scale)?;
    let mean = eval.add(&times(mean, optimizer.mean_decay, scale)?, &fresh)?;

    let weight = times(gradient, 1.0 - optimizer.square_decay, scale)?;
    let gradient = eval.drop_level(gradient, eval.level(&weight))?;
    let fresh = eval.mul_rescaled(&weight, &gradient)?;
    let square = eval.add(&times(square, optimizer.square_decay, eval.scale(&fresh))?, &fresh)?;

    let weighted = times(&mean, factors.rate * factors.unbias_mean, scale)?;
    let change = change(eval, (optimizer, factors.unbias), &square, &weighted)?;
    let low = eval.level(&change);
    let theta = eval.sub(&eval.drop_level(&theta, low)?, &change)?;
    Ok([theta, eval.drop_level(&mean, low)?, eval.adjust(&square, low, scale)?])
}

/// What is taken off the parameters, at the default scale: the mean of gradients times its factors, over the root of the
/// squares.
fn change<E: Refresh>(
    eval: &E,
    (optimizer, unbias): (&AdamW, f64),
    square: &E::Ciphertext,
    weighted: &E::Ciphertext,
) -> Result<E::Ciphertext, Error> {
    let (root, level) = (optimizer.inverse_root()?, eval.level(square));
    let input = polynomial::input_scale(eval, level.saturating_sub(1), root.domain());
    let factor = input * eval.step(level) / eval.scale(square);
    let unbiased = eval.rescale(&eval.mul_scalar(square, unbias, factor))?;
    let argument = eval.add_scalar(&unbiased, optimizer.epsilon);
    let level = eval.level(&argument).saturating_sub(root.depth());
    let to = factor_scale(eval, weighted, level);
    let root = polynomial::evaluate(eval, &argument, &root, to)?;
    Ok(eval.mul_rescaled(&root, &eval.drop_level(weighted, level)?)?)
}
