//! The device's side of encrypted inference for firmware in C: secrets in, encrypted upload out,
//! answer in, numbers out. `include/he_core.h` is generated from this file; `docs/format.md`
//! says what goes over the link.
//!
//! Nothing here allocates or keeps state: all memory is the caller's. Secrets are erased before a call
//! returns, except those that the caller holds in [`HeDevice`]. Time does not depend on secrets.
#![cfg_attr(target_os = "none", no_std)]

use core::ffi::c_void;
use core::ptr::NonNull;

use he_core::Error;
use he_core::edge::{BASE_PRIMES, DEGREE, EdgeKey, EdgeRing, EdgeSecret, EdgeTable, Workspace};
use he_core::params::EDGE_128;
use he_core::sample::{MessageDigest, MessageSeeds, SecretSeed, Ternary};
use he_core::wire::{
    Answer, AnswerEntry, Kind, Link, Progress, Provision, Refusal, TransportKey, UploadShape,
    UploadWriter,
};
use zeroize::Zeroize;

pub mod slots;

/// Coefficients of one ciphertext.
pub const HE_DEGREE: usize = 4096;

/// Bytes of a packed edge secret.
pub const HE_SECRET_BYTES: usize = 1024;

/// The most numbers that an answer may have.
pub const HE_ENTRIES: usize = 16;

const _: () = assert!(HE_DEGREE == DEGREE && HE_SECRET_BYTES == DEGREE / 4);

/// Longest body of a frame from the server.
const FRAME_LIMIT: u64 = 16 * 1024;

/// The tables of the two base primes, in flash: the least primitive 8192nd roots of unity.
static TABLES: [EdgeTable<DEGREE>; BASE_PRIMES] = [
    EdgeTable::new(EDGE_128.terminals[0], 27628).unwrap(),
    EdgeTable::new(EDGE_128.terminals[1], 7678).unwrap(),
];

/// How a call ended.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HeStatus {
    /// As it should.
    Ok = 0,
    /// A pointer is null or not aligned, or a number is out of range.
    Argument = 1,
    /// The caller's function for the link failed.
    Link = 2,
    /// What arrived was altered, or is for another key, exchange or parameter set.
    Frame = 3,
    /// The server refuses: `HeAnswer.refusal` says why.
    Refused = 4,
}

/// What the key authority gave the device. Keep it where only the firmware can read it, and erase it with `he_wipe`.
#[repr(C)]
#[expect(missing_debug_implementations, reason = "holds secrets")]
pub struct HeDevice {
    /// What frames are authenticated with.
    pub transport: [u8; 32],
    /// What the seeds of messages are derived from.
    pub messages: [u8; 32],
    /// The edge secret, two bits a coefficient.
    pub secret: [u8; HE_SECRET_BYTES],
}

/// Memory for one call: 52 KB, needed only while it lasts, and without secrets after it.
#[repr(C)]
#[expect(missing_debug_implementations, reason = "holds secrets")]
pub struct HeMemory {
    secrets: [[u32; HE_DEGREE]; 2],
    limb: [u32; HE_DEGREE],
    errors: [i8; HE_DEGREE],
}

/// Receives exactly `length` bytes; 0 if it could.
pub type HeRead = Option<extern "C" fn(context: *mut c_void, bytes: *mut u8, length: usize) -> i32>;

/// Sends exactly `length` bytes; 0 if it could.
pub type HeWrite =
    Option<extern "C" fn(context: *mut c_void, bytes: *const u8, length: usize) -> i32>;

/// Coefficient `index` of message `ciphertext`, less than 2^31 - 32 in absolute value. It is asked for
/// twice and must give the same number.
pub type HeMessage =
    Option<extern "C" fn(context: *mut c_void, ciphertext: u32, index: u32) -> i32>;

/// The server works on stage `index` of `total`.
pub type HeProgress =
    Option<extern "C" fn(context: *mut c_void, index: u32, total: u32, millis: u32)>;

/// What makes an upload differ from every other.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct HeExchange {
    /// Larger than any before under this transport key; it must survive power cuts.
    pub sequence: u64,
    /// Fresh random bytes.
    pub fresh: [u8; 32],
    /// Bytes that determine the message, such as its token numbers.
    pub digest: *const u8,
    /// How many there are.
    pub digest_length: usize,
    /// How many ciphertexts there are.
    pub ciphertexts: u32,
}

/// What the server answered.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HeAnswer {
    /// The values are the numbers times this.
    pub scale: f64,
    /// How many values there are; the last one is the canary.
    pub count: u32,
    /// The server's code if it refused.
    pub refusal: u32,
    /// The decrypted values. Never send them back.
    pub values: [i32; HE_ENTRIES],
}

/// The caller's function and what it wants to be called with.
struct Wire<F> {
    function: F,
    context: *mut c_void,
}

