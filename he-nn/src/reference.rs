//! The model in double precision, written as plain loops: what every other implementation is
//! compared with.
//!
//! It shares nothing with the encrypted forward pass but the model. The exponential, the error
//! function, the hyperbolic tangent and the square root are exact to the last bits.

use alloc::vec;
use alloc::vec::Vec;

use he_core::refresh::Weights;

use crate::client::embedding::EmbeddingTable;
use crate::model::{AttentionWeights, FeedForwardWeights, Kernel, Linear, Model};

/// The values between the stages of one forward pass; matrices are `tokens × features`, row-major.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    /// The residual stream after each half of a block.
    pub streams: Vec<Vec<f64>>,
    /// The attention's output before its last matrix, layer by layer.
    pub attention: Vec<Vec<f64>>,
    /// The largest kernel exponent of each layer, or the largest `|score|` of a softmax.
    pub exponents: Vec<f64>,
    /// The smallest and the largest sum of exponentials of each layer; of a Gaussian kernel 1, for nothing is divided.
    pub sums: Vec<(f64, f64)>,
    /// The largest `|gate|` of each layer.
    pub gates: Vec<f64>,
    /// Smallest and largest mean square before each normalisation, in order of execution.
    pub mean_squares: Vec<(f64, f64)>,
    /// The largest `|argument|` of the head's hyperbolic tangent.
    pub tanh: f64,
    /// The head's hyperbolic tangents.
    pub hidden: Vec<f64>,
    /// The result.
    pub logits: Vec<f64>,
}

/// The normalised embedding of `ids`, padded with zeros to `tokens` rows, in double precision.
#[must_use]
pub fn embed(table: &EmbeddingTable<'_>, ids: &[u16], tokens: usize) -> Vec<f64> {
    let width = table.width();
    let mut rows = vec![0.0; tokens * width];
    for (t, (&id, row)) in ids.iter().zip(rows.chunks_exact_mut(width)).enumerate() {
        let x = |f| f64::from(table.sum(id, t, f));
        let sum: f64 = (0..width).map(x).sum();
        for (f, v) in row.iter_mut().enumerate() {
            *v = to_f64(width) * x(f) - sum;
        }
        normalise(row, 0.0);
    }
    rows
}

/// Adds an update to a part of a linear layer: given the layer, the part (0 for queries, 1 for keys, 2 for values; 0 for
/// gates, 1 for values; 0 for others), its input and its output, token by token. The head's dense layer has one token.
pub type Update<'a> = dyn Fn(Linear, usize, &[f64], &mut [f64]) + 'a;

/// The forward pass on a normalised embedding of `tokens × width` values, the first `length`
/// tokens of which are real.
#[must_use]
pub fn forward(model: &Model, embedding: &[f64], length: usize) -> Trace {
    forward_with(model, embedding, length, &|_, _, _, _| {})
}

/// As [`forward`], with an update of linear layers.
#[must_use]
pub fn forward_with(model: &Model, embedding: &[f64], length: usize, update: &Update<'_>) -> Trace {
    let config = model.config();
    let width = config.width;
    let mask: Vec<f64> = (0..config.tokens).map(|t| if t < length { 1.0 } else { 0.0 }).collect();
    let mut trace = Trace::default();
    let mut stream = embedding.to_vec();
    for (l, layer) in model.layers().iter().enumerate() {
        let mut n = stream.clone();
        if l > 0 {
            normalise_tokens(&mut n, width, &mask, &mut trace);
        }
        let linear = |linear: Linear, part: usize, x: &[f64], weights: &Weights| {
            let mut y = product(x, weights);
            update(linear, part, x, &mut y);
            y
        };
        let project = |c, weights| linear(Linear::Projections(l), c, &n, weights);
        let AttentionWeights { query, key, value, output } = &layer.attention;
        let projections = [project(0, query), project(1, key), project(2, value)];
        let kernel = config.layers[l].kernel;
        let out = attention(&projections, (width, config.heads), kernel, &mask, &mut trace);
        accumulate(&mut stream, &linear(Linear::Output(l), 0, &out, output));
        trace.attention.push(out);
        trace.streams.push(stream.clone());
        let mut n = stream.clone();
        normalise_tokens(&mut n, width, &mask, &mut trace);
        let FeedForwardWeights { gate, value, output } = &layer.feed_forward;
        let inner = |part, weights| linear(Linear::Gates(l), part, &n, weights);
        let (gates, values) = (inner(0, gate), inner(1, value));
        trace.gates.push(largest(&gates));
        let units: Vec<f64> = gates.into_iter().zip(values).map(|(g, x)| gelu(g) * x).collect();
        accumulate(&mut stream, &linear(Linear::Units(l), 0, &units, output));
        trace.streams.push(stream.clone());
    }
    let mut first = stream.get(..width).unwrap_or_default().to_vec();
    normalise_tokens(&mut first, width, &[1.0], &mut trace);
    let mut dense = product(&first, &model.head().dense);
    update(Linear::Dense, 0, &first, &mut dense);
    trace.tanh = largest(&dense);
    trace.hidden = dense.into_iter().map(libm::tanh).collect();
    trace.logits = product(&trace.hidden, &model.head().classes);
    trace
}

