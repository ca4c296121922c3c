//! Samplers against the distributions that they claim.

use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::Error;
use crate::modulus::Modulus;

const PRIMES: [u32; 4] = [0x1fc_0001, 0x21c_0001, 0x3ffc_0001, 0x7ffe_0001];

fn master() -> SecretSeed {
    SecretSeed::new([0x5a; 32])
}

fn mask(domain: u32, index: u32, q: u32, count: usize) -> Vec<u32> {
    let mut out = vec![0; count];
    uniform(&Seed::new([0x5a; 32]), domain, index, Modulus::new(q).unwrap(), &mut out);
    out
}

/// Pearson's statistic of `counts` against equal shares, in standard deviations from its mean.
fn chi_square_sigmas(counts: &[u32]) -> f64 {
    let total: u32 = counts.iter().sum();
    let cells = f64::from(u32::try_from(counts.len()).unwrap());
    let expected = f64::from(total) / cells;
    let statistic: f64 =
        counts.iter().map(|&c| (f64::from(c) - expected) * (f64::from(c) - expected)).sum();
    (statistic / expected - (cells - 1.0)) / libm::sqrt(2.0 * (cells - 1.0))
}

#[test]
fn uniform_residues_are_below_the_prime_and_spread_evenly() {
    for q in PRIMES {
        let residues = mask(1, 0, q, 1 << 16);
        assert!(residues.iter().all(|&x| x < q));
        let mut counts = [0; 256];
        for x in residues {
            counts[usize::try_from(u64::from(x) * 256 / u64::from(q)).unwrap()] += 1;
        }
        assert!(chi_square_sigmas(&counts).abs() < 5.0, "q = {q}");
    }
}

#[test]
fn uniform_residues_are_masked_keystream_words_without_those_too_large() {
    // By the definition, on the cipher itself.
    use chacha20::ChaCha20;
    use chacha20::cipher::{KeyIvInit, StreamCipher};
    let q = 0x21c_0001_u32;
    let mut nonce = [0; 12];
    nonce[0] = 3;
    nonce[4] = 9;
    nonce[8..].copy_from_slice(&q.to_le_bytes());
    let mut bytes = vec![0; 4096];
    ChaCha20::new(&[0x5a; 32].into(), &nonce.into()).apply_keystream(&mut bytes);
    let words = bytes.chunks_exact(4).map(|b| u32::from_le_bytes(b.try_into().unwrap()));
    let expected: Vec<u32> = words.map(|w| w & 0x3ff_ffff).filter(|&w| w < q).collect();
    assert!(expected.len() < 700, "some words are refused");
    assert_eq!(mask(3, 9, q, expected.len()), expected);
}

#[test]
fn uniform_residues_do_not_depend_on_how_they_are_taken() {
    let whole = mask(1, 0, PRIMES[1], 500);
    for count in [0, 1, 15, 16, 17, 64, 333, 500] {
        assert_eq!(mask(1, 0, PRIMES[1], count), whole[..count]);
        let mut piecewise = Vec::new();
        let q = Modulus::new(PRIMES[1]).unwrap();
        uniform_each(&Seed::new([0x5a; 32]), 1, 0, q, 0..count, |i, x| piecewise.push((i, x)));
        let expected: Vec<(usize, u32)> = whole[..count].iter().copied().enumerate().collect();
        assert_eq!(piecewise, expected);
    }
}

#[test]
fn streams_of_other_names_are_other_streams() {
    let mut streams = BTreeSet::new();
    for domain in [domain::EDGE_MASK, domain::EVALUATION_KEY, domain::PUBLIC_KEY] {
        for index in 0..4 {
            // The two 25-bit primes have one mask, so only the nonce tells their streams apart.
            for q in [0x1fc_0001, 0x1f6_0001] {
                streams.insert(mask(domain, index, q, 4));
            }
        }
    }
    for index in 0..4 {
        streams.insert(vec![u32::from_le_bytes(
            master().derive(index, 0).bytes()[..4].try_into().unwrap(),
        )]);
        streams.insert(vec![u32::from_le_bytes(
            master().derive(0, index + 1).bytes()[..4].try_into().unwrap(),
        )]);
    }
    assert_eq!(streams.len(), 3 * 4 * 2 + 8);
}

