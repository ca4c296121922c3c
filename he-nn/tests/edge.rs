//! The trained models: the double-precision reference against their golden answers, and the encrypted
//! forward pass, on plain slots with the scheme's levels and scales, against the reference.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "trained/model.rs"]
mod trained;

use he_core::params::EDGE_128;
use he_core::refresh::Refresh;
use he_nn::client::input::Input;
use he_nn::client::tokenizer::Tokenizer;
use he_nn::client::vocabulary::{Vocabulary, compile};
use he_nn::forward::Forward;
use he_nn::layer::head::{CANARY_ROW, class_row};
use he_nn::stage::{Event, STAGES};
use trained::{Edge, TOKENS, clear, file, ids, number, shipped};

/// Their folders.
const MODELS: [&str; 2] = ["edge", "edge-softmax"];

/// The rows that the client's messages decrypt to.
fn upload(input: &Input<'_, TOKENS>, scale_bits: u32) -> Vec<Vec<f64>> {
    let scale = 2f64.powi(scale_bits.cast_signed());
    let at =
        |f: usize, t: usize| f64::from(input.coefficient(4096, f / 64, f % 64 + 64 * t)) / scale;
    (0..128).map(|f| (0..TOKENS).map(|t| at(f, t)).collect()).collect()
}

#[test]
fn the_reference_gives_the_golden_logits() {
    for edge in MODELS.map(shipped) {
        for golden in &edge.golden {
            let logits = edge.trace(&ids(golden)).logits;
            for (got, wanted) in logits.iter().zip(golden["logits"].as_array().unwrap()) {
                assert!((got - number(wanted)).abs() < 1e-9, "{}: {got} {wanted}", golden["text"]);
            }
        }
    }
}

#[test]
fn the_tokenizer_gives_the_golden_pieces() {
    let list = String::from_utf8(file("edge", "vocab.txt")).unwrap();
    let compiled = compile(&list).unwrap();
    let tokenizer = Tokenizer::new(Vocabulary::parse(&compiled).unwrap());
    for golden in &shipped("edge").golden {
        let mut found = [0; TOKENS];
        let length = tokenizer.sentence(golden["text"].as_str().unwrap(), &mut found).unwrap();
        assert_eq!(found[..length], ids(golden), "{}", golden["text"]);
    }
}

#[test]
fn encrypted_logits_are_the_plain_ones() {
    for edge in MODELS.map(shipped) {
        edge.golden.iter().take(4).for_each(|golden| compare(&edge, &ids(golden)));
    }
}

/// Compares the circuit on plain slots with the reference, for one sentence.
fn compare(edge: &Edge, ids: &[u16]) {
    let eval = clear(edge);
    let scale_bits = EDGE_128.product_bits - edge.model.config().weight_frac_bits;
    let input = Input::from_ids(edge.table(), ids, scale_bits).unwrap();
    let rows = eval.encrypt_rows(&upload(&input, scale_bits)).unwrap();
    let mut events = Vec::new();
    let mut progress = |event| events.push(event);
    let answer = Forward::new(&eval, &edge.model, &mut progress).run(&rows).unwrap();
    let answer = eval.slots_to_rows(&answer).unwrap();
    let token = |row: usize| answer.values()[row][0];
    for (class, plain) in edge.trace(ids).logits.iter().enumerate() {
        let error = (token(class_row(class)) - plain).abs();
        assert!(error < 2f64.powi(-8), "{ids:?}: {error}");
    }
    assert!((token(CANARY_ROW) - 1.0).abs() < 2f64.powi(-8));
    let ends = events.iter().filter(|e| matches!(e, Event::End { .. })).count();
    assert_eq!(ends, STAGES.len());
}
