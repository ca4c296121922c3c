//! The owner's end of a conversation about a job, which survives a server that is gone for a while.

use core::time::Duration;
use std::io::{self, Read, Write};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Error, Result, bail};
use he_core::wire::{Kind, Refusal};

use super::exchange::{self, Ask, Part, REPLY_LIMIT, Request, Said, Status};
use crate::client::Client;
use crate::connection::{Connection, refusal};

/// How long connecting, and one question with its reply, may take.
const TIME: Duration = Duration::from_mins(2);
/// How long to wait before the next attempt.
const RETRY: Duration = Duration::from_millis(500);

/// A job on a server.
#[expect(missing_debug_implementations, reason = "holds secrets")]
pub struct Remote<'a> {
    client: &'a Client<'a>,
    address: &'a str,
    job: u64,
    patience: Duration,
    connection: Option<Connection>,
    was_reached: bool,
}

impl<'a> Remote<'a> {
    /// Job number `job` at an address. A server that is gone may come back within `patience`.
    #[must_use]
    pub const fn new(
        client: &'a Client<'a>,
        address: &'a str,
        job: u64,
        patience: Duration,
    ) -> Self {
        Self { client, address, job, patience, connection: None, was_reached: false }
    }

    /// Declares the job.
    ///
    /// # Errors
    /// If the server does not take it, or is gone for good.
    pub fn declare(&mut self, text: &[u8]) -> Result<()> {
        self.ask(Ask::Declare, text).map(|_| ())
    }

    /// Sends a part.
    ///
    /// # Errors
    /// As [`Self::declare`].
    pub fn put(&mut self, part: Part, bytes: &[u8]) -> Result<()> {
        self.ask(Ask::Put(part), bytes).map(|_| ())
    }

    /// Asks for a part.
    ///
    /// # Errors
    /// As [`Self::declare`].
    pub fn fetch(&mut self, part: Part) -> Result<Vec<u8>> {
        self.ask(Ask::Fetch(part), &[]).map(|(_, bytes)| bytes)
    }

    /// How far the job is; waits a little for news if the version was seen.
    ///
    /// # Errors
    /// As [`Self::declare`].
    pub fn status(&mut self, seen: Option<u64>) -> Result<Status> {
        match self.ask(Ask::Status { seen }, &[])? {
            (Said::Status(status), _) => Ok(status),
            _ => bail!("the server does not say how far the job is"),
        }
    }

    /// Asks for anything.
    ///
    /// # Errors
    /// As [`Self::declare`].
    pub fn ask(&mut self, ask: Ask, bytes: &[u8]) -> Result<(Said, Vec<u8>)> {
        let request = Request { job: self.job, ask };
        let mut gone: Option<Instant> = None;
        loop {
            let said = self.try_ask(&request, bytes);
            self.was_reached |= said.is_ok();
            match said {
                Ok((Said::Failed(text), _)) => bail!("the server says: {text}"),
                Ok(said) => return Ok(said),
                Err(error) if !self.was_reached || !passes(&error) => return Err(error),
                Err(error) => {
                    if gone.is_none() {
                        let minutes = self.patience.as_secs() / 60;
                        eprintln!("warning: {error:#}; trying again for {minutes} min");
                    }
                    if gone.get_or_insert_with(Instant::now).elapsed() >= self.patience {
                        return Err(error);
                    }
                    thread::sleep(RETRY);
                }
            }
        }
    }

    fn try_ask(&mut self, request: &Request, bytes: &[u8]) -> Result<(Said, Vec<u8>)> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::connect(self.address, TIME)?,
        };
        connection.allow(TIME);
        let mut link = self.client.link()?;
        let write = |piece: &[u8]| connection.write_all(piece).context("the server hung up");
        exchange::write(&mut link, Kind::Request, (request, bytes), write)?;
        let read = |piece: &mut [u8]| connection.read_exact(piece).context("the server hung up");
        let said = link.reader(REPLY_LIMIT, read).and_then(|frame| match frame.header().kind {
            Kind::Refusal => {
                let Refusal { code, text, .. } = Refusal::read(frame)?;
                Err(Error::new(Refused { code }).context(text.as_str().to_owned()))
            }
            _ => exchange::read(frame, Kind::Reply),
        });
        let said = said.map_err(|error| match error.is::<he_core::Error>() {
            true => error.context("what the server says is not under these keys"),
            false => error,
        })?;
        self.connection = Some(connection);
        Ok(said)
    }
}

/// A refusal.
#[derive(Debug)]
struct Refused {
    code: u32,
}

impl core::fmt::Display for Refused {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "the server refuses (code {})", self.code)
    }
}

impl core::error::Error for Refused {}

/// Whether another attempt may go better: the connection broke, or the server had heard of a later one.
fn passes(error: &Error) -> bool {
    let is_late = |refused: &Refused| refused.code == refusal::REPLAYED;
    error.downcast_ref().is_some_and(is_late)
        || error.chain().any(<dyn core::error::Error>::is::<io::Error>)
}
