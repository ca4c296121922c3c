//! What is known of every library, and the files in `docs/` that show it.

use super::peer::Peer;
use super::row::Library;
use super::{plot, table, write};
use crate::compiler::root;
use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;

/// The libraries' rows and why others are missing.
#[derive(Debug)]
pub(crate) struct Page {
    /// Ours first, then in the order of [`Peer::all`].
    libraries: Vec<Library>,
    /// What could not be measured in this run.
    pub left_out: Vec<String>,
}

impl Page {
    /// What earlier runs left.
    ///
    /// # Errors
    /// If there is a file of rows that cannot be read.
    pub(crate) fn read() -> Result<Self> {
        let libraries = match fs::read_to_string(file("json")) {
            Ok(text) => serde_json::from_str(&text).context("reading docs/peers.json")?,
            Err(_) => Vec::new(),
        };
        Ok(Self { libraries, left_out: Vec::new() })
    }

    /// Puts what was measured in the place of earlier rows, all of them or those of the same
    /// operations, and writes the files.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub(crate) fn renew(&mut self, mut library: Library, is_whole: bool) -> Result<()> {
        let at = self.libraries.iter().position(|kept| kept.title == library.title);
        if let Some(kept) = at.map(|at| self.libraries.swap_remove(at)).filter(|_| !is_whole) {
            library.complete(kept);
        }
        self.libraries.push(library);
        let rank = |library: &Library| Peer::all().iter().position(|p| p.title() == library.title);
        self.libraries.sort_by_key(rank);
        self.write()
    }

    /// Writes the page, the picture and the rows.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub(crate) fn write(&self) -> Result<()> {
        write(&file("json"), &(serde_json::to_string_pretty(&self.libraries)? + "\n"))?;
        write(&file("md"), &table::markdown(&self.libraries, &self.left_out))?;
        write(&file("svg"), &plot::svg(&self.libraries))
    }
}

fn file(extension: &str) -> PathBuf {
    root().join("docs/peers").with_extension(extension)
}
