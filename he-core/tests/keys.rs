//! Which keys are made, taken and missed, at an INSECURE size.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use he_core::Error;
use he_core::cpu::{Cpu, bootstrap_keys};
use he_core::encode::Encoder;
use he_core::encrypt::Encryptor;
use he_core::eval::Evaluator;
use he_core::keyswitch::{EvaluationKeys, KeyAuthority, KeyKind, KeyPlan, KeySpec, SeededKey};
use he_core::linear::{Rows, SeededUpload};
use he_core::modulus::Modulus;
use he_core::params::Params;
use he_core::refresh::{Halves, Refresh};
use he_core::ring::{Basis, Portable, Ring, Serial, galois_of_conjugation};
use he_core::sample::Seed;
use he_core::wire::{KeyChunk, Kind, Link, RingShape, TransportKey, packed_len};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

const LOG_DEGREE: u32 = 9;
const LOG_EDGE_DEGREE: u32 = 6;
const LOG_TOKENS: u32 = 3;

struct Setup {
    params: Params,
    ring: Ring,
    authority: KeyAuthority,
    rng: ChaCha20Rng,
}

impl Setup {
    fn insecure() -> Self {
        let params = Params::insecure_small(LOG_DEGREE, LOG_EDGE_DEGREE, LOG_TOKENS).unwrap();
        let ring = Ring::new(LOG_DEGREE, params.primes(), &Portable, &Serial).unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(5);
        let authority = KeyAuthority::generate(&params, &mut rng).unwrap();
        Self { params, ring, authority, rng }
    }

    fn key(&mut self, kind: KeyKind, level: usize) -> Result<SeededKey, Error> {
        self.authority.key(&self.ring, &self.params, KeySpec { kind, level }, &mut self.rng)
    }

    /// An evaluator with all keys of a bootstrap but one.
    fn without(&self, missing: KeyKind) -> Cpu {
        let (mut rng, mut keys) = (self.rng.clone(), EvaluationKeys::new());
        let plan = bootstrap_keys(&self.params).unwrap();
        for spec in plan.specs().filter(|spec| spec.kind != missing) {
            let key = self.authority.key(&self.ring, &self.params, spec, &mut rng).unwrap();
            keys.insert(&self.ring, spec.kind, key.expand(&self.ring, &self.params).unwrap());
        }
        let ring = Ring::new(LOG_DEGREE, self.params.primes(), &Portable, &Serial).unwrap();
        Cpu::new(self.params.clone(), ring, keys).unwrap().with_bootstrap(0).unwrap()
    }
}

/// As many rows as a bootstrap takes, of noise.
fn rows(cpu: &Cpu) -> Rows {
    let params = cpu.params();
    let upload = SeededUpload {
        seed: Seed::new([1; 32]),
        b: params.base().iter().map(|_| vec![0; params.edge_degree()]).collect(),
    };
    let uploads = vec![upload; params.degree() / params.edge_degree()];
    cpu.receive(&uploads).unwrap()
}

fn refused<T>(result: Result<T, Error>) -> bool {
    matches!(result, Err(Error::InvalidParameters(_)))
}

#[test]
fn a_key_above_the_modulus_of_its_secret_is_refused() {
    let mut s = Setup::insecure();
    for kind in [KeyKind::Pack(0), KeyKind::Down] {
        let key = s.key(kind, 0).unwrap();
        for level in [1, 14, s.params.max_level()] {
            assert!(refused(s.key(kind, level)), "{kind:?} at level {level}");
            let spec = KeySpec { kind, level };
            assert!(refused(SeededKey { spec, ..key.clone() }.expand(&s.ring, &s.params)));
        }
    }
    assert!(refused(s.key(KeyKind::Relinearization, s.params.max_level() + 1)));
}

#[test]
fn a_key_made_limb_by_limb_is_the_one_made_whole_byte_for_byte() {
    let s = Setup::insecure();
    let top = s.params.max_level();
    for (kind, level) in [
        (KeyKind::Relinearization, top - 3),
        (KeyKind::Galois(galois_of_conjugation(LOG_DEGREE)), 14),
        (KeyKind::Galois(5), top),
        (KeyKind::Raise, top),
        (KeyKind::Pack(3), 0),
        (KeyKind::Down, 0),
    ] {
        let spec = KeySpec { kind, level };
        let (mut whole, mut limbs) = (s.rng.clone(), s.rng.clone());
        let key = s.authority.key(&s.ring, &s.params, spec, &mut whole).unwrap();
        let streamed = written(&s.params, |link, write| {
            s.authority.write_key(&s.params, spec, &mut limbs, link, write)
        });
        assert!(streamed == bytes_of(&s.params, &key), "{spec:?}");
        // What is made next is the same too.
        assert_eq!(whole.next_u64(), limbs.next_u64());
    }
}

