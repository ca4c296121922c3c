//! An application of the normal world: takes an order from the host, asks the secure world for the keys,
//! and passes them on as records. Its argument is the order's path.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::ffi::CString;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::panic::PanicInfo;

use key_authority::order::LONGEST;
use key_authority::record::Tag;
use semihosting::experimental::env;
use semihosting::fs::File;
use semihosting::io::{Read, Stdout, Write, stdout};
use semihosting::process;
use virt_aarch64_secure::calls::{self, Status};
use virt_aarch64_secure::normal;

/// Bytes of the shared buffer.
const BUFFER: usize = 1 << 20;
/// Bytes of a record before its body.
const HEAD: usize = 8;

/// What went wrong, for the last record.
type Failure = String;

#[unsafe(no_mangle)]
extern "C" fn normal_main() -> ! {
    normal::take_heap();
    let Ok(mut out) = stdout() else { process::exit(2) };
    let finished = run(&mut out);
    normal::wipe();
    let sent = match &finished {
        Ok(figures) => record(&mut out, Tag::Done, figures.as_bytes()),
        Err(failure) => record(&mut out, Tag::Fail, failure.as_bytes()),
    };
    process::exit(i32::from(finished.is_err() || sent.is_err()))
}

fn run(out: &mut Stdout) -> Result<String, Failure> {
    let order = order()?;
    let [_, bytes, ..] = good(normal::call_with(calls::BEGIN, &order))?;
    record(out, Tag::Plan, &bytes.to_le_bytes())?;
    good(normal::call(calls::PROVISION, 0, 0))?;
    let mut buffer = vec![0; HEAD + BUFFER];
    loop {
        let chunk = normal::next(&mut buffer[HEAD..]).map_err(refused)?;
        if chunk.starts {
            record(out, Tag::File, chunk.file.to_string().as_bytes())?;
        }
        let length = u32::try_from(chunk.bytes).map_err(|_| "a chunk too long".to_string())?;
        buffer[..HEAD].copy_from_slice(&Tag::Data.head(length));
        write(out, &buffer[..HEAD + chunk.bytes])?;
        if chunk.is_last {
            break;
        }
    }
    let [_, _, ram, _] = good(normal::call(calls::STATUS, 0, 0))?;
    let clock = normal::instructions();
    Ok(alloc::format!("{{\"ram_bytes\": {ram}, \"clock_ns\": {clock}}}"))
}

/// The order's bytes.
fn order() -> Result<Vec<u8>, Failure> {
    let read = || {
        let arguments = env::args::<1024>().ok()?;
        let path = (&arguments).nth(1)?.ok()?;
        let mut file = File::open(&CString::new(path).ok()?).ok()?;
        let mut order = vec![0; LONGEST + 1];
        let mut length = 0;
        while length < order.len() {
            match file.read(&mut order[length..]).ok()? {
                0 => break,
                more => length += more,
            }
        }
        order.truncate(length);
        Some(order)
    };
    read().ok_or_else(|| "the order cannot be read".to_string())
}

fn good(results: [u64; 4]) -> Result<[u64; 4], Failure> {
    if results[0] == Status::Done.word() { Ok(results) } else { Err(refused(results[0])) }
}

fn refused(status: u64) -> Failure {
    alloc::format!("the secure world refused: status {}", status.cast_signed())
}

fn record(out: &mut Stdout, tag: Tag, body: &[u8]) -> Result<(), Failure> {
    let length = u32::try_from(body.len()).map_err(|_| "a record too long".to_string())?;
    write(out, &tag.head(length))?;
    write(out, body)
}

fn write(out: &mut Stdout, bytes: &[u8]) -> Result<(), Failure> {
    out.write_all(bytes).map_err(|_| "the host does not take records".to_string())
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    semihosting::eprintln!("{info}");
    process::exit(101)
}
