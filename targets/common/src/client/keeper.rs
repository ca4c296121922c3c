//! Who keeps the secrets: the client's own memory, or somebody behind a wall.

use he_core::edge::{BASE_PRIMES, DEGREE, LimbSink};
use he_core::wire::{Progress, Refusal};
use he_nn::client::answer;
use he_nn::client::input::Input;

use super::Error;
use super::secrets::{CIPHERTEXTS_WORD, Received, Secrets};
use crate::machine::{Entropy, Machine, counted};
use crate::model::{CLASSES, TOKENS};

/// Encrypts what the client asks, and decrypts what the server answered. `M` is the board.
pub trait Keeper<M> {
    /// Begins an exchange: encrypts a sentence, and hands the upload to `write` as it is made.
    ///
    /// # Errors
    /// Those of `write`, or why there is no upload.
    fn upload(
        &mut self,
        input: &Input<'static, TOKENS>,
        machine: &mut M,
        write: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<Uploaded, Error>;

    /// Takes the server's next frame from `read`.
    ///
    /// # Errors
    /// Those of `read`, or why the frame is refused.
    fn download(
        &mut self,
        machine: &mut M,
        read: impl FnMut(&mut [u8]) -> Result<(), Error>,
    ) -> Result<Downloaded, Error>;
}

/// What an upload took, apart from encrypting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uploaded {
    /// Instructions to pack, authenticate and send. Where the counter also runs in sleep, so does this one.
    pub send: u64,
    /// How often every feature was looked up.
    pub lookups: u64,
}

/// What the server sent.
#[expect(missing_debug_implementations, reason = "a decryption is private")]
pub enum Downloaded {
    /// How far the work is.
    Progress(Progress),
    /// Why there will be no answer.
    Refusal(Refusal),
    /// The scores, and the instructions of their decryption.
    Answer(answer::Answer<CLASSES>, u64),
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

impl<M: Machine + Entropy> Keeper<M> for Secrets<'_> {
    fn upload(
        &mut self,
        input: &Input<'static, TOKENS>,
        machine: &mut M,
        write: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<Uploaded, Error> {
        let seeds = self.begin(machine, input.ids())?;
        let (inner, instructions) = counted(machine, || self.start(&seeds, write));
        let mut sink = Timed { inner: inner?, machine, instructions };
        for index in 0..CIPHERTEXTS_WORD {
            let message = |i| input.coefficient(DEGREE, index as usize, i);
            self.encrypt(&seeds, index, message, &mut sink)?;
        }
        let Timed { inner, machine, instructions } = sink;
        let (finished, last) = counted(machine, || inner.finish());
        finished?;
        Ok(Uploaded { send: instructions + last, lookups: BASE_PRIMES as u64 })
    }

    fn download(
        &mut self,
        machine: &mut M,
        read: impl FnMut(&mut [u8]) -> Result<(), Error>,
    ) -> Result<Downloaded, Error> {
        match self.receive(read)? {
            Received::Progress(progress) => Ok(Downloaded::Progress(progress)),
            Received::Refusal(refusal) => Ok(Downloaded::Refusal(refusal)),
            Received::Answer { scale, entries } => {
                let decrypt = || self.decrypt(&entries);
                let ([logits @ .., canary], instructions) = counted(machine, decrypt);
                let answer = answer::Answer::new(logits, canary, scale)?;
                Ok(Downloaded::Answer(answer, instructions))
            }
        }
    }
}
