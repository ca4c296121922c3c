//! Exhaustive at the borders: a caller with two windows of memory, the second for reading only.

extern crate alloc;
use super::*;
use crate::call::{CIPHERTEXT, HEAD, MESSAGE};
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

/// The caller's memory: real, because blocks are read from it.
struct Caller {
    bytes: Vec<u64>,
    own: Range<usize>,
    constant: Range<usize>,
}

// SAFETY: for the tests of blocks, `own` is the vector; nothing else is accessed.
unsafe impl Memory for Caller {
    fn allows(&self, first: usize, last: usize, access: Access) -> bool {
        let within = |range: &Range<usize>| range.contains(&first) && range.contains(&last);
        within(&self.own) || (access == Access::Read && within(&self.constant))
    }
}

impl Caller {
    /// A caller with 128 KB, of which bytes up to `writable` can be written.
    fn new(writable: usize) -> Self {
        let mut bytes = vec![0u64; 16 * 1024];
        let start = bytes.as_mut_ptr().expose_provenance();
        let end = start + 8 * bytes.len();
        Self { bytes, own: start..start + writable, constant: start + writable..end }
    }

    /// What becomes of a call whose block lies at offset `at`.
    fn call(&self, operation: Operation, at: usize, block: &Block) -> Result<Request, Status> {
        let address = self.own.start + at;
        for (i, &byte) in block.to_bytes().iter().enumerate() {
            let place = with_exposed_provenance_mut::<u8>(address + i);
            // SAFETY: every test leaves room for the block in the vector.
            unsafe { place.write(byte) };
        }
        admit(operation as u32, address, self)
    }

    fn span(&self, at: usize, length: usize) -> Span {
        Span { start: (self.own.start + at) as u64, length: length as u64 }
    }
}

const WRITABLE: usize = 96 * 1024;
const ALL: usize = 128 * 1024;

/// A call of `Encrypt` with input and output at these offsets.
fn encrypt(caller: &Caller, input: usize, output: usize) -> Result<Request, Status> {
    let (input, output) = (caller.span(input, MESSAGE), caller.span(output, CIPHERTEXT));
    caller.call(Operation::Encrypt, 0, &Block { index: 1, input, output, ..Block::default() })
}

#[test]
fn a_range_that_the_caller_may_use_passes_up_to_its_last_byte_and_not_one_further() {
    let caller = Caller::new(WRITABLE);
    assert!(encrypt(&caller, 64, 32 * 1024).is_ok());
    for beyond in [0, 1, 2, 31, 32, 4096] {
        let output = WRITABLE - CIPHERTEXT + beyond;
        assert_eq!(encrypt(&caller, 64, output).is_ok(), beyond == 0, "{beyond} beyond");
    }
    for beyond in [0, 4, 8, 32, 4096] {
        let found = encrypt(&caller, ALL - MESSAGE + beyond, 1024);
        assert_eq!(found.is_ok(), beyond == 0, "{beyond} beyond");
    }
    for before in [4, 32, 4096] {
        let mut block = Block { output: caller.span(1024, CIPHERTEXT), ..Block::default() };
        block.input = Span { start: (caller.own.start - before) as u64, length: MESSAGE as u64 };
        assert_eq!(caller.call(Operation::Encrypt, 0, &block), Err(Status::Pointer));
    }
}

#[test]
fn memory_that_can_only_be_read_is_not_written() {
    let caller = Caller::new(WRITABLE);
    assert!(encrypt(&caller, WRITABLE + 64, 1024).is_ok());
    assert!(encrypt(&caller, WRITABLE - 64, 1024).is_err(), "across two windows");
    assert_eq!(encrypt(&caller, 1024, WRITABLE), Err(Status::Pointer));
}

#[test]
fn addresses_that_wrap_around_or_do_not_exist_are_refused() {
    let caller = Caller::new(WRITABLE);
    let output = caller.span(1024, HEAD);
    let starts = [1, u64::MAX, u64::MAX - 1, u64::MAX - 3, 1 << 63, u64::MAX - 0xFFFF];
    for start in starts {
        for length in [2, 4, 128] {
            let block = Block { input: Span { start, length }, output, ..Block::default() };
            assert_eq!(caller.call(Operation::Begin, 0, &block), Err(Status::Pointer));
        }
    }
    for block in [usize::MAX, usize::MAX - 7, usize::MAX - 39, 0, 8] {
        assert_eq!(admit(Operation::Wipe as u32, block, &caller), Err(Status::Pointer));
    }
}

