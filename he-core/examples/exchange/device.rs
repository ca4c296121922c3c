//! A device's side: encryption in fixed point without a heap, real slots, three primes at degree 4096.
//!
//! What it sends is in frames of slots (`docs/format.md`, section 6), what it gets in those of ciphertexts.

use core::convert::Infallible;
use core::f64::consts::PI;
use std::fs;
use std::path::Path;

use he_core::modulus::Modulus;
use he_core::sample::{ERROR_VARIANCE, MessageDigest, MessageSeeds, SecretSeed, Seed, Ternary};
use he_core::slots::{
    KeyMask, Message, SLOTS_4096, SlotHead, SlotPublic, SlotRing, SlotSecret, Workspace,
};
use he_core::wire::{Link, Pair, RingShape, TransportKey};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use crate::Outcome;
use crate::files::{Facts, ROUNDING, ciphertexts, message, print_row, take, write_message};

const DEGREE: usize = 4096;
const LOG_DEGREE: u32 = DEGREE.trailing_zeros();
/// Bits behind the point of a slot.
const POINT: u32 = 28;
/// The variance of a coefficient before it is cut, by the documentation of `slots`.
const FIXED_POINT: f64 = 0.25;

fn primes() -> Vec<Modulus> {
    SLOTS_4096.rings().iter().map(SlotRing::modulus).collect()
}

/// Writes a secret and ciphertexts: alternately by the secret and by a public key, at scales of `2^14` to
/// `2^22`.
pub(crate) fn write(directory: &Path, count: u32, seed: u64) -> Outcome<()> {
    let rng = &mut ChaCha20Rng::seed_from_u64(seed);
    let chain: Vec<u32> = primes().into_iter().map(Modulus::value).collect();
    let special: Vec<u32> = SLOTS_4096.special().into_iter().collect();
    let facts = Facts {
        log_degree: LOG_DEGREE,
        primes: [&chain, &special],
        digest: SLOTS_4096.digest(),
        slots: "real",
        levels: &[[1, 16, 22], [2, 20, 34]],
    };
    facts.write(directory)?;
    let ternary = Ternary::uniform(&SecretSeed::random(rng), 0, vec![0; DEGREE / 4]);
    fs::write(directory.join("secret.bin"), ternary.packed())?;
    let secret = SlotSecret::new(SLOTS_4096, ternary)?;
    let (mut message, mut limb, mut bytes) =
        (vec![0; DEGREE], vec![0; DEGREE], vec![0; DEGREE / 4]);
    let mut work = Workspace { message: &mut message, limb: &mut limb };

    let (mask, mut body) = (Seed::random(rng), Vec::new());
    let Ok(()) = secret.public_key(&mask, &SecretSeed::random(rng), &mut work, &mut body);
    let body: Vec<&[u32]> = body.iter().map(Vec::as_slice).collect();
    let public = SlotPublic::new(SLOTS_4096, KeyMask::Seed(mask), &body)?;

    let (key, checksum) = (SecretSeed::random(rng), TransportKey::checksum());
    for number in 0..count {
        let slots: Vec<i32> =
            (0..DEGREE / 2).map(|_| rng.next_u32().cast_signed() >> (31 - POINT)).collect();
        let shift = 6 + rng.next_u32() % 9;
        let values = Message { shift, slot: |j: usize| slots[j] };
        let mut fresh = [0; 32];
        rng.fill_bytes(&mut fresh);
        let seeds = MessageSeeds::derive(&key, number.into(), &fresh, &MessageDigest::new(&key));
        let (scale, mut sent) = (f64::from(1u32 << (POINT - shift)), Vec::new());
        let mut link = Link::new(&checksum, facts.digest, 0);
        let write = |piece: &[u8]| {
            sent.extend_from_slice(piece);
            Ok::<_, Infallible>(())
        };
        let (kind, variance) = if number % 2 == 0 {
            let head = SlotHead::Seeded { scale, seed: seeds.mask, index: number };
            let Ok(mut frame) = head.begin(&mut link, SLOTS_4096, write);
            let Ok(()) = secret.encrypt(&seeds, number, &values, &mut work, &mut frame);
            let Ok(()) = frame.finish();
            ("secret", ERROR_VARIANCE)
        } else {
            let Ok(mut frame) = SlotHead::Whole { scale }.begin(&mut link, SLOTS_4096, write);
            let Ok(()) =
                public.encrypt((&seeds, number), &values, &mut work, &mut bytes, &mut frame);
            let Ok(()) = frame.finish();
            ("public", ERROR_VARIANCE * (1.0 + 4.0 * f64::from(1u32 << LOG_DEGREE) / 3.0))
        };
        let path = directory.join(format!("{number:04}-{kind}.frame"));
        fs::write(&path, sent)?;
        let cut = FIXED_POINT / f64::from(1u32 << (2 * shift));
        let point = f64::from(1u32 << POINT);
        let parts = slots.iter().map(|&x| f64::from(x) / point);
        write_message(&path, variance + ROUNDING + cut, parts)?;
    }
    Ok(())
}

