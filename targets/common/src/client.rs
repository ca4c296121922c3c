//! The client: provisioned once, then one sentence after another, from text to label.
//!
//! What it holds: the edge secret, the transport key and the seed of message seeds, in RAM only. What
//! leaves it: ciphertexts to the server, and to the operator the label and figures. It never sends a
//! decrypted number to the server, and accepts an answer only with an intact canary.

mod error;
mod links;

use core::fmt::Arguments;
use core::hint::black_box;

use embedded_io::{Read, Write};
use he_core::edge::{DEGREE, EdgeKey, LimbSink, Workspace};
use he_core::params::EDGE_128;
use he_core::sample::{MessageDigest, MessageSeeds, SecretSeed};
use he_core::wire::{
    Answer, AnswerEntry, Kind, Link, Progress, Provision, Refusal, TransportKey, UploadShape,
    UploadWriter,
};
use he_nn::client::input::Input;
use he_nn::client::{answer, embedding::EmbeddingTable, tokenizer::Tokenizer};
use zeroize::Zeroize;

use crate::buffers;
use crate::line::LineReader;
use crate::machine::{Entropy, Machine, counted};
use crate::model::{self, CIPHERTEXTS, CLASSES, LABELS, SCALE_BITS, TOKENS};
use crate::report::{List, Number, Quoted};

pub use error::Error;
pub use links::Links;
use links::{Counted, say};

/// Longest sentence in bytes, as typed.
const LONGEST: usize = 1024;
/// Longest body of a frame from the server: an answer, with room for some entries more.
const FRAME_LIMIT: u64 = 16 * 1024;
/// Longest body of a frame from the key authority.
const PROVISION_LIMIT: u64 = 2048;

/// What stays the same from sentence to sentence.
struct Client<'a> {
    key: EdgeKey<'a>,
    workspace: Workspace<'a>,
    messages: SecretSeed,
    tokenizer: Tokenizer<'static>,
    table: EmbeddingTable<'static>,
}

/// Everything outside: the links after provisioning, and the board.
struct Outside<'o, S, O, M> {
    server: Counted<'o, S>,
    operator: &'o mut O,
    machine: &'o mut M,
}

/// Takes limbs for the server and counts what that takes, apart from making them.
struct Timed<'o, T, M> {
    inner: T,
    machine: &'o mut M,
    instructions: u64,
}

impl<T: LimbSink, M: Machine> LimbSink for Timed<'_, T, M> {
    type Error = T::Error;

    fn put(&mut self, prime: usize, limb: &[u32]) -> Result<(), T::Error> {
        let (result, count) = counted(self.machine, || self.inner.put(prime, limb));
        self.instructions += count;
        result
    }
}

/// Gets provisioned by the authority, then answers the operator's sentences until a link fails.
///
/// # Errors
/// What ended it. Errors that concern one sentence are reported to the operator and do not end it.
pub fn run<S, A, O, M>(links: Links<S, A, O>, machine: &mut M) -> Result<(), Error>
where
    S: Read + Write,
    A: Read,
    O: Read + Write,
    M: Machine + Entropy,
{
    let Links { mut server, mut authority, mut operator } = links;
    let outcome = serve(&mut server, &mut authority, &mut operator, machine);
    if let Err(error) = &outcome {
        refuse(&mut operator, error)?;
    }
    outcome
}

fn serve<M: Machine + Entropy>(
    server: &mut (impl Read + Write),
    authority: &mut impl Read,
    operator: &mut (impl Read + Write),
    machine: &mut M,
) -> Result<(), Error> {
    let Provision { transport, messages, secret } = provisioned(authority)?;
    let mut buffers = buffers::take().ok_or(Error::BuffersInUse)?;
    let (key, workspace) = buffers.open(&secret)?;
    drop(secret);
    defmt::info!("provisioned");
    let (tokenizer, table) = (model::tokenizer()?, model::embedding()?);
    let mut client = Client { key, workspace, messages, tokenizer, table };
    let mut line = LineReader::<LONGEST>::new();
    loop {
        say(operator, format_args!("{{\"event\": \"ready\"}}"))?;
        let text = line.read(operator);
        let server = Counted::new(&mut *server);
        let mut outside = Outside { server, operator: &mut *operator, machine: &mut *machine };
        let outcome = match text {
            Ok(text) => client.classify(text, &transport, &mut outside),
            Err(error) => Err(error.into()),
        };
        line.wipe();
        match outcome {
            Err(error) if error.is_final() => return Err(error),
            Err(error) => refuse(operator, &error)?,
            Ok(()) => {}
        }
    }
}

