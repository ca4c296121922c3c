//! Ordinary RNS-CKKS with slots at degree 4096 modulo three primes: [`he_core::slots`].

use core::ffi::c_void;
use core::slice;

use he_core::sample::{MessageDigest, MessageSeeds, SecretSeed, Seed, Ternary};
use he_core::slots::{
    KeyMask, Message, PackedLimbs, SLOTS_4096, SlotPublic, SlotSecret, Workspace,
};
use he_core::wire::{Residues, packed_len};

use crate::{Failure, HE_DEGREE, HeStatus, HeWrite, Wire, exclusive, shared, status};

/// Numbers that one ciphertext holds.
pub const HE_SLOTS: usize = 2048;

/// The primes of a ciphertext: 134176769, 67084289, 67043329.
pub const HE_SLOTS_PRIMES: usize = 3;

/// The largest absolute value of a slot.
pub const HE_SLOTS_BOUND: i32 = 536_870_400;

/// Bytes of a packed limb modulo the first prime.
pub const HE_SLOTS_LIMB_BYTES: usize = 13_824;

const _: () = {
    assert!(HE_DEGREE == SLOTS_4096.degree() && HE_SLOTS == SLOTS_4096.slots());
    assert!(HE_SLOTS_PRIMES == SLOTS_4096.rings().len());
    assert!(HE_SLOTS_BOUND == he_core::slots::SLOT_BOUND);
    assert!(HE_SLOTS_LIMB_BYTES == packed_len(HE_DEGREE, SLOTS_4096.rings()[0].modulus()));
};

/// The secret key, two bits a coefficient. Keep it where only the firmware can read it, and erase it with `he_wipe`.
#[repr(C)]
#[expect(missing_debug_implementations, reason = "holds secrets")]
pub struct HeSlotsSecret {
    /// Four coefficients a byte.
    pub packed: [u8; 1024],
}

/// Memory for one call: 33 KB, needed only while it lasts, and without secrets after it.
#[repr(C)]
#[expect(missing_debug_implementations, reason = "holds secrets")]
pub struct HeSlotsMemory {
    message: [u32; HE_DEGREE],
    limb: [u32; HE_DEGREE],
    ternary: [u8; 1024],
}

/// A public key; it may lie in flash.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct HeSlotsPublicKey {
    /// What its mask is expanded from.
    pub mask: [u8; 32],
    /// Its body: residues in evaluation form, `HE_DEGREE` modulo each prime.
    pub body: *const u32,
}

/// What is to be encrypted, and what makes it differ from every other message.
#[repr(C)]
#[expect(missing_debug_implementations, reason = "holds secrets")]
pub struct HeSlotsMessage {
    /// What seeds of messages are derived from: secret, and for nothing else.
    pub key: [u8; 32],
    /// Larger than any before under this key; it must survive power cuts.
    pub sequence: u64,
    /// Fresh random bytes.
    pub fresh: [u8; 32],
    /// The numbers in fixed point, each at most `HE_SLOTS_BOUND` in absolute value.
    pub slots: *const i32,
    /// How many there are, at most `HE_SLOTS`; the others are zero.
    pub count: usize,
    /// How many bits encryption cuts off behind the point, at most 29.
    pub shift: u32,
}

/// Makes the secret that belongs to 32 random bytes.
///
/// # Safety
/// `secret` is null, or points to memory that nothing else uses; `seed` is null, or points to 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn he_slots_secret(
    secret: *mut HeSlotsSecret,
    seed: *const [u8; 32],
) -> HeStatus {
    // SAFETY: the caller lends what is not null for the call.
    let (Some(secret), Some(seed)) = (unsafe { (exclusive(secret), shared(seed)) }) else {
        return HeStatus::Argument;
    };
    let ternary = Ternary::uniform(&SecretSeed::new(*seed), 0, [0; 1024]);
    secret.packed.copy_from_slice(ternary.packed());
    HeStatus::Ok
}

