//! The tests of the kernels on 64-bit ARM, run by QEMU's emulation of single programs.
//!
//! Rustup's musl target brings its C library and start-up files and is linked by Rust's own linker,
//! so it needs no C compiler. Debian's compiler builds the standard library along and takes the
//! linker and the C library of Debian's cross compiler.

use crate::compiler::{Choice, host_cargo, root};
use crate::console::Console;
use crate::process::{output_of, step};
use crate::setup;
use anyhow::{Context, Result};
use core::time::Duration;
use std::path::Path;
use std::process::Command;

const RUSTUP_LIMIT: Duration = Duration::from_secs(180);
const RUSTUP_TARGET: &str = "aarch64-unknown-linux-musl";
const DEBIAN_TARGET: &str = "aarch64-unknown-linux-gnu";
const DEBIAN_LINKER: &str = "aarch64-linux-gnu-gcc";
const EMULATOR: &str = "qemu-aarch64-static";

/// A command that runs the tests; what it needs is installed now.
///
/// # Errors
/// What could not be installed, with the command that would.
pub(crate) fn tests(console: &Console, choice: Choice, filter: &str) -> Result<Command> {
    if output_of(Command::new(EMULATOR).arg("--version")).is_none() {
        setup::apt(console, &["qemu-user-static"])?;
    }
    let mut command = match choice {
        Choice::Rustup => with_rustup(console)?,
        Choice::Debian => with_debian(console)?,
        Choice::Auto => with_rustup(console).or_else(|error| {
            console.say(&format!("{error:#}\nfalling back to Debian's compiler"));
            with_debian(console).with_context(|| format!("{error:#}"))
        })?,
    };
    command.args(["--locked", "-p", "he-simd", "--lib", "--", filter]);
    Ok(command)
}

fn with_rustup(console: &Console) -> Result<Command> {
    let mut library = Command::new("rustc");
    library.current_dir(root()).env("RUSTUP_AUTO_INSTALL", "0");
    let library = output_of(library.args(["--print", "target-libdir", "--target", RUSTUP_TARGET]));
    if !library.is_some_and(|library| Path::new(&library).exists()) {
        let mut command = Command::new("rustup");
        command.current_dir(root()).env("RUSTUP_AUTO_INSTALL", "0");
        command.args(["target", "add", RUSTUP_TARGET]);
        step(console, "add a rustup target", &mut command, RUSTUP_LIMIT).with_context(|| {
            format!("could not add a target; by hand: rustup target add {RUSTUP_TARGET}")
        })?;
    }
    let mut command = host_cargo(&root());
    command.args(["test", "--target", RUSTUP_TARGET]);
    command.env(variable(RUSTUP_TARGET, "LINKER"), "rust-lld");
    command.env(variable(RUSTUP_TARGET, "RUSTFLAGS"), "-Clinker-flavor=ld.lld");
    command.env(variable(RUSTUP_TARGET, "RUNNER"), EMULATOR);
    Ok(command)
}

fn with_debian(console: &Console) -> Result<Command> {
    let compiler = setup::with_debian(console)?;
    if output_of(Command::new(DEBIAN_LINKER).arg("--version")).is_none() {
        setup::apt(console, &["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"])?;
    }
    let mut command = compiler.cargo("test", DEBIAN_TARGET, &root(), "aarch64");
    command.arg("-Zbuild-std").env(variable(DEBIAN_TARGET, "LINKER"), DEBIAN_LINKER);
    let runner = format!("{EMULATOR} -L /usr/aarch64-linux-gnu");
    command.env(variable(DEBIAN_TARGET, "RUNNER"), runner);
    Ok(command)
}

/// The environment variable by which cargo takes one setting of a target.
fn variable(target: &str, setting: &str) -> String {
    format!("CARGO_TARGET_{}_{setting}", target.to_uppercase().replace('-', "_"))
}