type Reader = Wire<extern "C" fn(*mut c_void, *mut u8, usize) -> i32>;
type Writer = Wire<extern "C" fn(*mut c_void, *const u8, usize) -> i32>;
type Messages = extern "C" fn(*mut c_void, u32, u32) -> i32;

/// Reads the secrets of the device from a link that both sides trust.
///
/// # Safety
/// `device` is null, or points to memory that nothing else uses during the call; `read` may be called with `context`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn he_provision(
    device: *mut HeDevice,
    read: HeRead,
    context: *mut c_void,
) -> HeStatus {
    // SAFETY: the caller lends the memory for the call, and all bytes are a valid device.
    let Some((device, function)) = unsafe { exclusive(device) }.zip(read) else {
        return HeStatus::Argument;
    };
    let wire = Wire { function, context };
    status(provision(device, &wire))
}

/// Encrypts messages and sends the upload as it is made.
///
/// # Safety
/// Pointers are null, or point to memory that nothing changes during the call, `memory` to memory that nothing else uses;
/// `exchange->digest` has `digest_length` bytes; the functions may be called with their contexts.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn he_upload(
    device: *const HeDevice,
    memory: *mut HeMemory,
    exchange: *const HeExchange,
    message: HeMessage,
    write: HeWrite,
    context: *mut c_void,
) -> HeStatus {
    // SAFETY: the caller lends what is not null for the call.
    let lent = unsafe { (shared(device), exclusive(memory), shared(exchange)) };
    let ((Some(device), Some(memory), Some(exchange)), Some(message), Some(function)) =
        (lent, message, write)
    else {
        return HeStatus::Argument;
    };
    let digest = match NonNull::new(exchange.digest.cast_mut()) {
        // SAFETY: the caller says that there are so many bytes.
        Some(bytes) => unsafe {
            core::slice::from_raw_parts(bytes.as_ptr(), exchange.digest_length)
        },
        None if exchange.digest_length == 0 => &[],
        None => return HeStatus::Argument,
    };
    let wire = Wire { function, context };
    status(upload(device, memory, (exchange, digest), message, &wire))
}

/// Waits for the answer to an upload and decrypts it.
///
/// # Safety
/// As for `he_upload`; `progress` may be null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn he_answer(
    device: *const HeDevice,
    memory: *mut HeMemory,
    sequence: u64,
    read: HeRead,
    progress: HeProgress,
    context: *mut c_void,
    answer: *mut HeAnswer,
) -> HeStatus {
    // SAFETY: the caller lends what is not null for the call.
    let lent = unsafe { (shared(device), exclusive(memory), exclusive(answer)) };
    let ((Some(device), Some(memory), Some(answer)), Some(function)) = (lent, read) else {
        return HeStatus::Argument;
    };
    *answer = HeAnswer::default();
    let wire = Wire { function, context };
    status(receive(device, memory, sequence, &wire, progress, answer))
}

/// Erases bytes so that no optimisation leaves them.
///
/// # Safety
/// `bytes` is null, or points to `length` bytes that nothing else uses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn he_wipe(bytes: *mut c_void, length: usize) {
    if let Some(bytes) = NonNull::new(bytes.cast::<u8>()) {
        // SAFETY: the caller lends so many bytes.
        unsafe { core::slice::from_raw_parts_mut(bytes.as_ptr(), length) }.zeroize();
    }
}

/// Why a call failed.
enum Failure {
    Link,
    Frame,
    Refused,
}

impl From<Error> for Failure {
    fn from(_: Error) -> Self {
        Self::Frame
    }
}

fn status(result: Result<(), Failure>) -> HeStatus {
    match result {
        Ok(()) => HeStatus::Ok,
        Err(Failure::Link) => HeStatus::Link,
        Err(Failure::Refused) => HeStatus::Refused,
        Err(Failure::Frame) => HeStatus::Frame,
    }
}

impl Reader {
    fn read(&self, bytes: &mut [u8]) -> Result<(), Failure> {
        match (self.function)(self.context, bytes.as_mut_ptr(), bytes.len()) {
            0 => Ok(()),
            _ => Err(Failure::Link),
        }
    }
}

impl Writer {
    fn write(&self, bytes: &[u8]) -> Result<(), Failure> {
        match (self.function)(self.context, bytes.as_ptr(), bytes.len()) {
            0 => Ok(()),
            _ => Err(Failure::Link),
        }
    }
}

fn provision(device: &mut HeDevice, wire: &Reader) -> Result<(), Failure> {
    let checksum = TransportKey::checksum();
    let limit = Provision::<[u8; HE_SECRET_BYTES]>::length(HE_DEGREE);
    let (_, frame) = Link::accept(&checksum, EDGE_128.digest(), limit, |bytes| wire.read(bytes))?;
    let provision = Provision::read(frame, [0; HE_SECRET_BYTES])?;
    provision.copy_to(&mut device.transport, &mut device.messages, &mut device.secret);
    Ok(())
}

