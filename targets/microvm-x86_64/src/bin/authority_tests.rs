//! The key authority for tests: INSECURE, with a seed that everyone knows.
#![no_std]
#![no_main]

use core::panic::PanicInfo;

use key_authority::{golden, order};
use microvm_x86_64::guest::{self, BAD, World};
use microvm_x86_64::memory;

#[unsafe(no_mangle)]
extern "C" fn guest_main(record: u64) -> ! {
    guest::run(World { seed: || Ok(golden::SEED_INSECURE), params: order::presets }, record)
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    memory::erase_and_exit(BAD)
}
