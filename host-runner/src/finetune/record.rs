//! What an owner keeps of a job: what was declared, and what its iterations came to. Losses are private.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::exchange::LIMIT;
use super::follow::Seen;
use super::job::{Declared, RECORD};
use crate::connection::exchange_number;
use crate::files::{self, Access};

/// A folder with `job.json` and `iterations.json`.
#[derive(Clone, Debug)]
pub struct Record {
    folder: PathBuf,
}

impl Record {
    /// The record in a folder, whatever is there yet.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn at(folder: &Path) -> Result<Self> {
        let made = fs::create_dir_all(folder);
        made.with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// What the job was declared as; if there is none yet, as what `wanted` makes of a new number.
    ///
    /// # Errors
    /// If the job that is there was declared otherwise, or the folder cannot be written.
    pub fn declared(&self, wanted: impl Fn(u64) -> Declared) -> Result<Declared> {
        let path = self.folder.join(RECORD);
        if !path.exists() {
            let declared = wanted(exchange_number()?);
            files::write(&path, Access::Public, &declared.to_text()?)?;
            return Ok(declared);
        }
        let text = files::read(&path, LIMIT)?;
        let found = Declared::parse(&text).with_context(|| format!("in {}", path.display()))?;
        ensure!(
            wanted(found.number).to_text()? == text,
            "{} was declared otherwise; give its own arguments, or another --job",
            path.display()
        );
        Ok(found)
    }

    /// The iterations that the owner has seen.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn iterations(&self) -> Result<Vec<Seen>> {
        let path = self.folder.join("iterations.json");
        if !path.exists() {
            return Ok(Vec::new());
        }
        let text = files::read(&path, LIMIT)?;
        serde_json::from_slice(&text).with_context(|| format!("in {}", path.display()))
    }

    /// Adds one, in place of what had its number or a later one.
    ///
    /// # Errors
    /// If the disk is full.
    pub fn add(&self, seen: &Seen) -> Result<()> {
        let mut all = self.iterations()?;
        all.retain(|old| old.iteration.number < seen.iteration.number);
        all.push(*seen);
        let path = self.folder.join("iterations.json");
        files::write(&path, Access::Private, &serde_json::to_vec_pretty(&all)?)
    }
}
