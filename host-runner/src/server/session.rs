//! One connection: upload in, progress and answer out, or requests about jobs and replies, until the other side
//! hangs up.

use core::net::SocketAddr;
use core::panic::AssertUnwindSafe;
use std::io::{self, Read, Write};
use std::panic::catch_unwind;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail, ensure};
use he_core::Error;
use he_core::wire::{Answer, Header, Kind, Link, Progress, Refusal, Text, Upload};
use he_nn::stage::{Event, Stage};

use super::user::Received;
use super::{Server, User};
use crate::connection::{Connection, refusal};
use crate::engine::EncryptedAnswer;
use crate::finetune::exchange::{self, Said};
use crate::memory;
use crate::report;

/// What is said about jobs where there are none.
const NO_JOBS: &str = "this server trains nothing; start it with `host-runner serve --jobs DIR`";

/// So much of a frame is read at once: what is not sent takes no memory.
const PIECE: usize = 1 << 16;

/// A question that was answered, and what that took.
#[derive(Clone, Debug)]
pub struct Answered {
    /// Whose it was, by its place among the users.
    pub user: usize,
    /// Times and memory.
    pub server: report::ServerReport,
    /// The upload as it travelled.
    pub upload_bytes: usize,
    /// The answer and all progress as they travelled.
    pub download_bytes: usize,
}

impl<'a> Server<'a> {
    /// Serves one connection; returns how many questions were answered.
    pub(super) fn session(
        &self,
        mut connection: Connection,
        peer: SocketAddr,
        done: &(dyn Fn(&Answered) + Sync),
    ) -> usize {
        let mut answered = 0;
        loop {
            match self.question(&mut connection) {
                Ok(Some(report)) => {
                    answered += 1;
                    done(&report);
                }
                Ok(None) => return answered,
                Err(error) => {
                    eprintln!("{peer}: {error:#}");
                    return answered;
                }
            }
        }
    }

    /// Answers one question, and what is asked about jobs before it; `None` if there is no other.
    fn question(&self, connection: &mut Connection) -> Result<Option<Answered>> {
        loop {
            connection.allow(self.limits.idle);
            if !connection.wait()? {
                return Ok(None);
            }
            connection.allow(self.limits.frame);
            let before = (connection.received(), connection.sent());
            let (place, mut link, received) = self.receive(connection)?;
            let user = &self.users[place];
            if !user.is_new(link.sequence(), &received) {
                let text = "this upload was answered before, or its device has lost count";
                let needed = link.sequence().saturating_add(1);
                send_refusal(connection, &mut link, refusal::REPLAYED, needed, text)?;
                bail!("{text} (number {})", link.sequence());
            }
            match received {
                Received::Upload(upload) => {
                    return self.answer(connection, before, (place, link, upload)).map(Some);
                }
                Received::Request(request, bytes) => {
                    let said = user.jobs.map(|jobs| jobs.answer(&request, &bytes));
                    let none = || (Said::Failed(NO_JOBS.to_owned()), Vec::new());
                    let (said, bytes) = said.unwrap_or_else(none);
                    connection.allow(self.limits.frame);
                    let write = |piece: &[u8]| send(connection, piece);
                    exchange::write(&mut link, Kind::Reply, (&said, &bytes), write)?;
                }
            }
        }
    }

