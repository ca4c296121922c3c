//! Slots at degree 4096 modulo three primes: keys, encryption under both, decryption.
//!
//! Expected values are in `slots.txt` and `vectors`, computed by `slots.py`.

use super::case;
use super::crypto::Each;
use super::golden::{Digest, agrees};
use crate::buffers;
use crate::check;
use crate::harness::{Bench, Case, Failure};
use crate::machine::Machine;
use core::convert::Infallible;
use core::hint::black_box;
use he_core::sample::{MessageDigest, MessageSeeds, SecretSeed, Seed, Ternary};
use he_core::slots::{KeyMask, Message, SLOTS_4096, SlotHead, SlotPublic, SlotSecret, Workspace};
use he_core::wire::{Link, Residues, TransportKey};

const DEGREE: usize = 4096;
const PRIMES: usize = 3;
/// Bits that encryption cuts off, and that decoding adds.
const SHIFT: u32 = 4;
const UP: u32 = 2;

/// The body of the public key of secret 2, in evaluation form.
static PUBLIC_KEY: [[u32; DEGREE]; PRIMES] =
    words(include_bytes!("../../vectors/slots-public-key.bin"));

/// Mask and body of the ciphertext under secret 2, modulo the first prime, as a server returns them.
static ANSWER: &[u8] = include_bytes!("../../vectors/slots-answer.bin");

type Secret = SlotSecret<'static, [u8; DEGREE / 4]>;

pub(super) const fn cases<M: Machine>() -> [Case<M>; 5] {
    [
        case("slots_are_encrypted_as_the_reference_does", ciphertexts),
        case("slots_come_back_and_only_under_their_secret", round_trip),
        case("slots_cost_what_they_cost", costs),
        case("slots_take_little_memory", memory),
        case("slots_take_the_same_time_whatever_the_secrets", constant_time),
    ]
}

/// Words in flash, of as many bytes.
const fn words(bytes: &[u8]) -> [[u32; DEGREE]; PRIMES] {
    let mut limbs = [[0; DEGREE]; PRIMES];
    let (words, []) = bytes.as_chunks() else { panic!("whole words") };
    assert!(words.len() == DEGREE * PRIMES);
    let mut i = 0;
    while i < words.len() {
        limbs[i / DEGREE][i % DEGREE] = u32::from_le_bytes(words[i]);
        i += 1;
    }
    limbs
}

/// Makes sure that a result is computed.
fn keep<T>(value: T) {
    let _ = black_box(value);
}

/// A value of at most 28 bits and a sign.
fn slot(j: usize) -> i32 {
    u32::try_from(j).unwrap_or(0).wrapping_mul(0x9E37_79B1).cast_signed() >> 3
}

/// The seeds of the message under key 4.
fn seeds() -> MessageSeeds {
    let key = SecretSeed::new([4; 32]);
    let mut digest = MessageDigest::new(&key);
    (0..DEGREE / 2).for_each(|j| digest.update(&slot(j).to_le_bytes()));
    MessageSeeds::derive(&key, 1, &[4; 32], &digest)
}

fn message() -> Message<fn(usize) -> i32> {
    Message { shift: SHIFT, slot }
}

const fn failure(what: &'static str) -> Failure {
    Failure { what, file: file!(), line: line!() }
}

