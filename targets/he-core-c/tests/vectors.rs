//! The library does what `targets/common/golden.py`, which shares no code with it, says it does.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use core::ffi::c_void;
use core::ptr;

use he_core_c::{
    HE_DEGREE, HE_SECRET_BYTES, HeAnswer, HeDevice, HeExchange, HeMemory, HeStatus, he_answer,
    he_provision, he_upload, he_wipe,
};

const PROVISION: &[u8] = include_bytes!("../../common/vectors/provision.bin");
const MESSAGES: &[u8] = include_bytes!("../../common/vectors/messages.bin");
const UPLOAD: &[u8] = include_bytes!("../../common/vectors/upload.bin");
const DOWNLOAD: &[u8] = include_bytes!("../../common/vectors/download.bin");

/// Token numbers of the message, as the vectors have them.
const IDS: [u16; 11] = [2, 5, 9, 1, 7, 7, 15, 4, 0, 11, 3];

/// Both ends of a link in memory.
#[derive(Default)]
struct Tape {
    incoming: Vec<u8>,
    taken: usize,
    outgoing: Vec<u8>,
    stages: Vec<(u32, u32, u32)>,
}

fn tape<'a>(context: *mut c_void) -> &'a mut Tape {
    // SAFETY: every context in this file is a tape that nothing else uses.
    unsafe { &mut *context.cast() }
}

extern "C" fn read(context: *mut c_void, bytes: *mut u8, length: usize) -> i32 {
    let tape = tape(context);
    let Some(from) = tape.incoming.get(tape.taken..tape.taken + length) else { return 1 };
    // SAFETY: the library passes room for so many bytes.
    unsafe { ptr::copy_nonoverlapping(from.as_ptr(), bytes, length) };
    tape.taken += length;
    0
}

extern "C" fn write(context: *mut c_void, bytes: *const u8, length: usize) -> i32 {
    // SAFETY: the library passes so many bytes.
    tape(context).outgoing.extend_from_slice(unsafe { core::slice::from_raw_parts(bytes, length) });
    0
}

extern "C" fn full(_: *mut c_void, _: *const u8, _: usize) -> i32 {
    1
}

extern "C" fn message(_: *mut c_void, ciphertext: u32, index: u32) -> i32 {
    let at = usize::try_from(ciphertext).unwrap() * HE_DEGREE + usize::try_from(index).unwrap();
    i32::from_le_bytes(*MESSAGES.as_chunks().0.get(at).unwrap())
}

extern "C" fn progress(context: *mut c_void, index: u32, total: u32, millis: u32) {
    tape(context).stages.push((index, total, millis));
}

fn context(tape: &mut Tape) -> *mut c_void {
    ptr::from_mut(tape).cast()
}

fn zeros<T>() -> Box<T> {
    // SAFETY: only for types whose bytes may all be zero.
    unsafe { Box::<T>::new_zeroed().assume_init() }
}

fn provisioned(frame: &[u8]) -> (HeStatus, Box<HeDevice>) {
    let mut device = zeros::<HeDevice>();
    let mut tape = Tape { incoming: frame.to_vec(), ..Tape::default() };
    // SAFETY: all pointers are to values of this function.
    let status = unsafe { he_provision(&raw mut *device, Some(read), context(&mut tape)) };
    (status, device)
}

fn exchange(digest: &[u8]) -> HeExchange {
    let (digest, digest_length) = (digest.as_ptr(), digest.len());
    HeExchange { sequence: 1, fresh: [4; 32], digest, digest_length, ciphertexts: 2 }
}

fn ids() -> Vec<u8> {
    IDS.iter().flat_map(|id| id.to_le_bytes()).collect()
}

fn answered(frames: &[u8]) -> (HeStatus, HeAnswer, Tape) {
    let (_, device) = provisioned(PROVISION);
    let mut memory = zeros::<HeMemory>();
    let mut tape = Tape { incoming: frames.to_vec(), ..Tape::default() };
    let (mut answer, context) = (HeAnswer::default(), context(&mut tape));
    let (device, memory) = (&raw const *device, &raw mut *memory);
    // SAFETY: all pointers are to values of this function.
    let status = unsafe {
        he_answer(device, memory, 1, Some(read), Some(progress), context, &raw mut answer)
    };
    (status, answer, tape)
}

