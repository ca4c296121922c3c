//! A device's slots in the evaluator: encrypted in fixed point, sent in a frame, computed on, decrypted on the device.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use he_core::Error;
use he_core::ciphertext::Ciphertext;
use he_core::cpu::Cpu;
use he_core::edge::LimbSink;
use he_core::eval::Evaluator;
use he_core::keyswitch::{EvaluationKeys, KeyAuthority, KeyKind, KeyPlan};
use he_core::modulus::Modulus;
use he_core::params::{EDGE_128, Params, ParamsLiteral, Stages, Strength};
use he_core::primes::primitive_root_2n;
use he_core::ring::{Portable, Ring, Serial};
use he_core::sample::{MessageDigest, MessageSeeds, SecretSeed, Seed, Ternary};
use he_core::slots::{
    KeyMask, Message, SlotFrame, SlotHead, SlotParams, SlotPublic, SlotSecret, SlotTable, Workspace,
};
use he_core::wire::{Link, Pair, TransportKey};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

const DEGREE: usize = 8192;
/// Bits behind the point of a slot, and those that encryption cuts off.
const POINT: u32 = 28;
const SHIFT: u32 = 4;
const SCALE: f64 = (1 << (POINT - SHIFT)) as f64;
const STEP: usize = 3;

/// Primes that both sides can use: at most 28 bits for the device, near `2^25` for the evaluator.
const PRIMES: [u32; 3] = [33_292_289, 32_899_073, 31_326_209];

/// One product at 137 of the 214 bits of degree 8192. Called insecure only because of the sparse secret of a
/// bootstrap, which is not used.
const LITERAL: ParamsLiteral = ParamsLiteral {
    log_degree: DEGREE.trailing_zeros(),
    strength: Strength::Insecure,
    computing_bits: 25,
    digits: 3,
    stages: Stages { slots_to_coeffs: 1, computing: 0, eval_mod: 0, coeffs_to_slots: 0 },
    terminals: &PRIMES,
    mains: &[],
    specials: EDGE_128.specials.split_at(2).0,
    ..EDGE_128
};

/// The server's end: evaluation keys, and no secret.
fn server(authority: &KeyAuthority, params: &Params, rng: &mut ChaCha20Rng) -> Cpu {
    let ring = || Ring::new(params.log_degree(), params.primes(), &Portable, &Serial).unwrap();
    let mut plan = KeyPlan::default();
    plan.need(KeyKind::Relinearization, 1);
    plan.need_rotation(params, STEP.cast_signed(), 0);
    let (maker, mut keys) = (ring(), EvaluationKeys::new());
    for spec in plan.specs() {
        let key = authority.key(&maker, params, spec, rng).unwrap();
        keys.insert(&maker, spec.kind, key.expand(&maker, params).unwrap());
    }
    Cpu::new(params.clone(), ring(), keys).unwrap()
}

/// What comes out of a frame with these limbs.
fn travelled(params: SlotParams<'_>, head: &SlotHead, limbs: &[Vec<u32>]) -> SlotFrame {
    let (key, mut bytes) = (TransportKey::new(SecretSeed::new([5; 32])), Vec::new());
    let link = || Link::new(&key, params.digest(), 1);
    let write = |piece: &[u8]| {
        bytes.extend_from_slice(piece);
        Ok::<_, Error>(())
    };
    let mut frame = head.begin(&mut link(), params, write).unwrap();
    for (number, limb) in limbs.iter().enumerate() {
        frame.put(number % PRIMES.len(), limb).unwrap();
    }
    frame.finish().unwrap();
    let mut rest = &bytes[..];
    let read = |piece: &mut [u8]| {
        let (head, tail) = rest.split_at_checked(piece.len()).ok_or(Error::Malformed("cut"))?;
        piece.copy_from_slice(head);
        rest = tail;
        Ok::<_, Error>(())
    };
    let frame = link().reader(head.length(&params), read).unwrap();
    SlotFrame::read(frame, &params).unwrap()
}

