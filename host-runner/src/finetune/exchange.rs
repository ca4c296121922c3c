//! What an owner and a server say to each other about a job.
//!
//! A frame of [`Kind::Request`] or [`Kind::Reply`] has 4 bytes with the length of a JSON text, the text, and
//! then the bytes of a file, if there is one.

use anyhow::{Context, Result, ensure};
use he_core::wire::{FrameReader, Kind, Link};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// No frame about a job that an owner sends is longer: a server keeps it before it knows whose it is.
pub const LIMIT: u64 = 1 << 24;
/// None that a server sends is: a state of full fine-tuning is the longest.
pub const REPLY_LIMIT: u64 = 1 << 27;
/// Parameters are smaller: twice what training is likely to reach.
pub const LARGEST_PARAMETER: f64 = 4.0;
/// Scores are smaller: what a bootstrap has room for.
pub const LARGEST_SCORE: f64 = 16.0;
/// So much of a body is read at once: what is not sent takes no memory.
const PIECE: usize = 1 << 16;

/// What an owner asks of a job.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Request {
    /// The number of the job.
    pub job: u64,
    /// What is asked.
    pub ask: Ask,
}

/// What is asked. To ask for the same twice does what once does.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    /// Makes the job, or finds it; with the declaration.
    Declare,
    /// Keeps a part of it; with the part.
    Put(Part),
    /// For a part. Of a result that is gone nothing comes, which its owner finds damaged.
    Fetch(Part),
    /// How far it is. If nothing has changed since the version `seen`, the answer may take some seconds.
    Status {
        /// The last version that was heard of.
        seen: Option<u64>,
    },
    /// The state after iteration `good` is, and training may go on to iteration `until`.
    Allow(Permission),
    /// Takes back the states from this iteration on. Training waits for the next permission.
    Discard(u32),
}

/// A part of a job.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The state before the first iteration.
    First,
    /// An example, by its place in the file, from 0.
    Example(usize),
    /// What the owner reads after an iteration: its state and the scores of its examples before it.
    Result(u32),
    /// The state after an iteration.
    State(u32),
}

/// How far an owner lets a server go.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Permission {
    /// The last iteration whose state the owner found intact.
    pub good: u32,
    /// The last iteration that may run.
    pub until: u32,
}

/// How far a job is.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Status {
    /// Changes with everything else.
    pub version: u64,
    /// Whether the first state is there.
    pub has_first: bool,
    /// Examples that are there, from the first on.
    pub examples: usize,
    /// Iterations that are done.
    pub done: u32,
    /// What the owner said last.
    pub permission: Permission,
    /// Examples that the iteration under way has passed, if one is.
    pub example: Option<usize>,
    /// What iterations took that are done and that the owner has not looked at.
    pub ran: Vec<Iteration>,
    /// Why the server does not go on. The next permission makes it try again.
    pub trouble: Option<String>,
}

/// What a server says.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Said {
    /// It is done; with the part that was asked for.
    Done,
    /// How far the job is.
    Status(Status),
    /// It cannot be done, and why.
    Failed(String),
}

/// What an iteration took.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct Iteration {
    /// Its number, from 1.
    pub number: u32,
    /// Wall-clock seconds of all, questions that were answered meanwhile included.
    pub seconds: f64,
    /// Of the forward and backward passes.
    pub examples_seconds: f64,
    /// Of the optimizer, and of what else is done once.
    pub optimizer_seconds: f64,
    /// The most memory that the process had had by its end.
    pub peak_bytes: Option<u64>,
}

/// Sends what is asked or said, and the bytes that belong to it.
///
/// # Errors
/// Those of `write`, or if it is longer than any frame.
pub fn write(
    link: &mut Link<'_>,
    kind: Kind,
    (head, bytes): (&impl Serialize, &[u8]),
    write: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let head = serde_json::to_vec(head)?;
    let length = 4 + head.len() + bytes.len();
    let limit = if kind == Kind::Reply { REPLY_LIMIT } else { LIMIT };
    ensure!(length as u64 <= limit, "a message of {length} bytes; at most {limit} can be sent");
    let mut frame = link.writer(kind, u32::try_from(length)?, write)?;
    frame.put(&u32::try_from(head.len())?.to_le_bytes())?;
    frame.put(&head)?;
    frame.put(bytes)?;
    frame.finish()
}

/// Reads what is asked or said, and the bytes that belong to it.
///
/// # Errors
/// Those of the closure that reads, or if the frame is of another kind, altered, or no such message.
pub fn read<T: DeserializeOwned>(
    mut frame: FrameReader<'_, impl FnMut(&mut [u8]) -> Result<()>>,
    kind: Kind,
) -> Result<(T, Vec<u8>)> {
    ensure!(frame.header().kind == kind, "a frame of another kind");
    let mut bytes = Vec::new();
    while let left @ 1.. = usize::try_from(frame.left())? {
        let start = bytes.len();
        bytes.resize(start + left.min(PIECE), 0);
        frame.take(&mut bytes[start..])?;
    }
    frame.finish()?;
    let (length, rest) = bytes.split_first_chunk().context("a message without a length")?;
    let length = usize::try_from(u32::from_le_bytes(*length))?;
    let (head, rest) = rest.split_at_checked(length).context("a message that is cut short")?;
    Ok((serde_json::from_slice(head).context("a message of another version")?, rest.to_vec()))
}