/// Reads the device's secrets.
fn provisioned(authority: &mut impl Read) -> Result<Provision<[u8; DEGREE / 4]>, Error> {
    let checksum = TransportKey::checksum();
    let mut authority = Counted::new(authority);
    let read = |bytes: &mut [u8]| authority.read(bytes);
    let (_, frame) = Link::accept(&checksum, EDGE_128.digest(), PROVISION_LIMIT, read)?;
    Provision::read(frame, [0; DEGREE / 4])
}

/// Tells the operator why there is no answer.
fn refuse(operator: &mut impl Write, error: &Error) -> Result<(), Error> {
    defmt::warn!("no answer");
    say(operator, format_args!("{{\"event\": \"error\", \"message\": {}}}", Quoted(error)))
}

impl Client<'_> {
    /// One sentence, from text to label.
    fn classify<S: Read + Write, O: Write, M: Machine + Entropy>(
        &mut self,
        text: &str,
        transport: &TransportKey,
        outside: &mut Outside<'_, S, O, M>,
    ) -> Result<(), Error> {
        let input = self.prepare(text, outside)?;
        let mut link = Link::new(transport, EDGE_128.digest(), outside.machine.sequence()?);
        self.upload(&input, &mut link, outside)?;
        drop(input);
        let (answer, decrypt) = self.download(&mut link, outside)?;
        outside.report(&answer, decrypt)
    }

    /// Text to the messages that will be encrypted.
    fn prepare<S, O: Write, M: Machine>(
        &self,
        text: &str,
        outside: &mut Outside<'_, S, O, M>,
    ) -> Result<Input<'static, TOKENS>, Error> {
        let mut ids = [0; TOKENS];
        let tokenize = || self.tokenizer.sentence(text, &mut ids);
        let (length, tokenize) = counted(outside.machine, tokenize);
        let length = length?;
        let embed = || Input::from_ids(self.table, &ids[..length], SCALE_BITS);
        let (input, embed) = counted(outside.machine, embed);
        ids.zeroize();
        outside.say(format_args!(
            "{{\"event\": \"tokens\", \"tokens\": {length}, \
             \"tokenize_instructions\": {tokenize}, \"embed_instructions\": {embed}}}"
        ))?;
        Ok(input?)
    }

    /// Encrypts, and sends as it goes.
    fn upload<S: Write, O: Write, M: Machine + Entropy>(
        &mut self,
        input: &Input<'static, TOKENS>,
        link: &mut Link<'_>,
        outside: &mut Outside<'_, S, O, M>,
    ) -> Result<(), Error> {
        let mut digest = MessageDigest::new(&self.messages);
        for id in input.ids() {
            digest.update(&id.to_le_bytes());
        }
        let fresh = outside.machine.fresh()?;
        let seeds = MessageSeeds::derive(&self.messages, link.sequence(), &fresh, &digest);
        // Features are looked up while encrypting, once a prime; alone they take this long.
        let ((), lookup) = counted(outside.machine, || {
            for i in 0..CIPHERTEXTS * DEGREE {
                black_box(input.coefficient(DEGREE, i / DEGREE, i % DEGREE));
            }
        });
        let rings = *self.key.rings();
        let shape = UploadShape {
            degree: DEGREE,
            primes: rings.map(|ring| ring.modulus()),
            count: CIPHERTEXTS_WORD,
        };
        let before = outside.machine.instructions();
        let server = &mut outside.server;
        let write = |bytes: &[u8]| server.write(bytes);
        let inner = UploadWriter::start(link, &shape, &seeds.mask, write)?;
        let mut sink = Timed { inner, machine: &mut *outside.machine, instructions: 0 };
        for index in 0..CIPHERTEXTS_WORD {
            let ciphertext = index as usize;
            let message = |i| input.coefficient(DEGREE, ciphertext, i);
            self.key.encrypt(&seeds, index, message, &mut self.workspace, &mut sink)?;
        }
        let Timed { inner, instructions: send, .. } = sink;
        inner.finish()?;
        let total = outside.machine.instructions() - before;
        let lookup = lookup * rings.len() as u64;
        let encrypt = total.saturating_sub(send + lookup);
        let (values, bytes) = (CIPHERTEXTS * DEGREE, outside.server.sent());
        outside.say(format_args!(
            "{{\"event\": \"sent\", \"values_encrypted\": {values}, \
             \"encrypt_instructions\": {encrypt}, \"lookup_instructions\": {lookup}, \
             \"send_instructions\": {send}, \"upload_bytes\": {bytes}}}"
        ))
    }

    /// Waits for the answer and decrypts it. Returns it with the instructions of the decryption.
    fn download<S: Read, O: Write, M: Machine>(
        &mut self,
        link: &mut Link<'_>,
        outside: &mut Outside<'_, S, O, M>,
    ) -> Result<(answer::Answer<CLASSES>, u64), Error> {
        let modulus = self.key.rings()[0].modulus();
        let mut entries = [AnswerEntry::default(); CLASSES + 1];
        let (scale, count) = loop {
            let server = &mut outside.server;
            let frame = link.reader(FRAME_LIMIT, |bytes: &mut [u8]| server.read(bytes))?;
            match frame.header().kind {
                Kind::Progress => {
                    let progress = Progress::read(frame)?;
                    outside.say(format_args!(
                        "{{\"event\": \"progress\", \"stage\": {}, \"index\": {}, \
                         \"total\": {}, \"milliseconds\": {}}}",
                        Quoted(progress.stage.as_str()),
                        progress.index,
                        progress.total,
                        progress.millis
                    ))?;
                }
                Kind::Refusal => {
                    let Refusal { code, needed, text } = Refusal::read(frame)?;
                    outside.say(format_args!(
                        "{{\"event\": \"refused\", \"code\": {code}, \"needed\": {needed}, \
                         \"message\": {}}}",
                        Quoted(text.as_str())
                    ))?;
                    return Err(Error::Refused { code });
                }
                _ => {
                    let answer = Answer::read(frame, modulus, self.workspace.limb, &mut entries)?;
                    break (answer.scale, answer.entries.len());
                }
            }
        };
        if count != entries.len() {
            return Err(Error::Core(he_core::Error::WrongLength {
                expected: entries.len(),
                found: count,
            }));
        }
        let decrypt = || {
            let decryption = self.key.decrypt(0, self.workspace.limb);
            let position = |entry: AnswerEntry| usize::try_from(entry.position).unwrap_or(0);
            entries.map(|entry| decryption.coefficient(position(entry), entry.body))
        };
        let ([logits @ .., canary], instructions) = counted(outside.machine, decrypt);
        Ok((answer::Answer::new(logits, canary, scale)?, instructions))
    }
}

impl<S, O: Write, M: Machine> Outside<'_, S, O, M> {
    fn say(&mut self, line: Arguments<'_>) -> Result<(), Error> {
        say(self.operator, line)
    }

    /// Tells the operator the label and the figures.
    fn report(&mut self, answer: &answer::Answer<CLASSES>, decrypt: u64) -> Result<(), Error> {
        let label = LABELS.get(answer.label()).copied().unwrap_or("?");
        let (received, ram) = (self.server.received(), self.machine.ram_high_water());
        self.say(format_args!(
            "{{\"event\": \"answer\", \"label\": {}, \"logits\": {}, \"probabilities\": {}, \
             \"canary\": \"intact\", \"canary_value\": {}, \"decrypt_instructions\": {decrypt}, \
             \"download_bytes\": {received}, \"ram_bytes\": {ram}}}",
            Quoted(label),
            List(answer.logits()),
            List(&answer.probabilities()),
            Number(answer.canary()),
        ))
    }
}

/// [`CIPHERTEXTS`], as the wire counts.
#[expect(clippy::cast_possible_truncation, reason = "two")]
const CIPHERTEXTS_WORD: u32 = CIPHERTEXTS as u32;
