//! A model's folder: `config.json`, `model.safetensors`, `vocab.txt`.

mod tensors;

pub use tensors::Tensors;
