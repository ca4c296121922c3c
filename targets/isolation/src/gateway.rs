//! The application's side: a keeper of secrets that asks the vault.

use core::ptr::{from_mut, from_ref};

use he_core::edge::DEGREE;
use he_core::wire::{Header, Progress, Refusal, Text};
use he_firmware::client::{Downloaded, Error, Keeper, Uploaded};
use he_firmware::machine::{Exhausted, Machine, counted};
use he_firmware::model::{CIPHERTEXTS, CLASSES, TOKENS};
use he_nn::client::answer::Answer;
use he_nn::client::input::Input;
use zeroize::{Zeroize, Zeroizing};

use crate::call::{
    Block, CIPHERTEXT, HEAD, MESSAGE, Operation, Placed, REPORT, RESULT, Span, Status,
};

/// The way through the wall: the number of an operation and the address of a block, to a status.
pub type Gate = fn(operation: u32, block: usize) -> u32;

/// Memory for one call, lent to the vault while it lasts.
#[derive(Debug)]
#[repr(C, align(8))]
pub struct Room {
    message: [i32; DEGREE],
    bytes: [u8; CIPHERTEXT],
}

/// What the vault says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// The version of its table of calls.
    pub version: u32,
    /// Whether it has secrets.
    pub is_provisioned: bool,
    /// Accesses of the application's that were stopped.
    pub faults: u32,
    /// Words of the vault's dead stack that were not zero when this was asked.
    pub dirty: u32,
}

/// The application's end of the wall.
#[derive(Debug)]
pub struct Gateway<'r> {
    gate: Gate,
    room: &'r mut Room,
}

impl Default for Room {
    fn default() -> Self {
        Self::new()
    }
}

impl Room {
    /// Empty room.
    #[must_use]
    pub const fn new() -> Self {
        Self { message: [0; DEGREE], bytes: [0; CIPHERTEXT] }
    }
}

impl<'r> Gateway<'r> {
    /// An end with `room` for arguments, not provisioned yet.
    pub const fn new(gate: Gate, room: &'r mut Room) -> Self {
        Self { gate, room }
    }

    /// Asks how things are.
    ///
    /// # Errors
    /// The vault's status.
    pub fn report(&mut self) -> Result<Report, Status> {
        let mut bytes = [0; REPORT];
        let output = span_mut(&mut bytes);
        call(self.gate, Operation::Status, Block { output, ..Block::default() })?;
        let [version, state, faults, dirty] = words(&bytes);
        Ok(Report { version, is_provisioned: state == 1, faults, dirty })
    }

    /// Lets the vault take the secrets from the key authority.
    ///
    /// # Errors
    /// If it cannot.
    pub fn provision(&mut self) -> Result<(), Error> {
        call(self.gate, Operation::Provision, Block::default()).map_err(error_of)
    }

    /// Lets the vault forget them.
    ///
    /// # Errors
    /// None that one can do anything about.
    pub fn wipe(&mut self) -> Result<(), Status> {
        call(self.gate, Operation::Wipe, Block::default())
    }

    /// Begins an exchange about these pieces; returns the first bytes of the upload.
    ///
    /// # Errors
    /// The vault's status.
    pub fn begin(&mut self, pieces: &[u16]) -> Result<&[u8], Status> {
        let mut bytes = Zeroizing::new([0; 2 * TOKENS]);
        for (to, piece) in bytes.chunks_exact_mut(2).zip(pieces) {
            to.copy_from_slice(&piece.to_le_bytes());
        }
        let output = &mut self.room.bytes[..HEAD];
        let (input, written) = (span(&bytes[..2 * pieces.len()]), span_mut(output));
        call(self.gate, Operation::Begin, Block { input, output: written, ..Block::default() })?;
        Ok(output)
    }

    /// Encrypts ciphertext `index` of the upload; returns its bytes.
    ///
    /// # Errors
    /// The vault's status.
    pub fn encrypt(&mut self, index: u32, message: impl Fn(usize) -> i32) -> Result<&[u8], Status> {
        for (i, coefficient) in self.room.message.iter_mut().enumerate() {
            *coefficient = message(i).to_le();
        }
        let input = Span { start: address(&self.room.message), length: MESSAGE as u64 };
        let output = span_mut(&mut self.room.bytes);
        let outcome =
            call(self.gate, Operation::Encrypt, Block { index, input, output, ..Block::default() });
        self.room.message.zeroize();
        outcome.map(|()| &self.room.bytes[..])
    }

    /// Ends the upload; returns its last bytes.
    ///
    /// # Errors
    /// The vault's status.
    pub fn finish(&mut self) -> Result<&[u8], Status> {
        let bytes = &mut self.room.bytes[..Header::TAG];
        let output = span_mut(bytes);
        call(self.gate, Operation::Finish, Block { output, ..Block::default() })?;
        Ok(bytes)
    }

    /// Has a frame of the server's opened, which is copied to the room first.
    ///
    /// # Errors
    /// The vault's status; [`Status::Length`] if there is no room.
    pub fn open(&mut self, frame: &[u8]) -> Result<Zeroizing<[u8; RESULT]>, Status> {
        self.room.bytes.get_mut(..frame.len()).ok_or(Status::Length)?.copy_from_slice(frame);
        self.answer(frame.len())
    }

