//! Tensors on their way to a safetensors file, in single precision.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Result;
use he_nn::model::Model;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use zeroize::Zeroizing;

use crate::files::{self, Access};

/// Metadata: the digest of the model that the file is for.
pub(super) const MODEL: &str = "model_digest";

/// Names, shapes and entries. Erased when they go.
#[derive(Default)]
pub(super) struct Tensors(Vec<(String, [usize; 2], Zeroizing<Vec<u8>>)>);

impl Tensors {
    /// With a row-major matrix.
    pub(super) fn add(
        &mut self,
        name: String,
        shape: [usize; 2],
        entries: impl Iterator<Item = f64>,
    ) {
        #[expect(clippy::cast_possible_truncation, reason = "the file is in single precision")]
        let bytes = entries.flat_map(|x| (x as f32).to_le_bytes()).collect();
        self.0.push((name, shape, Zeroizing::new(bytes)));
    }

    /// Writes all of them, with metadata, for their owner alone.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn write(
        &self,
        path: &Path,
        model: &Model,
        metadata: &[(&str, String)],
    ) -> Result<()> {
        let views = self.0.iter().map(|(name, shape, bytes)| {
            Ok((name, TensorView::new(Dtype::F32, shape.to_vec(), bytes.as_slice())?))
        });
        let views = views.collect::<Result<Vec<_>>>()?;
        let digest = (MODEL, format!("{:016x}", super::digest(model)));
        let metadata = [("format", "pt".to_owned()), digest].into_iter().chain(metadata.to_vec());
        let metadata: HashMap<_, _> =
            metadata.map(|(name, value)| (name.to_owned(), value)).collect();
        let file = Zeroizing::new(safetensors::serialize(views, Some(metadata))?);
        files::write(path, Access::Private, &file)
    }
}
