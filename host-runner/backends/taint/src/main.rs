//! Runs every routine that touches secrets: `constant-time marked` under valgrind, to see whether a jump
//! or an address depends on them; `constant-time timed [SECONDS]` alone, to see whether the time does.
//!
//! A row of JSON for each routine.

mod routines;
mod timing;

use core::time::Duration;
use std::env;
use std::process::ExitCode;

use routines::{ROUTINES, SECRET};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["marked"] if he_taint::is_watched() => marked(),
        ["marked"] => {
            eprintln!("not under valgrind, or on a processor that it is not asked on");
            return ExitCode::FAILURE;
        }
        ["timed", seconds] => match seconds.parse() {
            Ok(seconds) => timed(Duration::from_secs(seconds)),
            Err(error) => {
                eprintln!("{seconds}: {error}");
                return ExitCode::FAILURE;
            }
        },
        _ => {
            eprintln!("usage: constant-time marked | constant-time timed SECONDS");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Each routine once, on secrets that are marked.
fn marked() {
    for routine in ROUTINES {
        let secret: Vec<u8> = (0..SECRET).map(|i| ((i * 167) >> 3).to_le_bytes()[0]).collect();
        he_taint::secret(&secret[..]);
        let before = he_taint::complaints();
        (routine.prepare)(&secret)();
        println!(
            "{{\"routine\":\"{}\",\"leaks\":{},\"excepted\":{},\"complaints\":{}}}",
            routine.name,
            routine.leaks,
            routine.excepted,
            he_taint::complaints() - before
        );
    }
}

/// Each routine for so long, on one secret and on others.
fn timed(time: Duration) {
    for routine in ROUTINES {
        let (t, measurements) = timing::statistic(routine.prepare, time);
        println!(
            "{{\"routine\":\"{}\",\"leaks\":{},\"t\":{t:.2},\"measurements\":{measurements}}}",
            routine.name, routine.leaks
        );
    }
}
