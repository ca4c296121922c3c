//! Numbers of which none is given out twice, whatever happens to the power.
//!
//! Flash is written once for many numbers: it has the first of those that nobody may have used yet. After
//! a restart counting begins there, and the rest of the batch before is skipped.

use embedded_storage::nor_flash::NorFlash;

use crate::{Error, Monotonic};

/// Numbers reserved at a time. A page of 4096 bytes takes 128 records, so it is erased once in 262,144
/// numbers or 128 restarts.
const BATCH: u64 = 1024;

/// A counter on a flash of two halves that it owns.
#[derive(Debug)]
pub struct Counter<F> {
    reserved: Monotonic<F>,
    next: u64,
}

impl<F: NorFlash> Counter<F> {
    /// Goes on behind all numbers that were reserved.
    ///
    /// # Errors
    /// [`Error::Absent`] if the counter was never made.
    pub fn open(flash: F) -> Result<Self, Error> {
        Ok(Self::of(Monotonic::open(flash)?))
    }

    /// As [`Self::open`], or begins at `first` if the counter was never made or is lost. No number may have been given out then, or the keys that it was used with must be new ones.
    ///
    /// # Errors
    /// Those of the flash.
    pub fn begin(flash: F, first: u64) -> Result<Self, Error> {
        Ok(Self::of(Monotonic::begin(flash, first)?))
    }

    const fn of(reserved: Monotonic<F>) -> Self {
        let next = reserved.value();
        Self { reserved, next }
    }

    /// A number larger than every earlier one.
    ///
    /// # Errors
    /// Those of the flash, or if all numbers are used; no number is used up then.
    pub fn number(&mut self) -> Result<u64, Error> {
        if self.next == self.reserved.value() {
            let limit = self.next.checked_add(BATCH).ok_or(Error::Exhausted)?;
            self.reserved.raise(limit)?;
        }
        let number = self.next;
        self.next += 1;
        Ok(number)
    }

    /// Skips to `first` unless counting is there already, for numbers that others have used.
    ///
    /// # Errors
    /// Those of the flash.
    pub fn skip_to(&mut self, first: u64) -> Result<(), Error> {
        if first > self.reserved.value() {
            self.reserved.raise(first)?;
        }
        self.next = self.next.max(first);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulated::Simulated;

    type Flash = Simulated<128, 4, 64>;

    #[test]
    fn numbers_grow_by_one_while_there_is_power() {
        let mut counter = Counter::begin(Flash::new(), 10).unwrap();
        for expected in 10..5000 {
            assert_eq!(counter.number(), Ok(expected));
        }
    }

    /// Restarts over and over, with power failing in every step there is, several times each.
    #[test]
    fn no_number_comes_twice_if_power_fails_at_any_step() {
        let mut flash = Flash::new();
        let mut last = 0;
        Counter::begin(&mut flash, 1).unwrap();
        let (mut cuts, mut whole) = (0, 0);
        for torn in 0..200 {
            for step in 0..40 {
                flash.cut_at(step, torn);
                let mut run = || -> Result<(), Error> {
                    let mut counter = Counter::open(&mut flash)?;
                    // Three batches.
                    for _ in 0..2500 {
                        let number = counter.number()?;
                        assert!(number > last, "{number} after {last}, cut at {step}");
                        last = number;
                    }
                    Ok(())
                };
                if run().is_ok() {
                    whole += 1;
                } else {
                    cuts += 1;
                }
                flash.restore();
            }
        }
        assert!(cuts > 2000 && whole > 500, "{cuts} cuts, {whole} whole runs");
    }

    #[test]
    fn the_last_numbers_are_not_given_out_and_nothing_wraps() {
        let mut counter = Counter::begin(Flash::new(), u64::MAX - BATCH).unwrap();
        for _ in 0..BATCH {
            assert!(counter.number().is_ok());
        }
        assert_eq!(counter.number(), Err(Error::Exhausted));
    }

    #[test]
    fn skipping_goes_forward_only() {
        let mut counter = Counter::begin(Flash::new(), 10).unwrap();
        counter.skip_to(5).unwrap();
        assert_eq!(counter.number(), Ok(10));
        counter.skip_to(100).unwrap();
        assert_eq!(counter.number(), Ok(100));
        counter.skip_to(1 << 40).unwrap();
        assert_eq!((counter.number(), counter.number()), (Ok(1 << 40), Ok((1 << 40) + 1)));
    }
}
