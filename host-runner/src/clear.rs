//! The plaintext model in double precision, from text to logits: what encrypted answers are
//! compared with.

use anyhow::Result;
use he_nn::model::{Config, Kernel};
use he_nn::reference::{self, Trace};

use crate::adapter::plain::PlainAdapter;
use crate::import::ModelFolder;

/// The logits of one sentence.
///
/// # Errors
/// If the sentence is empty or too long.
pub fn logits(folder: &ModelFolder, sentence: &str) -> Result<Vec<f64>> {
    logits_with(folder, None, sentence)
}

/// The logits of one sentence, with a personal adapter if there is one.
///
/// # Errors
/// As [`logits`].
pub fn logits_with(
    folder: &ModelFolder,
    adapter: Option<&PlainAdapter>,
    sentence: &str,
) -> Result<Vec<f64>> {
    Ok(trace(folder, adapter, sentence)?.logits)
}

/// Everything that the forward pass of one sentence goes through.
///
/// # Errors
/// As [`logits`].
pub fn trace(
    folder: &ModelFolder,
    adapter: Option<&PlainAdapter>,
    sentence: &str,
) -> Result<Trace> {
    let tokens = folder.model().config().tokens;
    let mut ids = vec![0; tokens];
    let length = folder.tokenizer()?.sentence(sentence, &mut ids)?;
    ids.truncate(length);
    let embedding = reference::embed(&folder.embedding()?, &ids, tokens);
    let model = folder.model();
    let update = |linear, part, x: &[f64], y: &mut [f64]| {
        if let Some(adapter) = adapter {
            adapter.apply(linear, part, x, y);
        }
    };
    let mut trace = reference::forward_with(model, &embedding, length, &update);
    if let Some(scores) = adapter.and_then(|adapter| adapter.scores(&trace.hidden)) {
        trace.logits = scores;
    }
    Ok(trace)
}

/// What of a forward pass is beyond the ranges that the model declares, where its approximations, and
/// so encrypted answers, mean nothing. An adapter can do that, and the canary need not notice.
#[must_use]
pub fn beyond_ranges(config: &Config, trace: &Trace) -> Vec<String> {
    let mut found = Vec::new();
    let mut check = |what: String, value: f64, low: f64, high: f64| {
        if !(low..=high).contains(&value) {
            found.push(format!("{what} is {value:.2}, beyond {low:.2} to {high:.2}"));
        }
    };
    let mut windows = Vec::new();
    for (layer, ranges) in config.layers.iter().enumerate() {
        let name = |what| format!("layer {}: {what}", layer + 1);
        let (exponent, gate) = (trace.exponents.get(layer), trace.gates.get(layer));
        let largest = exponent.copied().unwrap_or(0.0);
        match ranges.kernel {
            Kernel::Gaussian { exponent } => {
                check(name("the largest exponent"), largest, 0.0, exponent);
            }
            Kernel::Softmax { score, sum } => {
                check(name("the largest score"), largest, 0.0, score);
                let (low, high) = trace.sums.get(layer).copied().unwrap_or((sum.low, sum.low));
                check(name("the smallest sum of exponentials"), low, sum.low, sum.high);
                check(name("the largest sum of exponentials"), high, sum.low, sum.high);
            }
        }
        check(name("the largest gate"), gate.copied().unwrap_or(0.0), 0.0, ranges.gate);
        windows.extend(ranges.attention_norm.map(|w| (name("a mean square before attention"), w)));
        windows.push((name("a mean square before feed-forward"), ranges.feed_forward_norm));
    }
    windows.push(("head: the mean square".to_owned(), config.head_norm));
    for ((what, window), &(low, high)) in windows.into_iter().zip(&trace.mean_squares) {
        check(what.clone(), low, window.low, window.high);
        check(what, high, window.low, window.high);
    }
    check("head: the largest argument of tanh".to_owned(), trace.tanh, 0.0, config.tanh);
    found
}
