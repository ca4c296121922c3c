//! The monitor of the client: its secrets come by the board's serial port, and are kept, sealed, in its flash. The
//! program's argument names the file that plays it.
#![no_std]
#![no_main]

use core::panic::PanicInfo;
use he_emulated::Lent;
use he_isolation::vault::Vault;
use riscv_enclave::card;
use riscv_enclave::map::AUTHORITY;
use riscv_enclave::monitor::{self, OnFault, User};
use riscv_enclave::port::Port;
use semihosting::process;

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    let application = User::new(OnFault::Stop);
    // SAFETY: the board's one serial port; the application cannot use it.
    let authority = unsafe { Port::found(AUTHORITY, monitor::sleep, u32::MAX) };
    let (true, Some(authority)) = (card::open(), authority) else { process::exit(2) };
    Vault::new(application, authority, Lent::open(1)).run();
    semihosting::eprintln!("the application was stopped");
    process::exit(3)
}

/// After a panic, or a trap of the monitor's own.
#[unsafe(no_mangle)]
extern "C" fn after_erasure() -> ! {
    semihosting::eprintln!("the monitor erased itself");
    process::exit(4)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    monitor::panic(info)
}