#[test]
fn each_length_but_the_right_ones_is_refused() {
    let caller = Caller::new(WRITABLE);
    for operation in Operation::ALL {
        let Lengths { input: (least, most, unit), output } = operation.lengths();
        let inputs = [0, 1, least.wrapping_sub(1), least, least + 1, most, most + 1, most + unit];
        let outputs = [0, 1, output.wrapping_sub(1), output, output + 1, usize::MAX];
        for input in inputs {
            for written in outputs {
                let right = (least..=most).contains(&input)
                    && input.is_multiple_of(unit)
                    && written == output;
                let mut block = Block::default();
                if input != 0 {
                    block.input = caller.span(32 * 1024, input);
                }
                if written != 0 {
                    block.output = caller.span(64 * 1024, written);
                }
                let found = caller.call(operation, 0, &block);
                let expected = if right { None } else { Some(Status::Length) };
                assert_eq!(found.err(), expected, "{operation:?}: {input} to {written}");
            }
        }
    }
    let input = Span { start: caller.own.start as u64, length: 1 << 32 | 2 };
    let block = Block { input, output: caller.span(1024, HEAD), ..Block::default() };
    assert_eq!(caller.call(Operation::Begin, 0, &block), Err(Status::Length));
}

#[test]
fn ranges_that_overlap_the_output_are_refused_and_neighbours_are_not() {
    let caller = Caller::new(WRITABLE);
    let input = 40 * 1024;
    for output in [input - CIPHERTEXT, input + MESSAGE] {
        assert!(encrypt(&caller, input, output).is_ok());
    }
    let within = [input - CIPHERTEXT + 1, input - 1, input, input + 1, input + MESSAGE - 1];
    for output in within {
        assert_eq!(encrypt(&caller, input, output), Err(Status::Pointer));
    }
    for (output, is_apart) in [(40, true), (39, false), (0, false), (8, false)] {
        let block = Block { output: caller.span(output, 16), ..Block::default() };
        assert_eq!(caller.call(Operation::Status, 0, &block).is_ok(), is_apart, "{output}");
    }
    for (output, is_apart) in [(48, true), (49, false), (104, true), (103, false)] {
        let block = Block { output: caller.span(output, 16), ..Block::default() };
        assert_eq!(caller.call(Operation::Status, 64, &block).is_ok(), is_apart, "{output}");
    }
}

#[test]
fn ranges_overlap_exactly_where_they_share_an_address() {
    for a in (0..6).flat_map(|start| (0..4).map(move |length| (start, length))) {
        for b in (0..6).flat_map(|start| (0..4).map(move |length| (start, length))) {
            let shares =
                (0..12).any(|x| (a.0..a.0 + a.1).contains(&x) && (b.0..b.0 + b.1).contains(&x));
            assert_eq!(overlap(a, b), shares, "{a:?} {b:?}");
        }
    }
}

#[test]
fn misaligned_blocks_and_inputs_are_refused() {
    let caller = Caller::new(WRITABLE);
    for at in 0..16 {
        let found = caller.call(Operation::Wipe, at, &Block::default());
        assert_eq!(found.is_ok(), at % 8 == 0, "block at {at}");
        assert_eq!(encrypt(&caller, 1024 + at, 32 * 1024).is_ok(), at % 4 == 0, "input at {at}");
    }
}

#[test]
fn a_block_across_the_border_is_refused() {
    let mut caller = Caller::new(WRITABLE);
    for short in [0, 8, 16, 32] {
        let end = caller.own.end;
        caller.constant = end..end;
        let found = admit(Operation::Wipe as u32, end - Block::BYTES + short, &caller);
        assert_eq!(found, Err(if short == 0 { Status::Version } else { Status::Pointer }));
    }
}

#[test]
fn other_versions_operations_and_fields_are_refused() {
    let caller = Caller::new(WRITABLE);
    for version in [0, 2, u32::MAX] {
        let block = Block { version, ..Block::default() };
        assert_eq!(caller.call(Operation::Wipe, 0, &block), Err(Status::Version));
    }
    let indexed = Block { index: 1, ..Block::default() };
    assert_eq!(caller.call(Operation::Wipe, 0, &indexed), Err(Status::Argument));
    let input = Span { start: caller.own.start as u64, length: 0 };
    let pointing = Block { input, ..Block::default() };
    assert_eq!(caller.call(Operation::Wipe, 0, &pointing), Err(Status::Pointer));
    for operation in [7, 8, u32::MAX] {
        assert_eq!(admit(operation, caller.own.start, &caller), Err(Status::Operation));
    }
}

#[test]
fn what_is_taken_is_taken_once_and_in_order() {
    let mut caller = Caller::new(WRITABLE);
    caller.bytes[1] = u64::from_le_bytes(*b"abcdefgh");
    let mut input = Input { start: caller.own.start + 8, length: 8 };
    let (mut first, mut second, mut rest) = ([0; 3], [0; 4], [0; 2]);
    assert_eq!((input.take(&mut first), input.take(&mut second)), (Some(()), Some(())));
    assert_eq!((&first, &second), (b"abc", b"defg"));
    let mut output = Output { start: caller.own.start + 16, length: 3 };
    assert_eq!(output.put(b"xy"), Some(()));
    assert_eq!(output.put(b"zz"), None);
    assert_eq!(caller.bytes[2], u64::from_le_bytes(*b"xy\0\0\0\0\0\0"));
    assert_eq!(input.take(&mut rest), None);
}
