//! What an image takes of flash and RAM, by its sections.

use anyhow::{Context, Result};
use object::{Object, ObjectSection, SectionKind};
use std::fs;
use std::path::Path;

/// Bytes of an image by where they lie.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// Instructions, in flash.
    pub code: u64,
    /// Tables, and the first values of variables, in flash.
    pub constants: u64,
    /// Variables, in RAM.
    pub statics: u64,
}

impl Sizes {
    /// Those of the image at `path`.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn of(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        let image = object::File::parse(&*bytes).with_context(|| format!("{}", path.display()))?;
        let mut sizes = Self::default();
        // Whatever is left of the RAM is not taken, though some linker scripts make sections of it.
        let is_taken = |name: &str| name != ".heap" && name != ".stack";
        for section in image.sections().filter(|section| section.name().is_ok_and(is_taken)) {
            let size = section.size();
            match section.kind() {
                SectionKind::Text => sizes.code += size,
                SectionKind::ReadOnlyData | SectionKind::ReadOnlyString => sizes.constants += size,
                SectionKind::Data => {
                    sizes.constants += size;
                    sizes.statics += size;
                }
                SectionKind::UninitializedData => sizes.statics += size,
                _ => {}
            }
        }
        Ok(sizes)
    }

    /// All that lies in flash.
    pub(crate) const fn flash(&self) -> u64 {
        self.code + self.constants
    }
}
