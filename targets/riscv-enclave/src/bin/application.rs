//! The tests of the wall, in user mode. The one argument, if any, selects tests by name.
#![no_std]
#![no_main]

use core::panic::PanicInfo;
use he_firmware::harness;
use he_isolation::suite::{self, Wall};
use he_isolation::watch;
use riscv_enclave::application::Board;
use semihosting::{experimental::env, process};

/// The client logs; nobody listens here.
#[defmt::global_logger]
struct Silence;

// SAFETY: takes nothing, so nothing has to be released.
unsafe impl defmt::Logger for Silence {
    fn acquire() {}
    unsafe fn flush() {}
    unsafe fn release() {}
    unsafe fn write(_: &[u8]) {}
}

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    let Ok(arguments) = env::args::<256>() else { process::exit(2) };
    let filter = (&arguments).nth(1).and_then(Result::ok).unwrap_or("");
    let mut board = Board::start();
    let failed = harness::run_all(&mut board, suite::cases(), filter);
    if failed == 0 && watch::AFTER_ERASURE.contains(filter) {
        suite::end_vault(&mut board, || {
            Board::GATE(watch::PANIC, 0);
        });
    }
    process::exit(i32::from(failed != 0))
}

/// Never reached: a panic of the vault's is not the application's business.
#[unsafe(no_mangle)]
extern "C" fn after_erasure() -> ! {
    process::exit(102)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    semihosting::eprintln!("{info}");
    process::exit(101)
}
