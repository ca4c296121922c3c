//! Lays out what the scans of memory look for: windows of eight bytes of each form of one secret.

use core::error::Error;
use he_core::edge::{BASE_PRIMES, DEGREE, EdgeKey, EdgeSecret, EdgeTable};
use he_core::modulus::Modulus;
use he_core::params::EDGE_128;
use he_core::primes::primitive_root_2n;
use he_core::sample::{SecretSeed, Ternary};

use std::path::PathBuf;
use std::{env, fs};

/// As `tape.rs` has them.
const SECRET_SEED: [u8; 32] = include!("src/tape/secret.in");
const MESSAGE_SEED: [u8; 32] = include!("src/tape/messages.in");

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=src/tape");
    let secret: EdgeSecret = Ternary::uniform(&SecretSeed::new(SECRET_SEED), 0, [0; DEGREE / 4]);
    let mut tables = Vec::new();
    for &prime in EDGE_128.terminals.iter().take(BASE_PRIMES) {
        let modulus = Modulus::new(prime).ok_or("a base prime that is none")?;
        let root =
            primitive_root_2n(modulus, DEGREE.try_into()?).ok_or("a base prime without a root")?;
        tables.push(EdgeTable::<DEGREE>::new(prime, root).ok_or("a root that is none")?);
    }
    let tables: [_; BASE_PRIMES] = tables.try_into().map_err(|_| "two base primes")?;
    let rings = tables.each_ref().map(EdgeTable::ring);
    let (mut first, mut second) = (vec![0; DEGREE], vec![0; DEGREE]);
    // A key that is never dropped erases nothing.
    core::mem::forget(EdgeKey::expand(&secret, rings, [&mut first, &mut second])?);
    let expanded: Vec<u8> =
        [first, second].concat().iter().flat_map(|word| word.to_le_bytes()).collect();
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("packed.in"), windows(secret.packed(), 1))?;
    fs::write(out.join("expanded.in"), windows(&expanded, 4))?;
    fs::write(out.join("messages.in"), windows(&MESSAGE_SEED, 1))?;
    Ok(())
}

/// All windows of eight bytes at multiples of `step`, as sorted numbers in Rust.
fn windows(bytes: &[u8], step: usize) -> String {
    let windows = bytes.windows(8).step_by(step).filter_map(|window| window.try_into().ok());
    let mut windows: Vec<_> = windows.map(u64::from_le_bytes).collect();
    windows.sort_unstable();
    let numbers: Vec<_> = windows.iter().map(|number| format!("{number:#x}")).collect();
    format!("&[{}]", numbers.join(","))
}
