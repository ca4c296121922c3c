//! What a caller may have done to which memory, and the checks of its arguments.
//!
//! The block is copied into the vault's memory before it is looked at, so it cannot change between check
//! and use. A range passes if the caller could touch every byte of it by itself: then nothing is done
//! for the caller that it could not do. What passed can be used only through [`Input`] and [`Output`].

use core::ptr::{self, with_exposed_provenance, with_exposed_provenance_mut};

use crate::call::{Block, Lengths, Operation, Span, Status, VERSION};

/// What is done to memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It is read.
    Read,
    /// It is written.
    Write,
}

/// The caller's view of memory.
///
/// # Safety
/// Where `allows` says yes there is memory that can be accessed so, and nothing of Rust's on this side
/// of the wall lies there.
pub unsafe trait Memory {
    /// Whether the caller may itself access every address from `first` to `last`, both included, so.
    /// `first` is at most `last`.
    fn allows(&self, first: usize, last: usize, access: Access) -> bool;
}

/// A range of the caller's memory to read from, front to back, each byte once: what the caller changes
/// later does not matter. It is good until the caller runs again.
#[derive(Debug, PartialEq, Eq)]
pub struct Input {
    start: usize,
    length: usize,
}

/// The same to write to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Output {
    start: usize,
    length: usize,
}

/// A call whose arguments are in order.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    /// What is asked.
    pub operation: Operation,
    /// Which ciphertext.
    pub index: u32,
    /// What is read.
    pub input: Input,
    /// What is written.
    pub output: Output,
}

/// Checks a call: the number of its operation and the address of its block, as they come.
///
/// # Errors
/// What is wrong, in the order of [`Status`].
pub fn admit(operation: u32, block: usize, memory: &impl Memory) -> Result<Request, Status> {
    let operation = Operation::parse(operation).ok_or(Status::Operation)?;
    let place = Span { start: block as u64, length: Block::BYTES as u64 };
    let place = range(place, Block::ALIGN, Access::Read, memory)?;
    let mut bytes = [0; Block::BYTES];
    Input { start: place.0, length: place.1 }.take(&mut bytes).ok_or(Status::Length)?;
    let Block { version, index, input, output } = Block::from_bytes(&bytes);
    if version != VERSION {
        return Err(Status::Version);
    }
    let Lengths { input: (least, most, unit), output: expected } = operation.lengths();
    let lengths = (usize::try_from(input.length), usize::try_from(output.length));
    let (Ok(length), Ok(written)) = lengths else { return Err(Status::Length) };
    if length < least || length > most || !length.is_multiple_of(unit) || written != expected {
        return Err(Status::Length);
    }
    let input = range(input, unit, Access::Read, memory)?;
    let output = range(output, 1, Access::Write, memory)?;
    if overlap(input, output) || overlap(place, output) {
        return Err(Status::Pointer);
    }
    if operation != Operation::Encrypt && index != 0 {
        return Err(Status::Argument);
    }
    let input = Input { start: input.0, length: input.1 };
    let output = Output { start: output.0, length: output.1 };
    Ok(Request { operation, index, input, output })
}

/// Start and length of a range that the caller may access. Where nothing is lent, both are zero.
fn range(
    span: Span,
    align: usize,
    access: Access,
    memory: &impl Memory,
) -> Result<(usize, usize), Status> {
    let Span { start, length } = span;
    if length == 0 {
        return if start == 0 { Ok((0, 0)) } else { Err(Status::Pointer) };
    }
    let last = start.checked_add(length - 1).and_then(|last| usize::try_from(last).ok());
    let (Ok(start), Ok(length), Some(last)) =
        (usize::try_from(start), usize::try_from(length), last)
    else {
        return Err(Status::Pointer);
    };
    if !start.is_multiple_of(align) || !memory.allows(start, last, access) {
        return Err(Status::Pointer);
    }
    Ok((start, length))
}

/// Whether two ranges, neither of which wraps around, have an address in common.
const fn overlap(a: (usize, usize), b: (usize, usize)) -> bool {
    let (front, back) = if a.0 <= b.0 { (a, b) } else { (b, a) };
    back.1 != 0 && back.0 - front.0 < front.1
}

impl Input {
    /// Bytes that are left.
    #[must_use]
    pub const fn length(&self) -> usize {
        self.length
    }

    /// Takes the next bytes; `None` if there are not as many, and then takes none.
    #[must_use]
    pub fn take(&mut self, bytes: &mut [u8]) -> Option<()> {
        self.length = self.length.checked_sub(bytes.len())?;
        // SAFETY: the caller's memory was admitted for reading (`Memory`), and is not this slice's.
        unsafe {
            ptr::copy_nonoverlapping(
                with_exposed_provenance(self.start),
                bytes.as_mut_ptr(),
                bytes.len(),
            );
        }
        self.start = self.start.wrapping_add(bytes.len());
        Some(())
    }
}

impl Output {
    /// Puts the next bytes; `None` if they do not fit, and then puts none.
    #[must_use]
    pub fn put(&mut self, bytes: &[u8]) -> Option<()> {
        self.length = self.length.checked_sub(bytes.len())?;
        // SAFETY: the caller's memory was admitted for writing (`Memory`), and is not this slice's.
        unsafe {
            ptr::copy_nonoverlapping(
                bytes.as_ptr(),
                with_exposed_provenance_mut(self.start),
                bytes.len(),
            );
        }
        self.start = self.start.wrapping_add(bytes.len());
        Some(())
    }
}

#[cfg(test)]
mod tests;
