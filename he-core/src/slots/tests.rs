//! The slots of small devices against the reference on the heap and against floating point.

use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::complex::Complex;
use crate::encode::Encoder;
use crate::modulus::{Factor, Modulus};
use crate::ntt::NttTable;
use crate::primes::primitive_root_2n;
use crate::ring::Serial;
use crate::sample::{ERROR_VARIANCE, MessageDigest, MessageSeeds, Seed, Ternary, domain, uniform};
use crate::wire::Residues;

const PRESETS: [SlotParams<'static>; 5] =
    [SLOTS_1024, SLOTS_2048, SLOTS_4096, SLOTS_8192, SLOTS_16384];

/// Calls `check` with the reference of a ring.
fn with_reference(ring: &SlotRing<'_>, check: impl FnOnce(&NttTable<'_>)) {
    let degree = ring.degree();
    let psi = primitive_root_2n(ring.modulus(), u32::try_from(degree).unwrap()).unwrap();
    let (mut roots, mut inverse_roots) =
        (vec![Factor::default(); degree], vec![Factor::default(); degree]);
    check(&NttTable::new(ring.modulus(), psi, &mut roots, &mut inverse_roots).unwrap());
}

fn limb(q: Modulus, degree: usize, index: u32) -> Vec<u32> {
    let mut limb = vec![0; degree];
    uniform(&Seed::new([7; 32]), domain::CIPHERTEXT, index, q, &mut limb);
    limb
}

