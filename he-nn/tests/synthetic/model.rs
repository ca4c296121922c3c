//! A small random model that keeps its declared ranges, and sentences for it.

use he_nn::TensorName;
use he_nn::model::{Config, Element, Kernel, LayerRanges, Model, Tensor, Window};

/// Tokens.
pub(crate) const TOKENS: usize = 16;
/// Features.
pub(crate) const WIDTH: usize = 8;
/// Fractional bits of the weights.
pub(crate) const FRAC_BITS: u32 = 10;

const HEADS: usize = 2;
const HIDDEN: usize = 16;

/// Numbers that look random.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    /// Uniform in `−1 .. 1`.
    pub(crate) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        f64::from(u32::try_from(self.0 >> 32).unwrap()) / 2f64.powi(31) - 1.0
    }
}

/// The configuration.
pub(crate) fn config() -> Config {
    let norm = Window { low: 0.4, high: 12.0 };
    let layer = |attention_norm| LayerRanges {
        kernel: Kernel::Gaussian { exponent: 16.0 },
        gate: 6.0,
        attention_norm,
        feed_forward_norm: norm,
    };
    Config {
        vocabulary: 1,
        tokens: TOKENS,
        width: WIDTH,
        heads: HEADS,
        hidden: HIDDEN,
        classes: 3,
        weight_frac_bits: FRAC_BITS,
        layers: vec![layer(None), layer(Some(norm))],
        head_norm: norm,
        tanh: 4.0,
    }
}

/// A softmax for which [`model`] keeps its ranges, of sentences of any length.
pub(crate) const SOFTMAX: Kernel =
    Kernel::Softmax { score: 3.0, sum: Window { low: 0.25, high: 32.0 } };

/// With other attention.
pub(crate) fn with_kernel(mut config: Config, kernel: Kernel) -> Config {
    config.layers.iter_mut().for_each(|layer| layer.kernel = kernel);
    config
}

/// A random model.
pub(crate) fn model(seed: u64) -> Model {
    model_of(config(), seed)
}

/// A random model of another configuration of the same shape.
pub(crate) fn model_of(config: Config, seed: u64) -> Model {
    let tensors = tensors(seed);
    let find = |name: TensorName| {
        let (_, shape, bytes) = tensors.iter().find(|(n, ..)| *n == name.to_string())?;
        Some(Tensor { shape, element: Element::I16, bytes })
    };
    Model::from_tensors(config, &find).unwrap()
}

/// Name, shape and bytes of every matrix.
pub(crate) type Named = (String, [usize; 2], Vec<u8>);

/// The matrices of a random model.
pub(crate) fn tensors(seed: u64) -> Vec<Named> {
    let mut numbers = Numbers(seed);
    let mut all = Vec::new();
    let mut push = |name: String, shape: [usize; 2], size: f64| {
        all.push((name.clone(), shape, matrix(&mut numbers, &name, shape, size)));
    };
    for l in 0..2 {
        for (part, size) in [("query", 0.15), ("key", 0.15), ("value", 0.4), ("output", 0.2)] {
            push(format!("layers.{l}.attention.{part}"), [WIDTH, WIDTH], size);
        }
        push(format!("layers.{l}.feed_forward.value"), [WIDTH, HIDDEN], 0.4);
        push(format!("layers.{l}.feed_forward.gate"), [WIDTH, HIDDEN], 0.5);
        push(format!("layers.{l}.feed_forward.output"), [HIDDEN, WIDTH], 0.2);
    }
    push("head.dense".into(), [WIDTH, WIDTH], 0.3);
    push("head.classes".into(), [WIDTH, 3], 0.5);
    all
}

/// Uniform entries up to `size`; rows of outputs sum to zero, and canaries are zero.
fn matrix(numbers: &mut Numbers, name: &str, [rows, columns]: [usize; 2], size: f64) -> Vec<u8> {
    let unit = f64::from(1u32 << FRAC_BITS);
    let mut bytes = Vec::new();
    for _ in 0..rows {
        #[expect(clippy::cast_possible_truncation, reason = "small numbers")]
        let mut row: Vec<i16> =
            (0..columns).map(|_| (numbers.next() * size * unit) as i16).collect();
        if name.ends_with("output") {
            row[0] -= row.iter().sum::<i16>();
        } else if name.ends_with("value") {
            row[columns - 1] = 0;
        }
        bytes.extend(row.into_iter().flat_map(i16::to_le_bytes));
    }
    bytes
}

/// A normalised embedding of `length` tokens, token by token.
pub(crate) fn embedding(seed: u64, length: usize) -> Vec<f64> {
    let mut numbers = Numbers(seed);
    let mut all = Vec::new();
    for t in 0..TOKENS {
        let x: Vec<f64> = (0..WIDTH).map(|_| numbers.next()).collect();
        let mean = x.iter().sum::<f64>() / 8.0;
        let square = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / 8.0;
        let is_real = if t < length { 1.0 } else { 0.0 };
        all.extend(x.iter().map(|x| is_real * (x - mean) / square.sqrt()));
    }
    all
}

/// The rows that a client would upload: all features but the last, and the mask.
pub(crate) fn upload(embedding: &[f64], length: usize) -> Vec<Vec<f64>> {
    let feature = |f: usize| embedding.iter().skip(f).step_by(WIDTH).copied().collect();
    let mut rows: Vec<Vec<f64>> = (0..WIDTH - 1).map(feature).collect();
    rows.push((0..TOKENS).map(|t| if t < length { 1.0 } else { 0.0 }).collect());
    rows
}
