//! The client: provisioned once, then one sentence after another, from text to label.
//!
//! What it holds: the edge secret, the transport key and the seed of message seeds, in RAM only. What
//! leaves it: ciphertexts to the server, and to the operator the label and figures. It never sends a
//! decrypted number to the server, and accepts an answer only with an intact canary.

mod error;
mod keeper;
mod kept;
mod links;
mod secrets;

use core::fmt::Arguments;
use core::hint::black_box;

use embedded_io::{Read, Write};
use he_core::edge::{DEGREE, EdgeKey, Workspace};
use he_core::sample::SecretSeed;
use he_core::wire::{Provision, TransportKey};
use he_nn::client::input::Input;
use he_nn::client::{answer, embedding::EmbeddingTable, tokenizer::Tokenizer};
use zeroize::Zeroize;

use crate::buffers::{self, Buffers};
use crate::line::LineReader;
use crate::machine::{Entropy, Machine, Memory, counted};
use crate::model::{self, CIPHERTEXTS, CLASSES, LABELS, SCALE_BITS, TOKENS};
use crate::report::{List, Number, Quoted};

pub use error::Error;
pub use keeper::{Downloaded, Keeper, Uploaded};
pub use kept::obtain;
pub use links::Links;
use links::{Counted, say};
pub use secrets::{Received, Secrets};

/// Longest sentence in bytes, as typed.
const LONGEST: usize = 1024;

/// What stays the same from sentence to sentence.
struct Client<'k, K> {
    keeper: &'k mut K,
    tokenizer: Tokenizer<'static>,
    table: EmbeddingTable<'static>,
}

/// Everything outside: the links after provisioning, and the board.
struct Outside<'o, S, O, M> {
    server: Counted<'o, S>,
    operator: &'o mut O,
    machine: &'o mut M,
}

/// Recalls its secrets, or gets them from the authority and keeps them; then answers the operator's sentences until a link fails.
///
/// # Errors
/// What ended it. Errors that concern one sentence are reported to the operator and do not end it.
pub fn run<S, A, O, M>(links: Links<S, A, O>, machine: &mut M) -> Result<(), Error>
where
    S: Read + Write,
    A: Read,
    O: Read + Write,
    M: Machine + Entropy + Memory,
{
    let Links { mut server, mut authority, mut operator } = links;
    let outcome = serve(&mut server, &mut authority, &mut operator, machine);
    if let Err(error) = &outcome {
        refuse(&mut operator, error)?;
    }
    outcome
}

/// The same for secrets that somebody else keeps.
///
/// # Errors
/// As for [`run`].
pub fn run_with<K: Keeper<M>, M: Machine>(
    keeper: &mut K,
    server: &mut (impl Read + Write),
    operator: &mut (impl Read + Write),
    machine: &mut M,
) -> Result<(), Error> {
    let outcome = converse(keeper, server, operator, machine);
    if let Err(error) = &outcome {
        refuse(operator, error)?;
    }
    outcome
}

fn serve<M: Machine + Entropy + Memory>(
    server: &mut (impl Read + Write),
    authority: &mut impl Read,
    operator: &mut (impl Read + Write),
    machine: &mut M,
) -> Result<(), Error> {
    let mut authority = Counted::new(authority);
    let mut buffers = buffers::take().ok_or(Error::BuffersInUse)?;
    let read = |bytes: &mut [u8]| authority.read(bytes);
    let (transport, messages, (key, workspace)) = unlock(machine, read, &mut buffers)?;
    let mut secrets = Secrets::new(&transport, messages, key, workspace);
    converse(&mut secrets, server, operator, machine)
}

/// Expands the edge secret into `buffers`. Apart, so that no copy of it stays on the stack of what follows.
#[inline(never)]
fn unlock<'b>(
    machine: &mut impl Memory,
    read: impl FnMut(&mut [u8]) -> Result<(), Error>,
    buffers: &'b mut Buffers,
) -> Result<(TransportKey, SecretSeed, (EdgeKey<'b>, Workspace<'b>)), Error> {
    let Provision { transport, messages, secret } = obtain(machine, read)?;
    Ok((transport, messages, buffers.open(&secret)?))
}