/// Makes a public key and writes its body, packed: a limb modulo each prime, in evaluation form. `mask` and `errors` are 32
/// random bytes each, for this key and nothing else; the mask is public.
///
/// # Safety
/// Pointers are null, or point to memory that nothing changes during the call, `memory` to memory that nothing else uses;
/// `write` may be called with `context`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn he_slots_public_key(
    secret: *const HeSlotsSecret,
    mask: *const [u8; 32],
    errors: *const [u8; 32],
    memory: *mut HeSlotsMemory,
    write: HeWrite,
    context: *mut c_void,
) -> HeStatus {
    // SAFETY: the caller lends what is not null for the call.
    let lent = unsafe { (shared(secret), shared(mask), shared(errors), exclusive(memory)) };
    let ((Some(secret), Some(mask), Some(errors), Some(memory)), Some(function)) = (lent, write)
    else {
        return HeStatus::Argument;
    };
    let wire = Wire { function, context };
    let (mask, errors) = (Seed::new(*mask), SecretSeed::new(*errors));
    let made = open(secret).and_then(|secret| {
        let mut sink = PackedLimbs::new(SLOTS_4096, |bytes: &[u8]| wire.write(bytes));
        secret.public_key(&mask, &errors, &mut memory.workspace().0, &mut sink)
    });
    status(made)
}

/// Encrypts under the secret key and writes the seed of the mask, 32 bytes, and the body, packed: a limb modulo each prime, in
/// coefficients.
///
/// # Safety
/// As for `he_slots_public_key`; `message->slots` has `count` numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn he_slots_encrypt(
    secret: *const HeSlotsSecret,
    message: *const HeSlotsMessage,
    memory: *mut HeSlotsMemory,
    write: HeWrite,
    context: *mut c_void,
) -> HeStatus {
    // SAFETY: the caller lends what is not null for the call.
    let lent = unsafe { (shared(secret), lent(message), exclusive(memory)) };
    let ((Some(secret), Some((message, slots)), Some(memory)), Some(function)) = (lent, write)
    else {
        return HeStatus::Argument;
    };
    let (wire, seeds) = (Wire { function, context }, message.seeds(slots));
    let encrypted = open(secret).and_then(|secret| {
        wire.write(seeds.mask.as_bytes())?;
        let mut sink = PackedLimbs::new(SLOTS_4096, |bytes: &[u8]| wire.write(bytes));
        let (mut work, _) = memory.workspace();
        secret.encrypt(&seeds, 0, &message.message(slots), &mut work, &mut sink)
    });
    status(encrypted)
}

/// Encrypts under a public key and writes the mask modulo each prime and then the body modulo each prime, packed, in coefficients.
///
/// # Safety
/// As for `he_slots_encrypt`; `key->body` has `HE_SLOTS_PRIMES * HE_DEGREE` residues.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn he_slots_encrypt_public(
    key: *const HeSlotsPublicKey,
    message: *const HeSlotsMessage,
    memory: *mut HeSlotsMemory,
    write: HeWrite,
    context: *mut c_void,
) -> HeStatus {
    // SAFETY: the caller lends what is not null for the call.
    let lent = unsafe { (shared(key), lent(message), exclusive(memory)) };
    let ((Some(key), Some((message, slots)), Some(memory)), Some(function)) = (lent, write) else {
        return HeStatus::Argument;
    };
    // SAFETY: the caller says that there are so many residues.
    let Some(body) = (unsafe { shared(key.body.cast::<[[u32; HE_DEGREE]; HE_SLOTS_PRIMES]>()) })
    else {
        return HeStatus::Argument;
    };
    let (wire, seeds) = (Wire { function, context }, message.seeds(slots));
    let body = body.each_ref().map(|limb| &limb[..]);
    let mask = KeyMask::Seed(Seed::new(key.mask));
    let Ok(key) = SlotPublic::new(SLOTS_4096, mask, &body) else { return HeStatus::Argument };
    let mut sink = PackedLimbs::new(SLOTS_4096, |bytes: &[u8]| wire.write(bytes));
    let (mut work, ternary) = memory.workspace();
    status(key.encrypt((&seeds, 0), &message.message(slots), &mut work, ternary, &mut sink))
}

