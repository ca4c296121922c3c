//! The integer tensors of a safetensors file, found by name.

use core::cell::RefCell;

use anyhow::{Context, Result, bail};
use he_nn::TensorName;
use he_nn::model::{Element, Tensor};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

/// The tensors of one file, and which of them have been asked for.
#[derive(Debug)]
pub struct Tensors<'a> {
    entries: Vec<Entry<'a>>,
    asked: RefCell<Vec<bool>>,
}

#[derive(Debug)]
struct Entry<'a> {
    name: String,
    shape: Vec<usize>,
    element: Element,
    bytes: &'a [u8],
}

impl<'a> Tensors<'a> {
    /// Reads the table of a file's bytes.
    ///
    /// # Errors
    /// If the bytes are not a whole safetensors file, or a tensor is not of 8- or 16-bit integers.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let file = SafeTensors::deserialize(bytes).context("not a whole safetensors file")?;
        let entries: Vec<_> = file
            .tensors()
            .into_iter()
            .map(|(name, view)| entry(name, &view))
            .collect::<Result<_>>()?;
        let asked = RefCell::new(vec![false; entries.len()]);
        Ok(Self { entries, asked })
    }

    /// The tensor called `name`, if there is one.
    #[must_use]
    pub fn find(&self, name: TensorName) -> Option<Tensor<'_>> {
        let name = name.to_string();
        let place = self.entries.iter().position(|entry| entry.name == name)?;
        self.asked.borrow_mut()[place] = true;
        let entry = &self.entries[place];
        Some(Tensor { shape: &entry.shape, element: entry.element, bytes: entry.bytes })
    }

    /// The two's-complement bytes of the 8-bit matrix called `name`, which has exactly `shape`.
    ///
    /// # Errors
    /// If it is missing, or has another type or shape.
    pub fn bytes(&self, name: &'static str, shape: [usize; 2]) -> Result<Vec<u8>> {
        let name = TensorName::Single(name);
        let Some(tensor) = self.find(name) else { bail!("tensor {name} is missing") };
        if tensor.shape != shape {
            bail!("tensor {name} has shape {:?}; {shape:?} is expected", tensor.shape);
        }
        if tensor.element != Element::I8 {
            bail!("tensor {name} has 16-bit entries; 8 bits are expected");
        }
        Ok(tensor.bytes.to_vec())
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// If nobody asked for some tensor: the model has no place for it.
    pub fn finish(self) -> Result<()> {
        let unasked = self.asked.borrow().iter().position(|&asked| !asked);
        match unasked {
            Some(place) => {
                bail!("tensor {} has no place in this family of models", self.entries[place].name)
            }
            None => Ok(()),
        }
    }
}

fn entry<'a>(name: String, view: &TensorView<'a>) -> Result<Entry<'a>> {
    let element = match view.dtype() {
        Dtype::I8 => Element::I8,
        Dtype::I16 => Element::I16,
        other => bail!("tensor {name} has type {other:?}; I8 or I16 is expected"),
    };
    Ok(Entry { name, shape: view.shape().to_vec(), element, bytes: view.data() })
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
        let file = file();
        let tensors = Tensors::parse(&file).unwrap();
        assert_eq!(tensors.bytes("small", [2, 2]).unwrap(), [1, 0xff, 0x80, 0x7f]);
        let wide = tensors.find(TensorName::Single("wide")).unwrap();
        assert_eq!((wide.shape, wide.element), (&[2][..], Element::I16));
        assert_eq!(wide.bytes, [0x34, 0x12, 0xff, 0xff]);
        tensors.finish().unwrap();
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let file = file();
        let tensors = Tensors::parse(&file).unwrap();
        for (error, parts) in [
            (tensors.bytes("none", [1, 1]).unwrap_err(), ["none", "missing"]),
            (tensors.bytes("small", [4, 1]).unwrap_err(), ["small", "[2, 2]"]),
            (tensors.finish().unwrap_err(), ["wide", "no place"]),
        ] {
            let text = error.to_string();
            assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        }
        let floats = TensorView::new(Dtype::F32, vec![1], &[0; 4]).unwrap();
        let file = safetensors::serialize([("real", floats)], None).unwrap();
        let text = Tensors::parse(&file).unwrap_err().to_string();
        assert!(text.contains("real") && text.contains("F32"), "{text}");
    }

    #[test]
    fn a_truncated_file_is_refused_at_every_length() {
        let bytes = file();
        for length in 0..bytes.len() {
            assert!(Tensors::parse(&bytes[..length]).is_err(), "{length}");
        }
    }
}
