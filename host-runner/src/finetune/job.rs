//! A job's folder on the server: what the owner sent, and what training left. No secret is in it.
//!
//! ```text
//! declaration            what was declared, under the transport key: a job of other keys is refused
//! first.state            parameters before the first iteration, under the public key
//! examples/000000.up     uploads with labels, in the order of the file of examples
//! states/000012.state    what an iteration left
//! results/000012         the same under the edge secret, and the scores of the iteration's examples
//! results/000012.json    what the iteration took
//! permission.json        how far the owner has looked, and how far training may go on
//! ```
//!
//! States and results are kept from the last one that the owner has looked at, and at least two states: if the
//! last is damaged, the one before serves.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use he_core::ciphertext::Ciphertext;
use he_core::params::Params;
use he_core::ring::Ring;
use he_core::wire::{Header, Kind, Link, TransportKey};
use serde::{Deserialize, Serialize};

use super::exchange::{Iteration, LIMIT, Part, Permission, REPLY_LIMIT};
use super::settings::Settings;
use super::state::{read_state, state_bytes, take};
use crate::files::{self, Access};

/// What an owner keeps of a declaration.
pub const RECORD: &str = "job.json";
/// The server's part in the owner's folder, where both are one process.
pub const SERVER: &str = "server";
/// The file that makes a folder a job.
const DECLARATION: &str = "declaration";

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
    /// What an owner declares and keeps.
    ///
    /// # Errors
    /// Never: all of it can be written as JSON.
    pub fn to_text(&self) -> Result<Vec<u8>> {
        Ok(serde_json::to_vec_pretty(self)?)
    }

    /// What was declared.
    ///
    /// # Errors
    /// If it is no declaration of this version.
    pub fn parse(text: &[u8]) -> Result<Self> {
        serde_json::from_slice(text).context("no declaration of this version")
    }

    /// The number of the exchange that what iteration `number` left belongs to.
    #[must_use]
    pub const fn exchange(&self, number: u32) -> u64 {
        self.number.wrapping_add(number as u64)
    }

    /// Iterations of the run.
    ///
    /// # Errors
    /// If they are too many.
    pub fn iterations(&self) -> Result<u32> {
        self.settings.iterations(self.examples)
    }
}

/// A job's folder.
#[derive(Clone, Debug)]
pub struct Job {
    folder: PathBuf,
    declared: Declared,
}

impl Job {
    /// Makes a job as it was declared, or finds it.
    ///
    /// # Errors
    /// If there is another one with its number, or the disk is full.
    pub fn declare(
        folder: &Path,
        (transport, digest): (&TransportKey, u64),
        text: &[u8],
    ) -> Result<Self> {
        let declared = Declared::parse(text)?;
        let path = folder.join(DECLARATION);
        if path.exists() {
            let (_, found) = unseal(&path, (transport, digest))?;
            ensure!(found == text, "job {:016x} was declared otherwise", declared.number);
        } else {
            for part in ["examples", "states", "results"] {
                let path = folder.join(part);
                let made = fs::create_dir_all(&path);
                made.with_context(|| format!("cannot make {}", path.display()))?;
            }
            let (mut sealed, mut link) =
                (Vec::new(), Link::new(transport, digest, declared.number));
            let mut frame = link.writer(Kind::Request, u32::try_from(text.len())?, |piece| {
                sealed.extend_from_slice(piece);
                Ok::<_, anyhow::Error>(())
            })?;
            frame.put(text)?;
            frame.finish()?;
            files::write(&path, Access::Public, &sealed)?;
        }
        Ok(Self { folder: folder.to_owned(), declared })
    }

    /// The job in a folder.
    ///
    /// # Errors
    /// If there is none, or it is damaged or of an owner with another transport key.
    pub fn open(folder: &Path, (transport, digest): (&TransportKey, u64)) -> Result<Self> {
        let path = folder.join(DECLARATION);
        ensure!(path.exists(), "{} holds no whole job", folder.display());
        let (number, text) = unseal(&path, (transport, digest))?;
        let declared = Declared::parse(&text).with_context(|| format!("in {}", path.display()))?;
        ensure!(declared.number == number, "{} is of another job", path.display());
        Ok(Self { folder: folder.to_owned(), declared })
    }