    /// Has a frame of the server's opened, which lies at the front of the room.
    fn answer(&self, length: usize) -> Result<Zeroizing<[u8; RESULT]>, Status> {
        let mut result = Zeroizing::new([0; RESULT]);
        let (input, output) = (span(&self.room.bytes[..length]), span_mut(&mut *result));
        call(self.gate, Operation::Answer, Block { input, output, ..Block::default() })?;
        Ok(result)
    }

    /// Reads a frame into the room, and returns its length.
    fn receive(
        &mut self,
        mut read: impl FnMut(&mut [u8]) -> Result<(), Error>,
    ) -> Result<usize, Error> {
        let (header, rest) = self.room.bytes.split_first_chunk_mut().ok_or(MALFORMED)?;
        read(header)?;
        let body = usize::try_from(Header::parse(header)?.length).ok();
        let length = body.and_then(|body| body.checked_add(Header::TAG)).ok_or(MALFORMED)?;
        read(rest.get_mut(..length).ok_or(MALFORMED)?)?;
        Ok(Header::BYTES + length)
    }
}

impl<M: Machine> Keeper<M> for Gateway<'_> {
    fn upload(
        &mut self,
        input: &Input<'static, TOKENS>,
        machine: &mut M,
        mut write: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<Uploaded, Error> {
        let mut send = 0;
        let mut sent = |bytes: &[u8]| {
            let (result, instructions) = counted(machine, || write(bytes));
            send += instructions;
            result
        };
        sent(self.begin(input.ids()).map_err(error_of)?)?;
        for (ciphertext, index) in (0..CIPHERTEXTS).zip(0..) {
            let message = |i| input.coefficient(DEGREE, ciphertext, i);
            sent(self.encrypt(index, message).map_err(error_of)?)?;
        }
        sent(self.finish().map_err(error_of)?)?;
        Ok(Uploaded { send, lookups: 1 })
    }

    fn download(
        &mut self,
        machine: &mut M,
        read: impl FnMut(&mut [u8]) -> Result<(), Error>,
    ) -> Result<Downloaded, Error> {
        let length = self.receive(read)?;
        let (result, instructions) = counted(machine, || self.answer(length));
        let result = result.map_err(error_of)?;
        let [kind, first, second, third, fourth, fifth] = words(&*result);
        let text = |at: usize, length: u32| {
            let bytes = result.get(at..at + length as usize).unwrap_or_default();
            core::str::from_utf8(bytes).unwrap_or_default()
        };
        match kind {
            0 => {
                let stage = Text::new(text(20, fourth));
                let (index, total, millis) = (first, second, third);
                Ok(Downloaded::Progress(Progress { index, total, millis, stage }))
            }
            1 => {
                let needed = u64::from(third) << 32 | u64::from(second);
                Ok(Downloaded::Refusal(Refusal {
                    code: first,
                    needed,
                    text: Text::new(text(20, fourth)),
                }))
            }
            _ => {
                let scale = f64::from_bits(u64::from(second) << 32 | u64::from(first));
                let logits: [i32; CLASSES] = [third, fourth].map(u32::cast_signed);
                let answer = Answer::new(logits, fifth.cast_signed(), scale)?;
                Ok(Downloaded::Answer(answer, instructions))
            }
        }
    }
}

const MALFORMED: Error = Error::Core(he_core::Error::Malformed("a frame that is too long"));

/// Calls with a block where it must lie.
fn call(gate: Gate, operation: Operation, block: Block) -> Result<(), Status> {
    match Status::parse(gate(operation as u32, Placed::new(&block).address())) {
        Status::Done => Ok(()),
        status => Err(status),
    }
}

fn error_of(status: Status) -> Error {
    match status {
        Status::Exhausted => Error::Exhausted(Exhausted::Randomness),
        Status::Canary => Error::Model(he_nn::Error::Refused { canary: f32::NAN }),
        Status::Entries => {
            Error::Core(he_core::Error::WrongLength { expected: CLASSES + 1, found: 0 })
        }
        Status::Link => Error::Closed,
        Status::Frame => Error::Core(he_core::Error::Malformed("a frame that was refused")),
        _ => Error::Core(he_core::Error::Malformed("the keeper of the secrets refuses")),
    }
}

fn span(bytes: &[u8]) -> Span {
    Span { start: address(bytes), length: bytes.len() as u64 }
}

fn span_mut(bytes: &mut [u8]) -> Span {
    Span { start: from_mut(bytes).expose_provenance() as u64, length: bytes.len() as u64 }
}

/// The address of what is lent to the vault.
fn address<T: ?Sized>(lent: &T) -> u64 {
    from_ref(lent).expose_provenance() as u64
}

/// Little-endian words, of which there are enough.
fn words<const WORDS: usize>(bytes: &[u8]) -> [u32; WORDS] {
    core::array::from_fn(|word| u32::from_le_bytes(core::array::from_fn(|i| bytes[4 * word + i])))
}
