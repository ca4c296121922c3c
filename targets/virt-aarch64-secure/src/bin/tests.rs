//! What the normal world may and may not, tried from the normal world, against the INSECURE secure
//! world for tests. The one argument, if any, selects tests by name.
#![no_std]
#![no_main]

use core::fmt::Arguments;
use core::panic::PanicInfo;

use he_firmware::harness;
use he_firmware::machine::Machine;
use semihosting::{experimental::env, process};
use virt_aarch64_secure::calls::STATUS;
use virt_aarch64_secure::normal;
use virt_aarch64_secure::suite;

/// The board as the normal world sees it.
struct Board;

impl Machine for Board {
    fn instructions(&mut self) -> u64 {
        normal::instructions()
    }

    /// That of the secure world.
    fn ram_high_water(&self) -> usize {
        usize::try_from(normal::call(STATUS, 0, 0)[2]).unwrap_or(usize::MAX)
    }

    fn print(&mut self, line: Arguments<'_>) {
        semihosting::println!("{line}");
    }
}

#[unsafe(no_mangle)]
extern "C" fn normal_main() -> ! {
    normal::take_heap();
    let Ok(arguments) = env::args::<256>() else { process::exit(2) };
    let filter = (&arguments).nth(1).and_then(Result::ok).unwrap_or("");
    let failed = harness::run_all(&mut Board, suite::cases(), filter);
    process::exit(i32::from(failed != 0))
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    semihosting::eprintln!("{info}");
    process::exit(101)
}
