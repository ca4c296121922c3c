//! A number in flash that only grows, whatever happens to the power.
//!
//! Each new value is a record after the last, in a page that is filled from front to back; when it is
//! full, the other page is erased and goes on. The largest valid record counts. It is never in a page
//! that is being erased, and a record that was torn is not valid: it has its CRC-32 twice, once
//! inverted, so that bits missing from either show.

use crc::{CRC_32_ISO_HDLC, Crc, NoTable};
use embedded_storage::nor_flash::NorFlash;

use crate::Error;
use crate::flash::{LONGEST_WORD, erase, is_blank, part, read, write};

/// Bytes from record to record. The record is the first half.
const STRIDE: u32 = 32;
const RECORD: usize = 16;
const CRC: Crc<u32, NoTable> = Crc::<u32, NoTable>::new(&CRC_32_ISO_HDLC);

const _: () = assert!(STRIDE as usize == LONGEST_WORD);

/// A number that only grows, on a flash of two halves that it owns.
#[derive(Debug)]
pub struct Monotonic<F> {
    flash: F,
    half: u32,
    value: u64,
    /// The half with the largest record, by its offset.
    holder: u32,
    /// Where the next record goes in it.
    next: u32,
}

impl<F: NorFlash> Monotonic<F> {
    /// The number that is stored.
    ///
    /// # Errors
    /// [`Error::Absent`] if none is.
    pub fn open(mut flash: F) -> Result<Self, Error> {
        let half = part(&flash, 2)?;
        let mut best = None;
        for start in [0, half] {
            for at in (start..start + half).step_by(STRIDE as usize) {
                let mut record = [0; RECORD];
                read(&mut flash, at, &mut record)?;
                if let Some(value) = parse(&record)
                    && best.is_none_or(|(most, _)| value > most)
                {
                    best = Some((value, start));
                }
            }
        }
        let (value, holder) = best.ok_or(Error::Absent)?;
        let mut next = holder + half;
        while is_blank(&mut flash, next - STRIDE, STRIDE)? {
            next -= STRIDE;
        }
        Ok(Self { flash, half, value, holder, next })
    }

    /// The number that is stored, or else `value`, stored now.
    ///
    /// # Errors
    /// Those of the flash.
    pub fn begin(mut flash: F, value: u64) -> Result<Self, Error> {
        match Monotonic::open(&mut flash) {
            Ok(_) => Self::open(flash),
            Err(Error::Absent) => Self::create(flash, value),
            Err(error) => Err(error),
        }
    }

    /// Stores a first number; whatever was there is erased.
    fn create(mut flash: F, value: u64) -> Result<Self, Error> {
        let half = part(&flash, 2)?;
        erase(&mut flash, 0, 2 * half)?;
        let mut number = Self { flash, half, value, holder: 0, next: 0 };
        if number.append(0, 0, value)? { Ok(number) } else { Err(Error::Worn) }
    }

    /// The number.
    pub const fn value(&self) -> u64 {
        self.value
    }

    /// Stores a larger number; a smaller or equal one changes nothing.
    ///
    /// # Errors
    /// Those of the flash, or [`Error::Worn`]. The number is the old one or the new one then.
    pub fn raise(&mut self, value: u64) -> Result<(), Error> {
        if value <= self.value || self.append(self.holder, self.next, value)? {
            return Ok(());
        }
        let other = self.half - self.holder;
        erase(&mut self.flash, other, other + self.half)?;
        if self.append(other, other, value)? { Ok(()) } else { Err(Error::Worn) }
    }