/// A ciphertext by the secret key, and one by the public key, as they arrive.
fn sent(
    secret: &SlotSecret<'_, Vec<u8>>,
    values: &[i32],
    work: &mut Workspace<'_>,
    rng: &mut ChaCha20Rng,
) -> [SlotFrame; 2] {
    let (params, message) =
        (*secret.params(), Message { shift: SHIFT, slot: |j: usize| values[j] });
    let key = SecretSeed::random(rng);
    let seeds = MessageSeeds::derive(&key, 1, &[6; 32], &MessageDigest::new(&key));

    let mut limbs: Vec<Vec<u32>> = Vec::new();
    let Ok(()) = secret.encrypt(&seeds, 7, &message, work, &mut limbs);
    let head = SlotHead::Seeded { scale: SCALE, seed: seeds.mask, index: 7 };
    let seeded = travelled(params, &head, &limbs);

    let (mask, mut limbs) = (Seed::random(rng), Vec::new());
    let Ok(()) = secret.public_key(&mask, &SecretSeed::random(rng), work, &mut limbs);
    let head = SlotHead::PublicKey { seed: mask };
    let key = travelled(params, &head, &limbs);
    assert_eq!((&key.head, &key.body), (&head, &limbs.concat()));
    let body: Vec<&[u32]> = key.body.chunks_exact(DEGREE).collect();
    let public = SlotPublic::new(params, KeyMask::Seed(mask), &body).unwrap();
    let (mut limbs, mut ternary): (Vec<Vec<u32>>, _) = (Vec::new(), vec![0; DEGREE / 4]);
    let Ok(()) = public.encrypt((&seeds, 8), &message, work, &mut ternary, &mut limbs);
    [seeded, travelled(params, &SlotHead::Whole { scale: SCALE }, &limbs)]
}

/// What the device decrypts of an answer modulo the first two primes.
fn opened(secret: &SlotSecret<'_, Vec<u8>>, answer: &Pair, work: &mut Workspace<'_>) -> Vec<f64> {
    let halves = [&answer.a, &answer.b].map(|half| {
        let (first, second) = half.split_at(DEGREE);
        [first, second].map(|limb| limb.iter().copied())
    });
    let [masks, bodies] = halves;
    let mut slots = vec![0.0; DEGREE / 2];
    let found = secret.decrypt_two(masks, bodies, 0, work).unwrap();
    found.decode(0, |j, x| slots[j] = f64::from(x) / answer.scale);
    slots
}

#[test]
fn slots_from_a_device_are_squared_and_rotated_and_decrypt_on_the_device() {
    let tables = PRIMES.map(|q| {
        let root = primitive_root_2n(Modulus::new(q).unwrap(), 1 << LITERAL.log_degree).unwrap();
        SlotTable::<128>::new(DEGREE, q, root).unwrap()
    });
    let rings = tables.each_ref().map(SlotTable::ring);
    let slots = SlotParams::new(&rings, Some(LITERAL.specials[0])).unwrap();
    let params = Params::new(LITERAL).unwrap();
    assert!(params.instances()[0].is_secure(), "the dense secret has 128 bits");
    let mut rng = ChaCha20Rng::seed_from_u64(3);
    let authority = KeyAuthority::generate(&params, &mut rng).unwrap();
    let cpu = server(&authority, &params, &mut rng);
    let packed = authority.big_secret().packed().to_vec();
    let secret = SlotSecret::new(slots, Ternary::from_packed(packed).unwrap()).unwrap();
    let (mut message, mut limb) = (vec![0; DEGREE], vec![0; DEGREE]);
    let mut work = Workspace { message: &mut message, limb: &mut limb };

    let values: Vec<i32> =
        (0..DEGREE / 2).map(|_| rng.next_u32().cast_signed() >> (31 - POINT)).collect();
    let number = |j: usize| f64::from(values[j % values.len()]) / f64::from(1 << POINT);
    // Six standard deviations: 2^-9.3, by roundings of the rescale and of two key switches, N/6 in a slot each;
    // by a public key, 2^-6.0, the errors of encryption doubled by the square.
    for (frame, bits) in sent(&secret, &values, &mut work, &mut rng).iter().zip([9.0, 5.5]) {
        let pair = frame.to_pair(&slots, 1);
        let x = Ciphertext::from_pair(cpu.ring(), cpu.params(), pair).unwrap();
        let square = cpu.rescale(&cpu.mul(&x, &x).unwrap()).unwrap();
        let answer = cpu.rotate(&square, STEP.cast_signed()).unwrap().to_pair();
        let found = opened(&secret, &answer, &mut work);
        let error = |(j, x): (usize, &f64)| (x - number(j + STEP).powi(2)).abs();
        let worst = found.iter().enumerate().map(error).fold(0.0, f64::max);
        assert!(worst < f64::exp2(-bits), "{:?}: error 2^{:.1}", frame.head, worst.log2());
    }
}