/// The first and the last ring of every preset, and rings that no preset has.
fn with_rings(mut check: impl FnMut(&SlotRing<'_>)) {
    for params in PRESETS {
        check(params.rings().first().unwrap());
        check(params.rings().last().unwrap());
    }
}

#[test]
fn transforms_are_those_of_the_reference() {
    with_rings(|ring| {
        let q = ring.modulus();
        let original = limb(q, ring.degree(), 1);
        let residue = |&x: &u32| q.reduce_signed(x.cast_signed().into());
        with_reference(ring, |ntt| {
            let (mut found, mut expected) = (original.clone(), original.clone());
            ring.forward(&mut found);
            ntt.forward(&mut expected);
            let found: Vec<u32> = found.iter().map(residue).collect();
            assert_eq!(found, expected, "forward, N = {}, q = {}", ring.degree(), q.value());

            let mut found = original.clone();
            let mut expected: Vec<u32> = original.iter().map(|&x| q.montgomery(x)).collect();
            ring.inverse(&mut found);
            ntt.inverse(&mut expected);
            let found: Vec<u32> = found.iter().map(residue).collect();
            assert_eq!(found, expected, "inverse, N = {}, q = {}", ring.degree(), q.value());
        });
    });
}

#[test]
fn transforms_survive_the_largest_words() {
    with_rings(|ring| {
        let q = ring.modulus();
        let sign = |i: usize, log: usize| if (i >> log).is_multiple_of(2) { 1 } else { -1 };
        for log in [0, 1, 5, 6, 7, 9, 20] {
            let largest = i64::from(q.value() - 1);
            let words = (0..ring.degree()).map(|i| largest * sign(i, log));
            let signed: Vec<u32> =
                words.clone().map(|x| i32::try_from(x).unwrap().cast_unsigned()).collect();
            let residues: Vec<u32> = words.map(|x| q.reduce_signed(x)).collect();
            let residue = |&x: &u32| q.reduce_signed(x.cast_signed().into());
            with_reference(ring, |ntt| {
                let (mut found, mut expected) = (signed.clone(), residues.clone());
                ring.forward(&mut found);
                ntt.forward(&mut expected);
                assert!(found.iter().map(residue).eq(expected), "forward, q = {}", q.value());
                let mut found = signed.clone();
                let mut expected: Vec<u32> = residues.iter().map(|&x| q.montgomery(x)).collect();
                ring.inverse(&mut found);
                ntt.inverse(&mut expected);
                assert!(found.iter().map(residue).eq(expected), "inverse, q = {}", q.value());
            });
        }
    });
}

/// Slots of every size up to the bound, of both signs.
fn slot(j: usize) -> i32 {
    let noise = u32::try_from(j).unwrap().wrapping_mul(0x9E37_79B1).wrapping_add(12345);
    (noise.cast_signed() >> 2) - (noise.cast_signed() >> 20)
}

/// How many bits the root of the mean square of some differences has, and the largest difference.
fn spread(differences: impl Iterator<Item = f64>) -> (f64, f64) {
    let (mut sum, mut count, mut largest) = (0.0, 0.0, 0.0_f64);
    for difference in differences {
        sum += difference * difference;
        count += 1.0;
        largest = largest.max(difference.abs());
    }
    (libm::sqrt(sum / count), largest)
}

#[test]
fn coefficients_are_off_by_half_a_unit() {
    for params in PRESETS {
        let slots = params.slots();
        let values: Vec<Complex> = (0..slots).map(|j| Complex::real(f64::from(slot(j)))).collect();
        let encoder = Encoder::new(params.degree().trailing_zeros());
        let exact = encoder.coefficients(&Serial, &values, 1024.0).unwrap();
        let (mut re, mut im) = (vec![0; slots], vec![0; slots]);
        for (j, place) in fourier::places(slots).enumerate() {
            re[place] = slot(j).cast_unsigned();
        }
        fourier::slots_to_coefficients(&mut re, &mut im);
        let found = re.iter().chain(&im).map(|x| f64::from(x.cast_signed()));
        let errors = found.zip(&exact).map(|(x, &e)| x - e as f64 / 1024.0);
        let (rms, largest) = spread(errors);
        assert!(rms < 0.6 && largest < 4.0, "N = {}: {rms}, {largest}", params.degree());
    }
}

fn with_secret(
    params: SlotParams<'static>,
    check: impl FnOnce(&SlotSecret<'static, Vec<u8>>, &mut Workspace<'_>),
) {
    let degree = params.degree();
    let secret = Ternary::uniform(&SecretSeed::new([2; 32]), 0, vec![0; degree / 4]);
    let secret = SlotSecret::new(params, secret).unwrap();
    let (mut message, mut limb) = (vec![1; degree], vec![2; degree]);
    check(&secret, &mut Workspace { message: &mut message, limb: &mut limb });
    assert!(message.iter().all(|&word| word == 0), "messages are erased");
}

fn seeds(byte: u8) -> MessageSeeds {
    let key = SecretSeed::new([byte; 32]);
    MessageSeeds::derive(&key, 1, &[byte; 32], &MessageDigest::new(&key))
}

/// Limbs of coefficients as a server has them.
fn evaluated(params: &SlotParams<'_>, limbs: &[Vec<u32>]) -> Vec<Vec<u32>> {
    let mut limbs = limbs.to_vec();
    for (ring, limb) in params.rings().iter().zip(&mut limbs) {
        with_reference(ring, |ntt| ntt.forward(limb));
    }
    limbs
}

/// Masks that a seed stands for.
fn masks(params: &SlotParams<'_>, seed: &Seed, purpose: u32, index: u32) -> Vec<Vec<u32>> {
    let expand = |ring: &SlotRing<'_>| {
        let mut mask = vec![0; ring.degree()];
        uniform(seed, purpose, index, ring.modulus(), &mut mask);
        mask
    };
    params.rings().iter().map(expand).collect()
}

/// Slots with `more` bits than 8 fewer than they had are off by so much.
fn check_slots(decryption: SlotDecryption<'_>, (up, more): (u32, u32), deviation: f64) {
    let mut differences = Vec::new();
    decryption.decode(up, |j, found| {
        let expected = f64::from(slot(j)) / 256.0;
        differences.push(f64::from(found) / f64::from(1 << more) - expected);
    });
    let (rms, largest) = spread(differences.into_iter());
    assert!(rms < 1.2 * deviation && rms > deviation / 1.2, "{rms}, expected {deviation}");
    // Slots of products have the tail of a product: e^−15 at this distance.
    assert!(largest < 12.0 * deviation, "{largest}, expected {deviation}");
}

/// The deviation of a slot whose coefficients have this variance.
fn deviation(params: &SlotParams<'_>, variance: f64) -> f64 {
    libm::sqrt(variance * params.slots() as f64)
}

