//! The secure world: keys for the presets, seeds from the processor.
#![no_std]
#![no_main]

use core::panic::PanicInfo;

use he_core::params::Params;
use key_authority::{Error, order};
use virt_aarch64_secure::authority::{self, World};
use virt_aarch64_secure::monitor::{self, Answer, Context, Extra};

struct Product;

impl World for Product {
    fn seed(&self) -> Result<[u8; 32], Error> {
        authority::seed_of_processor()
    }

    fn params(&self, digest: u64) -> Option<Params> {
        order::presets(digest)
    }

    fn extra(&self, _: u64) {}
}

impl Extra for Product {
    fn call(&self, _: u64, _: [u64; 2]) -> Answer {
        Answer::NotSupported
    }
}

#[unsafe(no_mangle)]
extern "C" fn monitor_trap() -> *mut Context {
    monitor::trap(&Product)
}

#[unsafe(no_mangle)]
extern "C" fn authority_main(call: u64, start: u64, length: u64) -> ! {
    authority::serve(&Product, [call, start, length])
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    authority::panicked(info)
}
