//! The smallest use: short inputs at degree 1024, modulo one prime, on 9 KB.
//!
//! A prime of 25 bits is within the 26 that give 128 bits of security at this degree, which is checked
//! when this is compiled.

use super::case;
use super::crypto::{Each, seeds};
use super::golden::{Digest, agrees};
use crate::check;
use crate::harness::{Bench, Case, Failure};
use crate::machine::Machine;
use crate::model::BASE;
use core::hint::black_box;
use he_core::edge::{EdgeKey, EdgeTable, Workspace};
use he_core::params::{SecretKind, max_log_qp};
use he_core::sample::{MessageSeeds, SecretSeed, Seed, Ternary, domain, uniform};
use spin::Mutex;

pub(super) const NAME: &str = "small";

const LOG_DEGREE: u32 = 10;
const DEGREE: usize = 1 << LOG_DEGREE;
/// The least primitive 2048th root of unity modulo the first base prime.
const ROOT: u32 = 10887;
static TABLE: EdgeTable<DEGREE> = EdgeTable::new(BASE.value(), ROOT).unwrap();
const _: () = assert!(BASE.value() >> max_log_qp(LOG_DEGREE, SecretKind::Dense).unwrap() == 0);

/// Bits below a byte of the input, which errors do not reach.
const SCALE_BITS: u32 = 16;
const INPUT: &[u8] = b"a gripping, funny and deeply human film .";

/// All that a device needs for a key and one encryption or decryption.
struct Memory {
    secret: [u32; DEGREE],
    limb: [u32; DEGREE],
    errors: [i8; DEGREE],
}

static MEMORY: Mutex<Memory> =
    Mutex::new(Memory { secret: [0; DEGREE], limb: [0; DEGREE], errors: [0; DEGREE] });

pub(super) const fn cases<M: Machine>() -> [Case<M>; 4] {
    [
        case("short_inputs_are_encrypted_as_on_the_host", ciphertext),
        case("short_inputs_come_back_and_only_under_their_secret", round_trip),
        case("short_inputs_cost_what_they_cost", costs),
        case("short_inputs_take_the_same_time_whatever_the_secrets", constant_time),
    ]
}

fn input(i: usize) -> i32 {
    INPUT.get(i).map_or(0, |&byte| i32::from(byte) << SCALE_BITS)
}

fn secret(seed: u8) -> Ternary<[u8; DEGREE / 4]> {
    Ternary::uniform(&SecretSeed::new([seed; 32]), 0, [0; DEGREE / 4])
}

/// Runs `work` on the memory with a key opened.
fn with_key<T>(
    seed: u8,
    work: impl FnOnce(&EdgeKey<'_, 1>, &mut Workspace<'_>) -> T,
) -> Result<T, Failure> {
    let Some(mut memory) = MEMORY.try_lock() else {
        return Err(Failure { what: "the memory is in use", file: file!(), line: line!() });
    };
    let Memory { secret: expanded, limb, errors } = &mut *memory;
    let Ok(key) = EdgeKey::expand(&secret(seed), [TABLE.ring()], [expanded]) else {
        return Err(Failure { what: "the key does not fit", file: file!(), line: line!() });
    };
    Ok(work(&key, &mut Workspace { limb, errors }))
}

/// Encrypts the input under secret `seed` and hands over the body.
fn encrypt(seed: u8, each: impl FnMut(usize, &[u32])) -> Result<(), Failure> {
    let (seeds, mut sink) = (seeds(4), Each(each));
    let Ok(()) =
        with_key(seed, |key, workspace| key.encrypt(&seeds, 0, input, workspace, &mut sink))?;
    Ok(())
}

/// Values of `body` that come back as bytes of the input under secret `seed`.
fn recovered(seed: u8, body: &[u32]) -> Result<usize, Failure> {
    let seeds = seeds(4);
    with_key(seed, |key, workspace| {
        uniform(&seeds.mask, domain::EDGE_MASK, 0, BASE, workspace.limb);
        let decryption = key.decrypt(0, workspace.limb);
        let value =
            |(i, &b)| (decryption.coefficient(i, b) + (1 << (SCALE_BITS - 1))) >> SCALE_BITS;
        let expected = |i| input(i) >> SCALE_BITS;
        body.iter().enumerate().filter(|&(i, b)| value((i, b)) == expected(i)).count()
    })
}

pub(super) fn digest() -> Result<Digest, Failure> {
    let mut digest = Digest::new();
    encrypt(2, |_, limb| digest.words(limb))?;
    Ok(digest)
}

fn ciphertext<M: Machine>(_: &mut Bench<'_, M>) -> Result<(), Failure> {
    check!(agrees(NAME, digest()?));
    Ok(())
}

fn round_trip<M: Machine>(_: &mut Bench<'_, M>) -> Result<(), Failure> {
    let mut body = [0; 64];
    encrypt(5, |_, limb| body.copy_from_slice(&limb[..64]))?;
    check!(recovered(5, &body)? == 64);
    check!(recovered(8, &body)? < 8);
    Ok(())
}

fn costs<M: Machine>(bench: &mut Bench<'_, M>) -> Result<(), Failure> {
    let seeds = seeds(4);
    let ((), expand) = bench.count(|| with_key(2, |_, _| ()).unwrap_or_default());
    bench.report("generate_small_key_instructions", expand);
    with_key(2, |key, workspace| {
        let mut sink = Each(|_, _: &[u32]| ());
        let encrypt = || key.encrypt(&seeds, 0, input, workspace, &mut sink);
        let Ok(()) = bench.measure("encrypt_1024_instructions", encrypt);
        let sum = bench.measure("decrypt_1024_instructions", || {
            uniform(&seeds.mask, domain::EDGE_MASK, 0, BASE, workspace.limb);
            let decryption = key.decrypt(0, workspace.limb);
            (0..DEGREE).map(|i| i64::from(decryption.coefficient(i, 0))).sum::<i64>()
        });
        check!(black_box(sum) != 0);
        Ok(())
    })?
}

fn constant_time<M: Machine>(bench: &mut Bench<'_, M>) -> Result<(), Failure> {
    let mut counts = [0; 4];
    for (seed, count) in (10..).zip(&mut counts) {
        // The mask is public and takes a time of its own; everything else differs.
        let seeds = MessageSeeds { mask: Seed::new([1; 32]), error: SecretSeed::new([seed; 32]) };
        *count = with_key(seed, |key, workspace| {
            let mut sink = Each(|_, _: &[u32]| ());
            let flip = black_box(i32::from(seed) * 0x0123_4567);
            let message = |i| input(i) ^ flip;
            let (Ok(()), instructions) =
                bench.count(|| key.encrypt(&seeds, 0, message, workspace, &mut sink));
            instructions
        })?;
    }
    let spread = counts.iter().max().zip(counts.iter().min()).map(|(most, least)| most - least);
    bench.report("encrypt_spread_instructions", spread.unwrap_or(u64::MAX));
    check!(bench.is_constant(&counts));
    Ok(())
}
