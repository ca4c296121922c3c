//! The tests that every board and the host run: the same bodies, the same expected values.
//!
//! Expected values are in `golden.txt` of this package, computed by `golden.py`. The host's tests
//! and the boards' compare with the same file, so that equal verdicts mean equal bytes.

mod crypto;
mod golden;
mod numbers;
mod text;
mod wire;

use crate::harness::{Bench, Case, Failure};
use crate::machine::Machine;

/// All of them, in the order they run.
#[must_use]
pub fn cases<M: Machine>() -> [Case<M>; 15] {
    [
        case("instructions_are_counted", numbers::counter),
        case("masks_are_the_ones_of_the_host", numbers::uniform_residues),
        case("secrets_are_the_ones_of_the_host", numbers::ternary_secret),
        case("errors_are_the_ones_of_the_host", numbers::error_samples),
        case("the_tokenizer_agrees_with_the_reference", text::golden_lines),
        case("an_empty_and_an_overlong_sentence_are_refused", text::refusals),
        case("messages_are_the_ones_of_the_host", text::messages),
        case("ciphertexts_are_the_ones_of_the_host", crypto::ciphertexts),
        case("decryption_gives_the_message_and_its_errors", crypto::round_trip),
        case("another_secret_decrypts_to_noise", crypto::wrong_secret),
        case("damaged_messages_are_refused", wire::damaged),
        case("messages_of_others_are_refused", wire::foreign),
        case("secrets_arrive_whole_or_not_at_all", wire::provision),
        case("encryption_and_decryption_cost_what_they_cost", crypto::costs),
        case("encryption_takes_the_same_time_whatever_the_secrets", crypto::constant_time),
    ]
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
        assert_eq!(crate::harness::run_all(&mut Host, &cases::<Host>(), ""), 0);
    }
}
