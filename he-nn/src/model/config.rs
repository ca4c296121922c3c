//! The shape of a model and the ranges that its approximations are declared for.

use alloc::vec::Vec;

use crate::Error;

/// A closed interval of positive numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// The lower end, above 0.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// What the values in one layer were calibrated to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerRanges {
    /// Kernel exponents `|q − k|²` are in `[0, exponent]`.
    pub exponent: f64,
    /// Gates are in `[−gate, gate]`.
    pub gate: f64,
    /// The mean square that enters the normalisation before the attention; the first layer has
    /// none, because its input comes normalised.
    pub attention_norm: Option<Window>,
    /// The mean square that enters the normalisation before the feed-forward network.
    pub feed_forward_norm: Window,
}

/// The shape of a model of the family `gk-bert`, as the configuration file states it.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Pieces in the vocabulary.
    pub vocabulary: usize,
    /// Tokens of a sentence, `T`: a power of two.
    pub tokens: usize,
    /// Features of a token, `d`: a power of two.
    pub width: usize,
    /// Attention heads: a power of two.
    pub heads: usize,
    /// Units of the gated feed-forward network: a power of two.
    pub hidden: usize,
    /// Classes.
    pub classes: usize,
    /// Weights are integers over `2^weight_frac_bits`.
    pub weight_frac_bits: u32,
    /// Ranges, layer by layer.
    pub layers: Vec<LayerRanges>,
    /// The mean square that enters the last normalisation.
    pub head_norm: Window,
    /// The head's hyperbolic tangent has arguments in `[−tanh, tanh]`.
    pub tanh: f64,
}

impl Config {
    /// Features of a head.
    #[must_use]
    pub fn head_width(&self) -> usize {
        self.width / self.heads
    }

    /// Checks the configuration against what the forward pass can do.
    ///
    /// # Errors
    /// If a size is not supported or a range is empty.
    pub fn check(&self) -> Result<(), Error> {
        let sizes = [self.tokens, self.width, self.heads, self.hidden];
        if !sizes.iter().all(|n| n.is_power_of_two()) {
            return Err(Error::Unsupported("tokens, width, heads and hidden are powers of two"));
        }
        if self.heads > self.width || self.tokens < 4 {
            return Err(Error::Unsupported("at least four tokens, at most `width` heads"));
        }
        if self.layers.len() != 2 {
            return Err(Error::Unsupported("two layers: all tokens, then the first token"));
        }
        if self.classes < 2 || self.classes > 3 {
            return Err(Error::Unsupported("two or three classes"));
        }
        if self.weight_frac_bits == 0 || self.weight_frac_bits > 16 {
            return Err(Error::Unsupported("between 1 and 16 fractional bits"));
        }
        let first = self.layers.first().and_then(|l| l.attention_norm);
        let second = self.layers.get(1).and_then(|l| l.attention_norm);
        if first.is_some() || second.is_none() {
            return Err(Error::Unsupported("only the first layer has a normalised input"));
        }
        let is_valid = |w: &Window| w.low > 0.0 && w.low < w.high && w.high.is_finite();
        let layers = self.layers.iter().all(|l| {
            l.exponent > 0.0
                && l.gate > 0.0
                && is_valid(&l.feed_forward_norm)
                && l.attention_norm.as_ref().is_none_or(is_valid)
        });
        if !layers || !is_valid(&self.head_norm) || self.tanh.is_nan() || self.tanh <= 0.0 {
            return Err(Error::Unsupported("every range has a positive width"));
        }
        Ok(())
    }
}
