//! What the machine, the monitor and the authority refuse.

use alloc::vec;
use core::arch::asm;

use he_firmware::check;
use he_firmware::harness::{Bench, Failure};
use key_authority::order::LONGEST;

use super::{begin, order, status};
use crate::calls::{self, Status};
use crate::layout::{AUTHORITY, MONITOR, NORMAL, PROGRAM, SECURE, SECURE_UART};
use crate::normal::{self, REGISTERS, load, registers_after, store};

/// Where secure memory begins, ends, and has secrets; and the device's link.
const FORBIDDEN: [u64; 8] = [
    PROGRAM.start,
    MONITOR.start,
    MONITOR.end - 8,
    AUTHORITY.start,
    AUTHORITY.start + (6 << 20),
    SECURE.end - 8,
    SECURE_UART,
    SECURE_UART + 0x30,
];

pub(super) fn faults<M>(_: &mut Bench<'_, M>) -> Result<(), Failure> {
    check!(begin());
    let mut word = 0x1234_5678_u32;
    let place = (&raw mut word).expose_provenance() as u64;
    check!(load(place) == Ok(word), "own memory does not fault");
    for address in FORBIDDEN {
        // SAFETY: nothing of this world's is there.
        let stored = unsafe { store(address, 0) };
        for fault in [load(address).err(), stored.err()] {
            let Some(fault) = fault else { return check_failed("an access that should fault") };
            check!(fault.is_external_abort());
            check!(fault.address == address);
        }
    }
    // SAFETY: the word is not used meanwhile.
    check!(unsafe { store(place, 5) }.is_ok());
    word = load(place).unwrap_or(0);
    check!(word == 5, "own memory can be written");
    Ok(())
}

fn check_failed(what: &'static str) -> Result<(), Failure> {
    Err(Failure { what, file: file!(), line: line!() })
}

pub(super) fn ranges<M>(_: &mut Bench<'_, M>) -> Result<(), Failure> {
    let (end, longest) = (NORMAL.end, calls::LONGEST_BUFFER);
    let common = [
        (AUTHORITY.start, 16),
        (MONITOR.start, 16),
        (SECURE.end - 16, 16),
        (SECURE_UART, 4),
        (0x0900_0000, 4),
        (0, 16),
        (NORMAL.start - 8, 16),
        (end - 8, 16),
        (end, 1),
        (NORMAL.start, 0),
        (NORMAL.start, u64::MAX),
        (u64::MAX - 7, 16),
        (u64::MAX, 1),
        (NORMAL.start, AUTHORITY.start.wrapping_sub(NORMAL.start)),
    ];
    for (start, length) in common.into_iter().chain([(NORMAL.start, LONGEST as u64 + 1)]) {
        normal::wipe();
        check!(status(normal::call(calls::BEGIN, start, length)) == Status::Range.word());
    }
    check!(begin());
    for (start, length) in common.into_iter().chain([(NORMAL.start, longest + 1)]) {
        check!(status(normal::call(calls::NEXT, start, length)) == Status::Range.word());
    }
    // The session is as it was: its first bytes are still to come.
    let mut buffer = vec![0; 8];
    check!(normal::next(&mut buffer).is_ok_and(|chunk| chunk.starts && chunk.bytes == 8));
    for (start, length) in common {
        check!(status(normal::call(calls::NEXT, start, length)) == Status::Range.word());
    }
    check!(normal::next(&mut buffer).is_ok_and(|chunk| !chunk.starts && chunk.bytes == 8));
    Ok(())
}

pub(super) fn unknown_calls<M>(_: &mut Bench<'_, M>) -> Result<(), Failure> {
    let unknown = [
        calls::WIPE + 1,
        calls::RETURN,
        calls::PANICKED,
        calls::BEGIN & !(1 << 30),
        calls::BEGIN & !(1 << 31),
        0x8400_0000,
        0,
    ];
    for call in unknown {
        check!(status(normal::call(call, 0, 0)) == Status::NotSupported.word());
    }
    check!(status(normal::call(calls::SMCCC_VERSION, 0, 0)) == 0x1_0002);
    check!(normal::call(calls::STATUS, 0, 0)[..2] == [Status::Done.word(), calls::VERSION]);
    Ok(())
}

pub(super) fn registers<M>(_: &mut Bench<'_, M>) -> Result<(), Failure> {
    const PATTERN: u64 = 0xa5c3_0f1e_9687_7869;
    let untouched = |registers: [u64; REGISTERS]| registers[4..].iter().all(|&x| x == PATTERN);
    normal::wipe();
    let (order, mut buffer) = (order(), vec![0_u8; 1 << 16]);
    let place = order.as_ptr().expose_provenance() as u64;
    let begun = registers_after([calls::BEGIN, place, order.len() as u64], PATTERN);
    check!(begun[0] == Status::Done.word());
    check!(untouched(begun));
    let place = buffer.as_mut_ptr().expose_provenance() as u64;
    for _ in 0..4 {
        // The authority stops in the middle of a limb, with its registers full of what it does.
        let filled = registers_after([calls::NEXT, place, buffer.len() as u64], PATTERN);
        check!(filled[0] == Status::Done.word());
        check!(untouched(filled));
    }
    check!(untouched(registers_after([calls::WIPE, 0, 0], PATTERN)));
    check!(untouched(registers_after([calls::TEST_PANIC, 0, 0], PATTERN)));
    check!(untouched(registers_after([calls::RETURN, 0, 0], PATTERN)));
    Ok(())
}

/// What both worlds have and the authority sets.
fn system() -> [u64; 8] {
    let mut all = [0; 8];
    let [control, traps, tables, table_control, attributes, vectors, return_to, syndrome] =
        &mut all;
    // SAFETY: reads registers.
    unsafe {
        asm!(
            "mrs {}, sctlr_el1",
            "mrs {}, cpacr_el1",
            "mrs {}, ttbr0_el1",
            "mrs {}, tcr_el1",
            out(reg) * control,
            out(reg) * traps,
            out(reg) * tables,
            out(reg) * table_control
        );
        asm!(
            "mrs {}, mair_el1",
            "mrs {}, vbar_el1",
            "mrs {}, elr_el1",
            "mrs {}, esr_el1",
            out(reg) * attributes,
            out(reg) * vectors,
            out(reg) * return_to,
            out(reg) * syndrome
        );
    }
    all
}

pub(super) fn system_registers<M>(_: &mut Bench<'_, M>) -> Result<(), Failure> {
    let before = system();
    check!(begin());
    check!(system() == before);
    let mut buffer = vec![0; 1 << 16];
    check!(normal::next(&mut buffer).is_ok());
    check!(system() == before);
    check!(status(normal::call(calls::TEST_PANIC, 0, 0)) == Status::Dead.word());
    check!(system() == before);
    Ok(())
}