    /// Answers the upload of a user.
    fn answer(
        &self,
        connection: &mut Connection,
        (received, sent): (usize, usize),
        (place, mut link, upload): (usize, Link<'_>, Upload),
    ) -> Result<Answered> {
        let (begun, user) = (Instant::now(), &self.users[place]);
        let stages = Stages::new(begun);
        let (answer, stages) = self.compute(connection, user, (&mut link, upload), stages)?;
        connection.allow(self.limits.frame);
        let parts = Answer { scale: answer.scale, mask: &answer.mask, entries: &answer.entries };
        parts.write(&mut link, user.shape.primes[0], |bytes| send(connection, bytes))?;
        let seconds = begun.elapsed().as_secs_f64();
        Ok(Answered {
            user: place,
            server: report::ServerReport { seconds, peak_bytes: memory::peak(), stages },
            upload_bytes: connection.received() - received,
            download_bytes: connection.sent() - sent,
        })
    }

    /// Reads an upload or a request and finds whose it is, or refuses it.
    fn receive(&self, connection: &mut Connection) -> Result<(usize, Link<'a>, Received)> {
        let mut frame = Vec::new();
        let received = self.take_frame(connection, &mut frame).and_then(|()| self.find(&frame));
        received.inspect_err(|error| {
            let header = frame.first_chunk().and_then(|header| Header::parse(header).ok());
            let (digest, sequence) =
                header.map_or((0, 0), |header| (header.digest, header.sequence));
            // Where several have these parameters, the others cannot read it.
            let found = self.users.iter().find(|user| user.digest == digest);
            let Some(user) = found.or(self.users.first()) else { return };
            let mut link = Link::new(user.transport, user.digest, sequence);
            // The connection ends in any case.
            let text = error.root_cause().to_string();
            let _ = send_refusal(connection, &mut link, refusal::MALFORMED, 0, &text);
        })
    }

    /// Takes a whole frame from a connection.
    fn take_frame(&self, connection: &mut Connection, frame: &mut Vec<u8>) -> Result<()> {
        let mut take = |bytes: usize| {
            let start = frame.len();
            frame.resize(start + bytes, 0);
            let taken = connection.read_exact(&mut frame[start..]);
            taken.context("the device stopped in the middle of a frame")?;
            Ok::<_, anyhow::Error>(frame.first_chunk().map(Header::parse))
        };
        let header = take(Header::BYTES)?.context("a frame without a header")??;
        let limit = self.users.iter().map(User::limit).max().unwrap_or(0);
        ensure!(u64::from(header.length) <= limit, Error::Malformed("a frame that is too long"));
        let mut left = usize::try_from(header.length)? + Header::TAG;
        while left > 0 {
            let bytes = left.min(PIECE);
            take(bytes)?;
            left -= bytes;
        }
        Ok(())
    }

    /// Whose frame it is, and what is in it.
    fn find(&self, frame: &[u8]) -> Result<(usize, Link<'a>, Received)> {
        let mut refused = anyhow!("nobody is served");
        for (place, user) in self.users.iter().enumerate() {
            match user.read(frame) {
                Ok((link, received)) => return Ok((place, link, received)),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// Runs the forward pass when it is this question's turn, and says how far it is.
    fn compute(
        &self,
        connection: &mut Connection,
        user: &User<'_>,
        (link, upload): (&mut Link<'_>, Upload),
        mut stages: Stages,
    ) -> Result<(EncryptedAnswer, Vec<report::Stage>)> {
        let result = {
            let _turn = self.turn.question();
            let mut notify = |event| {
                connection.allow(self.limits.frame);
                if let Some(progress) = stages.note(event) {
                    // Who has hung up will be noticed when the answer is sent.
                    let _ = progress.write(link, |bytes| send(connection, bytes));
                }
            };
            catch_unwind(AssertUnwindSafe(|| (user.answerer)(upload, &mut notify)))
        };
        let error = match result {
            Ok(Ok(answer)) => return Ok((answer, stages.finished)),
            Ok(Err(error)) => error,
            Err(_) => anyhow::anyhow!("the forward pass panicked"),
        };
        connection.allow(self.limits.frame);
        send_refusal(connection, link, refusal::FAILED, 0, &format!("{error:#}"))?;
        Err(error)
    }
}

/// What a forward pass has reported so far.
struct Stages {
    begun: Instant,
    current: Instant,
    finished: Vec<report::Stage>,
}

impl Stages {
    fn new(begun: Instant) -> Self {
        Self { begun, current: begun, finished: Vec::with_capacity(Stage::total()) }
    }

    /// Notes an event; what to tell the device, if it is the beginning of a stage.
    fn note(&mut self, event: Event) -> Option<Progress> {
        match event {
            Event::Begin(stage) => {
                self.current = Instant::now();
                let short = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
                let millis = u32::try_from(self.begun.elapsed().as_millis()).unwrap_or(u32::MAX);
                Some(Progress {
                    index: short(stage.index),
                    total: short(Stage::total()),
                    millis,
                    stage: Text::new(stage.name()),
                })
            }
            Event::End { stage, level } => {
                self.finished.push(report::Stage {
                    name: stage.name().to_owned(),
                    seconds: self.current.elapsed().as_secs_f64(),
                    level: Some(level),
                    peak_bytes: memory::peak(),
                });
                None
            }
        }
    }
}

fn send_refusal(
    connection: &mut Connection,
    link: &mut Link<'_>,
    code: u32,
    needed: u64,
    text: &str,
) -> Result<()> {
    let refusal = Refusal { code, needed, text: Text::new(text) };
    refusal.write(link, |bytes| send(connection, bytes))
}

fn send(connection: &mut Connection, bytes: &[u8]) -> Result<()> {
    let sent: io::Result<()> = connection.write_all(bytes);
    sent.context("the device hung up")
}
