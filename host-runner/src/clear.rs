//! The plaintext model in double precision, from text to logits: what encrypted answers are
//! compared with.

use anyhow::Result;
use he_nn::reference;

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
    let tokens = folder.model().config().tokens;
    let mut ids = vec![0; tokens];
    let length = folder.tokenizer()?.sentence(sentence, &mut ids)?;
    ids.truncate(length);
    let embedding = reference::embed(&folder.embedding()?, &ids, tokens);
    let model = folder.model();
    let update = |layer: usize, projection: usize, x: &[f64], y: &mut [f64]| {
        if let Some(adapter) = adapter {
            adapter.apply(layer, projection, x, y);
        }
    };
    Ok(reference::forward_with(model, &embedding, length, &update).logits)
}
