//! The secure world of the client: its secrets come by the second serial port, which is its own. The
//! program's argument names the file that plays its flash.
#![no_std]
#![no_main]

use core::convert::Infallible;
use core::panic::PanicInfo;
use embedded_io::{ErrorType, Read};
use he_cmsdk::Uart;
use he_emulated::Lent;
use he_firmware::machine::{Entropy, Exhausted};
use he_isolation::vault::Vault;
use mps2_an505_tz::map::AUTHORITY;
use mps2_an505_tz::secure::{self, NonSecure, OnFault};
use semihosting::process;

/// What the secure world has for itself.
struct Own {
    authority: Uart,
    lent: Lent,
}

impl ErrorType for Own {
    type Error = Infallible;
}

impl Read for Own {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
        self.authority.read(bytes)
    }
}

impl Entropy for Own {
    fn fresh(&mut self) -> Result<[u8; 32], Exhausted> {
        self.lent.fresh()
    }

    fn sequence(&mut self) -> Result<u64, Exhausted> {
        self.lent.sequence()
    }
}

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    let Some(application) = NonSecure::new(OnFault::Erase) else { process::exit(2) };
    let Some(authority) = Uart::open(&AUTHORITY) else { process::exit(2) };
    Vault::new(application, Own { authority, lent: Lent::open(1) }).run();
    process::exit(3)
}

/// After a panic, or after the application did what it may not.
#[unsafe(no_mangle)]
extern "C" fn after_erasure() -> ! {
    semihosting::eprintln!("the secure world erased itself");
    process::exit(4)
}

/// The client's log is the application's.
#[defmt::global_logger]
struct Silence;

// SAFETY: takes nothing, so nothing has to be released.
unsafe impl defmt::Logger for Silence {
    fn acquire() {}
    unsafe fn flush() {}
    unsafe fn release() {}
    unsafe fn write(_: &[u8]) {}
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    secure::panic(info)
}
