//! `config.json`: what a model says about itself.

use anyhow::{Context, Result, ensure};
use he_nn::model::{self, Config, Kernel, Window};
use serde::Deserialize;

/// The only family of models so far: a transformer of BERT's shape, with a Gaussian kernel or a softmax.
const FAMILY: &str = "gk-bert";

/// The file's fields, as they stand there.
#[derive(Clone, Debug, Deserialize)]
pub struct ConfigFile {
    /// The family of architectures.
    pub family: String,
    /// Transformer blocks.
    pub layers: usize,
    /// Features of the residual stream.
    pub width: usize,
    /// Attention heads.
    pub heads: usize,
    /// Gated units of a feed-forward layer.
    pub glu: usize,
    /// How queries and keys make weights: `gaussian`, where nothing is said, or `softmax`.
    #[serde(default)]
    pub attention: Attention,
    /// The gate's activation.
    pub activation: String,
    /// Tokens of the longest input.
    pub tokens: usize,
    /// Classes of the answer.
    pub classes: usize,
    /// A name for each class.
    pub labels: Vec<String>,
    /// Fractional bits of every weight.
    pub weight_frac_bits: u32,
    /// Pieces of the vocabulary.
    pub vocabulary: usize,
    /// Declared ranges of what is approximated.
    pub ranges: Ranges,
}

/// A kind of attention.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Attention {
    /// A Gaussian kernel.
    #[default]
    Gaussian,
    /// A softmax.
    Softmax,
}

/// Domains `[low, high]` outside which an approximation is not valid.
#[derive(Clone, Debug, Deserialize)]
pub struct Ranges {
    /// One entry a layer.
    pub layers: Vec<LayerRanges>,
    /// Mean squares entering each normalisation.
    pub norms: Norms,
    /// Inputs of the head's tanh.
    pub tanh: [f64; 2],
}

/// Domains within one layer.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct LayerRanges {
    /// Squared distances of queries and keys, for a Gaussian kernel.
    pub exponent: Option<[f64; 2]>,
    /// Scores, for a softmax.
    pub score: Option<[f64; 2]>,
    /// Sums of exponentials, for a softmax.
    pub sum: Option<[f64; 2]>,
    /// Inputs of the gate's activation.
    pub gate: [f64; 2],
}

/// Windows of mean squares, by the normalisation's place.
#[derive(Clone, Debug, Deserialize)]
pub struct Norms(pub serde_json::Map<String, serde_json::Value>);

impl Norms {
    /// The window of the normalisation called `name`.
    ///
    /// # Errors
    /// If it is missing or is not two numbers in order.
    pub fn window(&self, name: &str) -> Result<Window> {
        let value = self.0.get(name).with_context(|| format!("no range for '{name}'"))?;
        let window: [f64; 2] = serde_json::from_value(value.clone())
            .with_context(|| format!("the range of '{name}' is not two numbers"))?;
        ensure!(window[0] > 0.0 && window[0] < window[1], "the range of '{name}' is empty");
        Ok(Window { low: window[0], high: window[1] })
    }
}

impl ConfigFile {
    /// Reads the file's bytes.
    ///
    /// # Errors
    /// If they are not JSON, a field is missing, or the model is of another family.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let config: Self = serde_json::from_slice(bytes)?;
        ensure!(config.family == FAMILY, "family '{}' is not '{FAMILY}'", config.family);
        ensure!(config.activation == "gelu", "activation '{}' is not 'gelu'", config.activation);
        ensure!(config.layers > 0 && config.width > 0 && config.heads > 0, "an empty model");
        ensure!(
            config.width.is_multiple_of(config.heads),
            "{} features do not divide into {} heads",
            config.width,
            config.heads
        );
        ensure!(
            config.labels.len() == config.classes,
            "{} labels for {} classes",
            config.labels.len(),
            config.classes
        );
        ensure!(
            config.ranges.layers.len() == config.layers,
            "ranges of {} layers for {} layers",
            config.ranges.layers.len(),
            config.layers
        );
        Ok(config)
    }

    /// The shape and the ranges, as the model takes them.
    ///
    /// # Errors
    /// If a range is missing, empty, or not of its kind, or a size is not supported.
    pub fn shape(&self) -> Result<Config> {
        let norms = &self.ranges.norms;
        let layers = self.ranges.layers.iter().enumerate().map(|(number, ranges)| {
            let norm = |place| norms.window(&format!("layers.{number}.{place}"));
            Ok(model::LayerRanges {
                kernel: kernel(self.attention, ranges)?,
                gate: symmetric("gate", ranges.gate)?,
                attention_norm: if number == 0 { None } else { Some(norm("norm1")?) },
                feed_forward_norm: norm("norm2")?,
            })
        });
        let config = Config {
            vocabulary: self.vocabulary,
            tokens: self.tokens,
            width: self.width,
            heads: self.heads,
            hidden: self.glu,
            classes: self.classes,
            weight_frac_bits: self.weight_frac_bits,
            layers: layers.collect::<Result<_>>()?,
            head_norm: norms.window("head.norm")?,
            tanh: symmetric("tanh", self.ranges.tanh)?,
        };
        config.check()?;
        Ok(config)
    }
}

