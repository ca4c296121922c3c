//! The side with the secrets: a program that lets the application run until it asks for something.
//!
//! So the application is a coroutine of the vault: while it runs, the vault's stack holds the session,
//! and nothing of the vault's is reached but by a return from [`Application::resume`]. Whatever ends
//! the session (a wipe, an application that is gone) ends the scope that owns the secrets, which erases
//! them. What the board keeps without power, sealed, only a wipe erases.

use core::cell::Cell;

use embedded_io::Read;
use he_core::Error as Core;
use he_core::edge::{DEGREE, EdgeKey, Workspace};
use he_core::sample::{MessageSeeds, SecretSeed};
use he_core::wire::{Progress, Provision, Refusal, TransportKey, UploadWriter};
use he_firmware::buffers::{self, Buffers};
use he_firmware::client::{self, Error, Received, Secrets};
use he_firmware::machine::{self, Entropy};
use he_firmware::model::{CIPHERTEXTS, CLASSES, TOKENS};
use he_nn::client::answer::TOLERANCE;
use spin::Mutex;
use zeroize::{Zeroize, Zeroizing};

use crate::call::{Operation, REPORT, RESULT, Status, VERSION};
use crate::memory::{Memory, Output, Request, admit};

/// Where messages are copied to before they are encrypted.
static MESSAGE: Mutex<[i32; DEGREE]> = Mutex::new([0; DEGREE]);

/// The application, as the vault sees it: somebody else's memory, and somebody who runs until it calls.
pub trait Application: Memory {
    /// Ends the application's last call with `status`, after it erased what the vault left in registers
    /// and on the dead part of its stack. Returns the next call, operation and block; `None` if the
    /// application will never call again.
    fn resume(&mut self, status: u32) -> Option<(u32, usize)>;

    /// Accesses of the application's that were stopped, and words of the dead stack that were not zero
    /// when it called last, as far as this board looks.
    fn observed(&self) -> (u32, u32);
}

/// The vault: the application; and the link to the authority, the memory and the numbers that are the
/// vault's own.
#[expect(missing_debug_implementations, reason = "will hold secrets")]
pub struct Vault<A, L, B> {
    application: A,
    authority: L,
    board: B,
}

/// Why a session ends.
enum End {
    /// The secrets are to be wiped.
    Wipe,
    /// The application is gone.
    Gone,
}

/// The secrets, as they are used.
struct Taken<'b> {
    transport: TransportKey,
    messages: SecretSeed,
    key: EdgeKey<'b>,
    workspace: Workspace<'b>,
}

/// What is there while secrets are.
struct Session<'a, 'w, W> {
    secrets: Secrets<'a>,
    upload: Option<Upload<'a, W>>,
    /// Where the pieces of the upload go.
    window: &'w Cell<Output>,
    message: &'w mut [i32; DEGREE],
}

/// An upload under way.
struct Upload<'a, W> {
    seeds: MessageSeeds,
    writer: UploadWriter<'a, W>,
    next: u32,
}

impl<A: Application, L: Read, B: Entropy + machine::Memory> Vault<A, L, B> {
    /// A vault that has taken no secrets yet, neither from the board's memory nor from the authority.
    pub const fn new(application: A, authority: L, board: B) -> Self {
        Self { application, authority, board }
    }

    /// Lets the application run, and does what it asks, until it is gone. Secrets are erased then.
    pub fn run(&mut self) {
        let mut status = Status::Done;
        while let Some(request) = self.next(status) {
            status = match request.operation {
                Operation::Status => self.report(request.output, 0),
                Operation::Wipe => self.forget(),
                Operation::Provision => match self.provision() {
                    Err(status) => status,
                    Ok(End::Wipe) => self.forget(),
                    Ok(End::Gone) => return,
                },
                _ => Status::State,
            };
        }
    }

    /// Erases what the board keeps.
    fn forget(&mut self) -> Status {
        self.board.forget().map_or_else(|lack| status_of(lack.into()), |()| Status::Done)
    }

    /// The application's next call that has its arguments in order.
    fn next(&mut self, mut status: Status) -> Option<Request> {
        loop {
            let (operation, block) = self.application.resume(status as u32)?;
            match admit(operation, block, &self.application) {
                Ok(request) => return Some(request),
                Err(refusal) => status = refusal,
            }
        }
    }

