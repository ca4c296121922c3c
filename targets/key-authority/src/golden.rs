//! One INSECURE order whose files everyone knows, for tests: from a seed that is written here.
//!
//! `golden.txt` has SHA-256 of every file of a folder of keys that `host-runner` makes from the same
//! seed, plan and parameters; its test `seeded_keys` compares, and writes the file anew with
//! `GOLDEN=write cargo test -p host-runner --test seeded_keys`.

use alloc::vec::Vec;

use he_core::Error;
use he_core::keyswitch::{KeyKind, KeySpec};
use he_core::params::Params;

use crate::order;

/// A seed that is no secret.
pub const SEED_INSECURE: [u8; 32] = *b"INSECURE: everyone knows my seed";

/// The number used once.
pub const NONCE: [u8; 32] = [0x4e; 32];

/// Paths and digests, a line each.
pub const TEXT: &str = include_str!("../golden.txt");

/// Small parameters, without any security.
///
/// # Errors
/// None: a test builds them.
pub fn params_insecure() -> Result<Params, Error> {
    Params::insecure_small(10, 7, 3)
}

/// The order, with a key of every kind.
#[must_use]
pub fn order(params: &Params) -> Vec<u8> {
    let top = params.max_level();
    let specs = [
        (KeyKind::Relinearization, top - params.coeffs_to_slots_levels()),
        (KeyKind::Galois(5), top),
        (KeyKind::Galois(2047), 9),
        (KeyKind::Raise, top),
        (KeyKind::Pack(0), 0),
        (KeyKind::Pack(15), 0),
        (KeyKind::Down, 0),
    ];
    // That of keys for adapters: see `he_lora::level`.
    let public_level = u32::try_from(params.rows_level() + 3).unwrap_or(u32::MAX);
    order::write(params, public_level, &NONCE, &specs.map(|(kind, level)| KeySpec { kind, level }))
}
