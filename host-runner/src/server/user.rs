//! Whom a server answers: a transport key, and everything that belongs to it.

use core::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use he_core::wire::{Kind, Link, TransportKey, Upload, UploadShape};
use he_nn::stage::Event;

use crate::engine::EncryptedAnswer;
use crate::finetune::exchange::{self, Request};
use crate::finetune::jobs::Jobs;
use crate::finetune::state::take;

/// What answers an upload, and reports its stages.
pub type Answerer<'a> =
    dyn Fn(Upload, &mut dyn FnMut(Event)) -> Result<EncryptedAnswer> + Sync + 'a;

/// One who shares a transport key with the server. Whatever is tagged with it is answered with what is here, and with
/// nothing of another user's.
pub struct User<'a> {
    pub(super) shape: UploadShape,
    pub(super) digest: u64,
    pub(super) transport: &'a TransportKey,
    pub(super) answerer: &'a Answerer<'a>,
    pub(super) jobs: Option<&'a Jobs<'a>>,
    largest_sequence: AtomicU64,
    /// Requests about jobs count for themselves: a poll is not to overtake a question that takes a while to encrypt.
    largest_request: AtomicU64,
}

impl core::fmt::Debug for User<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "User {{ digest: {:016x} }}", self.digest)
    }
}

impl<'a> User<'a> {
    /// Of uploads of `shape` under parameters with this digest.
    #[must_use]
    pub fn new(
        (shape, digest): (UploadShape, u64),
        transport: &'a TransportKey,
        answerer: &'a Answerer<'a>,
    ) -> Self {
        let [largest_sequence, largest_request] = [(); 2].map(|()| AtomicU64::new(0));
        Self { shape, digest, transport, answerer, jobs: None, largest_sequence, largest_request }
    }

    /// With jobs of training, which are worked at between questions while the server runs.
    #[must_use]
    pub fn with_jobs(self, jobs: &'a Jobs<'a>) -> Self {
        Self { jobs: Some(jobs), ..self }
    }

    /// The longest body that is taken.
    pub(super) fn limit(&self) -> u64 {
        self.jobs.map_or(0, |_| exchange::LIMIT).max(self.shape.length())
    }

    /// Reads a frame, if it is this user's.
    pub(super) fn read(&self, mut frame: &[u8]) -> Result<(Link<'a>, Received)> {
        let read = |piece: &mut [u8]| take(&mut frame, piece);
        let (link, frame) = Link::accept(self.transport, self.digest, self.limit(), read)?;
        let received = match frame.header().kind {
            Kind::Request => {
                let (request, bytes) = exchange::read(frame, Kind::Request)?;
                Received::Request(request, bytes)
            }
            _ => Received::Upload(Upload::read(frame, &self.shape)?),
        };
        Ok((link, received))
    }

    /// Whether an exchange is newer than all of its kind that were answered before; if so, it is the newest.
    pub(super) fn is_new(&self, sequence: u64, received: &Received) -> bool {
        let largest = match received {
            Received::Upload(_) => &self.largest_sequence,
            Received::Request(..) => &self.largest_request,
        };
        largest.fetch_max(sequence, Ordering::SeqCst) < sequence
    }
}

/// What comes over a connection.
pub(super) enum Received {
    /// A question.
    Upload(Upload),
    /// Something about a job, and the bytes that belong to it.
    Request(Request, Vec<u8>),
}