/// Apart, so that none of its stack is taken while secrets are received and sealed.
#[inline(never)]
fn converse<K: Keeper<M>, M: Machine>(
    keeper: &mut K,
    server: &mut (impl Read + Write),
    operator: &mut (impl Read + Write),
    machine: &mut M,
) -> Result<(), Error> {
    let (tokenizer, table) = (model::tokenizer()?, model::embedding()?);
    let mut client = Client { keeper, tokenizer, table };
    let mut line = LineReader::<LONGEST>::new();
    loop {
        say(operator, format_args!("{{\"event\": \"ready\"}}"))?;
        let text = line.read(operator);
        let server = Counted::new(&mut *server);
        let mut outside = Outside { server, operator: &mut *operator, machine: &mut *machine };
        let outcome = match text {
            Ok(text) => client.classify(text, &mut outside),
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

/// Tells the operator why there is no answer.
fn refuse(operator: &mut impl Write, error: &Error) -> Result<(), Error> {
    defmt::warn!("no answer");
    say(operator, format_args!("{{\"event\": \"error\", \"message\": {}}}", Quoted(error)))
}

impl<K> Client<'_, K> {
    /// One sentence, from text to label.
    fn classify<S: Read + Write, O: Write, M: Machine>(
        &mut self,
        text: &str,
        outside: &mut Outside<'_, S, O, M>,
    ) -> Result<(), Error>
    where
        K: Keeper<M>,
    {
        let input = self.prepare(text, outside)?;
        self.upload(&input, outside)?;
        drop(input);
        let (answer, decrypt) = self.download(outside)?;
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
    fn upload<S: Write, O: Write, M: Machine>(
        &mut self,
        input: &Input<'static, TOKENS>,
        outside: &mut Outside<'_, S, O, M>,
    ) -> Result<(), Error>
    where
        K: Keeper<M>,
    {
        // Features are looked up while encrypting; alone they take this long.
        let ((), lookup) = counted(outside.machine, || {
            for i in 0..CIPHERTEXTS * DEGREE {
                black_box(input.coefficient(DEGREE, i / DEGREE, i % DEGREE));
            }
        });
        let before = outside.machine.instructions();
        let server = &mut outside.server;
        let write = |bytes: &[u8]| server.write(bytes);
        let Uploaded { send, lookups } = self.keeper.upload(input, outside.machine, write)?;
        let total = outside.machine.instructions() - before;
        let lookup = lookup * lookups;
        let encrypt = total.saturating_sub(send + lookup);
        let (values, bytes) = (CIPHERTEXTS * DEGREE, outside.server.sent());
        outside.say(format_args!(
            "{{\"event\": \"sent\", \"values_encrypted\": {values}, \
             \"encrypt_instructions\": {encrypt}, \"lookup_instructions\": {lookup}, \
             \"send_instructions\": {send}, \"upload_bytes\": {bytes}}}"
        ))
    }

    /// Waits for the answer. Returns it with the instructions of the decryption.
    fn download<S: Read, O: Write, M: Machine>(
        &mut self,
        outside: &mut Outside<'_, S, O, M>,
    ) -> Result<(answer::Answer<CLASSES>, u64), Error>
    where
        K: Keeper<M>,
    {
        loop {
            let server = &mut outside.server;
            let read = |bytes: &mut [u8]| server.read(bytes);
            match self.keeper.download(outside.machine, read)? {
                Downloaded::Progress(progress) => outside.say(format_args!(
                    "{{\"event\": \"progress\", \"stage\": {}, \"index\": {}, \
                     \"total\": {}, \"milliseconds\": {}}}",
                    Quoted(progress.stage.as_str()),
                    progress.index,
                    progress.total,
                    progress.millis
                ))?,
                Downloaded::Refusal(refusal) => {
                    let (code, needed) = (refusal.code, refusal.needed);
                    outside.say(format_args!(
                        "{{\"event\": \"refused\", \"code\": {code}, \"needed\": {needed}, \
                         \"message\": {}}}",
                        Quoted(refusal.text.as_str())
                    ))?;
                    return Err(Error::Refused { code });
                }
                Downloaded::Answer(answer, instructions) => return Ok((answer, instructions)),
            }
        }
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
