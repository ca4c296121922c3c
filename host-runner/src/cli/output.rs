//! Where a command's figures go.

use core::fmt::Display;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;

use crate::files::{self, Access};

/// Lines for people, JSON for scripts, and never both on standard output.
#[derive(Debug, Args)]
pub(super) struct Output {
    /// Write all figures as JSON to this file (`-` is standard output, other lines then go to standard error)
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Output {
    /// Says a line.
    pub(super) fn say(&self, line: impl Display) {
        if self.is_standard() {
            eprintln!("{line}");
        } else {
            println!("{line}");
        }
    }

    /// Has people's form of a report printed, unless its JSON goes there, and writes that if it is wanted.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn report<T: Serialize>(&self, report: &T, print: impl FnOnce(&T)) -> Result<()> {
        if !self.is_standard() {
            print(report);
        }
        self.write(report)
    }

    /// Writes JSON if it is wanted.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn write(&self, report: &impl Serialize) -> Result<()> {
        let Some(path) = &self.json else { return Ok(()) };
        let mut text = serde_json::to_vec_pretty(report)?;
        text.push(b'\n');
        if self.is_standard() {
            return std::io::stdout().write_all(&text).context("cannot write to standard output");
        }
        files::write(path, Access::Public, &text)
    }

    fn is_standard(&self) -> bool {
        self.json.as_deref() == Some(Path::new("-"))
    }
}
