//! The tests of the image `tests`: keys, and everything that must not work.

mod isolation;
mod keys;
mod wipe;

use alloc::vec::Vec;

use he_firmware::harness::{Bench, Case, Failure};
use he_firmware::machine::Machine;
use key_authority::golden;

use crate::calls::{self, Status};
use crate::normal;

/// All of them.
#[must_use]
pub fn cases<M: Machine>() -> [Case<M>; 12] {
    [
        case("memory_of_the_secure_world_faults_for_the_normal_world", isolation::faults),
        case("arguments_that_are_not_memory_of_the_normal_world_are_refused", isolation::ranges),
        case("calls_that_do_not_exist_are_refused", isolation::unknown_calls),
        case("a_call_leaves_nothing_in_registers_and_changes_none", isolation::registers),
        case("a_call_leaves_the_system_registers_as_they_were", isolation::system_registers),
        case("after_a_wipe_no_secret_is_in_secure_memory", wipe::wiped),
        case("after_a_panic_no_secret_is_in_secure_memory", wipe::panicked),
        case("calls_out_of_order_are_refused", keys::out_of_order),
        case("orders_of_keys_that_must_not_exist_are_refused", keys::refused_orders),
        case("buffers_of_any_size_give_the_same_bytes", keys::buffer_sizes),
        case("the_report_vouches_for_the_keys_that_came", keys::report),
        case("the_keys_are_those_of_the_host_byte_for_byte", keys::golden_files),
    ]
}

const fn case<M>(name: &'static str, run: fn(&mut Bench<'_, M>) -> Result<(), Failure>) -> Case<M> {
    Case { name, run }
}

/// The order of the golden files.
fn order() -> Vec<u8> {
    golden::params_insecure().map(|params| golden::order(&params)).unwrap_or_default()
}

/// A fresh session with that order; whether there is one.
fn begin() -> bool {
    normal::wipe();
    status(normal::call_with(calls::BEGIN, &order())) == Status::Done.word()
}

const fn status([status, ..]: [u64; 4]) -> u64 {
    status
}