    /// Takes the secrets and serves until they are to be wiped or the application is gone. Not inlined, so
    /// that its frame, and what moves left in it, is dead stack after.
    #[inline(never)]
    fn provision(&mut self) -> Result<End, Status> {
        let (Some(mut buffers), Some(mut message)) = (buffers::take(), MESSAGE.try_lock()) else {
            return Err(Status::State);
        };
        let Taken { transport, messages, key, workspace } = self.take(&mut buffers)?;
        let secrets = Secrets::new(&transport, messages, key, workspace);
        let window = Cell::new(Output::default());
        let write = |bytes: &[u8]| put(&window, bytes);
        let session = Session { secrets, upload: None, window: &window, message: &mut message };
        Ok(self.serve(session, write))
    }

    /// Recalls the secrets, or reads and keeps them; and expands the edge secret, of which only the expanded
    /// form stays. Not inlined, for the same reason: the packed secret is never where the session lives.
    #[inline(never)]
    fn take<'b>(&mut self, buffers: &'b mut Buffers) -> Result<Taken<'b>, Status> {
        let authority = &mut self.authority;
        let read = |bytes: &mut [u8]| authority.read_exact(bytes).map_err(|_| Error::Closed);
        let Provision { transport, messages, secret } =
            client::obtain(&mut self.board, read).map_err(status_of)?;
        let (key, workspace) = buffers.open(&secret).map_err(|_| Status::State)?;
        Ok(Taken { transport, messages, key, workspace })
    }

    fn serve<W>(&mut self, mut session: Session<'_, '_, W>, write: W) -> End
    where
        W: Fn(&[u8]) -> Result<(), Error> + Copy,
    {
        let mut status = Status::Done;
        loop {
            let Some(request) = self.next(status) else { return End::Gone };
            let outcome = match request.operation {
                Operation::Status => Ok(self.report(request.output, 1)),
                Operation::Provision => Ok(Status::State),
                Operation::Begin => session.begin(request, &mut self.board, write),
                Operation::Encrypt => session.encrypt(request),
                Operation::Finish => session.finish(request),
                Operation::Answer => session.answer(request),
                Operation::Wipe => return End::Wipe,
            };
            session.message.zeroize();
            status = outcome.unwrap_or_else(status_of);
        }
    }

    fn report(&self, mut output: Output, state: u32) -> Status {
        let (faults, dirty) = self.application.observed();
        let mut report = [0; REPORT];
        for (to, word) in report.chunks_exact_mut(4).zip([VERSION, state, faults, dirty]) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        output.put(&report).map_or(Status::Length, |()| Status::Done)
    }
}

impl<W: Fn(&[u8]) -> Result<(), Error> + Copy> Session<'_, '_, W> {
    fn begin(
        &mut self,
        mut request: Request,
        board: &mut impl Entropy,
        write: W,
    ) -> Result<Status, Error> {
        let mut pieces = Zeroizing::new([0; TOKENS]);
        let count = request.input.length() / 2;
        for piece in pieces.iter_mut().take(count) {
            let mut bytes = [0; 2];
            request.input.take(&mut bytes).ok_or(OUT_OF_RANGE)?;
            *piece = u16::from_le_bytes(bytes);
        }
        self.upload = None;
        let seeds = self.secrets.begin(board, &pieces[..count])?;
        self.window.set(request.output);
        let writer = self.secrets.start(&seeds, write)?;
        self.upload = Some(Upload { seeds, writer, next: 0 });
        Ok(Status::Done)
    }

    fn encrypt(&mut self, mut request: Request) -> Result<Status, Error> {
        let Some(Upload { seeds, writer, next }) = &mut self.upload else {
            return Ok(Status::State);
        };
        if request.index != *next || request.index as usize >= CIPHERTEXTS {
            return Ok(Status::Argument);
        }
        let mut is_good = true;
        for coefficient in self.message.iter_mut() {
            let mut bytes = [0; 4];
            request.input.take(&mut bytes).ok_or(OUT_OF_RANGE)?;
            *coefficient = i32::from_le_bytes(bytes);
            is_good &= coefficient.unsigned_abs() <= he_core::edge::MESSAGE_BOUND.unsigned_abs();
        }
        if !is_good {
            return Ok(Status::Argument);
        }
        self.window.set(request.output);
        *next += 1;
        self.secrets.encrypt(seeds, request.index, |i| self.message[i], writer)?;
        Ok(Status::Done)
    }

