//! The trained model: the double-precision reference against its golden answers, and the encrypted
//! forward pass, on plain slots with the scheme's levels and scales, against the reference.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use he_core::eval::clear::Clear;
use he_core::eval::position::{RowShape, Shape};
use he_core::params::EDGE_128;
use he_core::refresh::Refresh;
use he_nn::TensorName;
use he_nn::client::embedding::EmbeddingTable;
use he_nn::client::input::Input;
use he_nn::client::tokenizer::Tokenizer;
use he_nn::client::vocabulary::{Vocabulary, compile};
use he_nn::forward::Forward;
use he_nn::layer::head::{CANARY_ROW, class_row};
use he_nn::model::{Config, Element, LayerRanges, Model, Tensor, Window};
use he_nn::reference;
use he_nn::stage::{Event, STAGES};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

const TOKENS: usize = 64;

struct Edge {
    model: Model,
    pieces: Vec<u8>,
    positions: Vec<u8>,
    golden: Vec<Value>,
}

fn file(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/edge/");
    std::fs::read(format!("{folder}{name}")).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn count(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

fn config() -> Config {
    let file: Value = serde_json::from_slice(&file("config.json")).unwrap();
    let ranges = &file["ranges"];
    let window =
        |v: &Value| v.is_array().then(|| Window { low: number(&v[0]), high: number(&v[1]) });
    let norm = |name: &str| window(&ranges["norms"][name]);
    let layer = |(l, range): (usize, &Value)| LayerRanges {
        exponent: number(&range["exponent"][1]),
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

fn edge() -> Edge {
    let bytes = file("model.safetensors");
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
        model: Model::from_tensors(config(), &find).unwrap(),
        pieces: table("embedding.tokens"),
        positions: table("embedding.positions"),
        golden: serde_json::from_slice(&file("golden.json")).unwrap(),
    }
}

impl Edge {
    fn table(&self) -> EmbeddingTable<'_> {
        EmbeddingTable::new(&self.pieces, &self.positions, 128).unwrap()
    }

    fn trace(&self, ids: &[u16]) -> reference::Trace {
        let embedding = reference::embed(&self.table(), ids, TOKENS);
        reference::forward(&self.model, &embedding, ids.len())
    }
}

fn ids(golden: &Value) -> Vec<u16> {
    golden["ids"].as_array().unwrap().iter().map(|v| u16::try_from(count(v)).unwrap()).collect()
}

/// The big ring's slots and nominal chain.
fn clear(edge: &Edge) -> Clear {
    let rows = RowShape {
        tokens: TOKENS,
        frac_bits: edge.model.config().weight_frac_bits,
        product_scale: 2f64.powi(EDGE_128.product_bits.cast_signed()),
        rows_level: 3,
        computing_level: 14,
    };
    Clear::new(Shape::nominal(1 << 15).unwrap().with_rows(rows).unwrap())
}

/// The rows that the client's messages decrypt to.
fn upload(input: &Input<'_, TOKENS>, scale_bits: u32) -> Vec<Vec<f64>> {
    let scale = 2f64.powi(scale_bits.cast_signed());
    let at =
        |f: usize, t: usize| f64::from(input.coefficient(4096, f / 64, f % 64 + 64 * t)) / scale;
    (0..128).map(|f| (0..TOKENS).map(|t| at(f, t)).collect()).collect()
}

#[test]
fn the_reference_gives_the_golden_logits() {
    let edge = edge();
    for golden in &edge.golden {
        let logits = edge.trace(&ids(golden)).logits;
        for (got, wanted) in logits.iter().zip(golden["logits"].as_array().unwrap()) {
            assert!((got - number(wanted)).abs() < 1e-9, "{}: {got} {wanted}", golden["text"]);
        }
    }
}

#[test]
fn the_tokenizer_gives_the_golden_pieces() {
    let list = String::from_utf8(file("vocab.txt")).unwrap();
    let compiled = compile(&list).unwrap();
    let tokenizer = Tokenizer::new(Vocabulary::parse(&compiled).unwrap());
    for golden in &edge().golden {
        let mut found = [0; TOKENS];
        let length = tokenizer.sentence(golden["text"].as_str().unwrap(), &mut found).unwrap();
        assert_eq!(found[..length], ids(golden), "{}", golden["text"]);
    }
}

#[test]
fn encrypted_logits_are_the_plain_ones() {
    let edge = edge();
    let eval = clear(&edge);
    let scale_bits = EDGE_128.product_bits - edge.model.config().weight_frac_bits;
    for golden in edge.golden.iter().take(4) {
        let ids = ids(golden);
        let input = Input::from_ids(edge.table(), &ids, scale_bits).unwrap();
        let rows = eval.encrypt_rows(&upload(&input, scale_bits)).unwrap();
        let mut events = Vec::new();
        let mut progress = |event| events.push(event);
        let answer = Forward::new(&eval, &edge.model, &mut progress).run(&rows).unwrap();
        let answer = eval.slots_to_rows(&answer).unwrap();
        let token = |row: usize| answer.values()[row][0];
        let plain = edge.trace(&ids);
        for (class, plain) in plain.logits.iter().enumerate() {
            let error = (token(class_row(class)) - plain).abs();
            assert!(error < 2f64.powi(-8), "{}: {error}", golden["text"]);
        }
        assert!((token(CANARY_ROW) - 1.0).abs() < 2f64.powi(-8));
        let ends = events.iter().filter(|e| matches!(e, Event::End { .. })).count();
        assert_eq!(ends, STAGES.len());
    }
}
