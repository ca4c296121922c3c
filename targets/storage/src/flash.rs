//! What the flash traits lack: errors of ours, blankness, halves.

use embedded_storage::nor_flash::{NorFlash, NorFlashError, ReadNorFlash};

use crate::Error;

/// Most bytes that a flash writes at once (a word of 256 bits on the STM32H7).
pub(crate) const LONGEST_WORD: usize = 32;

/// Reads bytes.
pub(crate) fn read(
    flash: &mut impl ReadNorFlash,
    offset: u32,
    bytes: &mut [u8],
) -> Result<(), Error> {
    flash.read(offset, bytes).map_err(|error| Error::Flash(error.kind()))
}

/// Writes whole words.
pub(crate) fn write(flash: &mut impl NorFlash, offset: u32, bytes: &[u8]) -> Result<(), Error> {
    flash.write(offset, bytes).map_err(|error| Error::Flash(error.kind()))
}

/// Erases whole pages.
pub(crate) fn erase(flash: &mut impl NorFlash, from: u32, to: u32) -> Result<(), Error> {
    flash.erase(from, to).map_err(|error| Error::Flash(error.kind()))
}

/// Whether nothing was written to `length` bytes (a multiple of [`LONGEST_WORD`]) since they were erased.
pub(crate) fn is_blank(
    flash: &mut impl ReadNorFlash,
    offset: u32,
    length: u32,
) -> Result<bool, Error> {
    let mut bytes = [0; LONGEST_WORD];
    for at in (offset..offset + length).step_by(LONGEST_WORD) {
        read(flash, at, &mut bytes)?;
        if bytes != [0xff; LONGEST_WORD] {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Bytes of each part of a flash of so many parts, each of whole pages.
pub(crate) fn part<F: NorFlash>(flash: &F, parts: usize) -> Result<u32, Error> {
    let part = flash.capacity() / parts;
    let fits = LONGEST_WORD.is_multiple_of(F::WRITE_SIZE)
        && LONGEST_WORD.is_multiple_of(F::READ_SIZE)
        && part > 0
        && part.is_multiple_of(F::ERASE_SIZE)
        && part.is_multiple_of(LONGEST_WORD);
    if fits { u32::try_from(part).map_err(|_| Error::Layout) } else { Err(Error::Layout) }
}