    /// Whether a folder is what a person may mean by a job.
    #[must_use]
    pub fn is_in(folder: &Path) -> bool {
        [DECLARATION, RECORD].iter().any(|file| folder.join(file).is_file())
    }

    /// The job that a person means by a folder: the job's own, or the one that its owner keeps its record in and that
    /// has the server's part in it.
    ///
    /// # Errors
    /// As [`Self::open`]; or if the job is on another machine.
    pub fn find(folder: &Path, identity: (&TransportKey, u64)) -> Result<Self> {
        let path = folder.join(RECORD);
        if !path.exists() {
            return Self::open(folder, identity);
        }
        let declared = Declared::parse(&files::read(&path, LIMIT)?)?;
        let owner = folder.join(SERVER).join(owner_name(identity.0)?);
        let place = owner.join(folder_name(declared.number));
        ensure!(
            folder.join(SERVER).exists(),
            "the job of {} is on a server; name its folder there, or what `finetune --out` wrote",
            folder.display()
        );
        Self::open(&place, identity)
    }

    /// What was declared.
    #[must_use]
    pub const fn declared(&self) -> &Declared {
        &self.declared
    }

    /// The place of a part.
    #[must_use]
    pub fn path(&self, part: Part) -> PathBuf {
        match part {
            Part::First | Part::State(0) => self.folder.join("first.state"),
            Part::Example(place) => self.folder.join("examples").join(format!("{place:06}.up")),
            Part::State(number) => self.folder.join("states").join(format!("{number:06}.state")),
            Part::Result(number) => self.folder.join("results").join(format!("{number:06}")),
        }
    }

    /// The bytes of a part.
    ///
    /// # Errors
    /// If it is not there.
    pub fn read(&self, part: Part) -> Result<Vec<u8>> {
        files::read(&self.path(part), REPLY_LIMIT)
    }

    /// Keeps a part, unless it is there already.
    ///
    /// # Errors
    /// If the disk is full.
    pub fn write(&self, part: Part, bytes: &[u8]) -> Result<()> {
        let path = self.path(part);
        if path.exists() { Ok(()) } else { files::write(&path, Access::Public, bytes) }
    }

    /// How many examples are there, from the first on.
    #[must_use]
    pub fn examples(&self) -> usize {
        let is_there = |place: &usize| self.path(Part::Example(*place)).exists();
        (0..self.declared.examples).take_while(is_there).count()
    }