#[test]
fn errors_have_the_binomial_distribution() {
    const COUNT: u32 = 1 << 20;
    let mut samples = vec![0; 1 << 20];
    errors(&master(), 0, &mut samples);
    // P(e) = C(42, 21 + e) / 2^42.
    let mut probability = libm::exp2(-42.0);
    for e in -21..=21_i8 {
        let found = u32::try_from(samples.iter().filter(|&&x| x == e).count()).unwrap();
        let expected = probability * f64::from(COUNT);
        assert!((f64::from(found) - expected).abs() < 5.0 * libm::sqrt(expected) + 1.0, "P({e})");
        probability *= f64::from(21 - e) / f64::from(22 + e);
    }
    let moment = |power| {
        let sum: f64 = samples.iter().map(|&x| libm::pow(f64::from(x), power)).sum();
        sum / f64::from(COUNT)
    };
    // Five standard deviations: of the mean, 3.24 / 2^10; of the variance, 14.7 / 2^10.
    assert!(moment(1.0).abs() < 0.0159, "mean {}", moment(1.0));
    assert!((moment(2.0) - ERROR_VARIANCE).abs() < 0.0718, "variance {}", moment(2.0));
}

#[test]
fn errors_are_counts_of_keystream_bits() {
    let mut keystream = Keystream::secret(&master(), Purpose::Error, 7, 0);
    let words: Vec<u32> = (0..6).flat_map(|_| keystream.next_words()).collect();
    let mut found = [0; 64];
    errors(&master(), 7, &mut found);
    for (block, words) in words.chunks_exact(42).take(2).enumerate() {
        for (place, &found) in found[32 * block..][..32].iter().enumerate() {
            // Byte i of word j is lane j + 8i.
            let lane = place / 4 + 8 * (place % 4);
            let ones: u32 = words.iter().map(|word| (word >> lane) & 1).sum();
            assert_eq!(i32::from(found), ones.cast_signed() - 21);
        }
    }
}

#[test]
fn a_prefix_of_the_errors_does_not_depend_on_their_number() {
    let mut whole = [0; 200];
    errors(&master(), 0, &mut whole);
    for count in [0, 1, 31, 32, 33, 199] {
        let mut part = vec![0; count];
        errors(&master(), 0, &mut part);
        assert_eq!(part, whole[..count]);
    }
}

#[test]
fn uniform_ternary_coefficients_are_equally_likely() {
    let secret = Ternary::uniform(&master(), 0, vec![0; 1 << 16]);
    let mut counts = [0; 3];
    for c in secret.coefficients() {
        counts[usize::try_from(c + 1).unwrap()] += 1;
    }
    assert!(chi_square_sigmas(&counts).abs() < 5.0, "{counts:?}");
}

#[test]
fn sparse_secrets_have_exactly_their_weight_anywhere_and_both_signs() {
    for (degree, weight) in [(4, 0), (4, 4), (16, 1), (4096, 64), (1 << 16, 32)] {
        let secret = Ternary::with_weight(&master(), 0, weight, vec![0; degree / 4]).unwrap();
        let found = secret.coefficients().filter(|&c| c != 0).count();
        assert_eq!(found, weight, "degree {degree}");
    }
    let (mut places, mut signs) = ([0; 64], [0; 2]);
    for index in 0..4000 {
        let secret = Ternary::with_weight(&master(), index, 4, [0; 16]).unwrap();
        for (count, c) in places.iter_mut().zip(secret.coefficients()) {
            *count += u32::from(c != 0);
            signs[0] += u32::from(c == 1);
            signs[1] += u32::from(c == -1);
        }
    }
    // Counts of one secret are not independent, which only narrows them.
    assert!(chi_square_sigmas(&places) < 5.0, "{places:?}");
    assert!(chi_square_sigmas(&signs) < 5.0, "{signs:?}");
    let refused = Ternary::with_weight(&master(), 0, 17, [0; 4]).err();
    assert_eq!(refused, Some(Error::WrongLength { expected: 16, found: 17 }));
}

