//! A file of the host as NOR flash with the pages of an nRF52840.

use core::ffi::CStr;
use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};
use he_firmware::persistent::Pages;
use semihosting::fs::File;
use semihosting::io::{Read, Seek, SeekFrom, Write};

/// Bytes of a page.
pub const PAGE: u32 = 4096;
/// Pages of the file: key, version, numbers, slots.
pub const PAGES: u32 = 7;
/// Bytes handled at a time.
const PIECE: usize = 64;

/// Some pages of the file.
#[derive(Debug)]
pub struct FileFlash {
    file: File,
    start: u32,
    length: u32,
}

/// Everything a board keeps, in the file `path`, which has [`PAGES`] pages of ones when it is new. `None`
/// if there is no such file.
#[must_use]
pub fn pages(path: &str) -> Option<Pages<FileFlash>> {
    let mut bytes = [0; 512];
    bytes.get_mut(..path.len())?.copy_from_slice(path.as_bytes());
    let path = CStr::from_bytes_until_nul(&bytes).ok()?;
    let open = |first: u32, count: u32| {
        let file = File::options().read(true).write(true).open(path).ok()?;
        (file.metadata().ok()?.len() == u64::from(PAGES * PAGE)).then_some(FileFlash {
            file,
            start: first * PAGE,
            length: count * PAGE,
        })
    };
    Some(Pages { key: open(0, 1)?, version: open(1, 2)?, numbers: open(3, 2)?, slots: open(5, 2)? })
}

impl FileFlash {
    fn seek(&mut self, offset: u32) -> Result<(), NorFlashErrorKind> {
        self.file.seek(SeekFrom::Start(u64::from(self.start + offset))).map_err(other)?;
        Ok(())
    }

    fn put(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        self.seek(offset)?;
        self.file.write_all(bytes).map_err(other)
    }
}

fn other<E>(_: E) -> NorFlashErrorKind {
    NorFlashErrorKind::Other
}

impl ErrorType for FileFlash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for FileFlash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        check_read(self, offset, bytes.len())?;
        self.seek(offset)?;
        self.file.read_exact(bytes).map_err(other)
    }

    fn capacity(&self) -> usize {
        self.length as usize
    }
}

impl NorFlash for FileFlash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = PAGE as usize;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        check_erase(self, from, to)?;
        (from..to).step_by(PIECE).try_for_each(|at| self.put(at, &[0xff; PIECE]))
    }

    /// As in flash, only zeros are written; a bit that is zero stays so.
    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        check_write(self, offset, bytes.len())?;
        for (at, piece) in (offset..).step_by(PIECE).zip(bytes.chunks(PIECE)) {
            let mut old = [0; PIECE];
            let old = &mut old[..piece.len()];
            self.read(at, old)?;
            for (old, new) in old.iter_mut().zip(piece) {
                *old &= new;
            }
            self.put(at, old)?;
        }
        Ok(())
    }
}
