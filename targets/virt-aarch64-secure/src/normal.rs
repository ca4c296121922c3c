//! Non-secure EL1: start-up of an application, calls to the secure world, and reads that may fault.

mod probe;
mod start;

use smccc::smc64;

use crate::calls::{self, Status};
use key_authority::file::File;

pub use probe::{Fault, REGISTERS, load, registers_after, store};
pub use start::{start, take_heap};

/// A call's results; the first is the status.
#[must_use]
pub fn call(number: u64, start: u64, length: u64) -> [u64; 4] {
    let mut arguments = [0; 17];
    (arguments[0], arguments[1]) = (start, length);
    #[expect(clippy::cast_possible_truncation, reason = "numbers of calls have 32 bits")]
    let results = smc64(number as u32, arguments);
    [results[0], results[1], results[2], results[3]]
}

/// A call that names memory.
#[must_use]
pub fn call_with(number: u64, memory: &[u8]) -> [u64; 4] {
    call(number, memory.as_ptr().expose_provenance() as u64, memory.len() as u64)
}

/// Has the secure world forget everything, which it always does.
pub fn wipe() {
    let _ = call(calls::WIPE, 0, 0);
}

/// What [`calls::NEXT`] wrote.
#[derive(Clone, Copy, Debug)]
pub struct Chunk {
    /// The file that it belongs to.
    pub file: File,
    /// Bytes written.
    pub bytes: usize,
    /// Whether the file starts here.
    pub starts: bool,
    /// Whether this was all.
    pub is_last: bool,
}

/// Has the secure world fill `buffer`.
///
/// # Errors
/// The status, if it is not [`Status::Done`].
pub fn next(buffer: &mut [u8]) -> Result<Chunk, u64> {
    let place = buffer.as_mut_ptr().expose_provenance() as u64;
    let [status, bytes, file, flags] = call(calls::NEXT, place, buffer.len() as u64);
    let file = calls::unpack(file).filter(|_| status == Status::Done.word()).ok_or(status)?;
    let bytes = usize::try_from(bytes).unwrap_or(0).min(buffer.len());
    let (starts, is_last) = (flags & calls::STARTS != 0, flags & calls::DONE != 0);
    Ok(Chunk { file, bytes, starts, is_last })
}

/// Instructions since the machine started, to within sixteen, if the emulator counts them (`-icount
/// shift=0`): its counter runs at 62.5 MHz, and an instruction is a nanosecond.
#[must_use]
pub fn instructions() -> u64 {
    let ticks: u64;
    // SAFETY: reads a counter.
    unsafe { core::arch::asm!("mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack)) };
    16 * ticks
}
