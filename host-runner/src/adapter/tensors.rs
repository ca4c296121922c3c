//! Tensors on their way to and from a safetensors file, in single precision.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use he_nn::model::Model;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use zeroize::Zeroizing;

use crate::files::{self, Access};

/// Metadata: the digest of the model that the file is for.
const MODEL: &str = "model_digest";

/// Metadata: what it was trained for, the cross-entropy of classes if nothing is said.
pub(super) const LOSS: &str = "loss";

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

/// Those of a file of a model that nobody has taken yet, and its metadata.
pub(super) struct Read<'a> {
    views: HashMap<String, TensorView<'a>>,
    pub(super) metadata: HashMap<String, String>,
}

impl<'a> Read<'a> {
    /// From a file's bytes.
    ///
    /// # Errors
    /// If it is not whole, or of another model.
    pub(super) fn new(bytes: &'a [u8], model: &Model) -> Result<Self> {
        let whole = "not a whole safetensors file";
        let (_, metadata) = SafeTensors::read_metadata(bytes).context(whole)?;
        let metadata = metadata.metadata().clone().unwrap_or_default();
        if let Some(found) = metadata.get(MODEL) {
            let wanted = format!("{:016x}", super::digest(model));
            ensure!(
                *found == wanted,
                "the adapter is for another model ({found}) than this one ({wanted}); name its \
                 model with --model"
            );
        }
        let views = SafeTensors::deserialize(bytes).context(whole)?.tensors();
        Ok(Self { views: views.into_iter().collect(), metadata })
    }

    /// Whether there is a tensor.
    pub(super) fn has(&self, name: &str) -> bool {
        self.views.contains_key(name)
    }

    /// The names and shapes that are left.
    pub(super) fn shapes(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.views.iter().map(|(name, view)| (name.as_str(), view.shape()))
    }

    /// The entries of a matrix of exactly this shape, row-major.
    ///
    /// # Errors
    /// If it is missing, or has another shape or type, or an entry is not finite.
    pub(super) fn take(&mut self, name: &str, shape: [usize; 2]) -> Result<Vec<f64>> {
        let view = self.views.remove(name).with_context(|| format!("tensor {name} is missing"))?;
        ensure!(view.dtype() == Dtype::F32, "tensor {name} has type {:?}, not F32", view.dtype());
        ensure!(
            *view.shape() == shape,
            "tensor {name} has shape {:?}; {shape:?} is expected",
            view.shape()
        );
        let (words, _) = view.data().as_chunks::<4>();
        let entries: Vec<f64> = words.iter().map(|&w| f32::from_le_bytes(w).into()).collect();
        let is_finite = entries.iter().all(|x| x.is_finite());
        ensure!(is_finite, "tensor {name} has entries that are not finite");
        Ok(entries)
    }

    /// Refuses what nobody took.
    ///
    /// # Errors
    /// If there is such a tensor; the message names it.
    pub(super) fn finish(self) -> Result<()> {
        match self.views.into_keys().next() {
            Some(name) => bail!("tensor {name} has no place in an adapter of this model"),
            None => Ok(()),
        }
    }
}
