//! What the application cannot do.

use core::ptr::from_ref;

use he_firmware::check;
use he_firmware::harness::{Bench, Failure};

use super::{INNOCENT, Wall, fresh, room};
use crate::call::{
    Block, CIPHERTEXT, HEAD, MESSAGE, Operation, Placed, REPORT, Span, Status, VERSION,
};
use crate::watch::DEPTH;

pub(super) fn empty<M: Wall>(_: &mut Bench<'_, M>) -> Result<(), Failure> {
    let mut room = room()?;
    let mut gateway = fresh::<M>(&mut room, 0)?;
    let report = gateway.report();
    check!(report.is_ok_and(|report| report.version == VERSION && !report.is_provisioned));
    check!(gateway.begin(&[1]).err() == Some(Status::State));
    check!(gateway.provision().is_ok());
    check!(gateway.report().is_ok_and(|report| report.is_provisioned));
    check!(gateway.provision().is_err());
    for number in [7, 8, 0x600, u32::MAX] {
        check!((M::GATE)(number, 0) == Status::Operation as u32);
    }
    Ok(())
}

pub(super) fn attempts<M: Wall>(_: &mut Bench<'_, M>) -> Result<(), Failure> {
    let mut room = room()?;
    let mut gateway = fresh::<M>(&mut room, 0)?;
    check!(gateway.provision().is_ok());
    let own = 7u32;
    check!(M::read(from_ref(&own).addr()) == 7, "a read of the application's own memory");
    let mut faults = || gateway.report().map_or(0, |report| report.faults);
    let mut before = faults();
    for attempt in M::ATTEMPTS {
        check!(!(attempt.run)(), attempt.name);
        let after = faults();
        check!(after == before + 1, attempt.name);
        before = after;
    }
    for attempt in M::SILENT_ATTEMPTS {
        check!(!(attempt.run)(), attempt.name);
    }
    check!(gateway.report().is_ok_and(|report| report.is_provisioned));
    Ok(())
}

/// Every 64th byte, and the two ends.
pub(super) fn all_words<M: Wall>(bench: &mut Bench<'_, M>) -> Result<(), Failure> {
    let mut room = room()?;
    let mut gateway = fresh::<M>(&mut room, 0)?;
    check!(gateway.provision().is_ok());
    let (first, last) = M::secrets();
    let mut faults = || gateway.report().map_or(0, |report| report.faults);
    let (before, mut stopped) = (faults(), 0);
    for address in (first..last).step_by(64).chain([last & !3]) {
        check!(M::read(address) == INNOCENT, "a word of the vault's memory was read");
        stopped += 1;
    }
    check!(faults() == before + stopped);
    bench.report("reads_stopped", stopped.into());
    Ok(())
}

/// Calls with any block.
fn call<M: Wall>(operation: Operation, block: &Block) -> Status {
    Status::parse((M::GATE)(operation as u32, Placed::new(block).address()))
}

fn span(start: usize, length: usize) -> Span {
    Span { start: start as u64, length: length as u64 }
}

/// The room's address: `MESSAGE + CIPHERTEXT` bytes that the vault may use.
fn lent() -> Result<usize, Failure> {
    Ok(from_ref(&*room()?).expose_provenance())
}

pub(super) fn pointers_to_secrets<M: Wall>(_: &mut Bench<'_, M>) -> Result<(), Failure> {
    check!(fresh::<M>(&mut *room()?, 0)?.provision().is_ok());
    let (own, (first, last)) = (lent()?, M::secrets());
    let edges = [first - 1, first, first + 64, last - MESSAGE, last - 3, last];
    let aligned = |at: usize| at & !7;
    for at in edges {
        for (operation, length) in [(Operation::Begin, HEAD), (Operation::Status, REPORT)] {
            let input = if operation == Operation::Begin { span(own, 2) } else { Span::default() };
            let block = Block { input, output: span(at, length), ..Block::default() };
            check!(call::<M>(operation, &block) == Status::Pointer, "an output");
        }
        let output = span(own, HEAD);
        let block = Block { input: span(at & !1, 128), output, ..Block::default() };
        check!(call::<M>(Operation::Begin, &block) == Status::Pointer, "an input");
        let output = span(own + MESSAGE, CIPHERTEXT);
        let block = Block { input: span(aligned(at), MESSAGE), output, ..Block::default() };
        check!(call::<M>(Operation::Encrypt, &block) == Status::Pointer, "a message");
        let status = (M::GATE)(Operation::Wipe as u32, aligned(at));
        check!(status == Status::Pointer as u32, "a block");
    }
    Ok(())
}

