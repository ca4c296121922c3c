//! The tests of the wall, from the application's side: the same bodies on every board that has one.

mod crypto;
mod erasure;
mod wall;

use he_firmware::harness::{Bench, Case, Failure};
use he_firmware::machine::Machine;
use spin::{Mutex, MutexGuard};

use crate::gateway::{Gate, Gateway, Room};
use crate::watch;

/// A board with a wall, as its application sees it.
pub trait Wall: Machine {
    /// The way to the vault.
    const GATE: Gate;
    /// Ways around the wall, all of which must fail with a fault that the vault counts.
    const ATTEMPTS: &'static [Attempt];
    /// Ways around the wall that need not be noticed, but must not come through.
    const SILENT_ATTEMPTS: &'static [Attempt];

    /// The first and the last address of the vault's RAM.
    fn secrets() -> (usize, usize);

    /// The last address that the application may write.
    fn last() -> usize;

    /// Reads a word at an address; [`INNOCENT`] if that was stopped.
    fn read(address: usize) -> u32;

    /// Calls with all registers full of known words, and returns how many came back as they must not.
    fn exposed(operation: u32, block: usize) -> usize;
}

/// What a read gives that was stopped.
pub const INNOCENT: u32 = 0x0BAD_CAFE;

/// An attempt to get around the wall.
#[derive(Debug)]
pub struct Attempt {
    /// What is attempted.
    pub name: &'static str,
    /// Attempts it; true if it came through.
    pub run: fn() -> bool,
}

/// All of them, in the order they run.
#[must_use]
pub fn cases<M: Wall>() -> [Case<M>; 12] {
    [
        case("the_vault_begins_empty_and_says_so", wall::empty),
        case("uploads_through_the_wall_are_those_of_the_vectors", crypto::uploads),
        case("the_client_gets_its_answer_through_the_wall", crypto::conversation),
        case(
            "encryption_and_decryption_take_the_same_time_whatever_the_secret",
            crypto::constant_time,
        ),
        case("what_goes_around_the_wall_is_stopped_and_counted", wall::attempts),
        case("no_word_of_the_secrets_memory_can_be_read", wall::all_words),
        case("pointers_to_secrets_are_refused", wall::pointers_to_secrets),
        case("overlong_short_and_overlapping_buffers_are_refused", wall::bad_buffers),
        case("registers_come_back_without_anything_of_the_vaults", wall::registers),
        case("the_vaults_stack_is_clean_while_the_application_runs", wall::stack),
        case("after_provisioning_only_the_expanded_secret_is_there", erasure::expanded_only),
        case("after_a_wipe_no_memory_has_the_secret", erasure::wiped),
    ]
}

/// Fills the vault, announces the last test, [`watch::AFTER_ERASURE`], and does what ends the vault, which
/// then reports the test by [`watch::after_erasure`]. Returns only if nothing ended.
pub fn end_vault<M: Wall>(machine: &mut M, end: impl FnOnce()) {
    if erasure::fill::<M>().is_ok() {
        machine.print(format_args!("{{\"start\": \"{}\"}}", watch::AFTER_ERASURE));
        end();
    }
}

const fn case<M>(name: &'static str, run: fn(&mut Bench<'_, M>) -> Result<(), Failure>) -> Case<M> {
    Case { name, run }
}

static ROOM: Mutex<Room> = Mutex::new(Room::new());

/// The room for arguments.
fn room() -> Result<MutexGuard<'static, Room>, Failure> {
    ROOM.try_lock().ok_or(Failure { what: "the room is in use", file: file!(), line: line!() })
}

/// An empty vault that will be given secret `number`.
fn fresh<M: Wall>(room: &mut Room, number: u8) -> Result<Gateway<'_>, Failure> {
    (M::GATE)(watch::TAPE + u32::from(number), 0);
    let mut gateway = Gateway::new(M::GATE, room);
    he_firmware::check!(gateway.wipe().is_ok());
    Ok(gateway)
}