    /// What the owner said last.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn permission(&self) -> Result<Permission> {
        let path = self.folder.join("permission.json");
        if !path.exists() {
            return Ok(Permission::default());
        }
        let text = files::read(&path, LIMIT)?;
        serde_json::from_slice(&text).with_context(|| format!("in {}", path.display()))
    }

    /// Keeps what the owner says.
    ///
    /// # Errors
    /// If the disk is full.
    pub fn allow(&self, permission: Permission) -> Result<()> {
        let text = serde_json::to_vec(&permission)?;
        files::write(&self.folder.join("permission.json"), Access::Public, &text)
    }

    /// Takes back what iterations from `number` on left.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn discard(&self, number: u32) -> Result<()> {
        let good = self.permission()?.good.min(number.saturating_sub(1));
        self.allow(Permission { good, until: good })?;
        for old in self.states()?.into_iter().filter(|old| *old >= number) {
            self.remove_state(old)?;
        }
        Ok(())
    }

    /// The last iteration that left a state.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn done(&self) -> Result<u32> {
        Ok(self.states()?.last().copied().unwrap_or(0))
    }

    /// What iterations took whose results are kept, after iteration `number`.
    #[must_use]
    pub fn ran(&self, number: u32, last: u32) -> Vec<Iteration> {
        let read = |number| {
            let text = files::read(&self.path(Part::Result(number)).with_extension("json"), LIMIT);
            serde_json::from_slice(&text.ok()?).ok()
        };
        (number + 1..=last).filter_map(read).collect()
    }

    /// Keeps what an iteration left, its state last, and removes what is not needed any more.
    ///
    /// # Errors
    /// If the disk is full; what was there stays.
    pub fn finish(
        &self,
        params: &Params,
        report: &Iteration,
        (state, result): (&[Ciphertext], &[u8]),
    ) -> Result<()> {
        let path = self.path(Part::Result(report.number));
        files::write(&path, Access::Public, result)?;
        let text = serde_json::to_vec(report)?;
        files::write(&path.with_extension("json"), Access::Public, &text)?;
        let bytes = state_bytes(params, self.declared.exchange(report.number), state)?;
        files::write(&self.path(Part::State(report.number)), Access::Public, &bytes)?;
        let good = self.permission()?.good;
        for old in self.states()?.into_iter().filter(|old| *old < good && old + 1 < report.number) {
            self.remove_state(old)?;
            remove(&self.path(Part::Result(old)).with_extension("json"))?;
            remove(&self.path(Part::Result(old)))?;
        }
        Ok(())
    }

    /// The newest state that is whole, and its number. `damaged` hears the numbers of those that are not, and why.
    ///
    /// # Errors
    /// If there is none.
    pub fn newest_state(
        &self,
        (ring, params): (&Ring, &Params),
        damaged: &mut dyn FnMut(u32, &str),
    ) -> Result<(u32, Vec<Ciphertext>)> {
        for number in self.states()?.into_iter().rev().chain([0]) {
            let path = self.path(Part::State(number));
            let sequence = self.declared.exchange(number);
            let read = files::read(&path, REPLY_LIMIT)
                .and_then(|bytes| read_state(&bytes, sequence, (ring, params)));
            match read {
                Ok(state) => return Ok((number, state)),
                Err(error) if number == 0 => return Err(error).context(path.display().to_string()),
                Err(error) => damaged(number, &format!("{}: {error:#}", path.display())),
            }
        }
        bail!("{} has no state to begin with", self.folder.display())
    }

    /// Removes the state after an iteration.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn remove_state(&self, number: u32) -> Result<()> {
        remove(&self.path(Part::State(number)))
    }

    /// The iterations whose states are there, upwards.
    fn states(&self) -> Result<Vec<u32>> {
        let folder = self.folder.join("states");
        let entries = fs::read_dir(&folder);
        let entries = entries.with_context(|| format!("cannot read {}", folder.display()))?;
        let mut numbers = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".state"));
            numbers.extend(number.and_then(|number| number.parse::<u32>().ok()));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }
}

/// The number and the text of a declaration.
fn unseal(path: &Path, (transport, digest): (&TransportKey, u64)) -> Result<(u64, Vec<u8>)> {
    let bytes = files::read(path, LIMIT)?;
    let mut rest = bytes.as_slice();
    let mut read = || {
        let (link, mut frame) =
            Link::accept(transport, digest, LIMIT, |piece: &mut [u8]| take(&mut rest, piece))?;
        let mut text = vec![0; usize::try_from(frame.left())?];
        frame.take(&mut text)?;
        frame.finish()?;
        Ok::<_, anyhow::Error>((link.sequence(), text))
    };
    read().with_context(|| format!("{} is damaged, or of another owner", path.display()))
}

/// Removes a file, if it is there.
fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// The name of a job's folder.
#[must_use]
pub fn folder_name(number: u64) -> String {
    format!("{number:016x}")
}

/// A name that can be made with a transport key alone and tells nothing of it: the tag of an empty frame.
///
/// # Errors
/// None: the frame is written to memory.
pub fn owner_name(transport: &TransportKey) -> Result<String> {
    let (mut bytes, mut link) = (Vec::new(), Link::new(transport, 0, 0));
    let frame = link.writer(Kind::Request, 0, |piece| {
        bytes.extend_from_slice(piece);
        Ok::<_, anyhow::Error>(())
    })?;
    frame.finish()?;
    let (_, tag) = bytes.split_last_chunk::<{ Header::TAG }>().context("a frame without a tag")?;
    Ok(tag.iter().map(|byte| format!("{byte:02x}")).collect())
}
