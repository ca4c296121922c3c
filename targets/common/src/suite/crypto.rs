//! Encryption and decryption in the edge ring.

use super::case;
use super::golden::{Digest, agrees};
use super::text::input;
use crate::buffers::{self, Buffers};
use crate::check;
use crate::harness::{Bench, Case, Failure};
use crate::machine::Machine;
use crate::model::CIPHERTEXTS;
use core::convert::Infallible;
use core::hint::black_box;
use he_core::edge::{DEGREE, EdgeKey, EdgeSecret, LimbSink, Workspace};
use he_core::sample::{
    MessageDigest, MessageSeeds, SecretSeed, Seed, Ternary, domain, errors, uniform,
};

pub(super) const NAME: &str = "ciphertexts";
/// Coefficients that the round trip looks at: as many as fit beside the client's buffers.
const SAMPLE: usize = 1024;

/// Hands every limb to a function.
pub(super) struct Each<F>(pub(super) F);

impl<F: FnMut(usize, &[u32])> LimbSink for Each<F> {
    type Error = Infallible;

    fn put(&mut self, prime: usize, limb: &[u32]) -> Result<(), Infallible> {
        (self.0)(prime, limb);
        Ok(())
    }
}

/// Ends an encryption after its first prime.
struct Stop;

impl LimbSink for Stop {
    type Error = usize;

    fn put(&mut self, prime: usize, _: &[u32]) -> Result<(), usize> {
        Err(prime)
    }
}

pub(super) const fn cases<M: Machine>() -> [Case<M>; 5] {
    [
        case("ciphertexts_are_the_ones_of_the_host", ciphertexts),
        case("decryption_gives_the_message_and_its_errors", round_trip),
        case("another_secret_decrypts_to_noise", wrong_secret),
        case("encryption_and_decryption_cost_what_they_cost", costs),
        case("encryption_takes_the_same_time_whatever_the_secrets", constant_time),
    ]
}

fn secret(seed: u8) -> EdgeSecret {
    Ternary::uniform(&SecretSeed::new([seed; 32]), 0, [0; DEGREE / 4])
}

pub(super) fn seeds(seed: u8) -> MessageSeeds {
    let key = SecretSeed::new([seed; 32]);
    MessageSeeds::derive(&key, 1, &[seed; 32], &MessageDigest::new(&key))
}

/// A message with every size up to 2^28 and both signs.
#[expect(clippy::cast_possible_wrap, clippy::cast_possible_truncation, reason = "below 2^28")]
fn message(i: usize) -> i32 {
    let magnitude = (i.wrapping_mul(0x9E37_79B1) >> (i % 24)) & 0x0FFF_FFFF;
    if i.is_multiple_of(3) { -(magnitude as i32) } else { magnitude as i32 }
}

/// Encrypts the golden sentence under the golden key and hands over every limb.
pub(super) fn encrypt_golden(each: impl FnMut(usize, &[u32])) -> Result<(), &'static str> {
    let mut buffers = buffers::take().ok_or("the buffers are in use")?;
    let (key, mut workspace) = buffers.open(&secret(2)).map_err(|_| "the key does not fit")?;
    let input = input().map_err(|_| "the sentence is refused")?;
    let (seeds, mut sink) = (seeds(4), Each(each));
    for ciphertext in 0..CIPHERTEXTS {
        let message = |i| input.coefficient(DEGREE, ciphertext, i);
        let index = u32::try_from(ciphertext).unwrap_or(u32::MAX);
        let Ok(()) = key.encrypt(&seeds, index, message, &mut workspace, &mut sink);
    }
    Ok(())
}

fn ciphertexts<M: Machine>(_: &mut Bench<'_, M>) -> Result<(), Failure> {
    let mut digest = Digest::new();
    let result = encrypt_golden(|_, limb| digest.words(limb));
    check!(result.is_ok(), result.err().unwrap_or_default());
    check!(agrees(NAME, digest));
    Ok(())
}

fn costs<M: Machine>(bench: &mut Bench<'_, M>) -> Result<(), Failure> {
    let Ok(input) = input() else {
        check!(false, "the sentence is refused");
        return Ok(());
    };
    let seeds = seeds(4);
    let mut sink = Each(|_, _: &[u32]| ());
    let Some(mut buffers) = buffers::take() else {
        check!(false, "the buffers are in use");
        return Ok(());
    };
    let buffers: &mut Buffers = &mut buffers;
    let (secret, generate) = bench.count(|| secret(2));
    let (opened, expand) = bench.count(|| buffers.open(&secret));
    let Ok((key, mut workspace)) = opened else {
        check!(false, "the key does not fit");
        return Ok(());
    };
    bench.report("expand_key_instructions", expand);
    bench.report("generate_key_instructions", generate + expand);
    let encrypt = || key.encrypt(&seeds, 0, |_| 1 << 20, &mut workspace, &mut sink);
    let Ok(()) = bench.measure("encrypt_4096_instructions", encrypt);
    let encrypt = || key.encrypt(&seeds, 0, |_| 1 << 20, &mut workspace, &mut Stop);
    check!(bench.measure("encrypt_4096_one_prime_instructions", encrypt).is_err());
    let message = |i| input.coefficient(DEGREE, 0, i);
    let encrypt = || key.encrypt(&seeds, 0, message, &mut workspace, &mut sink);
    let Ok(()) = bench.measure("embed_and_encrypt_4096_instructions", encrypt);
    let mask = |limb: &mut [u32]| {
        uniform(&seeds.mask, domain::EDGE_MASK, 0, key.rings()[0].modulus(), limb);
    };
    let ((), mask) = bench.count(|| mask(workspace.limb));
    bench.report("mask_4096_instructions", mask);
    let (sum, decrypt) = bench.count(|| {
        let decryption = key.decrypt(0, workspace.limb);
        (0..DEGREE).map(|i| i64::from(decryption.coefficient(i, 0))).sum::<i64>()
    });
    check!(black_box(sum) != 0);
    bench.report("decrypt_4096_instructions", mask + decrypt);
    Ok(())
}