    /// Writes a record to the half at `start`, at `next` or behind; false if it found no place.
    fn append(&mut self, start: u32, next: u32, value: u64) -> Result<bool, Error> {
        let mut word = [0xff; STRIDE as usize];
        word[..RECORD].copy_from_slice(&record(value));
        for at in (next..start + self.half).step_by(STRIDE as usize) {
            if start == self.holder {
                self.next = at + STRIDE;
            }
            write(&mut self.flash, at, &word)?;
            let mut found = [0; STRIDE as usize];
            read(&mut self.flash, at, &mut found)?;
            if found == word {
                (self.value, self.holder, self.next) = (value, start, at + STRIDE);
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn record(value: u64) -> [u8; RECORD] {
    let bytes = value.to_le_bytes();
    let check = CRC.checksum(&bytes);
    let mut record = [0; RECORD];
    record[..8].copy_from_slice(&bytes);
    record[8..12].copy_from_slice(&check.to_le_bytes());
    record[12..].copy_from_slice(&(!check).to_le_bytes());
    record
}

fn parse(bytes: &[u8; RECORD]) -> Option<u64> {
    let value = u64::from_le_bytes(*bytes.first_chunk()?);
    (record(value) == *bytes).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulated::Simulated;

    type Flash = Simulated<512, 4, 256>;

    #[test]
    fn blank_flash_has_no_number() {
        assert_eq!(Monotonic::open(Flash::new()).err(), Some(Error::Absent));
    }

    #[test]
    fn a_number_grows_and_survives_restarts() {
        let mut flash = Flash::new();
        Monotonic::begin(&mut flash, 7).unwrap();
        for value in 8..100 {
            let mut number = Monotonic::open(&mut flash).unwrap();
            assert_eq!(number.value(), value - 1);
            number.raise(value).unwrap();
            number.raise(value - 1).unwrap();
            assert_eq!(number.value(), value);
        }
    }

    /// After each cut the number is the old one or the new one, and goes on from there.
    fn survives_cuts<const BYTES: usize, const WORD: usize, const PAGE: usize>() {
        let mut flash = Simulated::<BYTES, WORD, PAGE>::new();
        Monotonic::begin(&mut flash, 0).unwrap();
        for torn in 0..20 {
            for step in 0.. {
                let before = Monotonic::open(&mut flash).unwrap().value();
                flash.cut_at(step, torn);
                // Enough to fill both halves more than once.
                let goal = before + 40;
                let mut kept = before;
                let mut run = || -> Result<(), Error> {
                    let mut number = Monotonic::open(&mut flash)?;
                    for value in before + 1..=goal {
                        number.raise(value)?;
                        kept = value;
                    }
                    Ok(())
                };
                let is_done = run().is_ok();
                flash.restore();
                let after = Monotonic::open(&mut flash).unwrap().value();
                assert!(after == kept || after == kept + 1, "{kept} then {after}, cut at {step}");
                if is_done {
                    break;
                }
            }
        }
    }

    #[test]
    fn cuts_at_every_step_lose_nothing_that_was_stored() {
        survives_cuts::<512, 4, 256>();
        survives_cuts::<512, 32, 256>();
        survives_cuts::<256, 1, 32>();
    }

    #[test]
    fn a_cut_while_the_first_number_is_stored_leaves_that_number_or_none() {
        for torn in 0..50 {
            for step in 0.. {
                let mut flash = Flash::new();
                flash.cut_at(step, torn);
                let is_done = Monotonic::begin(&mut flash, 5).is_ok();
                flash.restore();
                match Monotonic::open(&mut flash) {
                    Ok(number) => assert_eq!(number.value(), 5),
                    Err(error) => assert!(!is_done && error == Error::Absent),
                }
                if is_done {
                    break;
                }
            }
        }
    }

    #[test]
    fn flash_that_keeps_nothing_is_reported_and_the_number_stays() {
        let mut flash = Flash::new();
        let mut number = Monotonic::begin(&mut flash, 3).unwrap();
        // Bits that are stuck at zero wherever something is to be written.
        let stuck = number.flash.bytes();
        for at in (STRIDE as usize..512).step_by(STRIDE as usize) {
            stuck[at] = 0;
        }
        assert!(number.raise(4).is_err());
        assert_eq!(Monotonic::open(&mut flash).unwrap().value(), 3);
    }
}
