//! Installs what is missing, and says what to type where it may not.

use crate::boards::{self, Board, Emulator};
use crate::compiler::{self, Choice, Compiler};
use crate::console::Console;
use crate::process::{output_of, step};
use anyhow::{Context, Result, bail};
use core::time::Duration;
use std::process::Command;

/// The C compiler for Arm firmware.
pub(crate) const C_COMPILER: &str = "arm-none-eabi-gcc";

const RUSTUP_LIMIT: Duration = Duration::from_secs(180);
const APT_LIMIT: Duration = Duration::from_secs(900);
const DEBIAN_COMPILER: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld"];

/// Sets everything up: a bare-metal compiler and an emulator for every board.
///
/// # Errors
/// What could not be installed, with the command that would.
pub(crate) fn all(console: &Console, choice: Choice) -> Result<Compiler> {
    let compiler = bare_metal(console, choice)?;
    emulators(console, &boards::ALL)?;
    c_compiler(console)?;
    valgrind(console)?;
    Ok(compiler)
}

/// A compiler for the bare-metal targets, installed now if need be.
///
/// # Errors
/// As [`all`].
pub(crate) fn bare_metal(console: &Console, choice: Choice) -> Result<Compiler> {
    match choice {
        Choice::Rustup => with_rustup(console),
        Choice::Debian => with_debian(console),
        Choice::Auto => {
            // What is there is used before anything is downloaded.
            if let Ok(compiler) = compiler::rustup().or_else(|_| compiler::debian()) {
                return Ok(compiler);
            }
            with_rustup(console).or_else(|error| {
                console.say(&format!("{error:#}\nfalling back to Debian's compiler"));
                with_debian(console).with_context(|| format!("{error:#}"))
            })
        }
    }
}

/// The emulators of `boards`, installed now if need be.
///
/// # Errors
/// As [`all`].
pub(crate) fn emulators(console: &Console, boards: &[&Board]) -> Result<()> {
    let lacks =
        |emulator: &Emulator| output_of(Command::new(emulator.program).arg("--version")).is_none();
    let emulators = boards.iter().map(|board| board.emulator);
    let mut packages: Vec<_> = emulators.filter(lacks).map(|emulator| emulator.package).collect();
    packages.sort_unstable();
    packages.dedup();
    if packages.is_empty() { Ok(()) } else { apt(console, &packages) }
}

/// A C compiler for Arm firmware, installed now if need be.
///
/// # Errors
/// As [`all`].
pub(crate) fn c_compiler(console: &Console) -> Result<()> {
    let found = output_of(Command::new(C_COMPILER).arg("--version")).is_some();
    if found { Ok(()) } else { apt(console, &["gcc-arm-none-eabi"]) }
}

/// The program that follows secrets, installed now if need be.
///
/// # Errors
/// As [`all`].
pub(crate) fn valgrind(console: &Console) -> Result<()> {
    let found = output_of(Command::new("valgrind").arg("--version")).is_some();
    if found { Ok(()) } else { apt(console, &["valgrind"]) }
}

fn with_rustup(console: &Console) -> Result<Compiler> {
    let missing = compiler::missing_targets();
    if !missing.is_empty() {
        let mut command = Command::new("rustup");
        command.current_dir(compiler::root()).env("RUSTUP_AUTO_INSTALL", "0");
        command.args(["target", "add"]).args(&missing);
        let by_hand = format!("rustup target add {}", missing.join(" "));
        step(console, "add rustup targets", &mut command, RUSTUP_LIMIT)
            .with_context(|| format!("could not add targets; by hand: {by_hand}"))?;
    }
    compiler::rustup()
}

/// Debian's compiler, installed now if need be.
///
/// # Errors
/// As [`all`].
pub(crate) fn with_debian(console: &Console) -> Result<Compiler> {
    compiler::debian().or_else(|_| {
        apt(console, &DEBIAN_COMPILER)?;
        compiler::debian()
    })
}

/// Installs Debian packages as root, or with `sudo` where that asks no password.
///
/// # Errors
/// What could not be installed, with the command that would.
pub(crate) fn apt(console: &Console, packages: &[&str]) -> Result<()> {
    let by_hand = format!(
        "sudo apt-get update && sudo apt-get install --no-install-recommends {}",
        packages.join(" ")
    );
    if output_of(Command::new("apt-get").arg("--version")).is_none() {
        bail!(
            "missing: {}. This machine has no apt-get; install what they provide",
            packages.join(", ")
        );
    }
    let is_root = output_of(Command::new("id").arg("-u")).as_deref() == Some("0");
    if !is_root && output_of(Command::new("sudo").args(["-n", "true"])).is_none() {
        bail!("missing: {}. Not allowed to install; type:\n  {by_hand}", packages.join(", "));
    }
    let as_root = |arguments: &[&str]| {
        let mut command = Command::new(if is_root { "env" } else { "sudo" });
        if !is_root {
            command.args(["-n", "env"]);
        }
        command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]).args(arguments);
        command
    };
    let install = [&["install", "-y", "--no-install-recommends"], packages].concat();
    step(console, "refresh package lists", &mut as_root(&["update"]), APT_LIMIT)
        .and_then(|_| {
            let label = format!("install {}", packages.join(" "));
            step(console, &label, &mut as_root(&install), APT_LIMIT)
        })
        .with_context(|| format!("could not install; by hand:\n  {by_hand}"))?;
    Ok(())
}
