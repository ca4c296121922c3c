//! The device's secrets in use, and everything that is done with them.

use he_core::edge::{DEGREE, EdgeKey, LimbSink, Workspace};
use he_core::params::EDGE_128;
use he_core::sample::{MessageDigest, MessageSeeds, SecretSeed};
use he_core::wire::{
    Answer, AnswerEntry, Kind, Link, Progress, Refusal, TransportKey, UploadShape, UploadWriter,
};

use super::Error;
use crate::machine::Entropy;
use crate::model::{CIPHERTEXTS, CLASSES};

/// Longest body of a frame from the server: an answer, with room for some entries more.
const FRAME_LIMIT: u64 = 16 * 1024;
/// [`CIPHERTEXTS`], as the wire counts.
#[expect(clippy::cast_possible_truncation, reason = "two")]
pub(super) const CIPHERTEXTS_WORD: u32 = CIPHERTEXTS as u32;

/// The secrets, the expanded key and the exchange under way. Erased on drop.
#[expect(missing_debug_implementations, reason = "a secret is not printed")]
pub struct Secrets<'a> {
    transport: &'a TransportKey,
    messages: SecretSeed,
    key: EdgeKey<'a>,
    workspace: Workspace<'a>,
    link: Option<Link<'a>>,
}

/// A frame from the server, authenticated and in order.
#[derive(Debug, Clone, Copy)]
pub enum Received {
    /// How far the work is.
    Progress(Progress),
    /// Why there will be no answer.
    Refusal(Refusal),
    /// An answer, whose mask waits for [`Secrets::decrypt`].
    Answer {
        /// The decrypted numbers are the scores times this.
        scale: f64,
        /// A coefficient for every class, and the canary's.
        entries: [AnswerEntry; CLASSES + 1],
    },
}

impl<'a> Secrets<'a> {
    /// With a secret that is expanded already.
    #[must_use]
    pub const fn new(
        transport: &'a TransportKey,
        messages: SecretSeed,
        key: EdgeKey<'a>,
        workspace: Workspace<'a>,
    ) -> Self {
        Self { transport, messages, key, workspace, link: None }
    }

    /// Begins an exchange about the sentence that consists of these pieces, and derives its seeds.
    ///
    /// # Errors
    /// Those of `entropy`.
    pub fn begin(
        &mut self,
        entropy: &mut impl Entropy,
        pieces: &[u16],
    ) -> Result<MessageSeeds, Error> {
        let sequence = entropy.sequence()?;
        let mut digest = MessageDigest::new(&self.messages);
        for piece in pieces {
            digest.update(&piece.to_le_bytes());
        }
        let fresh = entropy.fresh()?;
        self.link = Some(Link::new(self.transport, EDGE_128.digest(), sequence));
        Ok(MessageSeeds::derive(&self.messages, sequence, &fresh, &digest))
    }

    /// Begins the upload of that exchange.
    ///
    /// # Errors
    /// Those of `write`, or if no exchange has begun.
    pub fn start<W>(&mut self, seeds: &MessageSeeds, write: W) -> Result<UploadWriter<'a, W>, Error>
    where
        W: FnMut(&[u8]) -> Result<(), Error>,
    {
        let primes = self.key.rings().map(|ring| ring.modulus());
        let shape = UploadShape { degree: DEGREE, primes, count: CIPHERTEXTS_WORD };
        UploadWriter::start(Self::link(&mut self.link)?, &shape, &seeds.mask, write)
    }

    /// Encrypts ciphertext `index` of the upload; `message(i)` is its coefficient `i`, asked for once
    /// a prime.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn encrypt<S: LimbSink>(
        &mut self,
        seeds: &MessageSeeds,
        index: u32,
        message: impl Fn(usize) -> i32,
        sink: &mut S,
    ) -> Result<(), S::Error> {
        self.key.encrypt(seeds, index, message, &mut self.workspace, sink)
    }

    /// Takes the server's next frame.
    ///
    /// # Errors
    /// Those of `read`, or if the frame is not the next one of the exchange, or an answer has another
    /// number of entries than the model has outputs.
    pub fn receive(
        &mut self,
        mut read: impl FnMut(&mut [u8]) -> Result<(), Error>,
    ) -> Result<Received, Error> {
        let frame = Self::link(&mut self.link)?.reader(FRAME_LIMIT, &mut read)?;
        match frame.header().kind {
            Kind::Progress => Progress::read(frame).map(Received::Progress),
            Kind::Refusal => Refusal::read(frame).map(Received::Refusal),
            _ => {
                let q = self.key.rings()[0].modulus();
                let mut entries = [AnswerEntry::default(); CLASSES + 1];
                let answer = Answer::read(frame, q, self.workspace.limb, &mut entries)?;
                let (scale, found, expected) = (answer.scale, answer.entries.len(), CLASSES + 1);
                if found != expected {
                    return Err(he_core::Error::WrongLength { expected, found }.into());
                }
                Ok(Received::Answer { scale, entries })
            }
        }
    }

    /// Decrypts the answer that was received last. The mask is used up.
    #[must_use]
    pub fn decrypt(&mut self, entries: &[AnswerEntry; CLASSES + 1]) -> [i32; CLASSES + 1] {
        let decryption = self.key.decrypt(0, self.workspace.limb);
        let position = |entry: &AnswerEntry| usize::try_from(entry.position).unwrap_or(0);
        entries.each_ref().map(|entry| decryption.coefficient(position(entry), entry.body))
    }

    fn link<'l>(link: &'l mut Option<Link<'a>>) -> Result<&'l mut Link<'a>, Error> {
        link.as_mut().ok_or(Error::Core(he_core::Error::Malformed("no exchange under way")))
    }
}