#[test]
fn secret_encryption_adds_its_errors_and_nothing_else() {
    let message = Message { shift: 8, slot };
    for params in PRESETS {
        with_secret(params, |secret, work| {
            let seeds = seeds(4);
            let mut bodies: Vec<Vec<u32>> = Vec::new();
            secret.encrypt(&seeds, 5, &message, work, &mut bodies).unwrap();
            let bodies = evaluated(&params, &bodies);
            let masks = masks(&params, &seeds.mask, domain::CIPHERTEXT, 5);
            let deviation = deviation(&params, ERROR_VARIANCE + 1.0 / 12.0);
            for one in 0..params.rings().len() {
                let params = SlotParams::insecure(&params.rings()[one..=one]);
                let secret = Ternary::from_packed(secret.packed().to_vec()).unwrap();
                let secret = SlotSecret::new(params, secret).unwrap();
                let mut limb = vec![0; params.degree()];
                let (mask, body) = (masks[one].iter().copied(), bodies[one].iter().copied());
                check_slots(secret.decrypt(mask, body, &mut limb).unwrap(), (2, 2), deviation);
            }
        });
    }
}

#[test]
fn public_encryption_adds_three_errors() {
    let message = Message { shift: 8, slot };
    for params in PRESETS {
        with_secret(params, |secret, work| {
            let (seed, mut bodies) = (Seed::new([9; 32]), Vec::<Vec<u32>>::new());
            secret.public_key(&seed, &SecretSeed::new([10; 32]), work, &mut bodies).unwrap();
            let limbs: Vec<&[u32]> = bodies.iter().map(Vec::as_slice).collect();
            let key = SlotPublic::new(params, KeyMask::Seed(seed), &limbs).unwrap();
            let (mut ternary, mut halves) = (vec![1; params.degree() / 4], Vec::<Vec<u32>>::new());
            key.encrypt((&seeds(4), 3), &message, work, &mut ternary, &mut halves).unwrap();
            assert!(ternary.iter().all(|&byte| byte == 0), "the ternary polynomial is erased");
            let (masks, bodies) = halves.split_at(params.rings().len());
            let (masks, bodies) = (evaluated(&params, masks), evaluated(&params, bodies));
            // e0 + e1·s + e·u, and both ternary polynomials have N · 2/3 coefficients.
            let products = 2.0 * params.degree() as f64 * 2.0 / 3.0;
            let variance = ERROR_VARIANCE * (1.0 + products) + 1.0 / 12.0;
            let (mask, body) = (masks[0].iter().copied(), bodies[0].iter().copied());
            let found = secret.decrypt(mask, body, work.limb).unwrap();
            check_slots(found, (2, 2), deviation(&params, variance));

            // A mask in the clear serves as well as its seed.
            let expanded = self::masks(&params, &seed, domain::PUBLIC_KEY, 0);
            let expanded: Vec<&[u32]> = expanded.iter().map(Vec::as_slice).collect();
            let key = SlotPublic::new(params, KeyMask::Limbs(&expanded), &limbs).unwrap();
            let mut again: Vec<Vec<u32>> = Vec::new();
            key.encrypt((&seeds(4), 3), &message, work, &mut ternary, &mut again).unwrap();
            assert!(again == halves);
        });
    }
}

#[test]
fn two_primes_decrypt_what_is_larger_than_one() {
    let message = Message { shift: 0, slot };
    for params in &PRESETS[1..] {
        with_secret(*params, |secret, work| {
            let seeds = seeds(4);
            let mut bodies: Vec<Vec<u32>> = Vec::new();
            secret.encrypt(&seeds, 5, &message, work, &mut bodies).unwrap();
            // A larger scale, beyond the first prime by far.
            for (ring, body) in params.rings().iter().zip(&mut bodies) {
                body.iter_mut().for_each(|x| *x = ring.modulus().mul(*x, 1 << 20));
            }
            let bodies = evaluated(params, &bodies);
            let mut masks = masks(params, &seeds.mask, domain::CIPHERTEXT, 5);
            for (ring, mask) in params.rings().iter().zip(&mut masks) {
                mask.iter_mut().for_each(|x| *x = ring.modulus().mul(*x, 1 << 20));
            }
            let pair = |limbs: &[Vec<u32>]| [limbs[0].clone(), limbs[1].clone()];
            let found = secret.decrypt_two(pair(&masks), pair(&bodies), 22, work).unwrap();
            // The errors, and what cutting and decoding round six bits further down.
            let variance = (ERROR_VARIANCE + 0.25) / 65536.0 + (1.0 / 12.0 + 0.25) / 4096.0;
            check_slots(found, (0, 6), deviation(params, variance));
        });
    }
}