/// Runs `work` on the buffers with secret `seed`.
fn with_secret<T>(
    seed: u8,
    work: impl FnOnce(&Secret, &mut Workspace<'_>) -> T,
) -> Result<T, Failure> {
    let mut buffers = buffers::take().ok_or(failure("the buffers are in use"))?;
    let [message, limb] = buffers.words();
    let secret = Ternary::uniform(&SecretSeed::new([seed; 32]), 0, [0; DEGREE / 4]);
    let secret = SlotSecret::new(SLOTS_4096, secret).map_err(|_| failure("another degree"))?;
    Ok(work(&secret, &mut Workspace { message, limb }))
}

/// Runs `work` on the buffers with the public key of secret 2.
fn with_public<T>(
    work: impl FnOnce(&SlotPublic<'_>, &mut Workspace<'_>, &mut [u8]) -> T,
) -> Result<T, Failure> {
    let mut buffers = buffers::take().ok_or(failure("the buffers are in use"))?;
    let [message, limb] = buffers.words();
    let body = PUBLIC_KEY.each_ref().map(|limb| &limb[..]);
    let key = SlotPublic::new(SLOTS_4096, KeyMask::Seed(Seed::new([9; 32])), &body);
    let key = key.map_err(|_| failure("not a public key"))?;
    Ok(work(&key, &mut Workspace { message, limb }, &mut [0; DEGREE / 4]))
}

fn secret_digest() -> Result<Digest, Failure> {
    let mut digest = Digest::new();
    with_secret(2, |secret, work| {
        let mut sink = Each(|_, limb: &[u32]| digest.words(limb));
        let Ok(()) = secret.encrypt(&seeds(), 0, &message(), work, &mut sink);
    })?;
    Ok(digest)
}

fn key_digest() -> Result<Digest, Failure> {
    let mut digest = Digest::new();
    with_secret(2, |secret, work| {
        let mut sink = Each(|_, limb: &[u32]| digest.words(limb));
        let (mask, errors) = (Seed::new([9; 32]), SecretSeed::new([10; 32]));
        let Ok(()) = secret.public_key(&mask, &errors, work, &mut sink);
    })?;
    Ok(digest)
}

fn public_digest() -> Result<Digest, Failure> {
    let mut digest = Digest::new();
    with_public(|key, work, ternary| {
        let mut sink = Each(|_, limb: &[u32]| digest.words(limb));
        let Ok(()) = key.encrypt((&seeds(), 0), &message(), work, ternary, &mut sink);
    })?;
    Ok(digest)
}

/// The public key, and the message under the secret and under the public key, in frames of one exchange.
fn frames_digest() -> Result<Digest, Failure> {
    let (key, mut digest) = (TransportKey::new(SecretSeed::new([7; 32])), Digest::new());
    let mut link = Link::new(&key, SLOTS_4096.digest(), 1);
    let mut write = |bytes: &[u8]| {
        digest.bytes(bytes);
        Ok::<_, Infallible>(())
    };
    let (mask, errors, seeds) = (Seed::new([9; 32]), SecretSeed::new([10; 32]), seeds());
    let scale = f64::from(1 << (28 - SHIFT));
    with_secret(2, |secret, work| {
        let head = SlotHead::PublicKey { seed: mask };
        let Ok(mut frame) = head.begin(&mut link, SLOTS_4096, &mut write);
        let Ok(()) = secret.public_key(&mask, &errors, work, &mut frame);
        let Ok(()) = frame.finish();
        let head = SlotHead::Seeded { scale, seed: seeds.mask, index: 0 };
        let Ok(mut frame) = head.begin(&mut link, SLOTS_4096, &mut write);
        let Ok(()) = secret.encrypt(&seeds, 0, &message(), work, &mut frame);
        let Ok(()) = frame.finish();
    })?;
    with_public(|key, work, ternary| {
        let head = SlotHead::Whole { scale };
        let Ok(mut frame) = head.begin(&mut link, SLOTS_4096, &mut write);
        let Ok(()) = key.encrypt((&seeds, 0), &message(), work, ternary, &mut frame);
        let Ok(()) = frame.finish();
    })?;
    Ok(digest)
}

fn ciphertexts<M: Machine>(_: &mut Bench<'_, M>) -> Result<(), Failure> {
    check!(agrees("slots_secret", secret_digest()?));
    check!(agrees("slots_public_key", key_digest()?));
    check!(agrees("slots_public", public_digest()?));
    check!(agrees("slots_frames", frames_digest()?));
    Ok(())
}

/// Decrypts the answer under secret `seed`, in memory, into `each`.
fn decrypt(
    secret: &Secret,
    work: &mut Workspace<'_>,
    each: impl FnMut(usize, i32),
) -> Result<(), he_core::Error> {
    let q = SLOTS_4096.rings()[0].modulus();
    let (mask, body) = ANSWER.split_at(ANSWER.len() / 2);
    let (mask, body) = (Residues::new(mask, DEGREE, q)?, Residues::new(body, DEGREE, q)?);
    secret.decrypt(mask, body, work.limb)?.decode(UP, each);
    Ok(())
}

fn round_trip<M: Machine>(_: &mut Bench<'_, M>) -> Result<(), Failure> {
    for (seed, is_right) in [(2, true), (8, false)] {
        let (mut digest, mut near) = (Digest::new(), 0);
        let each = |j, found: i32| {
            digest.words(&[found.cast_unsigned()]);
            // Six standard deviations of 2048 slots of errors.
            near += usize::from(found.abs_diff(slot(j) >> (SHIFT - UP)) < 4 * 6 * 147);
        };
        let result = with_secret(seed, |secret, work| decrypt(secret, work, each))?;
        check!(result.is_ok());
        check!(agrees("slots_decoded", digest) == is_right);
        check!((near == DEGREE / 2) == is_right);
    }
    Ok(())
}

fn costs<M: Machine>(bench: &mut Bench<'_, M>) -> Result<(), Failure> {
    let (seeds, mut sink) = (seeds(), Each(|_, limb: &[u32]| keep(limb)));
    with_secret(2, |secret, work| {
        let encrypt = || secret.encrypt(&seeds, 0, &message(), work, &mut sink);
        let Ok(()) = bench.measure("slots_encrypt_secret_instructions", encrypt);
        let (mask, errors) = (Seed::new([9; 32]), SecretSeed::new([10; 32]));
        let keygen = || secret.public_key(&mask, &errors, work, &mut sink);
        let Ok(()) = bench.measure("slots_keygen_instructions", keygen);
    })?;
    with_public(|key, work, ternary| {
        let encrypt = || key.encrypt((&seeds, 0), &message(), work, ternary, &mut sink);
        let Ok(()) = bench.measure("slots_encrypt_public_instructions", encrypt);
    })?;
    let q = SLOTS_4096.rings()[0].modulus();
    let sum = |residues: Residues<'_>| residues.fold(0, u32::wrapping_add);
    let unpack = || Residues::new(&ANSWER[..ANSWER.len() / 2], DEGREE, q).map(sum);
    check!(bench.measure("slots_unpack_instructions", unpack).is_ok());
    // Any residues cost the same.
    let [mask, body, _] = PUBLIC_KEY.each_ref().map(|limb| limb.iter().copied());
    let result = with_secret(2, |secret, work| {
        let decrypt = || {
            secret
                .decrypt(mask, body, work.limb)
                .map(|found| found.decode(UP, |_, slot| keep(slot)))
        };
        bench.measure("slots_decrypt_instructions", decrypt)
    })?;
    check!(result.is_ok());
    Ok(())
}

fn memory<M: Machine>(bench: &mut Bench<'_, M>) -> Result<(), Failure> {
    // Both buffers, and on the stack the secret or the ternary polynomial and all that is called.
    let mut result = Ok(());
    let stack = bench.stack_of(|| {
        result = secret_digest().and(key_digest()).and(public_digest()).map(drop);
    });
    bench.report("slots_ram_bytes", u64::try_from(8 * DEGREE + stack).unwrap_or(u64::MAX));
    result
}

fn count<M: Machine, T>(bench: &mut Bench<'_, M>, into: &mut u64, work: impl FnOnce() -> T) -> T {
    let (value, instructions) = bench.count(work);
    *into = instructions;
    value
}

fn constant_time<M: Machine>(bench: &mut Bench<'_, M>) -> Result<(), Failure> {
    let mut counts = [[0; 4]; 4];
    for (seed, counts) in (10..).zip(&mut counts) {
        // The mask is public and takes a time of its own; everything else differs.
        let seeds = MessageSeeds { mask: Seed::new([1; 32]), error: SecretSeed::new([seed; 32]) };
        let mut sink = Each(|_, limb: &[u32]| keep(limb));
        let flip = black_box(i32::from(seed) * 0x0123_4567);
        let message = Message { shift: SHIFT, slot: |j| slot(j) ^ flip };
        with_secret(seed, |secret, work| {
            let encrypt = || secret.encrypt(&seeds, 0, &message, work, &mut sink);
            let Ok(()) = count(bench, &mut counts[0], encrypt);
            let decrypt = || decrypt(secret, work, |_, slot| keep(slot));
            check!(count(bench, &mut counts[1], decrypt).is_ok());
            let errors = SecretSeed::new([seed; 32]);
            let keygen = || secret.public_key(&seeds.mask, &errors, work, &mut sink);
            let Ok(()) = count(bench, &mut counts[3], keygen);
            Ok(())
        })??;
        with_public(|key, work, ternary| {
            let encrypt = || key.encrypt((&seeds, 0), &message, work, ternary, &mut sink);
            let Ok(()) = count(bench, &mut counts[2], encrypt);
        })?;
    }
    for routine in 0..4 {
        let column = counts.map(|counts| counts[routine]);
        check!(bench.is_constant(&column));
    }
    Ok(())
}
