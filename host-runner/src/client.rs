//! The device's client in a host process: the same code without a heap that runs on the
//! microcontroller, with a socket at its end.

use core::time::Duration;
use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use chacha20::rand_core::Rng;
use he_core::edge::{EdgeKey, EdgeRing, Workspace};
use he_core::modulus::Modulus;
use he_core::params::Params;
use he_core::ring::{Portable, Ring, Serial};
use he_core::sample::{MessageDigest, MessageSeeds};
use he_core::wire::{
    self, AnswerEntry, Kind, Link, Progress, Refusal, TransportKey, UploadShape, UploadWriter,
};
use he_nn::client::answer::Answer;
use he_nn::client::input::Input;
use zeroize::Zeroizing;

use crate::connection::{Connection, exchange_number};
use crate::engine::upload_shape;
use crate::import::ModelFolder;
use crate::random;
use crate::store::device::{self, DeviceKeys};

/// What is classified if nothing else is said.
pub const DEFAULT_SENTENCE: &str = "a gripping, funny and deeply human film .";

/// How long a server may work on one stage or let others go first.
const PATIENCE: Duration = Duration::from_mins(30);

/// How long connecting and sending may take.
const SEND_TIME: Duration = Duration::from_mins(2);

/// An answer holds at most this many numbers.
const ENTRIES: usize = 16;

/// A device's secrets, its model's client side, and its end of the link.
#[expect(missing_debug_implementations, reason = "holds secrets")]
pub struct Client<'a> {
    keys: DeviceKeys,
    folder: &'a ModelFolder,
    shape: UploadShape,
    digest: u64,
    ring: Ring,
    scale_bits: u32,
}

/// A decrypted answer that passed its canary.
#[derive(Clone, Debug)]
pub struct Decrypted {
    /// The classes' scores.
    pub logits: Vec<f64>,
    /// The canary; 1 apart from noise.
    pub canary: f64,
    /// Bytes sent.
    pub upload_bytes: usize,
    /// Bytes received, progress included.
    pub download_bytes: usize,
}

/// The shape of an upload with a label, for a server that is asked about uploads of `shape`.
#[must_use]
pub const fn example_shape(shape: &UploadShape) -> UploadShape {
    UploadShape { count: shape.count + 1, ..*shape }
}

impl<'a> Client<'a> {
    /// A client with the secrets of a device's folder.
    ///
    /// # Errors
    /// If the folder or the model does not fit.
    pub fn open(keys: &Path, folder: &'a ModelFolder) -> Result<Self> {
        let (_, params) = device::params(keys)?;
        Self::new(device::read(keys, &params)?, &params, folder)
    }

    /// A client with these secrets.
    ///
    /// # Errors
    /// If the model does not fit the parameters.
    pub fn new(keys: DeviceKeys, params: &Params, folder: &'a ModelFolder) -> Result<Self> {
        let config = folder.model().config();
        anyhow::ensure!(
            config.tokens == params.tokens(),
            "the model has {} tokens, the parameters have {}",
            config.tokens,
            params.tokens()
        );
        let shape = upload_shape(params, config.width)?;
        let primes = shape.primes.map(Modulus::value);
        let ring = Ring::new(params.log_edge_degree(), &primes, &Portable, &Serial)?;
        let scale_bits = params
            .literal()
            .product_bits
            .checked_sub(config.weight_frac_bits)
            .context("weights with so many fractional bits leave no room for values")?;
        Ok(Self { keys, folder, shape, digest: params.digest(), ring, scale_bits })
    }

    /// What authenticates frames, and the digest of the parameters that they are for.
    #[must_use]
    pub const fn identity(&self) -> (&TransportKey, u64) {
        (&self.keys.transport, self.digest)
    }

