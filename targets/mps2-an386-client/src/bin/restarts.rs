//! What the board remembers when power fails. Arguments: the file that plays flash, and the step in which
//! power fails: a word that is written or a page that is erased, counted from zero.
//!
//! Lines on standard error: `new SECRET` before secrets are kept, `kept`, `recalled SECRET`, `number N`. Status:
//! 0 at the end, 3 where power failed, 1 if something else did.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU32, Ordering};
use cortex_m_rt::entry;
use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};
use he_board as _; // The log and the panic handler.
use he_emulated::{FileFlash, HostNoise, PAGE, pages};
use he_firmware::machine::{Entropy, Exhausted, Memory};
use he_firmware::persistent::{Pages, Persistent};
use semihosting::{eprintln, experimental::env, process};

/// As long as a device's secrets.
const LENGTH: usize = 1088;
/// Exchanges of one run.
const NUMBERS: usize = 3;
const POWER_FAILED: i32 = 3;

/// Steps until power fails.
static LEFT: AtomicU32 = AtomicU32::new(u32::MAX);

/// Flash whose board loses power.
struct Failing(FileFlash);

impl Failing {
    /// Whether power fails in this step.
    fn fails() -> bool {
        LEFT.fetch_sub(1, Ordering::Relaxed) == 0
    }
}

impl ErrorType for Failing {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Failing {
    const READ_SIZE: usize = FileFlash::READ_SIZE;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        self.0.read(offset, bytes)
    }

    fn capacity(&self) -> usize {
        self.0.capacity()
    }
}

impl NorFlash for Failing {
    const WRITE_SIZE: usize = FileFlash::WRITE_SIZE;
    const ERASE_SIZE: usize = FileFlash::ERASE_SIZE;

    /// A page whose erasure is cut keeps some of its words, torn.
    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        for page in (from..to).step_by(FileFlash::ERASE_SIZE) {
            let fails = Self::fails();
            self.0.erase(page, page + PAGE)?;
            if fails {
                self.0.write(page, &[0x5a; 256])?;
                process::exit(POWER_FAILED);
            }
        }
        Ok(())
    }

    /// A word whose writing is cut lacks some of its zeros.
    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        for (at, word) in (offset..).step_by(Self::WRITE_SIZE).zip(bytes.chunks(Self::WRITE_SIZE)) {
            if Self::fails() {
                let mut torn = [0x5a; Self::WRITE_SIZE];
                torn.iter_mut().zip(word).for_each(|(torn, byte)| *torn |= byte);
                self.0.write(at, &torn)?;
                process::exit(POWER_FAILED);
            }
            self.0.write(at, word)?;
        }
        Ok(())
    }
}

#[entry]
fn main() -> ! {
    let outcome = run();
    if let Err(lack) = outcome {
        eprintln!("failed: {lack:?}");
    }
    process::exit(i32::from(outcome.is_err()))
}

fn run() -> Result<(), Exhausted> {
    let lacking = Exhausted::Memory;
    let arguments = env::args::<512>().map_err(|_| lacking)?;
    let mut arguments = (&arguments).skip(1).map_while(Result::ok);
    let path = arguments.next().ok_or(lacking)?;
    let steps = arguments.next().and_then(|steps| steps.parse().ok()).ok_or(lacking)?;
    let Pages { key, version, numbers, slots } = pages(path).ok_or(lacking)?;
    let pages = Pages {
        key: Failing(key),
        version: Failing(version),
        numbers: Failing(numbers),
        slots: Failing(slots),
    };
    LEFT.store(steps, Ordering::Relaxed);
    let mut board = Persistent::open(HostNoise::new(), pages)?;
    let mut secrets = [0; LENGTH];
    if board.recall(&mut secrets)? {
        eprintln!("recalled {:02x?}", &secrets[LENGTH - 8..]);
    } else {
        let fresh = board.fresh()?;
        secrets.iter_mut().zip(fresh.iter().cycle()).for_each(|(to, from)| *to = *from);
        eprintln!("new {:02x?}", &secrets[LENGTH - 8..]);
        board.keep(&mut secrets, 100)?;
        eprintln!("kept");
    }
    for _ in 0..NUMBERS {
        eprintln!("number {}", board.sequence()?);
    }
    Ok(())
}
