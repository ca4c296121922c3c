//! What the wall lets through is what it should be.

use core::convert::Infallible;

use embedded_io::{ErrorType, Read, Write};
use he_core::edge::DEGREE;
use he_firmware::check;
use he_firmware::client;
use he_firmware::harness::{Bench, Failure};
use he_firmware::machine::Machine;
use he_firmware::model::CIPHERTEXTS;

use super::{Wall, fresh, room};
use crate::gateway::Gateway;

const UPLOAD: &[u8] = include_bytes!("../../../common/vectors/upload.bin");
const MESSAGES: &[u8] = include_bytes!("../../../common/vectors/messages.bin");
const DOWNLOAD: &[u8] = include_bytes!("../../../common/vectors/download.bin");
/// The pieces of the vectors' message.
const PIECES: [u16; 11] = [2, 5, 9, 1, 7, 7, 15, 4, 0, 11, 3];
const TEXT: &[u8] = b"a gripping, funny and deeply human film .\n";

fn message(ciphertext: usize, i: usize) -> i32 {
    MESSAGES
        .as_chunks()
        .0
        .get(DEGREE * ciphertext + i)
        .map_or(0, |&bytes| i32::from_le_bytes(bytes))
}

/// Takes bytes off the front of what is expected, if they are the same.
fn expect(rest: &mut &[u8], bytes: &[u8]) -> bool {
    match rest.strip_prefix(bytes) {
        Some(back) => {
            *rest = back;
            true
        }
        None => false,
    }
}

pub(super) fn uploads<M: Wall>(bench: &mut Bench<'_, M>) -> Result<(), Failure> {
    let mut room = room()?;
    let mut gateway = fresh::<M>(&mut room, 0)?;
    check!(bench.measure("provision_instructions", || gateway.provision()).is_ok());
    let mut rest = UPLOAD;
    check!(gateway.begin(&PIECES).is_ok_and(|bytes| expect(&mut rest, bytes)));
    for (ciphertext, index) in (0..CIPHERTEXTS).zip(0..) {
        let bytes = gateway.encrypt(index, |i| message(ciphertext, i));
        check!(bytes.is_ok_and(|bytes| expect(&mut rest, bytes)));
    }
    check!(gateway.finish().is_ok_and(|bytes| expect(&mut rest, bytes)));
    check!(rest.is_empty());
    Ok(())
}

/// The server: compares the upload's length, and answers as the vectors do.
struct Server {
    sends: &'static [u8],
    received: usize,
}

impl ErrorType for Server {
    type Error = Infallible;
}

impl Read for Server {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
        self.sends.read(bytes)
    }
}

impl Write for Server {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.received += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// The operator: types one line, and looks for a label.
struct Operator {
    types: &'static [u8],
    seen: usize,
}

/// What the operator must read.
const LABEL: &[u8] = b"\"label\": \"negative\", \"logits\": [0.750000, -1.250000]";

impl ErrorType for Operator {
    type Error = Infallible;
}

impl Read for Operator {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
        self.types.read(bytes)
    }
}

impl Write for Operator {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        for byte in bytes {
            // What is looked for begins with a byte that starts no other match but at its front.
            if self.seen < LABEL.len() {
                let goes_on = LABEL[self.seen] == *byte;
                self.seen = if goes_on { self.seen + 1 } else { usize::from(LABEL[0] == *byte) };
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// A machine for the client that counts nothing.
struct Uncounted;

impl Machine for Uncounted {
    fn instructions(&mut self) -> u64 {
        0
    }

    fn ram_high_water(&self) -> usize {
        0
    }

    fn print(&mut self, _: core::fmt::Arguments<'_>) {}
}

pub(super) fn conversation<M: Wall>(_: &mut Bench<'_, M>) -> Result<(), Failure> {
    let mut room = room()?;
    let mut gateway = fresh::<M>(&mut room, 0)?;
    check!(gateway.provision().is_ok());
    let mut server = Server { sends: DOWNLOAD, received: 0 };
    let mut operator = Operator { types: TEXT, seen: 0 };
    let end = client::run_with(&mut gateway, &mut server, &mut operator, &mut Uncounted);
    check!(end == Err(client::Error::Closed));
    check!(server.received == UPLOAD.len());
    check!(server.sends.is_empty());
    check!(operator.seen == LABEL.len(), "the operator was not told the label");
    Ok(())
}

/// Instructions of an upload's ciphertext, and of refusing the answer to another secret's upload.
fn costs<M: Wall>(bench: &mut Bench<'_, M>, number: u8) -> Result<[u64; 2], Failure> {
    let mut room = room()?;
    let mut gateway = fresh::<M>(&mut room, number)?;
    check!(gateway.provision().is_ok());
    check!(gateway.begin(&PIECES).is_ok());
    // Other numbers, and as many more or fewer that are negative.
    let flip = i32::from(number) * 0x0123_4567;
    let sign = 1 - 2 * i32::from(number % 2);
    let encrypt = |gateway: &mut Gateway<'_>, index| {
        gateway.encrypt(index, |i| sign * (message(index as usize, i) ^ flip)).is_ok()
    };
    let (is_good, encryption) = bench.count(|| encrypt(&mut gateway, 0));
    check!(is_good && encrypt(&mut gateway, 1) && gateway.finish().is_ok());
    let (progress, answer) = DOWNLOAD.split_at(DOWNLOAD.len() - ANSWER);
    check!(gateway.open(progress).is_ok());
    let (refused, decryption) = bench.count(|| gateway.open(answer));
    check!(refused.is_err_and(|status| status == crate::call::Status::Canary));
    Ok([encryption, decryption])
}

/// Bytes of the vectors' answer: header, scale, count, mask, three entries, tag.
const ANSWER: usize = 32 + 8 + 4 + DEGREE * 25 / 8 + 3 * 8 + 16;

pub(super) fn constant_time<M: Wall>(bench: &mut Bench<'_, M>) -> Result<(), Failure> {
    let mut spread = [(u64::MAX, 0); 2];
    for number in 2..6 {
        for ((least, most), count) in spread.iter_mut().zip(costs(bench, number)?) {
            (*least, *most) = ((*least).min(count), (*most).max(count));
        }
    }
    let [encryption, decryption] = spread.map(|(least, most)| most - least);
    bench.report("encrypt_through_the_wall_instructions", spread[0].1);
    bench.report("answer_through_the_wall_instructions", spread[1].1);
    bench.report("encrypt_spread_instructions", encryption);
    bench.report("answer_spread_instructions", decryption);
    check!(spread.iter().all(|&(least, most)| bench.is_constant(&[least, most])));
    Ok(())
}
