//! Slots through the library do what `targets/common/slots.py`, which shares no code with it, says they do.

use core::ffi::c_void;
use core::ptr;
use core::slice;

use he_core::slots::SLOTS_4096;
use he_core::wire::{Residues, packed_len};
use he_core_c::HeStatus;
use he_core_c::slots::{
    HE_SLOTS, HE_SLOTS_LIMB_BYTES, HeSlotsMemory, HeSlotsMessage, HeSlotsPublicKey, HeSlotsSecret,
    he_slots_decrypt, he_slots_encrypt, he_slots_encrypt_public, he_slots_public_key,
    he_slots_secret,
};

const VALUES: &[u8] = include_bytes!("../../common/vectors/slots-values.bin");
const KEY: &[u8] = include_bytes!("../../common/vectors/slots-public-key.bin");
const SECRET: &[u8] = include_bytes!("../../common/vectors/slots-secret.bin");
const PUBLIC: &[u8] = include_bytes!("../../common/vectors/slots-public.bin");
const ANSWER: &[u8] = include_bytes!("../../common/vectors/slots-answer.bin");
const DECODED: &[u8] = include_bytes!("../../common/vectors/slots-decoded.bin");

extern "C" fn write(context: *mut c_void, bytes: *const u8, length: usize) -> i32 {
    // SAFETY: every context in this file is such a vector, and the library passes so many bytes.
    unsafe { (*context.cast::<Vec<u8>>()).extend_from_slice(slice::from_raw_parts(bytes, length)) };
    0
}

extern "C" fn full(_: *mut c_void, _: *const u8, _: usize) -> i32 {
    1
}

fn memory() -> Box<HeSlotsMemory> {
    // SAFETY: all bytes of it may be zero.
    unsafe { Box::<HeSlotsMemory>::new_zeroed().assume_init() }
}

fn secret(seed: u8) -> HeSlotsSecret {
    let (mut secret, seed) = (HeSlotsSecret { packed: [0; 1024] }, [seed; 32]);
    // SAFETY: both point to values of this function.
    let status = unsafe { he_slots_secret(&raw mut secret, &raw const seed) };
    assert_eq!(status, HeStatus::Ok);
    secret
}

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks().0.iter().map(|&word| u32::from_le_bytes(word)).collect()
}

fn values() -> Vec<i32> {
    words(VALUES).into_iter().map(u32::cast_signed).collect()
}

fn message(slots: &[i32]) -> HeSlotsMessage {
    let (slots, count) = (slots.as_ptr(), slots.len());
    HeSlotsMessage { key: [4; 32], sequence: 1, fresh: [4; 32], slots, count, shift: 4 }
}

#[test]
fn keys_and_ciphertexts_are_those_of_the_vectors_byte_for_byte() {
    let (secret, mut memory, values) = (secret(2), memory(), values());
    let (message, memory) = (message(&values), &raw mut *memory);
    let (mut bytes, mask, errors) = (Vec::new(), [9; 32], [10; 32]);
    let context = (&raw mut bytes).cast();
    // SAFETY: all pointers are to values of this function.
    let status = unsafe {
        let (mask, errors) = (&raw const mask, &raw const errors);
        he_slots_public_key(&raw const secret, mask, errors, memory, Some(write), context)
    };
    assert_eq!(status, HeStatus::Ok);
    let (mut packed, mut found) = (&bytes[..], Vec::new());
    for ring in SLOTS_4096.rings() {
        let (limb, rest) = packed.split_at(packed_len(4096, ring.modulus()));
        found.extend(Residues::new(limb, 4096, ring.modulus()).unwrap());
        packed = rest;
    }
    assert!(packed.is_empty() && found == words(KEY));

    bytes.clear();
    // SAFETY: all pointers are to values of this function.
    let status = unsafe {
        he_slots_encrypt(&raw const secret, &raw const message, memory, Some(write), context)
    };
    assert!(status == HeStatus::Ok && bytes == SECRET);

    bytes.clear();
    let key = HeSlotsPublicKey { mask: [9; 32], body: found.as_ptr() };
    // SAFETY: all pointers are to values of this function.
    let status = unsafe {
        he_slots_encrypt_public(&raw const key, &raw const message, memory, Some(write), context)
    };
    assert!(status == HeStatus::Ok && bytes == PUBLIC);
    // SAFETY: all pointers are to values of this function.
    let status = unsafe {
        he_slots_encrypt_public(&raw const key, &raw const message, memory, Some(full), context)
    };
    assert_eq!(status, HeStatus::Link);
}

#[test]
fn an_answer_decrypts_to_the_vectors_and_a_residue_beyond_its_prime_is_refused() {
    let (secret, mut memory) = (secret(2), memory());
    let mut slots = [0; HE_SLOTS];
    let mut decrypt = |answer: &[u8], up| {
        let (mask, body) = answer.split_at(HE_SLOTS_LIMB_BYTES);
        let (mask, body) = (mask.as_ptr().cast(), body.as_ptr().cast());
        // SAFETY: all pointers are to values of this function and of its caller.
        unsafe {
            he_slots_decrypt(&raw const secret, mask, body, up, &raw mut *memory, &raw mut slots)
        }
    };
    assert_eq!(decrypt(ANSWER, 2), HeStatus::Ok);
    assert_eq!(decrypt(ANSWER, 32), HeStatus::Argument);
    let mut altered = ANSWER.to_vec();
    altered[..4].fill(0xff);
    assert_eq!(decrypt(&altered, 2), HeStatus::Frame);
    assert!(slots.map(i32::cast_unsigned)[..] == words(DECODED));
}

#[test]
fn what_is_null_misaligned_or_too_much_is_refused() {
    let (secret, mut memory, values) = (secret(2), memory(), values());
    let memory = &raw mut *memory;
    let encrypt = |message: *const HeSlotsMessage, memory: *mut HeSlotsMemory| {
        let mut bytes = Vec::<u8>::new();
        let context = (&raw mut bytes).cast();
        // SAFETY: what is neither null nor misaligned is a value of this function.
        unsafe { he_slots_encrypt(&raw const secret, message, memory, Some(write), context) }
    };
    let good = message(&values);
    assert_eq!(encrypt(&raw const good, memory), HeStatus::Ok);
    assert_eq!(encrypt(&raw const good, memory.wrapping_byte_add(1)), HeStatus::Argument);
    assert_eq!(encrypt(ptr::null(), memory), HeStatus::Argument);
    for bad in [
        HeSlotsMessage { count: HE_SLOTS + 1, ..message(&values) },
        HeSlotsMessage { shift: 30, ..message(&values) },
        HeSlotsMessage { slots: ptr::null(), ..message(&values) },
        HeSlotsMessage { slots: values.as_ptr().wrapping_byte_add(1), ..message(&values) },
    ] {
        assert_eq!(encrypt(&raw const bad, memory), HeStatus::Argument);
    }
    let empty = message(&[]);
    assert_eq!(encrypt(&raw const empty, memory), HeStatus::Ok);
}