#[test]
fn a_public_key_made_limb_by_limb_is_the_one_made_whole_byte_for_byte() {
    let s = Setup::insecure();
    let encoder = Encoder::new(LOG_DEGREE);
    let encryptor = Encryptor { ring: &s.ring, params: &s.params, encoder: &encoder };
    let (mut whole, mut limbs) = (s.rng.clone(), s.rng.clone());
    let primes = moduli(&s.params);
    let shape = RingShape { degree: s.params.degree(), primes: &primes };
    for level in [0, 4, s.params.max_level()] {
        let key = encryptor.public_key(s.authority.big_secret(), level, &mut whole);
        let expected = written(&s.params, |link, write| {
            key.to_pair().write(link, Kind::PublicKey, &shape, write)
        });
        let streamed = written(&s.params, |link, write| {
            s.authority.write_public_key(&s.params, level, &mut limbs, link, write)
        });
        assert!(streamed == expected, "level {level}");
        assert_eq!(whole.next_u64(), limbs.next_u64());
    }
}

#[test]
fn nothing_is_written_of_a_key_that_is_refused() {
    let mut s = Setup::insecure();
    let above = s.params.max_level() + 1;
    let mut keys = Vec::new();
    for (kind, level) in [
        (KeyKind::Down, 1),
        (KeyKind::Raise, above),
        (KeyKind::Galois(4), 0),
        (KeyKind::Pack(8), 0),
    ] {
        keys.push(written(&s.params, |link, write| {
            let spec = KeySpec { kind, level };
            assert!(refused(s.authority.write_key(&s.params, spec, &mut s.rng, link, write)));
            Ok(())
        }));
    }
    keys.push(written(&s.params, |link, write| {
        assert!(refused(s.authority.write_public_key(&s.params, above, &mut s.rng, link, write)));
        Ok(())
    }));
    assert!(keys.iter().all(Vec::is_empty));
}

#[test]
fn kinds_of_keys_and_their_numbers_are_the_same_thing() {
    for kind in [
        KeyKind::Relinearization,
        KeyKind::Galois(5),
        KeyKind::Raise,
        KeyKind::Pack(63),
        KeyKind::Down,
    ] {
        let (number, index) = kind.numbers();
        assert_eq!(KeyKind::from_numbers(number, index), Some(kind));
    }
    for (kind, number) in [(0, 0), (1, 1), (3, 1), (5, 1), (6, 0)] {
        assert_eq!(KeyKind::from_numbers(kind, number), None);
    }
}

/// The frames that `write` writes.
fn written(
    params: &Params,
    write: impl FnOnce(&mut Link<'_>, &mut dyn FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error>,
) -> Vec<u8> {
    let checksum = TransportKey::checksum();
    let mut link = Link::new(&checksum, params.digest(), 0);
    let mut bytes = Vec::new();
    write(&mut link, &mut |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    })
    .unwrap();
    bytes
}

/// A whole key as it is written.
fn bytes_of(params: &Params, key: &SeededKey) -> Vec<u8> {
    let primes = moduli(params);
    let shape = RingShape { degree: params.degree(), primes: &primes };
    let (kind, galois) = key.spec.kind.numbers();
    written(params, |link, write| {
        for (part, digit) in key.parts.iter().zip(0..) {
            let (basis, limbs) = (part.basis().bits(), part.words().to_vec());
            let chunk = KeyChunk { kind, galois, digit, basis, seed: key.seed, limbs };
            chunk.write(link, &shape, &mut *write)?;
        }
        Ok(())
    })
}

fn moduli(params: &Params) -> Vec<Modulus> {
    params.primes().iter().map(|&q| Modulus::new(q).unwrap()).collect()
}

#[test]
fn the_sparse_and_the_edge_secret_meet_small_moduli_only() {
    let params = Params::edge_128().unwrap();
    let bits = |kind| {
        let basis = KeySpec { kind, level: 0 }.basis(&params);
        basis.iter().map(|i| f64::from(params.primes()[i]).log2()).sum::<f64>()
    };
    assert!(bits(KeyKind::Pack(0)) <= 112.0);
    assert!(bits(KeyKind::Down) <= 106.0);
}

#[test]
fn a_key_for_what_does_not_exist_is_refused() {
    let mut s = Setup::insecure();
    let parts = 1 << (LOG_EDGE_DEGREE - LOG_TOKENS);
    assert!(s.key(KeyKind::Pack(parts - 1), 0).is_ok());
    assert!(refused(s.key(KeyKind::Pack(parts), 0)));
    for galois in [0, 4, (2 << LOG_DEGREE) + 1] {
        assert!(refused(s.key(KeyKind::Galois(galois), 2)), "X^{galois}");
    }
    assert!(s.key(KeyKind::Galois((2 << LOG_DEGREE) - 1), 2).is_ok());
}

