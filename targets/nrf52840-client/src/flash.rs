//! The chip's own flash as `embedded-storage` wants it.
//!
//! While a word is written (41 µs) or a page erased (85 ms) the processor stands still, because it
//! runs from the same flash.

use core::ptr;
use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};
use nrf_pac::nvmc::Nvmc;
use nrf_pac::nvmc::vals::Wen;

const WORD: usize = 4;

/// Some pages of flash, of `PAGE` bytes each: 4096 on the nRF52840.
#[expect(missing_debug_implementations, reason = "the registers have none")]
pub struct Flash<const PAGE: usize> {
    controller: Nvmc,
    start: usize,
    length: usize,
}

impl<const PAGE: usize> Flash<PAGE> {
    /// The `length` bytes from address `start`, written and erased by `controller`.
    ///
    /// # Safety
    /// They are whole pages of flash that hold nothing of the program, and belong to this value alone.
    #[must_use]
    pub const unsafe fn new(controller: Nvmc, start: usize, length: usize) -> Self {
        Self { controller, start, length }
    }

    /// Does `work` in a mode of the controller, which is read-only again afterwards.
    fn within(&mut self, mode: Wen, work: impl FnOnce(&mut Self)) {
        self.controller.config().write(|config| config.set_wen(mode));
        self.wait();
        work(self);
        self.controller.config().write(|config| config.set_wen(Wen::Ren));
        self.wait();
    }

    fn wait(&self) {
        cortex_m::asm::dsb();
        while !self.controller.ready().read().ready() {}
    }
}

impl<const PAGE: usize> ErrorType for Flash<PAGE> {
    type Error = NorFlashErrorKind;
}

impl<const PAGE: usize> ReadNorFlash for Flash<PAGE> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        check_read(self, offset, bytes.len())?;
        for (address, byte) in (self.start + offset as usize..).zip(bytes) {
            // SAFETY: the address is within the flash of this value (`check_read`, contract of `new`).
            *byte = unsafe { ptr::with_exposed_provenance::<u8>(address).read_volatile() };
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.length
    }
}

impl<const PAGE: usize> NorFlash for Flash<PAGE> {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = PAGE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        check_erase(self, from, to)?;
        self.within(Wen::Een, |flash| {
            for page in (from..to).step_by(PAGE) {
                // Addresses of the chip have 32 bits.
                let address = u32::try_from(flash.start).unwrap_or(u32::MAX).saturating_add(page);
                flash.controller.erasepage().write_value(address);
                flash.wait();
            }
        });
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        check_write(self, offset, bytes.len())?;
        let (words, _) = bytes.as_chunks::<WORD>();
        self.within(Wen::Wen, |flash| {
            let addresses = (flash.start + offset as usize..).step_by(WORD);
            for (address, word) in addresses.zip(words) {
                let address = ptr::with_exposed_provenance_mut::<u32>(address);
                // SAFETY: a word of this value's flash (`check_write`, contract of `new`).
                unsafe { address.write_volatile(u32::from_le_bytes(*word)) };
                flash.wait();
            }
        });
        Ok(())
    }
}