/// Decrypts what a server returns modulo the first prime: mask and body, each `HE_SLOTS_LIMB_BYTES` packed bytes in evaluation
/// form. The slots come with `up` more bits behind the point than the ciphertext has; `up` is less than 32. Never send them back.
///
/// # Safety
/// Pointers are null, or point to memory that nothing changes during the call; `memory` and `slots`, of `HE_SLOTS` numbers, are
/// used by nothing else.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn he_slots_decrypt(
    secret: *const HeSlotsSecret,
    mask: *const [u8; HE_SLOTS_LIMB_BYTES],
    body: *const [u8; HE_SLOTS_LIMB_BYTES],
    up: u32,
    memory: *mut HeSlotsMemory,
    slots: *mut [i32; HE_SLOTS],
) -> HeStatus {
    // SAFETY: the caller lends what is not null for the call.
    let lent = unsafe { (shared(secret), shared(mask), shared(body)) };
    // SAFETY: nothing else uses these.
    let results = unsafe { exclusive(memory).zip(exclusive(slots)) };
    let ((Some(secret), Some(mask), Some(body)), Some((memory, slots))) = (lent, results) else {
        return HeStatus::Argument;
    };
    if up >= u32::BITS {
        return HeStatus::Argument;
    }
    status(decrypt(secret, (mask, body), up, memory, slots))
}

fn decrypt(
    secret: &HeSlotsSecret,
    (mask, body): (&[u8], &[u8]),
    up: u32,
    memory: &mut HeSlotsMemory,
    slots: &mut [i32; HE_SLOTS],
) -> Result<(), Failure> {
    let q = SLOTS_4096.rings()[0].modulus();
    let (mask, body) = (Residues::new(mask, HE_DEGREE, q)?, Residues::new(body, HE_DEGREE, q)?);
    let found = open(secret)?.decrypt(mask, body, &mut memory.limb)?;
    found.decode(up, |j, slot| slots[j] = slot);
    Ok(())
}

impl HeSlotsMemory {
    fn workspace(&mut self) -> (Workspace<'_>, &mut [u8]) {
        (Workspace { message: &mut self.message, limb: &mut self.limb }, &mut self.ternary)
    }
}

impl HeSlotsMessage {
    fn seeds(&self, slots: &[i32]) -> MessageSeeds {
        let key = SecretSeed::new(self.key);
        let mut digest = MessageDigest::new(&key);
        slots.iter().for_each(|slot| digest.update(&slot.to_le_bytes()));
        MessageSeeds::derive(&key, self.sequence, &self.fresh, &digest)
    }

    fn message<'s>(&self, slots: &'s [i32]) -> Message<impl Fn(usize) -> i32 + use<'s>> {
        Message { shift: self.shift, slot: |j: usize| slots.get(j).copied().unwrap_or(0) }
    }
}

fn open(secret: &HeSlotsSecret) -> Result<SlotSecret<'static, [u8; 1024]>, Failure> {
    Ok(SlotSecret::new(SLOTS_4096, Ternary::from_packed(secret.packed)?)?)
}

/// A message with its slots, unless a pointer is null or not aligned, or a number is out of range.
///
/// # Safety
/// As for [`shared`]; there are as many slots as the message says.
unsafe fn lent<'a>(message: *const HeSlotsMessage) -> Option<(&'a HeSlotsMessage, &'a [i32])> {
    // SAFETY: the caller lends the message.
    let message = unsafe { shared(message) }?;
    if message.count > HE_SLOTS || message.shift > 29 {
        return None;
    }
    if message.count == 0 {
        return Some((message, &[]));
    }
    // SAFETY: the caller lends the first slot,
    unsafe { shared(message.slots) }?;
    // SAFETY: and as many as it says.
    Some((message, unsafe { slice::from_raw_parts(message.slots, message.count) }))
}
