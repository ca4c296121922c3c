//! The secure world for tests: INSECURE, with a seed that everyone knows, small parameters, and calls
//! that look into secure memory.
#![no_std]
#![no_main]

use core::panic::PanicInfo;

use he_core::params::Params;
use key_authority::{Error, order};
use virt_aarch64_secure::authority::{self, World};
use virt_aarch64_secure::calls::{TEST_PANIC, TEST_SCAN};
use virt_aarch64_secure::monitor::{self, Answer, Context, Extra};

struct Insecure;

impl World for Insecure {
    fn seed(&self) -> Result<[u8; 32], Error> {
        Ok(key_authority::golden::SEED_INSECURE)
    }

    fn params(&self, digest: u64) -> Option<Params> {
        let small = key_authority::golden::params_insecure().ok();
        small.filter(|params| params.digest() == digest).or_else(|| order::presets(digest))
    }

    fn extra(&self, call: u64) {
        assert_ne!(call, TEST_PANIC, "as asked");
    }
}

impl Extra for Insecure {
    fn call(&self, call: u64, pattern: [u64; 2]) -> Answer {
        match call {
            TEST_SCAN => Answer::Value(monitor::count_in_secure_ram(pattern)),
            TEST_PANIC => Answer::Forward,
            _ => Answer::NotSupported,
        }
    }
}

#[unsafe(no_mangle)]
extern "C" fn monitor_trap() -> *mut Context {
    monitor::trap(&Insecure)
}

#[unsafe(no_mangle)]
extern "C" fn authority_main(call: u64, start: u64, length: u64) -> ! {
    authority::serve(&Insecure, [call, start, length])
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    authority::panicked(info)
}
