//! The edge ring against the definition of its operations.

use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::modulus::{Factor, Modulus};
use crate::ntt::NttTable;
use crate::sample::{ERROR_VARIANCE, MessageDigest, SecretSeed, uniform};

/// Primes that are one modulo 2^17, of the width of a base prime.
const PRIMES: [u32; BASE_PRIMES] = [0x1fc_0001, 0x1f6_0001];

/// The tables of one prime on the heap.
struct Tables {
    modulus: Modulus,
    psi: u32,
    roots: Vec<Factor>,
    inverse_roots: Vec<Factor>,
}

impl Tables {
    fn new(prime: u32, degree: usize) -> Self {
        let modulus = Modulus::new(prime).unwrap();
        let order = 2 * u32::try_from(degree).unwrap();
        let psi = (2..)
            .map(|x| modulus.pow_vartime(x, (prime - 1) / order))
            .find(|&psi| modulus.pow_vartime(psi, order / 2) == prime - 1)
            .unwrap();
        let blank = vec![Factor::default(); degree];
        Self { modulus, psi, roots: blank.clone(), inverse_roots: blank }
    }

    fn ntt(&mut self) -> NttTable<'_> {
        NttTable::new(self.modulus, self.psi, &mut self.roots, &mut self.inverse_roots).unwrap()
    }
}

fn limb(q: Modulus, degree: usize, index: u32) -> Vec<u32> {
    let mut limb = vec![0; degree];
    uniform(&crate::sample::Seed::new([7; 32]), domain::EDGE_MASK, index, q, &mut limb);
    limb
}

/// The inverse transform with its words reduced.
fn inverse(ring: &EdgeRing<'_>, limb: &mut [u32]) {
    ring.inverse(limb);
    for x in limb {
        *x = ring.canonical(x.cast_signed());
    }
}

#[test]
fn transforms_are_those_of_the_reference() {
    // 97 is the narrowest with roots for degree 16; 0x1fff_c801 has all 29 bits.
    let cases = [(97, 16), (PRIMES[0], 2), (PRIMES[0], 4), (PRIMES[1], 8), (PRIMES[0], 2048)];
    let wide = [(PRIMES[0], DEGREE), (0x21c_0001, DEGREE), (0x1fff_c801, 512)];
    for (prime, degree) in cases.into_iter().chain(wide) {
        let mut tables = Tables::new(prime, degree);
        let ntt = tables.ntt();
        let ring = EdgeRing::of(&ntt).unwrap();
        let original = limb(ring.modulus(), degree, 0);
        let (mut found, mut expected) = (original.clone(), original);
        ring.forward(&mut found);
        ntt.forward(&mut expected);
        assert_eq!(found, expected, "forward, q = {prime}, N = {degree}");

        // Montgomery's factor and the degree are in `enter`, and a product takes the factor out.
        ring.enter(&mut found);
        for x in &mut found {
            *x = ring.multiply(1, *x);
        }
        inverse(&ring, &mut found);
        ntt.inverse(&mut expected);
        assert_eq!(found, expected, "inverse, q = {prime}, N = {degree}");
    }
}

#[test]
fn the_inverse_transform_survives_the_largest_words() {
    for prime in [PRIMES[0], 0x21c_0001, 0x1fff_c801] {
        let mut tables = Tables::new(prime, 512);
        let ntt = tables.ntt();
        let ring = EdgeRing::of(&ntt).unwrap();
        let q = ring.modulus();
        let mut found: Vec<u32> = (0..512)
            .map(|i| if i / 64 % 2 == 0 { prime - 1 - i % 3 } else { (prime - 1).wrapping_neg() })
            .collect();
        let mut expected: Vec<u32> =
            found.iter().map(|&x| q.reduce_signed(x.cast_signed().into())).collect();
        inverse(&ring, &mut found);
        ntt.inverse(&mut expected);
        for x in &mut expected {
            *x = q.mul(*x, 512);
        }
        assert_eq!(found, expected, "q = {prime}");
    }
}

#[test]
fn differences_are_right_at_the_edges() {
    let tables = EdgeTable::<8>::new(257, 249).unwrap();
    let ring = tables.ring();
    for m in [0, 1, -1, i32::MAX, i32::MIN, 257, -257, 128] {
        for x in [0, 1, 128, 256, -256, i32::MAX, i32::MIN] {
            let expected = ring.modulus().reduce_signed(i64::from(m) - i64::from(x));
            assert_eq!(ring.difference(m, x.cast_unsigned()), expected, "{m} − {x}");
        }
    }
}

#[test]
fn constant_tables_are_those_of_the_reference() {
    let mut tables = Tables::new(PRIMES[1], DEGREE);
    let constant = alloc::boxed::Box::new(EdgeTable::<DEGREE>::new(PRIMES[1], tables.psi).unwrap());
    let ntt = tables.ntt();
    let original = limb(ntt.modulus(), DEGREE, 1);
    let (mut found, mut expected) = (original.clone(), original);
    inverse(&constant.ring(), &mut found);
    inverse(&EdgeRing::of(&ntt).unwrap(), &mut expected);
    assert_eq!(found, expected);
}

#[test]
fn rings_refuse_what_they_cannot_compute_with() {
    assert!(EdgeTable::<8>::new(257, 3).is_none(), "a root of another order");
    assert!(EdgeTable::<1>::new(257, 256).is_none(), "degree one");
    assert!(EdgeTable::<8>::new(256, 3).is_none(), "an even modulus");
    let mut tables = Tables::new(0x3ffc_0001, 8);
    assert!(EdgeRing::of(&tables.ntt()).is_none(), "a prime of 30 bits");
}

