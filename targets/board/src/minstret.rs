//! The counter of retired instructions that every RISC-V core has.

use crate::Counter;
use riscv::register::minstret;

/// The counter. Exact.
#[derive(Debug)]
pub struct Minstret;

impl Counter for Minstret {
    fn instructions(&mut self) -> u64 {
        minstret::read64()
    }

    fn resolution(&self) -> u64 {
        0
    }
}
