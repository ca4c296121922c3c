//! The secure world for tests: its secrets come from a tape, and it looks through memory when asked.
#![no_std]
#![no_main]

use core::ops::Range;
use core::panic::PanicInfo;
use he_isolation::tape::{Board, Tape};
use he_isolation::vault::Vault;
use he_isolation::watch::{self, Places, Watched};
use mps2_an505_tz::map::APPLICATION_RAM;
use mps2_an505_tz::secure::{self, NonSecure, OnFault};
use semihosting::process;

static PLACES: Places = Places { ram, stack: secure::stack_bottom };

fn ram() -> [Range<usize>; 2] {
    [secure::ram(), APPLICATION_RAM]
}

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    let Some(application) = NonSecure::new(OnFault::Skip) else { process::exit(2) };
    let application = Watched::new(application, &PLACES);
    Vault::new(application, Tape::new(|| PLACES.see_packed()), Board::new()).run();
    process::exit(3)
}

/// The last test: the application made the vault end itself.
#[unsafe(no_mangle)]
extern "C" fn after_erasure() -> ! {
    let is_good = watch::after_erasure(|line| semihosting::eprintln!("{line}"), &PLACES);
    process::exit(i32::from(!is_good))
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    secure::panic(info)
}