/// Decrypts every ciphertext of a directory and prints how far it is from its message.
pub(crate) fn read(directory: &Path) -> Outcome<()> {
    let ternary = Ternary::from_packed(fs::read(directory.join("secret.bin"))?)?;
    let secret = SlotSecret::new(SLOTS_4096, ternary)?;
    let primes = primes();
    let shape = RingShape { degree: DEGREE, primes: &primes };
    for path in ciphertexts(directory)? {
        let pair = take(&path, SLOTS_4096.digest(), &shape)?;
        let (variance, expected) = message(&path)?;
        let (found, down) = decrypted(&secret, &pair)?;
        let errors: Vec<f64> = found.iter().zip(&expected).map(|(x, y)| (x - y).abs()).collect();
        let degree = f64::from(1u32 << LOG_DEGREE);
        // Half of a slot's variance is its real part's.
        let both = variance + rounding(down, variance);
        let predicted = (degree / 2.0 * both).sqrt() / pair.scale;
        print_row(&path, 1, predicted, &errors);
    }
    Ok(())
}

/// The variance of a coefficient that counts, in slots that are real, when `down` bits are cut off one whose
/// noise has this variance.
///
/// Coefficients `k` and `N − k` of real slots are opposite, and so are the errors of rounding them, which then
/// add up in real parts, as far as noise does not hide it: by the Fourier series of the sawtooth, with a
/// correlation of `6/π² · Σ_n exp(−4π²n² · variance / 4^down) / n²`.
fn rounding(down: u32, variance: f64) -> f64 {
    if down == 0 {
        return 0.0;
    }
    let square = f64::from(2 * down).exp2();
    let term =
        |n: i32| (-4.0 * (PI * f64::from(n)).powi(2) * variance / square).exp() / f64::from(n * n);
    let correlation = 6.0 / (PI * PI) * (1..1000).map(term).sum::<f64>();
    ROUNDING * square * (1.0 + correlation)
}

/// The slots of a ciphertext of one or two primes, and how many bits were cut off on the way.
fn decrypted(secret: &SlotSecret<'_, Vec<u8>>, pair: &Pair) -> Outcome<(Vec<f64>, u32)> {
    let (mut message, mut limb) = (vec![0; DEGREE], vec![0; DEGREE]);
    let mut work = Workspace { message: &mut message, limb: &mut limb };
    let limbs = |half: &[u32]| half.chunks_exact(DEGREE).map(<[u32]>::to_vec).collect::<Vec<_>>();
    let (masks, bodies) = (limbs(&pair.a), limbs(&pair.b));
    // Down to at most 2^22, and up again to the bits that slots may have.
    let bits =
        (0..64).rfind(|&bits| f64::from(bits).exp2() <= pair.scale).ok_or("a scale below 1")?;
    let down = if masks.len() == 1 { 0 } else { u32::saturating_sub(bits, 22) };
    let up = POINT - 1 - (bits - down);
    let decryption = match (&masks[..], &bodies[..]) {
        ([a], [b]) => secret.decrypt(a.iter().copied(), b.iter().copied(), work.message)?,
        ([a, c], [b, d]) => {
            let each = |x: &Vec<u32>| x.clone().into_iter();
            secret.decrypt_two([each(a), each(c)], [each(b), each(d)], down, &mut work)?
        }
        _ => return Err("one or two primes".into()),
    };
    let scale = pair.scale * f64::from(up).exp2() / f64::from(down).exp2();
    let mut slots = Vec::new();
    decryption.decode(up, |_, x| slots.push(f64::from(x) / scale));
    Ok((slots, down))
}