    /// A new exchange with the server, numbered after all before.
    ///
    /// # Errors
    /// If the clock is wrong by decades.
    pub fn link(&self) -> Result<Link<'_>> {
        Ok(Link::new(&self.keys.transport, self.digest, exchange_number()?))
    }

    /// Asks the server at the other end; `progress` hears of each stage that begins.
    ///
    /// # Errors
    /// If the sentence is empty or too long, the connection breaks, the server refuses, or the
    /// answer's canary is wrong.
    pub fn ask(
        &self,
        connection: &mut Connection,
        sentence: &str,
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<Decrypted> {
        match self.folder.model().config().classes {
            2 => self.classify::<2>(connection, sentence, progress),
            3 => self.classify::<3>(connection, sentence, progress),
            classes => bail!("clients are for two or three classes, the model has {classes}"),
        }
    }

    /// The upload of an example to train on: the sentence as it is asked about, and a ciphertext more with a
    /// row for each class, whose lower tokens all hold a number of `label`, at most 1 in magnitude.
    ///
    /// # Errors
    /// If the sentence is empty or too long.
    pub fn example(&self, sentence: &str, label: &[f64]) -> Result<Vec<u8>> {
        match self.folder.model().config().tokens {
            16 => self.labelled::<16>(sentence, label),
            32 => self.labelled::<32>(sentence, label),
            64 => self.labelled::<64>(sentence, label),
            128 => self.labelled::<128>(sentence, label),
            tokens => bail!("clients are for 16 to 128 tokens, the model has {tokens}"),
        }
    }

    fn labelled<const T: usize>(&self, sentence: &str, label: &[f64]) -> Result<Vec<u8>> {
        let (tokenizer, table) = (self.folder.tokenizer()?, self.folder.embedding()?);
        let input = Input::<T>::new(&tokenizer, table, sentence, self.scale_bits)?;
        let (degree, sentences) = (self.shape.degree, usize::try_from(self.shape.count)?);
        let (rows, scale) = (degree / T, f64::from(self.scale_bits).exp2());
        #[expect(clippy::cast_possible_truncation, reason = "a label is at most 1")]
        let label: Vec<i32> = label.iter().map(|y| (y * scale).round() as i32).collect();
        let message = |ciphertext, i| match ciphertext < sentences {
            true => input.coefficient(degree, ciphertext, i),
            false if i / rows < T / 2 => label.get(i % rows).copied().unwrap_or(0),
            false => 0,
        };
        let mut digest = MessageDigest::new(&self.keys.messages);
        input.ids().iter().for_each(|id| digest.update(&id.to_le_bytes()));
        label.iter().for_each(|y| digest.update(&y.to_le_bytes()));
        let mut link = self.link()?;
        let mut secrets = [(); 2].map(|()| Zeroizing::new(vec![0; degree]));
        let key = self.expand(&mut secrets)?;
        let shape = example_shape(&self.shape);
        let mut bytes = Vec::new();
        self.seal((&key, &mut link), (&shape, &digest), message, |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(bytes)
    }

    /// Reads answers that hold every coefficient and hands over each, by the number of its answer and its
    /// place.
    ///
    /// # Errors
    /// If they are truncated, damaged, of another key, or not the exchange `sequence`.
    pub fn open_all(
        &self,
        sequence: u64,
        mut bytes: &[u8],
        mut each: impl FnMut(usize, usize, f64),
    ) -> Result<()> {
        let (degree, q) = (self.shape.degree, self.shape.primes[0]);
        let mut secrets = [(); 2].map(|()| Zeroizing::new(vec![0; degree]));
        let key = self.expand(&mut secrets)?;
        let mut link = Link::new(&self.keys.transport, self.digest, sequence);
        let mut number = 0;
        while !bytes.is_empty() {
            let read = |piece: &mut [u8]| {
                let taken = bytes.split_off(..piece.len()).context("the answers are truncated")?;
                piece.copy_from_slice(taken);
                Ok::<_, anyhow::Error>(())
            };
            let frame = link.reader(wire::Answer::length(degree, degree, q), read)?;
            let mut mask = Zeroizing::new(vec![0; degree]);
            let mut entries = vec![AnswerEntry::default(); degree];
            let answer = wire::Answer::read(frame, q, &mut mask, &mut entries)?;
            let (scale, count) = (answer.scale, answer.entries.len());
            let decryption = key.decrypt(0, &mut mask);
            for entry in entries.iter().take(count) {
                let position = usize::try_from(entry.position)?;
                let value = decryption.coefficient(position, entry.body);
                each(number, position, f64::from(value) / scale);
            }
            number += 1;
        }
        Ok(())
    }

    fn classify<const CLASSES: usize>(
        &self,
        connection: &mut Connection,
        sentence: &str,
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<Decrypted> {
        match self.folder.model().config().tokens {
            16 => self.exchange::<16, CLASSES>(connection, sentence, progress),
            32 => self.exchange::<32, CLASSES>(connection, sentence, progress),
            64 => self.exchange::<64, CLASSES>(connection, sentence, progress),
            128 => self.exchange::<128, CLASSES>(connection, sentence, progress),
            tokens => bail!("clients are for 16 to 128 tokens, the model has {tokens}"),
        }
    }

    fn exchange<const T: usize, const CLASSES: usize>(
        &self,
        connection: &mut Connection,
        sentence: &str,
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<Decrypted> {
        let (tokenizer, table) = (self.folder.tokenizer()?, self.folder.embedding()?);
        let input = Input::<T>::new(&tokenizer, table, sentence, self.scale_bits)?;
        let (received, sent) = (connection.received(), connection.sent());
        let mut link = self.link()?;
        let mut secrets = [(); 2].map(|()| Zeroizing::new(vec![0; self.shape.degree]));
        let key = self.expand(&mut secrets)?;
        connection.allow(SEND_TIME);
        self.upload(&key, &input, &mut link, connection)?;
        let answer = self.receive::<CLASSES>(&key, &mut link, connection, progress)?;
        Ok(Decrypted {
            logits: answer.logits().iter().copied().map(f64::from).collect(),
            canary: answer.canary().into(),
            upload_bytes: connection.sent() - sent,
            download_bytes: connection.received() - received,
        })
    }

    fn expand<'k>(&'k self, buffers: &'k mut [Zeroizing<Vec<u32>>; 2]) -> Result<EdgeKey<'k>> {
        let [first, second] = buffers;
        let ring = |prime| EdgeRing::of(&self.ring.table(prime)).context("a prime too wide");
        let rings = [ring(0)?, ring(1)?];
        Ok(EdgeKey::expand(
            &self.keys.secret,
            rings,
            [first.as_mut_slice(), second.as_mut_slice()],
        )?)
    }

    fn upload<const T: usize>(
        &self,
        key: &EdgeKey<'_>,
        input: &Input<'_, T>,
        link: &mut Link<'_>,
        connection: &mut Connection,
    ) -> Result<()> {
        let mut digest = MessageDigest::new(&self.keys.messages);
        input.ids().iter().for_each(|id| digest.update(&id.to_le_bytes()));
        let degree = self.shape.degree;
        let message = |ciphertext, i| input.coefficient(degree, ciphertext, i);
        let write = |bytes: &[u8]| connection.write_all(bytes).context("the server hung up");
        self.seal((key, link), (&self.shape, &digest), message, write)
    }

    /// Writes an upload of this shape: coefficient `i` of ciphertext `c` is `message(c, i)`.
    fn seal(
        &self,
        (key, link): (&EdgeKey<'_>, &mut Link<'_>),
        (shape, digest): (&UploadShape, &MessageDigest),
        message: impl Fn(usize, usize) -> i32,
        write: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut fresh = Zeroizing::new([0; 32]);
        random::generator()?.fill_bytes(&mut *fresh);
        let seeds = MessageSeeds::derive(&self.keys.messages, link.sequence(), &fresh, digest);
        let mut writer = UploadWriter::start(link, shape, &seeds.mask, write)?;
        let (mut limb, mut errors) = (Zeroizing::new(vec![0; shape.degree]), vec![0; shape.degree]);
        let mut workspace = Workspace { limb: &mut limb, errors: &mut errors };
        for index in 0..shape.count {
            let ciphertext = usize::try_from(index)?;
            key.encrypt(&seeds, index, |i| message(ciphertext, i), &mut workspace, &mut writer)?;
        }
        writer.finish()
    }

    /// Waits for the answer and decrypts it.
    fn receive<const CLASSES: usize>(
        &self,
        key: &EdgeKey<'_>,
        link: &mut Link<'_>,
        connection: &mut Connection,
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<Answer<CLASSES>> {
        let q: Modulus = self.shape.primes[0];
        let limit = wire::Answer::length(self.shape.degree, ENTRIES, q);
        loop {
            connection.allow(PATIENCE);
            let read = |bytes: &mut [u8]| {
                let whole = connection.read_exact(bytes);
                whole.context("the server hung up without an answer; its own output says why")
            };
            let frame = link.reader(limit, read)?;
            match frame.header().kind {
                Kind::Progress => progress(&Progress::read(frame)?),
                Kind::Refusal => {
                    let refusal = Refusal::read(frame)?;
                    bail!("the server refuses: {}", refusal.text.as_str());
                }
                _ => {
                    let mut mask = Zeroizing::new(vec![0; self.shape.degree]);
                    let mut entries = [AnswerEntry::default(); ENTRIES];
                    let answer = wire::Answer::read(frame, q, &mut mask, &mut entries)?;
                    let scale = answer.scale;
                    let count = answer.entries.len();
                    return decrypt(key, &mut mask, &entries[..count], scale);
                }
            }
        }
    }
}

/// The scores and the canary that the entries of an answer hold, in this order.
fn decrypt<const CLASSES: usize>(
    key: &EdgeKey<'_>,
    mask: &mut [u32],
    entries: &[AnswerEntry],
    scale: f64,
) -> Result<Answer<CLASSES>> {
    let Some((canary, scores)) = entries.split_last() else { bail!("an answer without entries") };
    let Ok(scores) = <[AnswerEntry; CLASSES]>::try_from(scores) else {
        bail!("an answer of {} classes instead of {CLASSES}", scores.len())
    };
    let decryption = key.decrypt(0, mask);
    let value = |entry: AnswerEntry| {
        let position = usize::try_from(entry.position).unwrap_or(usize::MAX);
        decryption.coefficient(position, entry.body)
    };
    Ok(Answer::new(scores.map(value), value(*canary), scale)?)
}
