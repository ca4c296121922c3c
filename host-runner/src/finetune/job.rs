//! A job's folder: what the owner gives to the server, and what the server leaves for the owner. No secret
//! is in it.
//!
//! ```text
//! job.json               what was declared, last written: with it the job is whole
//! first.state            parameters before the first iteration, under the public key
//! examples/000000.up     uploads with labels, in the order of the file of examples
//! states/000012.state    what an iteration left; the last two are kept
//! answers                the newest state under the edge secret, for the owner
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use he_core::ciphertext::Ciphertext;
use he_core::params::Params;
use he_core::ring::Ring;
use he_core::wire::{Kind, Link, Pair, RingShape, TransportKey};
use serde::{Deserialize, Serialize};

use super::settings::Settings;
use crate::files::{self, Access};
use crate::store::moduli;

/// No file of a job is larger.
const LIMIT: u64 = 1 << 27;
/// States that are kept: if the last is damaged, the one before serves.
const KEPT: u32 = 2;

/// What a job is.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Declared {
    /// The parameter set's name.
    pub preset: String,
    /// The digest of the model.
    pub model: String,
    /// Examples.
    pub examples: usize,
    /// Tells jobs of one owner apart.
    pub number: u64,
    /// Everything else.
    pub settings: Settings,
}

impl Declared {
    /// The number of the exchange that the answers after iteration `number` belong to.
    #[must_use]
    pub const fn exchange(&self, number: u32) -> u64 {
        self.number.wrapping_add(number as u64)
    }
}

/// A job's folder.
#[derive(Clone, Debug)]
pub struct Job {
    folder: PathBuf,
}

impl Job {
    /// The job in a folder, whatever is there yet.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn at(folder: &Path) -> Result<Self> {
        for part in ["examples", "states"] {
            let path = folder.join(part);
            fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        }
        Ok(Self { folder: folder.to_owned() })
    }

    /// What was declared, if the job is whole.
    ///
    /// # Errors
    /// If the declaration cannot be read.
    pub fn declared(&self) -> Result<Option<Declared>> {
        let path = self.folder.join("job.json");
        if !path.exists() {
            return Ok(None);
        }
        let text = files::read(&path, LIMIT)?;
        let declared = serde_json::from_slice(&text);
        declared.map(Some).with_context(|| format!("in {}", path.display()))
    }

    /// Completes the owner's part.
    ///
    /// # Errors
    /// If the disk is full.
    pub fn declare(&self, declared: &Declared) -> Result<()> {
        let text = serde_json::to_vec_pretty(declared)?;
        files::write(&self.folder.join("job.json"), Access::Public, &text)
    }

    /// The place of an example's upload.
    #[must_use]
    pub fn example(&self, index: usize) -> PathBuf {
        self.folder.join("examples").join(format!("{index:06}.up"))
    }

    /// The place of the answers.
    #[must_use]
    pub fn answers(&self) -> PathBuf {
        self.folder.join("answers")
    }

    /// Takes back the state after iteration `number`, which the owner found destroyed.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn discard(&self, number: u32) -> Result<()> {
        let path = self.state(number);
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))
    }

    /// The iteration that left the newest state, of at most `most`, whole or not.
    #[must_use]
    pub fn newest(&self, most: u32) -> Option<u32> {
        (0..=most).rev().find(|number| self.state(*number).exists())
    }

    fn state(&self, number: u32) -> PathBuf {
        match number {
            0 => self.folder.join("first.state"),
            _ => self.folder.join("states").join(format!("{number:06}.state")),
        }
    }

    /// Writes the state after iteration `number`, 0 for the first, and removes those that are not kept.
    ///
    /// # Errors
    /// If the disk is full; what was there stays.
    pub fn write_state(&self, number: u32, params: &Params, state: &Ciphertext) -> Result<()> {
        let checksum = TransportKey::checksum();
        let mut link = Link::new(&checksum, params.digest(), number.into());
        let primes = moduli(params);
        let shape = RingShape { degree: params.degree(), primes: &primes };
        let mut bytes = Vec::new();
        state.to_pair().write(&mut link, Kind::Ciphertext, &shape, |piece| {
            bytes.extend_from_slice(piece);
            Ok::<_, anyhow::Error>(())
        })?;
        files::write(&self.state(number), Access::Public, &bytes)?;
        if let Some(old) = number.checked_sub(KEPT).filter(|old| *old > 0) {
            match fs::remove_file(self.state(old)) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(e).with_context(|| format!("cannot remove state {old}"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The newest state that is whole, of at most iteration `most`, and its number. `warn` hears of states that
    /// are not.
    ///
    /// # Errors
    /// If there is none.
    pub fn newest_state(
        &self,
        ring: &Ring,
        params: &Params,
        most: u32,
        warn: &mut dyn FnMut(&str),
    ) -> Result<(u32, Ciphertext)> {
        for number in (0..=most).rev().filter(|number| self.state(*number).exists()) {
            match self.read_state(number, ring, params) {
                Ok(state) => return Ok((number, state)),
                Err(error) => warn(&format!("{}: {error:#}", self.state(number).display())),
            }
        }
        anyhow::bail!("{} has no state to begin with: make the job anew", self.folder.display())
    }

    fn read_state(&self, number: u32, ring: &Ring, params: &Params) -> Result<Ciphertext> {
        let bytes = files::read(&self.state(number), LIMIT)?;
        let mut rest = bytes.as_slice();
        let checksum = TransportKey::checksum();
        let mut link = Link::new(&checksum, params.digest(), number.into());
        let primes = moduli(params);
        let shape = RingShape { degree: params.degree(), primes: &primes };
        let frame = link.reader(Pair::limit(&shape), |piece: &mut [u8]| {
            let taken = rest.split_off(..piece.len()).context("the file is truncated")?;
            piece.copy_from_slice(taken);
            Ok::<_, anyhow::Error>(())
        })?;
        let pair = Pair::read(frame, Kind::Ciphertext, &shape)?;
        ensure!(rest.is_empty(), "the file has bytes after its end");
        Ok(Ciphertext::from_pair(ring, params, pair)?)
    }
}
