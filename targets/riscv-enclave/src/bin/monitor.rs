//! The monitor for tests: its secrets come from a tape, and it looks through memory when asked.
#![no_std]
#![no_main]

use core::ops::Range;
use core::panic::PanicInfo;
use he_isolation::tape::{Board, Tape};
use he_isolation::vault::Vault;
use he_isolation::watch::{self, Places, Watched};
use riscv_enclave::map::APPLICATION_RAM;
use riscv_enclave::monitor::{self, OnFault, User};
use semihosting::process;

static PLACES: Places = Places { ram, stack: monitor::stack_bottom };

fn ram() -> [Range<usize>; 2] {
    [monitor::ram(), APPLICATION_RAM]
}

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    let application = Watched::new(User::new(OnFault::Skip), &PLACES);
    Vault::new(application, Tape::new(|| PLACES.see_packed()), Board::new()).run();
    semihosting::eprintln!("the application was stopped");
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
    monitor::panic(info)
}
