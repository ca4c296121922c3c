//! The whole of a firmware that encrypts 4096 readings, sends them, and decrypts what comes back.
//!
//! Its one dependency of ours is `he-core`, without features: no heap, no model, no protocol. The seeds
//! are constants so that it can be tested; yours come from your board's generator (`he-entropy`).
#![no_std]
#![no_main]

use he_core::edge::{DEGREE, EdgeKey, EdgeTable, LimbSink, Workspace};
use he_core::params::EDGE_128;
use he_core::sample::{MessageDigest, MessageSeeds, SecretSeed, Ternary, domain, uniform};
use semihosting::{println, process};

#[cfg(target_arch = "arm")]
use cortex_m_rt::entry;
#[cfg(target_arch = "riscv32")]
use {riscv as _, riscv_rt::entry};

/// Primes of the ring, with their least primitive 8192nd roots of unity. The compiler makes the tables.
static TABLES: [EdgeTable<DEGREE>; 2] = [
    EdgeTable::new(EDGE_128.terminals[0], 27628).unwrap(),
    EdgeTable::new(EDGE_128.terminals[1], 7678).unwrap(),
];

/// The radio, the cable, the card: it gets a residue polynomial for each prime. This one keeps the first.
struct Radio([u32; DEGREE]);

impl LimbSink for Radio {
    type Error = core::convert::Infallible;

    fn put(&mut self, prime: usize, limb: &[u32]) -> Result<(), Self::Error> {
        if prime == 0 {
            self.0.copy_from_slice(limb);
        }
        Ok(())
    }
}

/// Thousandths of a degree, in the upper bits; the lower ones are for errors.
fn reading(i: usize) -> i32 {
    (20_000 + i32::from(i.to_le_bytes()[0])) << 6
}

#[entry]
fn main() -> ! {
    let (mut first, mut second, mut limb) = ([0; DEGREE], [0; DEGREE], [0; DEGREE]);
    let mut errors = [0; DEGREE];
    let rings = TABLES.each_ref().map(EdgeTable::ring);
    let prime = rings[0].modulus();

    // Once in the device's life.
    let secret = Ternary::uniform(&SecretSeed::new([1; 32]), 0, [0; DEGREE / 4]);
    let Ok(key) = EdgeKey::expand(&secret, rings, [&mut first, &mut second]) else {
        process::exit(1)
    };

    // Once a message. No number may come twice: `he-storage` counts across power cuts.
    let messages = SecretSeed::new([2; 32]);
    let (number, fresh) = (1, [3; 32]);
    let mut digest = MessageDigest::new(&messages);
    (0..DEGREE).for_each(|i| digest.update(&reading(i).to_le_bytes()));
    let seeds = MessageSeeds::derive(&messages, number, &fresh, &digest);
    let mut radio = Radio([0; DEGREE]);
    let mut workspace = Workspace { limb: &mut limb, errors: &mut errors };
    let Ok(()) = key.encrypt(&seeds, 0, reading, &mut workspace, &mut radio);

    // What the server computed is decrypted the same way; here it computed nothing.
    uniform(&seeds.mask, domain::EDGE_MASK, 0, prime, workspace.limb);
    let decryption = key.decrypt(0, workspace.limb);
    let found = |i: usize| (decryption.coefficient(i, radio.0[i]) + 32) >> 6;
    let wrong = (0..DEGREE).filter(|&i| found(i) != reading(i) >> 6).count();
    println!("{} of {DEGREE} readings came back", DEGREE - wrong);
    process::exit(i32::from(wrong > 0))
}
