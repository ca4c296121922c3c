//! What an owner keeps of a job: what was declared, and what its iterations came to. Losses are private.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use super::exchange::LIMIT;
use super::follow::Seen;
use super::job::{Declared, RECORD};
use crate::connection::exchange_number;
use crate::dataset::Example;
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

    /// Keeps a digest of the examples; compares with it if there is one. It stays
    /// with the owner: a server could try sentences against it.
    ///
    /// # Errors
    /// If the examples are others than those that the job began with, or the disk is full.
    pub fn check_examples(&self, examples: &[Example]) -> Result<()> {
        let path = self.folder.join("examples");
        let mut digest = Sha256::new();
        for Example { sentence, label } in examples {
            digest.update(format!("{label:?}\t{sentence}\n"));
        }
        let found = digest.finalize().to_vec();
        if !path.exists() {
            return files::write(&path, Access::Private, &found);
        }
        ensure!(
            files::read(&path, LIMIT)? == found,
            "the sentences or labels are others than those that the job in {} began with; give the same file and \
             --limit, or another --job",
            self.folder.display()
        );
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_file_of_as_many_sentences_is_noticed() {
        let folder = std::env::temp_dir().join(format!("he-record-{}", std::process::id()));
        let record = Record::at(&folder).unwrap();
        let one =
            |sentence: &str, y| Example { sentence: sentence.into(), label: vec![1.0 - y, y] };
        let examples = [one("fine", 1.0), one("dull", 0.0)];
        record.check_examples(&examples).unwrap();
        record.check_examples(&examples).unwrap();
        let [first, second] = examples.clone();
        for others in [[second, first.clone()], [first, one("dull", 0.25)]] {
            let error = record.check_examples(&others).unwrap_err().to_string();
            assert!(error.contains("another --job"), "{error}");
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
