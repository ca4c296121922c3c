//! What an emulator lends a board by semihosting, in place of parts that a real board has: the host's
//! random bytes as raw noise, and a file as flash.
//!
//! Neither says anything of a real board's noise or flash. What is the same is all that stands on
//! them: health tests, generator, counter, vault.
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod flash;
mod noise;

pub use flash::{FileFlash, PAGE, PAGES, pages};
pub use noise::HostNoise;

use he_firmware::machine::{Entropy, Exhausted, Memory};
use he_firmware::persistent::Persistent;
use semihosting::experimental::env;

/// Randomness, numbers and memory that the emulator lends, or what of them is lacking.
#[expect(missing_debug_implementations, reason = "holds a key")]
pub struct Lent(Result<Persistent<HostNoise, FileFlash>, Exhausted>);

impl Lent {
    /// Opens what the board remembers in the file that the program's argument of this index names. What
    /// is lacking shows when it is needed: memory, if there is no such argument or file.
    #[must_use]
    pub fn open(argument: usize) -> Self {
        Self(persistent(argument))
    }

    fn get(&mut self) -> Result<&mut Persistent<HostNoise, FileFlash>, Exhausted> {
        self.0.as_mut().map_err(|lack| *lack)
    }
}

/// Apart, so that what it needs of the stack is free again when the client runs.
#[inline(never)]
fn persistent(argument: usize) -> Result<Persistent<HostNoise, FileFlash>, Exhausted> {
    let arguments = env::args::<512>().map_err(|_| Exhausted::Memory)?;
    let path = (&arguments).nth(argument).and_then(Result::ok).ok_or(Exhausted::Memory)?;
    let pages = pages(path).ok_or(Exhausted::Memory)?;
    Persistent::open(HostNoise::new(), pages)
}

impl Entropy for Lent {
    fn fresh(&mut self) -> Result<[u8; 32], Exhausted> {
        self.get()?.fresh()
    }

    fn sequence(&mut self) -> Result<u64, Exhausted> {
        self.get()?.sequence()
    }
}

impl Memory for Lent {
    fn recall(&mut self, secrets: &mut [u8]) -> Result<bool, Exhausted> {
        self.get()?.recall(secrets)
    }

    fn keep(&mut self, secrets: &mut [u8], first: u64) -> Result<(), Exhausted> {
        self.get()?.keep(secrets, first)
    }

    fn forget(&mut self) -> Result<(), Exhausted> {
        self.get()?.forget()
    }
}
