//! Integer tensors of a safetensors file, taken by name and checked by shape.

use anyhow::{Context, Result, bail};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

/// The tensors of one file that nobody has taken yet.
#[derive(Debug)]
pub struct Tensors<'a> {
    left: Vec<(String, TensorView<'a>)>,
}

impl<'a> Tensors<'a> {
    /// Reads the table of a file's bytes.
    ///
    /// # Errors
    /// If the bytes are not a whole safetensors file.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let file = SafeTensors::deserialize(bytes).context("not a whole safetensors file")?;
        Ok(Self { left: file.tensors() })
    }

    /// Takes the 8-bit tensor `name` of exactly `shape`.
    ///
    /// # Errors
    /// If it is missing, or has another type or shape.
    pub fn take_i8(&mut self, name: &str, shape: &[usize]) -> Result<Vec<i8>> {
        let view = self.take(name, shape, Dtype::I8)?;
        Ok(view.data().iter().map(|&byte| byte.cast_signed()).collect())
    }

    /// Takes the 16-bit tensor `name` of exactly `shape`, widened to 32 bits.
    ///
    /// # Errors
    /// If it is missing, or has another type or shape.
    pub fn take_i16(&mut self, name: &str, shape: &[usize]) -> Result<Vec<i32>> {
        let view = self.take(name, shape, Dtype::I16)?;
        let (words, _) = view.data().as_chunks();
        Ok(words.iter().map(|&word| i32::from(i16::from_le_bytes(word))).collect())
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// If a tensor is left that the model has no place for.
    pub fn finish(self) -> Result<()> {
        match self.left.first() {
            Some((name, _)) => bail!("tensor '{name}' has no place in this family of models"),
            None => Ok(()),
        }
    }

    fn take(&mut self, name: &str, shape: &[usize], kind: Dtype) -> Result<TensorView<'a>> {
        let Some(place) = self.left.iter().position(|(other, _)| other == name) else {
            bail!("tensor '{name}' is missing")
        };
        let (_, view) = self.left.remove(place);
        if view.shape() != shape {
            bail!("tensor '{name}' has shape {:?}; {shape:?} is expected", view.shape());
        }
        if view.dtype() != kind {
            bail!("tensor '{name}' has type {:?}; {kind:?} is expected", view.dtype());
        }
        Ok(view)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Vec<u8> {
        let small = TensorView::new(Dtype::I8, vec![2, 2], &[1, 0xff, 0x80, 0x7f]).unwrap();
        let wide = TensorView::new(Dtype::I16, vec![2], &[0x34, 0x12, 0xff, 0xff]).unwrap();
        safetensors::serialize([("small", small), ("wide", wide)], None).unwrap()
    }

    #[test]
    fn entries_keep_their_sign_and_order() {
        let bytes = file();
        let mut tensors = Tensors::parse(&bytes).unwrap();
        assert_eq!(tensors.take_i8("small", &[2, 2]).unwrap(), [1, -1, -128, 127]);
        assert_eq!(tensors.take_i16("wide", &[2]).unwrap(), [0x1234, -1]);
        tensors.finish().unwrap();
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let bytes = file();
        let open = || Tensors::parse(&bytes).unwrap();
        for (error, parts) in [
            (open().take_i8("none", &[1]).unwrap_err(), ["'none'", "missing"]),
            (open().take_i8("small", &[4]).unwrap_err(), ["'small'", "[2, 2]"]),
            (open().take_i8("wide", &[2]).unwrap_err(), ["'wide'", "I16"]),
            (open().finish().unwrap_err(), ["'", "no place"]),
        ] {
            let text = error.to_string();
            assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        }
    }

    #[test]
    fn a_truncated_file_is_refused_at_every_length() {
        let bytes = file();
        for length in 0..bytes.len() {
            assert!(Tensors::parse(&bytes[..length]).is_err(), "{length}");
        }
    }
}