fn upload(
    device: &HeDevice,
    memory: &mut HeMemory,
    (exchange, digested): (&HeExchange, &[u8]),
    message: Messages,
    wire: &Writer,
) -> Result<(), Failure> {
    let messages = SecretSeed::new(device.messages);
    let mut digest = MessageDigest::new(&messages);
    digest.update(digested);
    let seeds = MessageSeeds::derive(&messages, exchange.sequence, &exchange.fresh, &digest);
    let transport = TransportKey::new(SecretSeed::new(device.transport));
    let mut link = Link::new(&transport, EDGE_128.digest(), exchange.sequence);
    let (key, mut workspace) = open(device, memory)?;
    let primes = key.rings().map(|ring| ring.modulus());
    let shape = UploadShape { degree: HE_DEGREE, primes, count: exchange.ciphertexts };
    if shape.length() > u64::from(u32::MAX) {
        return Err(Error::ValueOutOfRange.into());
    }
    let write = |bytes: &[u8]| wire.write(bytes);
    let mut writer = UploadWriter::start(&mut link, &shape, &seeds.mask, write)?;
    for ciphertext in 0..exchange.ciphertexts {
        #[expect(clippy::cast_possible_truncation, reason = "below the degree")]
        let coefficient = |index: usize| message(wire.context, ciphertext, index as u32);
        key.encrypt(&seeds, ciphertext, coefficient, &mut workspace, &mut writer)?;
    }
    writer.finish()
}

fn receive(
    device: &HeDevice,
    memory: &mut HeMemory,
    sequence: u64,
    wire: &Reader,
    progress: HeProgress,
    answer: &mut HeAnswer,
) -> Result<(), Failure> {
    let transport = TransportKey::new(SecretSeed::new(device.transport));
    let mut link = Link::new(&transport, EDGE_128.digest(), sequence);
    let (key, workspace) = open(device, memory)?;
    let q = key.rings()[0].modulus();
    let mut entries = [AnswerEntry::default(); HE_ENTRIES];
    loop {
        let frame = link.reader(FRAME_LIMIT, |bytes: &mut [u8]| wire.read(bytes))?;
        match frame.header().kind {
            Kind::Progress => {
                let Progress { index, total, millis, .. } = Progress::read(frame)?;
                if let Some(progress) = progress {
                    progress(wire.context, index, total, millis);
                }
            }
            Kind::Refusal => {
                answer.refusal = Refusal::read(frame)?.code;
                return Err(Failure::Refused);
            }
            _ => {
                let read = Answer::read(frame, q, workspace.limb, &mut entries)?;
                (answer.scale, answer.count) = (read.scale, count(read.entries));
                break;
            }
        }
    }
    let decryption = key.decrypt(0, workspace.limb);
    for (value, entry) in answer.values.iter_mut().zip(&entries).take(answer.count as usize) {
        *value = decryption.coefficient(entry.position as usize, entry.body);
    }
    Ok(())
}

/// At most [`HE_ENTRIES`].
#[expect(clippy::cast_possible_truncation, reason = "at most 16")]
const fn count(entries: &[AnswerEntry]) -> u32 {
    entries.len() as u32
}

/// The key in the caller's memory, until it is dropped, and the rest of that memory to work in.
fn open<'m>(
    device: &HeDevice,
    memory: &'m mut HeMemory,
) -> Result<(EdgeKey<'m>, Workspace<'m>), Failure> {
    let secret: EdgeSecret = Ternary::from_packed(device.secret)?;
    let rings: [EdgeRing<'static>; BASE_PRIMES] = TABLES.each_ref().map(EdgeTable::ring);
    let [first, second] = &mut memory.secrets;
    let key = EdgeKey::expand(&secret, rings, [first, second])?;
    Ok((key, Workspace { limb: &mut memory.limb, errors: &mut memory.errors }))
}

/// What is at a pointer, unless it is null or not aligned.
///
/// # Safety
/// The caller lends what is there, if anything is, and nothing changes it.
unsafe fn shared<'a, T>(pointer: *const T) -> Option<&'a T> {
    if !pointer.is_aligned() {
        return None;
    }
    // SAFETY: what is neither null nor misaligned is lent.
    unsafe { pointer.as_ref() }
}

/// The same for memory that nothing else uses.
///
/// # Safety
/// The caller lends what is there, if anything is, to nobody else.
unsafe fn exclusive<'a, T>(pointer: *mut T) -> Option<&'a mut T> {
    if !pointer.is_aligned() {
        return None;
    }
    // SAFETY: what is neither null nor misaligned is lent.
    unsafe { pointer.as_mut() }
}

#[cfg(target_os = "none")]
mod bare {
    unsafe extern "C" {
        /// What the firmware does when an invariant of the library is broken. It must not return.
        safe fn he_panic() -> !;
    }

    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
        he_panic()
    }
}
