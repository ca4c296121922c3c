//! A flash in memory that can lose power at every step, for tests.

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};

/// `BYTES` of NOR flash with words of `WORD` bytes and pages of `PAGE` bytes.
///
/// Writing a word is one step, erasing a page is two. When power fails in a step, a word keeps some of
/// the bits that were to become zero, and a page has some that did not become one. From then on
/// every access fails until power is back.
#[derive(Debug, Clone)]
pub struct Simulated<const BYTES: usize, const WORD: usize, const PAGE: usize> {
    bytes: [u8; BYTES],
    steps: u32,
    cut: Option<u32>,
    noise: u64,
}

impl<const BYTES: usize, const WORD: usize, const PAGE: usize> Simulated<BYTES, WORD, PAGE> {
    /// Erased flash with power.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: [0xff; BYTES], steps: 0, cut: None, noise: 0x9e37_79b9_7f4a_7c15 }
    }

    /// Power will fail in the step of this number, counted from zero and from now; `torn` chooses what is
    /// left behind.
    pub const fn cut_at(&mut self, step: u32, torn: u64) {
        self.steps = 0;
        self.cut = Some(step);
        self.noise = torn.wrapping_mul(2).wrapping_add(1);
    }

    /// Power is back. Returns the steps since the last such call, those of a failure included.
    pub const fn restore(&mut self) -> u32 {
        self.cut = None;
        let steps = self.steps;
        self.steps = 0;
        steps
    }

    /// Everything in it, to look at or to tamper with.
    pub const fn bytes(&mut self) -> &mut [u8; BYTES] {
        &mut self.bytes
    }

    fn has_power(&self) -> Result<(), NorFlashErrorKind> {
        if self.cut.is_some_and(|cut| self.steps > cut) {
            return Err(NorFlashErrorKind::Other);
        }
        Ok(())
    }

    /// Takes a step; false if power fails in it.
    fn step(&mut self) -> Result<bool, NorFlashErrorKind> {
        self.has_power()?;
        let whole = self.cut.is_none_or(|cut| self.steps < cut);
        self.steps += 1;
        Ok(whole)
    }

    /// Some bits (xorshift64*).
    const fn some(&mut self) -> u8 {
        self.noise ^= self.noise >> 12;
        self.noise ^= self.noise << 25;
        self.noise ^= self.noise >> 27;
        self.noise.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes()[0]
    }
}

impl<const BYTES: usize, const WORD: usize, const PAGE: usize> Default
    for Simulated<BYTES, WORD, PAGE>
{
    fn default() -> Self {
        Self::new()
    }
}

impl<const BYTES: usize, const WORD: usize, const PAGE: usize> ErrorType
    for Simulated<BYTES, WORD, PAGE>
{
    type Error = NorFlashErrorKind;
}

impl<const BYTES: usize, const WORD: usize, const PAGE: usize> ReadNorFlash
    for Simulated<BYTES, WORD, PAGE>
{
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        check_read(self, offset, bytes.len())?;
        self.has_power()?;
        bytes.copy_from_slice(&self.bytes[offset as usize..][..bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        BYTES
    }
}

impl<const BYTES: usize, const WORD: usize, const PAGE: usize> NorFlash
    for Simulated<BYTES, WORD, PAGE>
{
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = PAGE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        check_erase(self, from, to)?;
        for page in (from as usize..to as usize).step_by(PAGE) {
            for _ in 0..2 {
                let whole = self.step()?;
                for at in page..page + PAGE {
                    self.bytes[at] |= if whole { 0xff } else { self.some() };
                }
                if !whole {
                    return Err(NorFlashErrorKind::Other);
                }
            }
        }
        Ok(())
    }

    /// Refuses to write to a word that is not blank.
    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        check_write(self, offset, bytes.len())?;
        for (i, word) in bytes.chunks_exact(WORD).enumerate() {
            let start = offset as usize + i * WORD;
            if self.bytes[start..start + WORD].iter().any(|&byte| byte != 0xff) {
                return Err(NorFlashErrorKind::Other);
            }
            let whole = self.step()?;
            for (j, byte) in word.iter().enumerate() {
                self.bytes[start + j] = if whole { *byte } else { byte | self.some() };
            }
            if !whole {
                return Err(NorFlashErrorKind::Other);
            }
        }
        Ok(())
    }
}
