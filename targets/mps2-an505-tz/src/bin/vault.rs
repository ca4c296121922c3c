//! The secure world of the client: its secrets come by the second serial port, which is its own, and are kept,
//! sealed, in its flash. The program's argument names the file that plays it.
#![no_std]
#![no_main]

use core::panic::PanicInfo;
use he_cmsdk::Uart;
use he_emulated::Lent;
use he_isolation::vault::Vault;
use mps2_an505_tz::map::AUTHORITY;
use mps2_an505_tz::secure::{self, NonSecure, OnFault};
use semihosting::process;

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    let Some(application) = NonSecure::new(OnFault::Erase) else { process::exit(2) };
    let Some(authority) = Uart::open(&AUTHORITY) else { process::exit(2) };
    Vault::new(application, authority, Lent::open(1)).run();
    process::exit(3)
}

/// After a panic, or after the application did what it may not.
#[unsafe(no_mangle)]
extern "C" fn after_erasure() -> ! {
    semihosting::eprintln!("the secure world erased itself");
    process::exit(4)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    secure::panic(info)
}