/// The kind of attention with its ranges.
fn kernel(attention: Attention, ranges: &LayerRanges) -> Result<Kernel> {
    let range = |name, range: Option<[f64; 2]>| {
        range.with_context(|| format!("no range '{name}', which this attention has"))
    };
    Ok(match attention {
        Attention::Gaussian => Kernel::Gaussian {
            exponent: from_zero("exponent", range("exponent", ranges.exponent)?)?,
        },
        Attention::Softmax => {
            let [low, high] = range("sum", ranges.sum)?;
            ensure!(low > 0.0 && low < high, "the range of 'sum' is empty");
            let score = symmetric("score", range("score", ranges.score)?)?;
            Kernel::Softmax { score, sum: Window { low, high } }
        }
    })
}

/// The upper end of a range that begins at zero.
fn from_zero(name: &str, [low, high]: [f64; 2]) -> Result<f64> {
    ensure!(low.abs() < f64::EPSILON && high > 0.0, "the range of '{name}' is not [0, x]");
    Ok(high)
}

/// The upper end of a range around zero.
fn symmetric(name: &str, [low, high]: [f64; 2]) -> Result<f64> {
    ensure!(
        (low + high).abs() < f64::EPSILON && high > 0.0,
        "the range of '{name}' is not [-x, x]"
    );
    Ok(high)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{"family": "gk-bert", "name": "edge", "layers": 2, "width": 8,
        "heads": 2, "ffn": 16, "glu": 8, "activation": "gelu", "tokens": 4, "classes": 2,
        "labels": ["negative", "positive"], "weight_frac_bits": 10, "vocabulary": 9,
        "ranges": {"layers": [{"exponent": [0.0, 16.0], "gate": [-6, 6]},
                              {"exponent": [0.0, 15.0], "gate": [-5, 5]}],
                   "norms": {"layers.0.norm2": [0.1, 3.0], "layers.1.norm1": [0.2, 4],
                             "layers.1.norm2": [0.3, 5], "head.norm": [0.5, 15.0]},
                   "tanh": [-4, 4], "entry": [-16, 16]}}"#;

    #[test]
    fn a_whole_file_is_read() {
        let config = ConfigFile::parse(FILE.as_bytes()).unwrap().shape().unwrap();
        assert_eq!((config.width, config.hidden, config.vocabulary), (8, 8, 9));
        assert_eq!(config.head_norm, Window { low: 0.5, high: 15.0 });
        assert_eq!(config.layers[1].kernel, Kernel::Gaussian { exponent: 15.0 });
        assert_eq!(config.layers[1].gate, 5.0);
        assert_eq!(config.layers[0].attention_norm, None);
        assert_eq!(config.layers[1].attention_norm, Some(Window { low: 0.2, high: 4.0 }));
    }

    #[test]
    fn a_softmax_has_ranges_of_its_own() {
        let softmax = FILE
            .replace("\"gelu\"", "\"gelu\", \"attention\": \"softmax\"")
            .replace("\"exponent\": [0.0, 16.0]", "\"score\": [-4, 4], \"sum\": [1, 64]")
            .replace("\"exponent\": [0.0, 15.0]", "\"score\": [-3, 3], \"sum\": [2, 99]");
        let shape = |text: &str| ConfigFile::parse(text.as_bytes()).and_then(|file| file.shape());
        let layers = shape(&softmax).unwrap().layers;
        let sum = Window { low: 2.0, high: 99.0 };
        assert_eq!(layers[1].kernel, Kernel::Softmax { score: 3.0, sum });
        for (from, to, part) in [
            ("[-4, 4], \"sum\": [1, 64]", "[-4, 4]", "sum"),
            ("\"sum\": [1, 64]", "\"sum\": [0, 64]", "sum"),
            ("\"sum\": [1, 64]", "\"sum\": [0.1, 64]", "128"),
            ("\"score\": [-4, 4]", "\"score\": [-3, 4]", "score"),
            ("\"score\": [-4, 4]", "\"score\": [-40, 40]", "scores"),
            ("\"softmax\"", "\"gaussian\"", "exponent"),
            ("\"softmax\"", "\"linear\"", "linear"),
        ] {
            let error = shape(&softmax.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (from, to, part) in [
            ("gk-bert", "bert", "family"),
            ("\"gelu\"", "\"relu\"", "activation"),
            ("\"heads\": 2", "\"heads\": 3", "heads"),
            ("\"classes\": 2", "\"classes\": 3", "classes"),
            ("\"layers\": 2", "\"layers\": 3", "layers"),
            ("\"tanh\": [-4, 4]", "\"tanh\": [4, -4]", "tanh"),
            ("[0.0, 16.0]", "[1.0, 16.0]", "exponent"),
            ("\"layers.1.norm1\"", "\"layers.1.norm3\"", "layers.1.norm1"),
            ("[0.5, 15.0]", "[15.0, 0.5]", "head.norm"),
            ("\"width\": 8,", "", "width"),
        ] {
            let text = FILE.replace(from, to);
            let config = ConfigFile::parse(text.as_bytes()).and_then(|config| config.shape());
            let error = config.unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
