//! `config.json`: what a model says about itself.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// The only family of models so far: a Gaussian-kernel transformer of BERT's shape.
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
    /// Squared distances of queries and keys.
    pub exponent: [f64; 2],
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
    pub fn window(&self, name: &str) -> Result<[f64; 2]> {
        let value = self.0.get(name).with_context(|| format!("no range for '{name}'"))?;
        let window: [f64; 2] = serde_json::from_value(value.clone())
            .with_context(|| format!("the range of '{name}' is not two numbers"))?;
        ordered(name, window)
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
            config.width % config.heads == 0,
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
        ordered("tanh", config.ranges.tanh)?;
        for layer in &config.ranges.layers {
            ordered("exponent", layer.exponent)?;
            ordered("gate", layer.gate)?;
        }
        Ok(config)
    }
}

fn ordered(name: &str, range: [f64; 2]) -> Result<[f64; 2]> {
    ensure!(range[0] < range[1], "the range of '{name}' is empty");
    Ok(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{"family": "gk-bert", "name": "edge", "layers": 1, "width": 8,
        "heads": 2, "ffn": 16, "glu": 8, "activation": "gelu", "tokens": 4, "classes": 2,
        "labels": ["negative", "positive"], "weight_frac_bits": 10, "vocabulary": 9,
        "ranges": {"layers": [{"exponent": [0.0, 16.0], "gate": [-6, 6]}],
                   "norms": {"head.norm": [0.5, 15.0]}, "tanh": [-4, 4], "entry": [-16, 16]}}"#;

    #[test]
    fn a_whole_file_is_read() {
        let config = ConfigFile::parse(FILE.as_bytes()).unwrap();
        assert_eq!((config.width, config.glu, config.vocabulary), (8, 8, 9));
        assert_eq!(config.ranges.norms.window("head.norm").unwrap(), [0.5, 15.0]);
        assert!(config.ranges.norms.window("layers.0.norm2").is_err());
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (from, to, part) in [
            ("gk-bert", "bert", "family"),
            ("\"gelu\"", "\"relu\"", "activation"),
            ("\"heads\": 2", "\"heads\": 3", "heads"),
            ("\"classes\": 2", "\"classes\": 3", "classes"),
            ("\"layers\": 1", "\"layers\": 2", "layers"),
            ("\"tanh\": [-4, 4]", "\"tanh\": [4, -4]", "tanh"),
            ("\"width\": 8,", "", "width"),
        ] {
            let error = ConfigFile::parse(FILE.replace(from, to).as_bytes()).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}