#[test]
fn an_upload_is_the_one_of_the_vectors_byte_for_byte() {
    let (status, device) = provisioned(PROVISION);
    assert_eq!((status, device.transport, device.messages), (HeStatus::Ok, [9; 32], [4; 32]));
    let (mut memory, mut tape, ids) = (zeros::<HeMemory>(), Tape::default(), ids());
    let (exchange, context) = (exchange(&ids), context(&mut tape));
    let (device, memory) = (&raw const *device, &raw mut *memory);
    // SAFETY: all pointers are to values of this function.
    let status = unsafe {
        he_upload(device, memory, &raw const exchange, Some(message), Some(write), context)
    };
    assert_eq!(status, HeStatus::Ok);
    assert_eq!(tape.outgoing.len(), UPLOAD.len());
    assert!(tape.outgoing == UPLOAD);
    // SAFETY: a link that fails at once.
    let status = unsafe {
        he_upload(device, memory, &raw const exchange, Some(message), Some(full), context)
    };
    assert_eq!(status, HeStatus::Link);
}

#[test]
fn an_answer_is_read_and_one_that_was_altered_anywhere_is_not() {
    let (status, answer, tape) = answered(DOWNLOAD);
    assert_eq!(
        (status, answer.count, tape.stages.as_slice()),
        (HeStatus::Ok, 3, &[(3, 11, 1500)][..])
    );
    let value = |i: usize| f64::from(answer.values[i]) / answer.scale;
    assert_eq!([value(0), value(1), value(2)], [0.75, -1.25, 1.0]);
    for at in [0, 5, 20, 40, 70, 200, DOWNLOAD.len() / 2, DOWNLOAD.len() - 1] {
        let mut altered = DOWNLOAD.to_vec();
        altered[at] ^= 1;
        let (status, answer, _) = answered(&altered);
        assert_eq!((status, answer.values), (HeStatus::Frame, [0; 16]), "byte {at}");
    }
    assert_eq!(answered(&DOWNLOAD[..100]).0, HeStatus::Link);
}

#[test]
fn null_and_misaligned_pointers_are_refused_and_wiping_wipes() {
    let (_, mut device) = provisioned(PROVISION);
    let (mut memory, ids) = (zeros::<HeMemory>(), ids());
    let (exchange, none) = (exchange(&ids), ptr::null_mut());
    let (to_device, memory) = (&raw mut *device, &raw mut *memory);
    let odd = to_device.cast::<HeMemory>().wrapping_byte_add(1);
    // SAFETY: what is neither null nor misaligned is a value of this function.
    let statuses = unsafe {
        [
            he_provision(ptr::null_mut(), Some(read), none),
            he_provision(to_device, None, none),
            he_upload(
                to_device,
                ptr::null_mut(),
                &raw const exchange,
                Some(message),
                Some(write),
                none,
            ),
            he_upload(to_device, odd, &raw const exchange, Some(message), Some(write), none),
            he_upload(to_device, memory, ptr::null(), Some(message), Some(write), none),
            he_answer(to_device, memory, 1, Some(read), None, none, ptr::null_mut()),
        ]
    };
    assert_eq!(statuses, [HeStatus::Argument; 6]);
    assert_ne!(device.secret, [0; HE_SECRET_BYTES]);
    // SAFETY: the device is a value of this function.
    unsafe { he_wipe(to_device.cast(), size_of::<HeDevice>()) };
    assert_eq!((device.secret, device.transport), ([0; HE_SECRET_BYTES], [0; 32]));
}

#[test]
fn the_header_is_that_of_the_source() {
    let directory = env!("CARGO_MANIFEST_DIR");
    let config = cbindgen::Config::from_root_or_default(directory);
    let mut made = Vec::new();
    cbindgen::Builder::new()
        .with_src(format!("{directory}/src/lib.rs"))
        .with_config(config)
        .generate()
        .unwrap()
        .write(&mut made);
    let path = format!("{directory}/include/he_core.h");
    let kept = std::fs::read(&path).unwrap_or_default();
    if kept != made {
        std::fs::write(&path, &made).unwrap();
        panic!("include/he_core.h was not that of the source; it is now: commit it");
    }
}
