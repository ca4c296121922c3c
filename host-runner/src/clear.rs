//! The plaintext model in double precision, from text to logits: what encrypted answers are
//! compared with.

use anyhow::Result;
use he_nn::reference;

use crate::import::ModelFolder;

/// The logits of one sentence.
///
/// # Errors
/// If the sentence is empty or too long.
pub fn logits(folder: &ModelFolder, sentence: &str) -> Result<Vec<f64>> {
    let tokens = folder.model().config().tokens;
    let mut ids = vec![0; tokens];
    let length = folder.tokenizer()?.sentence(sentence, &mut ids)?;
    ids.truncate(length);
    let embedding = reference::embed(&folder.embedding()?, &ids, tokens);
    Ok(reference::forward(folder.model(), &embedding, length).logits)
}
