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

impl Window {
    fn is_valid(&self) -> bool {
        self.low > 0.0 && self.low < self.high && self.high.is_finite()
    }
}

/// How queries and keys make the weights of values, and the ranges it is declared for. A head's width is folded into the
/// matrices either way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kernel {
    /// `exp(−|q − k|²)`, as it is.
    Gaussian {
        /// Exponents `|q − k|²` are in `[0, exponent]`.
        exponent: f64,
    },
    /// `exp(q·k)` over its sum for all keys of the sentence.
    Softmax {
        /// Scores `q·k` are in `[−score, score]`, with `score` at most [`Self::MAX_SCORE`].
        score: f64,
        /// The sums of exponentials, of padding's queries too; `high / low` is at most [`Self::MAX_RATIO`].
        sum: Window,
    },
}

impl Kernel {
    /// The largest score that the series for exponentials is made for.
    pub const MAX_SCORE: f64 = 6.0;
    /// The largest ratio of sums that the series for inverses is made for.
    pub const MAX_RATIO: f64 = 128.0;

    fn is_valid(&self) -> bool {
        match *self {
            Self::Gaussian { exponent } => exponent > 0.0,
            Self::Softmax { score, sum } => {
                score > 0.0
                    && score <= Self::MAX_SCORE
                    && sum.is_valid()
                    && sum.high <= Self::MAX_RATIO * sum.low
            }
        }
    }
}

/// What the values in one layer were calibrated to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerRanges {
    /// The weights of values.
    pub kernel: Kernel,
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
        if !self.layers.iter().all(|layer| layer.kernel.is_valid()) {
            return Err(Error::Unsupported(
                "exponents above 0; scores to 6, sums to a ratio of 128",
            ));
        }
        let layers = self.layers.iter().all(|l| {
            l.gate > 0.0
                && l.feed_forward_norm.is_valid()
                && l.attention_norm.as_ref().is_none_or(Window::is_valid)
        });
        if !layers || !self.head_norm.is_valid() || self.tanh.is_nan() || self.tanh <= 0.0 {
            return Err(Error::Unsupported("every range has a positive width"));
        }
        Ok(())
    }
}