pub(super) fn bad_buffers<M: Wall>(_: &mut Bench<'_, M>) -> Result<(), Failure> {
    check!(fresh::<M>(&mut *room()?, 0)?.provision().is_ok());
    let (own, last) = (lent()?, M::last());
    let encrypt = |input: Span, output: Span| {
        call::<M>(Operation::Encrypt, &Block { input, output, ..Block::default() })
    };
    let (message, ciphertext) = (span(own, MESSAGE), span(own + MESSAGE, CIPHERTEXT));
    // In order, but no upload has begun.
    check!(encrypt(message, ciphertext) == Status::State);
    for length in [0, MESSAGE - 4, MESSAGE - 1, MESSAGE + 1, MESSAGE + 4, usize::MAX] {
        check!(encrypt(span(own, length), ciphertext) == Status::Length);
    }
    for length in [0, CIPHERTEXT - 1, CIPHERTEXT + 1, usize::MAX] {
        check!(encrypt(message, span(own + MESSAGE, length)) == Status::Length);
    }
    for at in [own, own + 4, own + MESSAGE - 1] {
        check!(encrypt(message, span(at, CIPHERTEXT)) == Status::Pointer, "an overlap");
    }
    for at in [last, last - CIPHERTEXT + 2, usize::MAX - 7, usize::MAX - CIPHERTEXT + 1] {
        check!(encrypt(message, span(at, CIPHERTEXT)) == Status::Pointer, "beyond the end");
    }
    for by in 1..4 {
        check!(encrypt(span(own + by, MESSAGE), ciphertext) == Status::Pointer, "not aligned");
    }
    let beyond = Span { start: u64::MAX - 15, length: 16 };
    let wrapping = Block { output: beyond, ..Block::default() };
    check!(call::<M>(Operation::Status, &wrapping) == Status::Pointer);
    let other = Block { version: 2, ..Block::default() };
    check!(call::<M>(Operation::Wipe, &other) == Status::Version);
    Ok(())
}

pub(super) fn registers<M: Wall>(_: &mut Bench<'_, M>) -> Result<(), Failure> {
    check!(fresh::<M>(&mut *room()?, 0)?.provision().is_ok());
    let own = lent()?;
    let pieces = Block { input: span(own, 2), output: span(own + 64, HEAD), ..Block::default() };
    let (input, output) = (span(own, MESSAGE), span(own + MESSAGE, CIPHERTEXT));
    let message = Block { input, output, ..Block::default() };
    // A call that is refused, one that derives seeds, and one that encrypts.
    let calls = [
        (Operation::Finish, Block::default()),
        (Operation::Begin, pieces),
        (Operation::Encrypt, message),
    ];
    for (operation, block) in calls {
        let exposed = M::exposed(operation as u32, Placed::new(&block).address());
        check!(exposed == 0, "a register has a word that is not its own");
    }
    Ok(())
}

pub(super) fn stack<M: Wall>(bench: &mut Bench<'_, M>) -> Result<(), Failure> {
    let mut room = room()?;
    let mut gateway = fresh::<M>(&mut room, 0)?;
    check!(gateway.provision().is_ok());
    check!(gateway.report().is_ok_and(|report| report.dirty == 0), "after provisioning");
    check!(gateway.begin(&[1, 2, 3]).is_ok());
    check!(gateway.encrypt(0, |i| if i % 2 == 0 { -5 } else { 77 }).is_ok());
    let report = gateway.report();
    bench.report("words_left_on_the_stack", report.map_or(u64::MAX, |report| report.dirty.into()));
    bench.report("deepest_stack_of_the_vault_bytes", (M::GATE)(DEPTH, 0).into());
    check!(report.is_ok_and(|report| report.dirty == 0), "after encrypting");
    Ok(())
}
