//! What the authority makes, and what it does not make.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::fmt::Write;

use he_core::params::Params;
use he_firmware::check;
use he_firmware::harness::{Bench, Failure};
use he_firmware::machine::Machine;
use key_authority::attest::{self, Claims, REPORT, SoftwareRoot};
use key_authority::file::File;
use key_authority::golden;
use key_authority::order::{ENTRY, HEAD};
use sha2::{Digest, Sha256};

use super::{begin, order, status};
use crate::calls::{self, Status};
use crate::normal;

/// Everything that comes after a `BEGIN`, file by file, through buffers of `size` bytes.
fn files(size: usize) -> Result<Vec<(File, Vec<u8>)>, u64> {
    let mut files: Vec<(File, Vec<u8>)> = Vec::new();
    let mut buffer = vec![0; size];
    loop {
        let chunk = normal::next(&mut buffer)?;
        if chunk.starts {
            files.push((chunk.file, Vec::new()));
        }
        if let Some((_, bytes)) = files.last_mut() {
            bytes.extend_from_slice(&buffer[..chunk.bytes]);
        }
        if chunk.is_last {
            return Ok(files);
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

pub(super) fn golden_files<M: Machine>(bench: &mut Bench<'_, M>) -> Result<(), Failure> {
    check!(begin());
    let files = bench.measure("seven_small_keys_instructions", || files(1 << 20));
    let files = files.unwrap_or_default();
    let lines: Vec<_> = golden::TEXT.lines().collect();
    // The report is of this image; the host has none.
    check!(files.len() == lines.len() + 1);
    for (file, bytes) in files.iter().filter(|(file, _)| *file != File::Report) {
        let mut line = file.to_string();
        line.push(' ');
        line.push_str(&hex(&Sha256::digest(bytes)));
        check!(lines.contains(&line.as_str()));
    }
    Ok(())
}

pub(super) fn buffer_sizes<M>(_: &mut Bench<'_, M>) -> Result<(), Failure> {
    check!(begin());
    let whole = files(1 << 20).unwrap_or_default();
    for size in [997, 65_536] {
        check!(begin());
        check!(files(size).is_ok_and(|files| files == whole));
    }
    Ok(())
}

pub(super) fn report<M>(_: &mut Bench<'_, M>) -> Result<(), Failure> {
    check!(begin());
    let files = files(1 << 20).unwrap_or_default();
    let mut hash = Sha256::new();
    for (file, bytes) in &files {
        if matches!(file, File::PublicKey | File::Key(_)) {
            let (kind, number) = file.numbers();
            hash.update([kind, number].map(u32::to_le_bytes).as_flattened());
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        }
    }
    let last = files.last().map_or(&[][..], |(_, bytes)| bytes);
    let Ok(report) = <&[u8; REPORT]>::try_from(last) else {
        return Err(Failure { what: "no report", file: file!(), line: line!() });
    };
    let parameters = golden::params_insecure().map_or(0, |params: Params| params.digest());
    // What the program is, the host checks: it has the image.
    let measurement = core::array::from_fn(|i| report[56 + i]);
    let claims =
        Claims { parameters, measurement, keys: hash.finalize().into(), nonce: golden::NONCE };
    check!(attest::vouches(&SoftwareRoot, &claims, report));
    check!(measurement != [0; 32]);
    Ok(())
}

pub(super) fn out_of_order<M>(_: &mut Bench<'_, M>) -> Result<(), Failure> {
    let state = Status::State.word();
    let mut buffer = vec![0; 64];
    normal::wipe();
    check!(status(normal::call(calls::PROVISION, 0, 0)) == state);
    check!(normal::next(&mut buffer).err() == Some(state));
    check!(begin());
    check!(status(normal::call_with(calls::BEGIN, &order())) == state, "begun twice");
    check!(status(normal::call(calls::PROVISION, 0, 0)) == Status::Done.word());
    check!(normal::next(&mut buffer).is_ok());
    check!(status(normal::call(calls::PROVISION, 0, 0)) == state, "provision in between");
    check!(status(normal::call_with(calls::BEGIN, &order())) == state, "begun in between");
    check!(normal::next(&mut buffer).is_ok());
    check!(begin());
    check!(files(1 << 20).is_ok());
    check!(normal::next(&mut buffer).err() == Some(state), "more after all");
    check!(status(normal::call(calls::PROVISION, 0, 0)) == Status::Done.word());
    normal::wipe();
    check!(normal::next(&mut buffer).err() == Some(state), "more after a wipe");
    Ok(())
}

pub(super) fn refused_orders<M>(_: &mut Bench<'_, M>) -> Result<(), Failure> {
    let good = order();
    let with = |at: usize, value: u32| {
        let mut bytes = good.clone();
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        bytes
    };
    let entry = |number: usize, field: usize| HEAD + ENTRY * number + 4 * field;
    let cases = [
        (good[..good.len() - 1].to_vec(), Status::Order),
        (good[..HEAD - 1].to_vec(), Status::Order),
        ([&good[..], &[0]].concat(), Status::Order),
        (with(0, 0), Status::Order),
        (with(4, 2), Status::Order),
        (with(8, 0), Status::Parameters),
        (with(16, 99), Status::Order),
        (with(20, u32::MAX), Status::Order),
        (with(entry(0, 0), 6), Status::Order),
        (with(entry(1, 2), 99), Status::Refused),
        (with(entry(1, 1), 4), Status::Refused),
        (with(entry(2, 1), 5), Status::Order),
        (with(entry(4, 2), 1), Status::Refused),
        (with(entry(5, 1), 16), Status::Refused),
        (with(entry(6, 2), 1), Status::Refused),
    ];
    normal::wipe();
    for (bytes, expected) in cases {
        check!(status(normal::call_with(calls::BEGIN, &bytes)) == expected.word());
    }
    // And none of them has left anything behind.
    check!(status(normal::call_with(calls::BEGIN, &good)) == Status::Done.word());
    Ok(())
}