/// `x · W` for rows `x` of a matrix.
fn product(x: &[f64], weights: &Weights) -> Vec<f64> {
    let unit = libm::ldexp(1.0, -weights.frac_bits.cast_signed());
    let mut out = Vec::with_capacity(x.len() / weights.inputs * weights.outputs);
    for row in x.chunks_exact(weights.inputs) {
        for g in 0..weights.outputs {
            let column = weights.entries.iter().skip(g).step_by(weights.outputs);
            let sum: f64 = row.iter().zip(column).map(|(x, &w)| x * f64::from(w)).sum();
            out.push(sum * unit);
        }
    }
    out
}

/// Every head's `Σ_j p_ij v_j`.
fn attention(
    [q, k, v]: &[Vec<f64>; 3],
    (width, heads): (usize, usize),
    kernel: Kernel,
    mask: &[f64],
    trace: &mut Trace,
) -> Vec<f64> {
    let depth = width / heads;
    let mut out = vec![0.0; mask.len() * width];
    let (mut largest, mut sums) = (0.0f64, (f64::INFINITY, 0.0f64));
    for (i, h) in (0..mask.len()).flat_map(|i| (0..heads).map(move |h| (i, h))) {
        let head = |t: usize| t * width + h * depth..t * width + (h + 1) * depth;
        let exponents = k.chunks_exact(width).map(|k| exponent(kernel, &q[head(i)], &k[head(0)]));
        let exponents: Vec<f64> = exponents.collect();
        largest = exponents.iter().fold(largest, |m, x| m.max(x.abs()));
        let weights: Vec<f64> =
            exponents.iter().zip(mask).map(|(x, mask)| libm::exp(*x) * mask).collect();
        let sum = match kernel {
            Kernel::Gaussian { .. } => 1.0,
            Kernel::Softmax { .. } => weights.iter().sum(),
        };
        sums = (sums.0.min(sum), sums.1.max(sum));
        for (j, weight) in weights.iter().enumerate() {
            let pairs = out[head(i)].iter_mut().zip(&v[head(j)]);
            pairs.for_each(|(out, v)| *out += weight / sum * v);
        }
    }
    trace.exponents.push(largest);
    trace.sums.push(sums);
    out
}

/// `−|q − k|²`, or `q·k`.
fn exponent(kernel: Kernel, q: &[f64], k: &[f64]) -> f64 {
    let pairs = q.iter().zip(k);
    match kernel {
        Kernel::Gaussian { .. } => -pairs.map(|(q, k)| (q - k) * (q - k)).sum::<f64>(),
        Kernel::Softmax { .. } => pairs.map(|(q, k)| q * k).sum(),
    }
}

/// The Gaussian error linear unit `x Φ(x)`, with the error function.
#[must_use]
pub fn gelu(x: f64) -> f64 {
    0.5 * x * (1.0 + libm::erf(x * core::f64::consts::FRAC_1_SQRT_2))
}

/// Its derivative `Φ(x) + x φ(x)`.
#[must_use]
pub fn gelu_slope(x: f64) -> f64 {
    let density = libm::exp(-x * x / 2.0) / libm::sqrt(2.0 * core::f64::consts::PI);
    0.5 * (1.0 + libm::erf(x * core::f64::consts::FRAC_1_SQRT_2)) + x * density
}

fn normalise_tokens(x: &mut [f64], width: usize, mask: &[f64], trace: &mut Trace) {
    let mut range = (f64::INFINITY, 0.0f64);
    for (row, mask) in x.chunks_exact_mut(width).zip(mask) {
        let mean_square = normalise(row, 1.0 - mask);
        range = (range.0.min(mean_square), range.1.max(mean_square));
    }
    trace.mean_squares.push(range);
}

/// Divides by the root of `extra` plus the mean square, and returns that sum.
fn normalise(row: &mut [f64], extra: f64) -> f64 {
    let mean_square = row.iter().map(|x| x * x).sum::<f64>() / to_f64(row.len()) + extra;
    let root = libm::sqrt(mean_square);
    if root > 0.0 {
        row.iter_mut().for_each(|x| *x /= root);
    }
    mean_square
}

fn accumulate(stream: &mut [f64], update: &[f64]) {
    stream.iter_mut().zip(update).for_each(|(x, y)| *x += y);
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |m, x| m.max(x.abs()))
}

#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
const fn to_f64(n: usize) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_function_unit_has_its_known_values() {
        assert!((gelu(1.0) - 0.841_344_746_068_542_9).abs() < 1e-15);
        assert!((gelu(-1.0) + 0.158_655_253_931_457_05).abs() < 1e-15);
        assert!(gelu(0.0).abs() < 1e-300);
    }

    #[test]
    fn a_normalised_row_has_mean_square_one() {
        let mut row = [3.0, -1.0, 2.0, 0.5];
        let mean_square = normalise(&mut row, 0.0);
        assert!((mean_square - 14.25 / 4.0).abs() < 1e-15);
        assert!((row.iter().map(|x| x * x).sum::<f64>() - 4.0).abs() < 1e-14);
    }
}
