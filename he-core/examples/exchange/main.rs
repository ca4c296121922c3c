//! Exchanges keys and ciphertexts with other libraries, as files: what `cargo xtask interop` runs.
//!
//! ```text
//! exchange host | device write DIRECTORY COUNT SEED     writes keys and COUNT ciphertexts
//! exchange host | device read DIRECTORY                 decrypts what another library wrote, a row each
//! ```
//!
//! A directory holds `ring.txt` (a line for each fact, see [`files::Facts`]), `secret.bin` (packed ternary),
//! and for each exchange a ciphertext `NUMBER-KIND.frame` and its message `NUMBER-KIND.slots`:
//! doubles, first the variance of a coefficient that who encrypted predicts, then the slots. The host
//! writes `public.frame` and `relinearization.frames` too. Frames are those of `docs/format.md`.

mod device;
mod files;
mod host;

use core::error::Error;
use std::env;
use std::path::Path;

type Outcome<T> = Result<T, Box<dyn Error>>;

const USAGE: &str =
    "usage: exchange host|device write DIRECTORY COUNT SEED | exchange host|device read DIRECTORY";

fn main() -> Outcome<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["host", "write", directory, count, seed] => {
            host::Party::new()?.write(Path::new(directory), count.parse()?, seed.parse()?)
        }
        ["host", "read", directory] => host::Party::new()?.read(Path::new(directory)),
        ["device", "write", directory, count, seed] => {
            device::write(Path::new(directory), count.parse()?, seed.parse()?)
        }
        ["device", "read", directory] => device::read(Path::new(directory)),
        _ => Err(USAGE.into()),
    }
}