#[test]
fn what_is_packed_comes_back_and_residues_beyond_a_prime_are_refused() {
    let params = SLOTS_4096;
    for (prime, ring) in params.rings().iter().enumerate() {
        let q = ring.modulus();
        let mut limb = limb(q, params.degree(), 3);
        (limb[0], limb[33]) = (q.value() - 1, 0);
        let mut bytes = Vec::new();
        let write = |piece: &[u8]| {
            bytes.extend_from_slice(piece);
            Ok::<_, Error>(())
        };
        PackedLimbs::new(params, write).put(prime, &limb).unwrap();
        assert!(Residues::new(&bytes, 4096, q).unwrap().eq(limb));
        for length in [0, bytes.len() - 1] {
            assert!(Residues::new(&bytes[..length], 4096, q).is_err());
        }
        // The first residue becomes the prime itself, which is odd.
        bytes[0] += 1;
        let error = Error::ResidueOutOfRange { modulus: q.value() };
        assert_eq!(Residues::new(&bytes, 4096, q).err(), Some(error));
    }
}

#[test]
fn presets_are_what_the_check_takes_and_it_takes_nothing_weaker() {
    for params in PRESETS {
        assert!(SlotParams::new(params.rings(), params.special()).is_ok());
    }
    // A prime too many, one twice, two degrees, none.
    let too_many = SlotParams::new(SLOTS_4096.rings(), Some(268_271_617));
    assert_eq!(too_many.err(), Some(Error::InvalidParameters("less than 128 bits of security")));
    let [first, second, _] = SLOTS_4096.rings() else { panic!("three primes") };
    let other = SLOTS_2048.rings()[0];
    for rings in [&[*first, *second, *first][..], &[*first, other], &[]] {
        assert!(SlotParams::new(rings, None).is_err());
    }
    assert!(SlotParams::new(&[*first], Some(first.modulus().value())).is_err());
    // Not prime to the degree, a root of another order, too wide, a table of another size.
    assert!(SlotTable::<64>::new(4096, 134_176_769, 24_150).is_none());
    assert!(SlotTable::<64>::new(4096, 0x1fff_c801, 3).is_none());
    assert!(SlotTable::<64>::new(8192, 67_043_329, 4_721).is_none());
    assert!(SlotTable::<64>::new(128, 67_104_769, 195_478).is_none());
}

#[test]
fn what_has_another_length_is_refused() {
    let secret =
        |degree: usize| Ternary::uniform(&SecretSeed::new([2; 32]), 0, vec![0; degree / 4]);
    let error = |expected, found| Some(Error::WrongLength { expected, found });
    assert_eq!(SlotSecret::new(SLOTS_1024, secret(2048)).err(), error(1024, 2048));
    let owner = SlotSecret::new(SLOTS_1024, secret(1024)).unwrap();
    let mut limb = vec![0; 1024];
    assert_eq!(owner.decrypt([1; 1023], [1; 1024], &mut limb).err(), error(1024, 1023));
    assert_eq!(owner.decrypt([1; 1024], [1; 1000], &mut limb).err(), error(1024, 1000));
    assert!(limb.iter().all(|&word| word == 0), "what was begun is erased");
    let (short, full, beyond) = ([0; 1000], [0; 1024], [67_104_769; 1024]);
    let public = |body: &[&[u32]]| {
        SlotPublic::new(SLOTS_1024, KeyMask::Seed(Seed::new([0; 32])), body).err()
    };
    assert_eq!(public(&[]), error(1, 0));
    assert_eq!(public(&[&short]), error(1024, 1000));
    assert_eq!(public(&[&full]), None);
    let error = Error::ResidueOutOfRange { modulus: 67_104_769 };
    assert_eq!(public(&[&beyond]), Some(error));
}
