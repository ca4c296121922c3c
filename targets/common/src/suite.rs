//! The tests that every board and the host run: the same bodies, the same expected values.
//!
//! Expected values are in `golden.txt` of this package, computed by `golden.py`. The host's tests
//! and the boards' compare with the same file, so that equal verdicts mean equal bytes.

mod crypto;
mod golden;
mod numbers;
mod slots;
mod small;
mod text;
mod wire;

use crate::harness::{Bench, Case, Failure};
use crate::machine::Machine;

/// Those for a device that holds the model, in the order they run.
pub fn cases<M: Machine>() -> impl Iterator<Item = Case<M>> {
    let own = numbers::cases().into_iter().chain(text::cases()).chain(crypto::cases());
    own.chain(wire::cases()).chain(slots::cases())
}

/// Those for the smallest devices: no model, and a ring of its own that fits anywhere.
pub fn small_cases<M: Machine>() -> impl Iterator<Item = Case<M>> {
    numbers::cases().into_iter().chain(small::cases()).chain(wire::cases())
}

const fn case<M>(name: &'static str, run: fn(&mut Bench<'_, M>) -> Result<(), Failure>) -> Case<M> {
    Case { name, run }
}

#[cfg(test)]
mod tests {
    extern crate alloc;
    extern crate std;
    use super::*;
    use alloc::format;
    use alloc::string::String;
    use std::println;

    struct Host;

    impl Machine for Host {
        fn instructions(&mut self) -> u64 {
            0
        }
        fn ram_high_water(&self) -> usize {
            0
        }
        fn print(&mut self, line: core::fmt::Arguments<'_>) {
            println!("{line}");
        }
    }

    /// One test for both, because they share the device's one set of buffers.
    #[test]
    fn the_golden_file_is_what_the_host_computes_and_every_test_holds() {
        let mut expected = String::new();
        for (name, digest) in golden::computed() {
            expected += &format!("{name} {digest:016x}\n");
        }
        assert_eq!(golden::TEXT, expected);
        assert_eq!(crate::harness::run_all(&mut Host, cases(), ""), 0);
        assert_eq!(crate::harness::run_all(&mut Host, small::cases(), ""), 0);
    }
}