/// Runs `work` on the buffers with a key opened.
fn with_key(
    seed: u8,
    work: impl FnOnce(&EdgeKey<'_>, &mut Workspace<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let Some(mut buffers) = buffers::take() else {
        check!(false, "the buffers are in use");
        return Ok(());
    };
    let buffers: &mut Buffers = &mut buffers;
    let Ok((key, mut workspace)) = buffers.open(&secret(seed)) else {
        check!(false, "the key does not fit");
        return Ok(());
    };
    work(&key, &mut workspace)
}

/// Encrypts under one key, decrypts under another, and returns the sample of differences from
/// the message and its errors, modulo prime `prime`: how many are not zero.
fn differences(prime: usize, decryptor: u8) -> Result<usize, Failure> {
    let seeds = seeds(6);
    let mut body = [0; SAMPLE];
    with_key(5, |key, workspace| {
        let mut sink = Each(|at, limb: &[u32]| {
            if at == prime {
                body.copy_from_slice(&limb[..SAMPLE]);
            }
        });
        let Ok(()) = key.encrypt(&seeds, 7, message, workspace, &mut sink);
        Ok(())
    })?;
    let mut different = 0;
    with_key(decryptor, |key, workspace| {
        let modulus = key.rings()[prime].modulus();
        uniform(&seeds.mask, domain::EDGE_MASK, 7, modulus, workspace.limb);
        errors(&seeds.error, 7, workspace.errors);
        let decryption = key.decrypt(prime, workspace.limb);
        for (i, &b) in body.iter().enumerate() {
            let expected = i64::from(message(i)) + i64::from(workspace.errors[i]);
            let expected = modulus.centred(modulus.reduce_signed(expected));
            different += usize::from(decryption.coefficient(i, b) != expected);
        }
        Ok(())
    })?;
    Ok(different)
}

fn round_trip<M: Machine>(_: &mut Bench<'_, M>) -> Result<(), Failure> {
    check!(differences(0, 5)? == 0);
    check!(differences(1, 5)? == 0);
    Ok(())
}

fn wrong_secret<M: Machine>(_: &mut Bench<'_, M>) -> Result<(), Failure> {
    check!(differences(0, 8)? > SAMPLE - 8);
    Ok(())
}

/// Instructions of drawing a secret, expanding it and erasing it. Apart, so that all seeds take the same code.
#[inline(never)]
fn generation<M: Machine>(bench: &mut Bench<'_, M>, seed: u8) -> Result<u64, Failure> {
    let Some(mut buffers) = buffers::take() else {
        check!(false, "the buffers are in use");
        return Ok(0);
    };
    let seed = black_box(SecretSeed::new([seed; 32]));
    let draw = || Ternary::uniform(&seed, 0, [0; DEGREE / 4]);
    let (result, instructions) = bench.count(|| buffers.open(&draw()).map(drop));
    check!(result.is_ok());
    defmt::info!("{=u64} instructions to make a key", instructions);
    Ok(instructions)
}

/// Instructions of decrypting one prime, of another body for every seed under the same mask.
#[inline(never)]
fn decryption<M: Machine>(
    bench: &mut Bench<'_, M>,
    key: &EdgeKey<'_>,
    workspace: &mut Workspace<'_>,
    seed: u32,
) -> u64 {
    let q = key.rings()[0].modulus();
    uniform(&Seed::new([1; 32]), domain::EDGE_MASK, 0, q, workspace.limb);
    let (sum, instructions) = bench.count(|| {
        let decryption = key.decrypt(0, workspace.limb);
        let body = (0..DEGREE).zip((0..).step_by(0x155));
        body.map(|(i, b)| decryption.coefficient(i, b * seed)).fold(0, i32::wrapping_add)
    });
    black_box(sum);
    defmt::info!("{=u64} instructions to decrypt", instructions);
    instructions
}

fn constant_time<M: Machine>(bench: &mut Bench<'_, M>) -> Result<(), Failure> {
    let (mut counts, mut generations, mut decryptions) = ([0; 4], [0; 4], [0; 4]);
    for (number, seed) in (10..14).enumerate() {
        generations[number] = generation(bench, seed)?;
        // The mask is public and takes a time of its own; everything else differs.
        let seeds = MessageSeeds { mask: Seed::new([1; 32]), error: SecretSeed::new([seed; 32]) };
        defmt::info!("secrets and errors of {=u8}", seed);
        with_key(seed, |key, workspace| {
            let mut sink = Each(|_, _: &[u32]| ());
            // Another message for every seed, at the same cost.
            let flip = black_box(i32::from(seed) * 0x0123_4567);
            let message = |i| message(i) ^ flip;
            let encrypt = || key.encrypt(&seeds, 0, message, workspace, &mut sink);
            let (Ok(()), instructions) = bench.count(encrypt);
            defmt::info!("{=u64} instructions", instructions);
            counts[number] = instructions;
            decryptions[number] = decryption(bench, key, workspace, u32::from(seed));
            Ok(())
        })?;
    }
    let spread = counts.iter().max().zip(counts.iter().min()).map(|(most, least)| most - least);
    bench.report("encrypt_spread_instructions", spread.unwrap_or(u64::MAX));
    check!(bench.is_constant(&counts));
    check!(bench.is_constant(&generations));
    check!(bench.is_constant(&decryptions));
    Ok(())
}
