//! That secrets end, looked for in all of secure memory by the monitor.

use alloc::vec;
use alloc::vec::Vec;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng;
use he_core::keyswitch::KeyAuthority;
use he_firmware::check;
use he_firmware::harness::{Bench, Failure};
use key_authority::golden;

use super::{begin, order, status};
use crate::calls::{self, Status};
use crate::normal;

/// Sixteen bytes of each of two secrets, which the seed that everyone knows tells.
fn secrets() -> Vec<[u64; 2]> {
    let Ok(params) = golden::params_insecure() else { return Vec::new() };
    let mut rng = ChaCha20Rng::from_seed(golden::SEED_INSECURE);
    let Ok(authority) = KeyAuthority::generate(&params, &mut rng) else { return Vec::new() };
    let secrets = [authority.edge_secret().packed(), authority.big_secret().packed()];
    let word = |bytes: &[u8], at: usize| {
        u64::from_le_bytes(core::array::from_fn(|i| bytes.get(at + i).copied().unwrap_or(0)))
    };
    secrets.map(|bytes| [word(bytes, 0), word(bytes, 8)]).to_vec()
}

/// How many of the secrets are somewhere in secure memory.
fn found() -> usize {
    let is_found = |[low, high]: &[u64; 2]| {
        // Flipped on the way, so that the question does not answer itself.
        status(normal::call(calls::TEST_SCAN, !low, !high)) > 0
    };
    secrets().iter().filter(|secret| is_found(secret)).count()
}

pub(super) fn wiped<M>(_: &mut Bench<'_, M>) -> Result<(), Failure> {
    check!(begin());
    check!(found() == 2, "the search finds what is there");
    let mut buffer = vec![0; 100_000];
    for _ in 0..5 {
        check!(normal::next(&mut buffer).is_ok());
    }
    check!(found() == 2, "in the middle of a key as well");
    check!(status(normal::call(calls::WIPE, 0, 0)) == Status::Done.word());
    check!(found() == 0);
    Ok(())
}

pub(super) fn panicked<M>(_: &mut Bench<'_, M>) -> Result<(), Failure> {
    let mut buffer = vec![0; 100_000];
    for chunks in [0, 3] {
        check!(begin());
        for _ in 0..chunks {
            check!(normal::next(&mut buffer).is_ok());
        }
        check!(found() == 2);
        check!(status(normal::call(calls::TEST_PANIC, 0, 0)) == Status::Dead.word());
        check!(found() == 0);
        check!(status(normal::call_with(calls::BEGIN, &order())) == Status::Dead.word());
    }
    check!(begin(), "a wipe brings it back");
    Ok(())
}
