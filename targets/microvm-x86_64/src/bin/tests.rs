//! The guest's tests. The kernel's command line selects tests by name.
#![no_std]
#![no_main]

use core::fmt::{Arguments, Write};
use core::panic::PanicInfo;

use he_firmware::harness;
use he_firmware::machine::Machine;
use microvm_x86_64::guest::{BAD, GOOD};
use microvm_x86_64::ports::Port;
use microvm_x86_64::{memory, suite};

/// The guest and its first serial port.
struct Guest(Port);

impl Machine for Guest {
    /// Its counter counts a fixed number of instructions a tick under `-icount`.
    fn instructions(&mut self) -> u64 {
        // SAFETY: reads a counter.
        unsafe { core::arch::x86_64::_rdtsc() }
    }

    fn ram_high_water(&self) -> usize {
        memory::high_water()
    }

    fn print(&mut self, line: Arguments<'_>) {
        // A port takes everything.
        writeln!(self.0, "{line}").ok();
    }
}

#[unsafe(no_mangle)]
extern "C" fn guest_main(record: u64) -> ! {
    memory::take_heap();
    suite::catch_faults();
    let Some(port) = Port::host() else { memory::erase_and_exit(BAD) };
    let line = memory::command_line(record);
    let filter = line.split(' ').nth(1).unwrap_or("");
    let failed = harness::run_all(&mut Guest(port), suite::cases(), filter);
    memory::erase_and_exit(if failed == 0 { GOOD } else { BAD })
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    if let Some(mut port) = Port::host() {
        writeln!(port, "{info}").ok();
    }
    memory::erase_and_exit(BAD)
}
