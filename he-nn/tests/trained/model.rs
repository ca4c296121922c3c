//! The trained models and their golden answers.

use he_core::eval::clear::Clear;
use he_core::eval::position::{RowShape, Shape};
use he_core::params::EDGE_128;
use he_nn::TensorName;
use he_nn::client::embedding::EmbeddingTable;
use he_nn::model::{Config, Element, Kernel, LayerRanges, Model, Tensor, Window};
use he_nn::reference;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// Tokens.
pub(crate) const TOKENS: usize = 64;

/// A trained model with its device's tables.
pub(crate) struct Edge {
    pub(crate) model: Model,
    pub(crate) pieces: Vec<u8>,
    pub(crate) positions: Vec<u8>,
    pub(crate) golden: Vec<Value>,
}

/// A file of a model.
pub(crate) fn file(model: &str, name: &str) -> Vec<u8> {
    let models = concat!(env!("CARGO_MANIFEST_DIR"), "/../models");
    std::fs::read(format!("{models}/{model}/{name}")).unwrap()
}

/// A number in JSON.
pub(crate) fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

/// A count in JSON.
pub(crate) fn count(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

fn config(model: &str) -> Config {
    let file: Value = serde_json::from_slice(&file(model, "config.json")).unwrap();
    let ranges = &file["ranges"];
    let window =
        |v: &Value| v.is_array().then(|| Window { low: number(&v[0]), high: number(&v[1]) });
    let norm = |name: &str| window(&ranges["norms"][name]);
    let kernel = |range: &Value| match window(&range["sum"]) {
        Some(sum) => Kernel::Softmax { score: number(&range["score"][1]), sum },
        None => Kernel::Gaussian { exponent: number(&range["exponent"][1]) },
    };
    let layer = |(l, range): (usize, &Value)| LayerRanges {
        kernel: kernel(range),
        gate: number(&range["gate"][1]),
        attention_norm: norm(&format!("layers.{l}.norm1")),
        feed_forward_norm: norm(&format!("layers.{l}.norm2")).unwrap(),
    };
    Config {
        vocabulary: count(&file["vocabulary"]),
        tokens: count(&file["tokens"]),
        width: count(&file["width"]),
        heads: count(&file["heads"]),
        hidden: count(&file["glu"]),
        classes: count(&file["classes"]),
        weight_frac_bits: u32::try_from(count(&file["weight_frac_bits"])).unwrap(),
        layers: ranges["layers"].as_array().unwrap().iter().enumerate().map(layer).collect(),
        head_norm: norm("head.norm").unwrap(),
        tanh: number(&ranges["tanh"][1]),
    }
}

/// The model of this folder, as it ships.
pub(crate) fn shipped(model: &str) -> Edge {
    let bytes = file(model, "model.safetensors");
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let views: Vec<_> = tensors.tensors();
    let find = |name: TensorName| {
        let (_, view) = views.iter().find(|(n, _)| *n == name.to_string())?;
        let element = match view.dtype() {
            Dtype::I8 => Element::I8,
            Dtype::I16 => Element::I16,
            _ => return None,
        };
        Some(Tensor { shape: view.shape(), element, bytes: view.data() })
    };
    let table = |name| tensors.tensor(name).unwrap().data().to_vec();
    Edge {
        model: Model::from_tensors(config(model), &find).unwrap(),
        pieces: table("embedding.tokens"),
        positions: table("embedding.positions"),
        golden: serde_json::from_slice(&file(model, "golden.json")).unwrap(),
    }
}

impl Edge {
    pub(crate) fn table(&self) -> EmbeddingTable<'_> {
        EmbeddingTable::new(&self.pieces, &self.positions, 128).unwrap()
    }

    pub(crate) fn trace(&self, ids: &[u16]) -> reference::Trace {
        let embedding = reference::embed(&self.table(), ids, TOKENS);
        reference::forward(&self.model, &embedding, ids.len())
    }
}

/// The pieces of a golden sentence.
pub(crate) fn ids(golden: &Value) -> Vec<u16> {
    golden["ids"].as_array().unwrap().iter().map(|v| u16::try_from(count(v)).unwrap()).collect()
}

/// The big ring's slots and nominal chain.
pub(crate) fn clear(edge: &Edge) -> Clear {
    let rows = RowShape {
        tokens: TOKENS,
        frac_bits: edge.model.config().weight_frac_bits,
        product_scale: 2f64.powi(EDGE_128.product_bits.cast_signed()),
        rows_level: 3,
        computing_level: 14,
    };
    Clear::new(Shape::nominal(1 << 15).unwrap().with_rows(rows).unwrap())
}