#[test]
fn a_key_with_other_parts_than_its_specification_is_refused() {
    let mut s = Setup::insecure();
    let key = s.key(KeyKind::Relinearization, 20).unwrap();
    let with = |change: &dyn Fn(&mut SeededKey)| {
        let mut key = key.clone();
        change(&mut key);
        key.expand(&s.ring, &s.params)
    };
    assert!(with(&|_| {}).is_ok());
    let count = key.parts.len();
    let wrong = |found| Some(Error::WrongLength { expected: count, found });
    assert_eq!(with(&|key| drop(key.parts.pop())).err(), wrong(count - 1));
    assert_eq!(with(&|key| key.parts.push(key.parts[0].clone())).err(), wrong(count + 1));
    let fewer = key.parts[0].basis().difference(Basis::range(0..1));
    let less = |key: &mut SeededKey| key.parts[1] = key.parts[1].restrict(&s.ring, fewer);
    assert!(matches!(with(&less), Err(Error::Malformed(_))));
    let higher = |key: &mut SeededKey| key.spec.level = s.params.max_level();
    assert!(matches!(with(&higher), Err(Error::Malformed(_))));
}

#[test]
fn a_plan_knows_the_bytes_of_its_keys() {
    let mut s = Setup::insecure();
    let mut plan = KeyPlan::default();
    plan.need(KeyKind::Pack(3), 0);
    plan.need(KeyKind::Down, 0);
    plan.need(KeyKind::Relinearization, 9);
    plan.need_rotation(&s.params, 5, 2);
    plan.need_rotation(&s.params, 5, 17);
    let (mut resident, mut wire) = (0, 0);
    for spec in plan.specs() {
        for part in s.key(spec.kind, spec.level).unwrap().parts {
            resident += 2 * size_of_val(part.words()) as u64;
            for i in part.basis().iter() {
                wire += packed_len(s.params.degree(), s.ring.modulus(i)) as u64;
            }
        }
    }
    assert_eq!((plan.resident_bytes(&s.params), plan.wire_bytes(&s.params)), (resident, wire));
}

#[test]
fn a_missing_key_is_named() {
    let s = Setup::insecure();
    let conjugation = galois_of_conjugation(LOG_DEGREE);
    for (kind, expected) in [
        (KeyKind::Pack(5), Error::MissingKey("packing rows")),
        (KeyKind::Raise, Error::MissingKey("raising the modulus")),
        (KeyKind::Relinearization, Error::MissingKey("relinearization")),
        (KeyKind::Galois(conjugation), Error::MissingGaloisKey { galois: conjugation }),
    ] {
        let cpu = s.without(kind);
        let found = cpu.rows_to_slots(&rows(&cpu), Halves::Low);
        assert_eq!(found.err(), Some(expected));
    }
    let cpu = s.without(KeyKind::Down);
    let level = cpu.params().rows_level();
    let encoder = Encoder::new(LOG_DEGREE);
    let encryptor = Encryptor { ring: &s.ring, params: &s.params, encoder: &encoder };
    let at = (level, cpu.default_scale());
    let c = encryptor.encrypt(s.authority.big_secret(), &[], at, &mut s.rng.clone()).unwrap();
    let expected = Error::MissingKey("the switch to the edge ring");
    assert_eq!(cpu.slots_to_rows(&c).err(), Some(expected));
}

#[test]
fn a_key_made_for_low_levels_is_missing_at_high_ones() {
    let mut s = Setup::insecure();
    let mut keys = EvaluationKeys::new();
    for kind in [KeyKind::Relinearization, KeyKind::Galois(5)] {
        let key = s.key(kind, 4).unwrap();
        keys.insert(&s.ring, kind, key.expand(&s.ring, &s.params).unwrap());
    }
    let ring = Ring::new(LOG_DEGREE, s.params.primes(), &Portable, &Serial).unwrap();
    let cpu = Cpu::new(s.params.clone(), ring, keys).unwrap();
    let encoder = Encoder::new(LOG_DEGREE);
    let encryptor = Encryptor { ring: &s.ring, params: &s.params, encoder: &encoder };
    let mut zero = |level| {
        let at = (level, cpu.default_scale());
        encryptor.encrypt(s.authority.big_secret(), &[], at, &mut s.rng).unwrap()
    };
    let (low, high) = (zero(4), zero(9));
    assert!(cpu.mul(&low, &low).is_ok());
    assert!(cpu.rotate(&low, 1).is_ok());
    assert_eq!(cpu.mul(&high, &high).err(), Some(Error::MissingKey("relinearization")));
    assert_eq!(cpu.rotate(&high, 1).err(), Some(Error::MissingGaloisKey { galois: 5 }));
}