    fn finish(&mut self, request: Request) -> Result<Status, Error> {
        let is_whole =
            self.upload.as_ref().is_some_and(|upload| upload.next as usize == CIPHERTEXTS);
        let Some(Upload { writer, .. }) = self.upload.take_if(|_| is_whole) else {
            return Ok(Status::State);
        };
        self.window.set(request.output);
        writer.finish()?;
        Ok(Status::Done)
    }

    fn answer(&mut self, mut request: Request) -> Result<Status, Error> {
        if self.upload.is_some() {
            return Ok(Status::State);
        }
        let input = &mut request.input;
        let received = self.secrets.receive(|bytes| input.take(bytes).ok_or(SHORT_FRAME))?;
        if input.length() != 0 {
            return Ok(Status::Length);
        }
        let mut result = Zeroizing::new([0; RESULT]);
        match received {
            Received::Progress(progress) => of_progress(&progress, &mut result),
            Received::Refusal(refusal) => of_refusal(&refusal, &mut result),
            Received::Answer { scale, entries } => {
                let numbers = Zeroizing::new(self.secrets.decrypt(&entries));
                if !is_intact(numbers[CLASSES], scale) {
                    return Ok(Status::Canary);
                }
                fill(&mut result, &[&2u32.to_le_bytes(), &scale.to_bits().to_le_bytes()]);
                for (to, number) in result[12..].chunks_exact_mut(4).zip(numbers.iter()) {
                    to.copy_from_slice(&number.to_le_bytes());
                }
            }
        }
        Ok(request.output.put(&*result).map_or(Status::Length, |()| Status::Done))
    }
}

const OUT_OF_RANGE: Error = Error::Core(Core::ValueOutOfRange);
const SHORT_FRAME: Error = Error::Core(Core::Malformed("a frame that is too short"));

/// Whether the canary is close enough to 1, in integers: floating point takes a time that depends on its
/// operands, and here only the scale, which is public, goes through it. The application looks again.
fn is_intact(canary: i32, scale: f64) -> bool {
    let tolerance = f64::from(TOLERANCE);
    #[expect(clippy::cast_possible_truncation, reason = "limited to the range by the language")]
    let [low, high] = [1.0 - tolerance, 1.0 + tolerance].map(|bound| (bound * scale) as i32);
    (low <= canary) & (canary <= high)
}

/// Hands a piece of the upload to where the caller wants it.
fn put(window: &Cell<Output>, bytes: &[u8]) -> Result<(), Error> {
    let mut output = window.take();
    let fits = output.put(bytes);
    window.set(output);
    fits.ok_or(OUT_OF_RANGE)
}

fn of_progress(progress: &Progress, result: &mut [u8; RESULT]) {
    let Progress { index, total, millis, stage } = progress;
    let (name, kind) = (stage.as_str().as_bytes(), [0; 4]);
    let [index, total, millis] = [index, total, millis].map(|number| number.to_le_bytes());
    fill(result, &[&kind, &index, &total, &millis, &short(name), name]);
}

fn of_refusal(refusal: &Refusal, result: &mut [u8; RESULT]) {
    let Refusal { code, needed, text } = refusal;
    let (reason, kind) = (text.as_str().as_bytes(), 1u32.to_le_bytes());
    fill(result, &[&kind, &code.to_le_bytes(), &needed.to_le_bytes(), &short(reason), reason]);
}

/// The length of a text of at most 120 bytes.
#[expect(clippy::cast_possible_truncation, reason = "at most 120")]
const fn short(text: &[u8]) -> [u8; 4] {
    (text.len() as u32).to_le_bytes()
}

fn fill(result: &mut [u8; RESULT], pieces: &[&[u8]]) {
    let mut at = 0;
    for piece in pieces {
        result[at..at + piece.len()].copy_from_slice(piece);
        at += piece.len();
    }
}

fn status_of(error: Error) -> Status {
    match error {
        Error::Exhausted(_) => Status::Exhausted,
        Error::Closed | Error::Link(_) => Status::Link,
        Error::Core(Core::WrongLength { .. }) => Status::Entries,
        Error::Core(Core::ValueOutOfRange) => Status::Argument,
        Error::BuffersInUse => Status::State,
        _ => Status::Frame,
    }
}