#[test]
fn residues_are_the_coefficients() {
    let secret = Ternary::uniform(&master(), 1, [0; 64]);
    for q in [3, 257, 0x7ffe_0001] {
        let q = Modulus::new(q).unwrap();
        let mut residues = [0; 256];
        secret.residues(q, &mut residues);
        for (c, x) in secret.coefficients().zip(residues) {
            assert_eq!(x, q.reduce_signed(c.into()));
        }
    }
}

#[test]
fn packed_secrets_come_back_and_bad_ones_are_refused() {
    let secret = Ternary::uniform(&master(), 2, [0; 32]);
    let copy = Ternary::from_packed(<[u8; 32]>::try_from(secret.packed()).unwrap()).unwrap();
    assert!(secret.coefficients().eq(copy.coefficients()));
    for place in 0..4 {
        assert!(Ternary::from_packed([0, 3 << (2 * place)]).is_err());
    }
}

#[test]
fn message_seeds_repeat_only_for_the_same_message() {
    let seeds = |key: u8, counter, fresh: u8, message: &[u8]| {
        let key = SecretSeed::new([key; 32]);
        let mut digest = MessageDigest::new(&key);
        digest.update(message);
        MessageSeeds::derive(&key, counter, &[fresh; 32], &digest)
    };
    let base = seeds(1, 2, 3, b"message");
    assert_eq!(seeds(1, 2, 3, b"message").mask, base.mask);
    assert_eq!(seeds(1, 2, 3, b"message").error.bytes(), base.error.bytes());
    let other = [
        seeds(2, 2, 3, b"message"),
        seeds(1, 3, 3, b"message"),
        seeds(1, 2 + (1 << 32), 3, b"message"),
        seeds(1, 2, 4, b"message"),
        seeds(1, 2, 3, b"massage"),
        seeds(1, 2, 3, b"message\0"),
        seeds(1, 2, 3, b""),
    ];
    let mut values: BTreeSet<[u8; 32]> = other.iter().map(|s| *s.mask.as_bytes()).collect();
    values.extend(other.iter().map(|s| *s.error.bytes()));
    values.insert(*base.mask.as_bytes());
    values.insert(*base.error.bytes());
    assert_eq!(values.len(), 2 * other.len() + 2);
}

#[test]
fn digests_do_not_depend_on_the_pieces() {
    let key = master();
    let message: Vec<u8> = (0..100).collect();
    let mask = |pieces: &[&[u8]]| {
        let mut digest = MessageDigest::new(&key);
        for piece in pieces {
            digest.update(piece);
        }
        MessageSeeds::derive(&key, 0, &[0; 32], &digest).mask
    };
    let whole = mask(&[&message]);
    for cut in [0, 1, 15, 16, 17, 48, 99, 100] {
        assert_eq!(mask(&[&message[..cut], &message[cut..]]), whole);
    }
}

#[test]
fn frugal_coefficients_are_the_digits_of_a_fraction_and_uniform() {
    let seed = SecretSeed::new([5; 32]);
    let ternary = Ternary::frugal(&seed, 3, vec![0; 1024]);
    let found: Vec<i32> = ternary.coefficients().collect();
    let mut stream = Keystream::secret(&seed, Purpose::FrugalTernary, 3, 0);
    let words = stream.next_words();
    let mut fraction = (u128::from(words[3]) << 32) | u128::from(words[2]);
    for &coefficient in &found[20..40] {
        fraction *= 3;
        assert_eq!(i128::from(coefficient), (fraction >> 64).cast_signed() - 1);
        fraction &= u128::from(u64::MAX);
    }
    for value in -1..=1 {
        let count = found.iter().filter(|&&c| c == value).count();
        // Six standard deviations of 4096 · 2/9.
        assert!(count.abs_diff(1365) < 6 * 31, "{value}: {count}");
    }
}

#[test]
fn errors_one_by_one_are_those_of_a_buffer() {
    let seed = SecretSeed::new([6; 32]);
    for count in [0, 1, 31, 32, 33, 100] {
        let (mut expected, mut found) = (vec![0; count], vec![0; count]);
        errors(&seed, 2, &mut expected);
        errors_each(&seed, 2, &mut found, |place, error| *place = error);
        assert_eq!(found, expected);
    }
}