/// Encrypts `message` twice under fresh seeds and hands key, seeds and bodies to `check`.
fn with_ciphertext(
    degree: usize,
    message: &[i32],
    check: impl Fn(&EdgeKey<'_>, &MessageSeeds, &[Vec<u32>]),
) {
    let mut tables = PRIMES.map(|prime| Tables::new(prime, degree));
    let rings = tables.each_mut().map(|tables| EdgeRing::of(&tables.ntt()).unwrap());
    let master = SecretSeed::new([3; 32]);
    let secret = Ternary::uniform(&master, 0, vec![0; degree / 4]);
    let (mut first, mut second) = (vec![0; degree], vec![0; degree]);
    let key = EdgeKey::expand(&secret, rings, [&mut first, &mut second]).unwrap();
    let seeds = MessageSeeds::derive(&master, 9, &[1; 32], &MessageDigest::new(&master));
    let (mut words, mut bytes) = (vec![0; degree], vec![0; degree]);
    let mut workspace = Workspace { limb: &mut words, errors: &mut bytes };
    let mut bodies: Vec<Vec<u32>> = Vec::new();
    let done = key.encrypt(&seeds, 5, |i| message[i], &mut workspace, &mut bodies);
    assert!(done.is_ok());
    assert!(workspace.errors.iter().all(|&e| e == 0), "errors are erased");
    check(&key, &seeds, &bodies);
}

fn decrypted(key: &EdgeKey<'_>, seeds: &MessageSeeds, prime: usize, body: &[u32]) -> Vec<i32> {
    let mut mask = vec![0; body.len()];
    let q = key.rings()[prime].modulus();
    uniform(&seeds.mask, domain::EDGE_MASK, 5, q, &mut mask);
    let decryption = key.decrypt(prime, &mut mask);
    body.iter().enumerate().map(|(i, &b)| decryption.coefficient(i, b)).collect()
}

#[test]
fn decryption_gives_the_message_and_exactly_its_errors() {
    let message: Vec<i32> = (0..4096).map(|i| (i * 7919 % (1 << 23)) - (1 << 22)).collect();
    with_ciphertext(DEGREE, &message, |key, seeds, bodies| {
        let mut expected = vec![0; DEGREE];
        errors(&seeds.error, 5, &mut expected);
        for (prime, body) in bodies.iter().enumerate() {
            let found = decrypted(key, seeds, prime, body);
            for ((m, e), found) in message.iter().zip(&expected).zip(found) {
                assert_eq!(found, m + i32::from(*e));
            }
        }
        let sum: f64 = expected.iter().map(|&e| f64::from(e) * f64::from(e)).sum();
        let variance = sum / 4096.0;
        // Five standard deviations of the mean of 4096 squares.
        assert!((variance - ERROR_VARIANCE).abs() < 5.0 * 14.8 / 64.0, "variance {variance}");
    });
}

#[test]
fn bodies_satisfy_the_equation_by_schoolbook() {
    let message = [5, -6, i32::MAX - 21, 0, 1, 2, 3, -i32::MAX + 21];
    with_ciphertext(8, &message, |key, seeds, bodies| {
        let mut e = [0; 8];
        errors(&seeds.error, 5, &mut e);
        let secret = Ternary::uniform(&SecretSeed::new([3; 32]), 0, [0; 2]);
        let s: Vec<i32> = secret.coefficients().collect();
        for (prime, body) in bodies.iter().enumerate() {
            let q = key.rings()[prime].modulus();
            let mut a = [0; 8];
            uniform(&seeds.mask, domain::EDGE_MASK, 5, q, &mut a);
            Tables::new(q.value(), 8).ntt().inverse(&mut a);
            for k in 0..8 {
                let product: i64 = (0..8)
                    .map(|i| {
                        let term = i64::from(a[i]) * i64::from(s[(8 + k - i) % 8]);
                        if i <= k { term } else { -term }
                    })
                    .sum();
                let expected = i64::from(message[k]) + i64::from(e[k]) - product;
                assert_eq!(body[k], q.reduce_signed(expected));
            }
        }
    });
}

#[test]
fn expansion_refuses_buffers_of_another_degree() {
    let mut tables = PRIMES.map(|prime| Tables::new(prime, 16));
    let rings = tables.each_mut().map(|tables| EdgeRing::of(&tables.ntt()).unwrap());
    let secret = Ternary::uniform(&SecretSeed::new([3; 32]), 0, [0; 4]);
    let (mut first, mut second) = ([1; 16], [0; 8]);
    let result = EdgeKey::expand(&secret, rings, [&mut first, &mut second]);
    assert_eq!(result.err(), Some(Error::WrongLength { expected: 16, found: 8 }));
    assert_eq!(first, [0; 16], "what was expanded is erased");
}

#[test]
fn a_sink_that_fails_stops_encryption_and_errors_are_erased() {
    struct Full;
    impl LimbSink for Full {
        type Error = usize;
        fn put(&mut self, prime: usize, _limb: &[u32]) -> Result<(), usize> {
            Err(prime)
        }
    }
    with_ciphertext(8, &[0; 8], |key, seeds, _| {
        let (mut words, mut bytes) = ([0; 8], [9; 8]);
        let mut workspace = Workspace { limb: &mut words, errors: &mut bytes };
        assert_eq!(key.encrypt(seeds, 0, |_| 0, &mut workspace, &mut Full), Err(0));
        assert_eq!(bytes, [0; 8]);
    });
}
