//! The tests of the image `tests`.

mod faults;

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng;
use he_core::keyswitch::KeyAuthority;
use he_firmware::check;
use he_firmware::harness::{Bench, Case, Failure};
use he_firmware::machine::Machine;
use key_authority::attest::{self, Claims, REPORT, SoftwareRoot};
use key_authority::file::File;
use key_authority::order::Order;
use key_authority::session::{Outlet, Session};
use key_authority::{Error, golden};
use sha2::{Digest, Sha256};

use crate::console::Console;
use crate::{memory, noise};

pub use faults::catch_faults;

/// All of them.
#[must_use]
pub fn cases<M: Machine>() -> [Case<M>; 8] {
    [
        case("the_program_cannot_be_written", faults::write_program),
        case("data_cannot_be_run", faults::run_data),
        case("what_the_host_left_is_not_believed", records),
        case("seeds_of_the_processor_are_healthy_and_differ", seeds),
        case("the_console_takes_records_whole", console),
        case("the_report_vouches_for_program_and_keys", report),
        case("the_keys_are_those_of_the_host_byte_for_byte", golden_files),
        case("no_secret_is_left_when_a_session_ends", erased),
    ]
}

const fn case<M>(name: &'static str, run: fn(&mut Bench<'_, M>) -> Result<(), Failure>) -> Case<M> {
    Case { name, run }
}

/// The emulator throws it away here; `cargo xtask authority` compares what comes.
fn console<M: Machine>(_: &mut Bench<'_, M>) -> Result<(), Failure> {
    let mut console = Console::open();
    for length in [0, 1, 4095, 4097, 1 << 20] {
        let bytes = alloc::vec![1; length];
        check!(console.as_mut().is_some_and(|console| console.send(&bytes).is_ok()));
    }
    Ok(())
}

/// Every file whole, in the order they came.
#[derive(Default)]
struct Folder(Vec<(File, Vec<u8>)>);

impl Outlet for Folder {
    fn begin(&mut self, file: File, _: u64) -> Result<(), Error> {
        self.0.push((file, Vec::new()));
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let (_, file) = self.0.last_mut().ok_or(Error::Ended)?;
        file.extend_from_slice(bytes);
        Ok(())
    }
}

/// An INSECURE session with the order of the golden files.
fn session() -> Result<Session<ChaCha20Rng>, Error> {
    let params = golden::params_insecure()?;
    let order = Order::parse(&golden::order(&params), |_| Some(params.clone()))?;
    Session::new(order, ChaCha20Rng::from_seed(golden::SEED_INSECURE))
}

fn published() -> Result<Folder, Error> {
    let mut folder = Folder::default();
    session()?.publish(&mut folder, &SoftwareRoot, memory::measurement())?;
    Ok(folder)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

fn golden_files<M: Machine>(_: &mut Bench<'_, M>) -> Result<(), Failure> {
    let Folder(files) = published().unwrap_or_default();
    let lines: Vec<_> = golden::TEXT.lines().collect();
    // The report is of this image; the host has none.
    check!(files.len() == lines.len() + 1);
    for (file, bytes) in files.iter().filter(|(file, _)| *file != File::Report) {
        let line = file.to_string() + " " + &hex(&Sha256::digest(bytes));
        check!(lines.contains(&line.as_str()));
    }
    Ok(())
}

fn report<M>(_: &mut Bench<'_, M>) -> Result<(), Failure> {
    let Folder(files) = published().unwrap_or_default();
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
    let parameters = golden::params_insecure().map_or(0, |params| params.digest());
    let measurement = memory::measurement();
    let (keys, nonce) = (hash.finalize().into(), golden::NONCE);
    let claims = Claims { parameters, measurement, keys, nonce };
    check!(attest::vouches(&SoftwareRoot, &claims, report));
    let other = Claims { measurement: [0; 32], ..claims };
    check!(!attest::vouches(&SoftwareRoot, &other, report));
    Ok(())
}

fn seeds<M>(_: &mut Bench<'_, M>) -> Result<(), Failure> {
    let (first, second) = (noise::seed(), noise::seed());
    check!(first.is_ok());
    check!(first != second);
    Ok(())
}

fn records<M>(_: &mut Bench<'_, M>) -> Result<(), Failure> {
    // Nothing, the program, the stack, the end of the address space, and a place that is odd.
    for record in [0, 2 << 20, 5 << 20, u64::MAX, u64::MAX - 7, (2 << 20) - 8, 0x1001] {
        check!(memory::order(record, usize::MAX).is_err());
        check!(memory::command_line(record).is_empty());
    }
    for (start, length) in [
        (2 << 20, 16),
        ((32 << 20) - 8, 16),
        ((128 << 20) - 8, 16),
        (u64::MAX - 7, 16),
        (40 << 20, 0),
    ] {
        check!(!memory::SHARED.has(start, length, u64::MAX));
    }
    Ok(())
}

fn erased<M>(_: &mut Bench<'_, M>) -> Result<(), Failure> {
    let mut secrets = Vec::new();
    {
        let params = golden::params_insecure();
        let mut rng = ChaCha20Rng::from_seed(golden::SEED_INSECURE);
        let authority = params.and_then(|params| KeyAuthority::generate(&params, &mut rng));
        let Ok(authority) = authority else {
            return Err(Failure { what: "no secrets", file: file!(), line: line!() });
        };
        for secret in [authority.edge_secret(), authority.big_secret()] {
            let word = |at| u64::from_le_bytes(core::array::from_fn(|i| secret.packed()[at + i]));
            // Flipped, so that the question does not answer itself.
            secrets.push([!word(0), !word(8)]);
        }
    }
    let found = || secrets.iter().filter(|&&secret| memory::count(secret) > 0).count();
    let mut session = session();
    check!(found() == 2, "the search finds what is there");
    let mut folder = Folder::default();
    if let Ok(session) = &mut session {
        check!(session.publish(&mut folder, &SoftwareRoot, [0; 32]).is_ok());
    }
    check!(found() == 2);
    drop(session);
    check!(found() == 0);
    Ok(())
}
