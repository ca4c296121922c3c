//! A model's folder: `config.json`, `model.safetensors`, `vocab.txt`.

mod config;
mod tensors;

pub use config::{ConfigFile, LayerRanges, Norms, Ranges};
pub use tensors::Tensors;
