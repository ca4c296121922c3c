//! Routines of a device that encrypts slots.

use core::hint::black_box;

use he_core::sample::{MessageSeeds, Seed, Ternary, domain, uniform};
use he_core::slots::{KeyMask, Message, SLOTS_4096, SlotPublic, SlotRing, SlotSecret, Workspace};

use super::device::{MASK, Nowhere, secret_seed};

const DEGREE: usize = 4096;

/// A secret key, seeds of a message, slots and buffers.
struct Device {
    secret: SlotSecret<'static, Vec<u8>>,
    seeds: MessageSeeds,
    slots: Vec<i32>,
    message: Vec<u32>,
    limb: Vec<u32>,
}

impl Device {
    fn new(secret: &[u8]) -> Self {
        let ternary = Ternary::uniform(&secret_seed(secret, 0), 0, vec![0; DEGREE / 4]);
        Self {
            secret: SlotSecret::new(SLOTS_4096, ternary).expect("one degree"),
            seeds: MessageSeeds { mask: MASK, error: secret_seed(secret, 1) },
            slots: secret.as_chunks().0.iter().map(|&x| i32::from_le_bytes(x) >> 3).collect(),
            message: vec![0; DEGREE],
            limb: vec![0; DEGREE],
        }
    }
}

pub(crate) fn encryption(secret: &[u8]) -> Box<dyn FnMut()> {
    let Device { secret, seeds, slots, mut message, mut limb } = Device::new(secret);
    Box::new(move || {
        let mut work = Workspace { message: &mut message, limb: &mut limb };
        let message = Message { shift: 8, slot: |j: usize| slots[j] };
        let Ok(()) = secret.encrypt(&seeds, 0, &message, &mut work, &mut Nowhere);
    })
}

pub(crate) fn public_encryption(secret: &[u8]) -> Box<dyn FnMut()> {
    let Device { seeds, slots, mut message, mut limb, .. } = Device::new(secret);
    let (bodies, mut ternary) = (limbs(), vec![0; DEGREE / 4]);
    Box::new(move || {
        let body: Vec<&[u32]> = bodies.iter().map(Vec::as_slice).collect();
        let key = SlotPublic::new(SLOTS_4096, KeyMask::Seed(MASK), &body).expect("whole limbs");
        let mut work = Workspace { message: &mut message, limb: &mut limb };
        let message = Message { shift: 8, slot: |j: usize| slots[j] };
        let Ok(()) = key.encrypt((&seeds, 0), &message, &mut work, &mut ternary, &mut Nowhere);
    })
}

pub(crate) fn public_key(secret: &[u8]) -> Box<dyn FnMut()> {
    let Device { secret, seeds, mut message, mut limb, .. } = Device::new(secret);
    Box::new(move || {
        let mut work = Workspace { message: &mut message, limb: &mut limb };
        let Ok(()) = secret.public_key(&MASK, &seeds.error, &mut work, &mut Nowhere);
    })
}

pub(crate) fn decryption(secret: &[u8]) -> Box<dyn FnMut()> {
    let Device { secret, mut limb, .. } = Device::new(secret);
    let limbs = limbs();
    Box::new(move || {
        let each = || limbs[0].iter().copied();
        let decryption = secret.decrypt(each(), each(), &mut limb).expect("whole limbs");
        decryption.decode(2, |_, slot| {
            black_box(slot);
        });
    })
}

pub(crate) fn decryption_of_two(secret: &[u8]) -> Box<dyn FnMut()> {
    let Device { secret, mut message, mut limb, .. } = Device::new(secret);
    let limbs = limbs();
    Box::new(move || {
        let mut work = Workspace { message: &mut message, limb: &mut limb };
        let each = || [&limbs[0], &limbs[1]].map(|limb| limb.iter().copied());
        let decryption = secret.decrypt_two(each(), each(), 26, &mut work).expect("whole limbs");
        decryption.decode(2, |_, slot| {
            black_box(slot);
        });
    })
}

/// Any public residues of every prime.
fn limbs() -> Vec<Vec<u32>> {
    let limb = |ring: &SlotRing<'_>| {
        let mut limb = vec![0; DEGREE];
        uniform(&Seed::new([9; 32]), domain::CIPHERTEXT, 0, ring.modulus(), &mut limb);
        limb
    };
    SLOTS_4096.rings().iter().map(limb).collect()
}
