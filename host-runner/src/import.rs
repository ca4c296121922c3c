//! A model's folder: `config.json`, `model.safetensors` and `vocab.txt`, checked against each
//! other.

mod config;
mod tensors;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use he_nn::client::embedding::EmbeddingTable;
use he_nn::client::tokenizer::Tokenizer;
use he_nn::client::vocabulary::{self, Vocabulary};
use he_nn::model::Model;

pub use config::{Attention, ConfigFile, LayerRanges, Norms, Ranges};
pub use tensors::Tensors;

use crate::files;

/// No file of a model is larger.
const LIMIT: u64 = 1 << 30;

/// Everything in a model's folder. The server computes with `model`, the client with the rest.
#[derive(Debug)]
pub struct ModelFolder {
    model: Model,
    labels: Vec<String>,
    pieces: Vec<u8>,
    positions: Vec<u8>,
    vocabulary: Vec<u8>,
}

impl ModelFolder {
    /// Reads and checks a folder.
    ///
    /// # Errors
    /// If a file is missing or does not fit the family or the others; the message names the file
    /// and the tensor, field or line.
    pub fn open(folder: &Path) -> Result<Self> {
        ensure!(
            folder.is_dir(),
            "there is no model folder {}; name one with --model, for example models/edge",
            folder.display()
        );
        let path = folder.join("config.json");
        let file = ConfigFile::parse(&files::read(&path, LIMIT)?);
        let file = file.with_context(|| format!("in {}", path.display()))?;
        let config = file.shape().with_context(|| format!("in {}", path.display()))?;

        let path = folder.join("model.safetensors");
        let bytes = files::read(&path, LIMIT)?;
        let read = || {
            let tensors = Tensors::parse(&bytes)?;
            let width = config.width;
            let pieces = tensors.bytes("embedding.tokens", [config.vocabulary, width])?;
            let positions = tensors.bytes("embedding.positions", [config.tokens, width])?;
            let model = Model::from_tensors(config.clone(), &|name| tensors.find(name))?;
            tensors.finish()?;
            Ok::<_, anyhow::Error>((pieces, positions, model))
        };
        let (pieces, positions, model) =
            read().with_context(|| format!("in {}", path.display()))?;

        let path = folder.join("vocab.txt");
        let list = String::from_utf8(files::read(&path, LIMIT)?);
        let list = list.with_context(|| format!("{} is not text", path.display()))?;
        let count = list.lines().count();
        let wanted = config.vocabulary;
        ensure!(count == wanted, "{} has {count} pieces; the model has {wanted}", path.display());
        let vocabulary = vocabulary::compile(&list);
        let vocabulary = vocabulary.with_context(|| format!("in {}", path.display()))?;
        Ok(Self { model, labels: file.labels, pieces, positions, vocabulary })
    }

    /// The matrices, their shape and ranges.
    #[must_use]
    pub const fn model(&self) -> &Model {
        &self.model
    }

    /// The matrices alone, for a server.
    #[must_use]
    pub fn into_model(self) -> Model {
        self.model
    }

    /// A name for each class.
    #[must_use]
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// Text to pieces.
    ///
    /// # Errors
    /// If the vocabulary lacks a special piece.
    pub fn tokenizer(&self) -> Result<Tokenizer<'_>> {
        Ok(Tokenizer::new(Vocabulary::parse(&self.vocabulary)?))
    }

    /// Pieces to features.
    ///
    /// # Errors
    /// If the tables are not of a width that clients have.
    pub fn embedding(&self) -> Result<EmbeddingTable<'_>> {
        Ok(EmbeddingTable::new(&self.pieces, &self.positions, self.model.config().width)?)
    }
}
