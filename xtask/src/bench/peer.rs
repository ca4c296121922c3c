//! The peers: where each is had from, what it can do, how it is started.

use crate::compiler::{root, target_directory};
use crate::console::Console;
use crate::process::{output_of, step};
use crate::python::{self, Wheel};
use anyhow::{Context, Result};
use clap::ValueEnum;
use core::time::Duration;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

const INSTALL: Duration = Duration::from_secs(1800);

/// A library that is measured beside ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    /// The wheel `openfhe`.
    Openfhe,
    /// Microsoft SEAL: the wheel `seal-python`.
    Seal,
    /// Poulpy, a Rust library, by rustup's nightly compiler.
    Poulpy,
    /// The transforms of tfhe-ntt, concrete-ntt and fhe-math.
    Ntt,
}

/// What parts are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Topic {
    /// Single operations and transforms.
    Arithmetic,
    /// The linear layer.
    Linear,
    /// Bootstraps.
    Bootstrap,
}

impl Topic {
    /// Words that names of our operations contain.
    pub(crate) fn ours(self) -> &'static [&'static str] {
        match self {
            Self::Arithmetic => {
                &["ntt", "rotat", "multiply", "add", "dot_plain", "rescale", "encrypt", "decrypt"]
            }
            Self::Linear => &["linear layer"],
            Self::Bootstrap => &["rows_to_slots", "slots_to_rows", "bootstrap"],
        }
    }
}

/// About how long all of ours takes, compiler included.
pub(crate) const OURS_SECONDS: u64 = 270;

/// A run of a peer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    /// Its name, the first argument of the program.
    pub name: &'static str,
    /// What it is about.
    pub topic: Topic,
    /// About how long it takes, on one thread and then on two.
    pub seconds: u64,
    /// Gigabytes that must be free.
    memory: u64,
    /// Whether it gains from threads.
    threaded: bool,
}

/// A peer that can be started.
#[derive(Debug)]
pub(crate) struct Ready {
    program: PathBuf,
    script: Option<PathBuf>,
    /// The version, and how it was built.
    pub version: String,
}

impl Part {
    const fn new(name: &'static str, topic: Topic, seconds: u64, memory: u64) -> Self {
        Self { name, topic, seconds, memory, threaded: true }
    }

    /// Without threads to gain from.
    const fn on_one(self) -> Self {
        Self { threaded: false, ..self }
    }

    /// Why it cannot run now.
    pub(crate) fn refusal(&self) -> Option<String> {
        let free = available_gigabytes()?;
        let short = free < self.memory;
        short.then(|| format!("it needs {} GB of memory and {free} are free", self.memory))
    }

    /// How many threads it is run with, one after another.
    pub(crate) fn threads(&self) -> Vec<usize> {
        let all = std::thread::available_parallelism().map_or(1, usize::from);
        if self.threaded && all > 1 { vec![1, all] } else { vec![1] }
    }
}

impl Ready {
    /// The command for one part.
    pub(crate) fn command(&self, part: &str, threads: usize) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.script).args([part, &threads.to_string()]);
        command.env("OMP_NUM_THREADS", threads.to_string());
        command.env("RAYON_NUM_THREADS", threads.to_string());
        command
    }
}

impl Peer {
    /// Every peer.
    pub(crate) fn all() -> [Self; 4] {
        [Self::Openfhe, Self::Seal, Self::Poulpy, Self::Ntt]
    }

    /// The name of its folder.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or(String::new(), |value| value.get_name().to_owned())
    }

    /// The name for people.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Openfhe => "OpenFHE",
            Self::Seal => "SEAL",
            Self::Poulpy => "Poulpy",
            Self::Ntt => "NTT crates",
        }
    }

    /// What it can do, the longest last.
    pub(crate) fn parts(self) -> Vec<Part> {
        match self {
            Self::Openfhe => vec![
                Part::new("arithmetic", Topic::Arithmetic, 20, 4),
                Part::new("linear", Topic::Linear, 25, 4),
                Part::new("linear-real", Topic::Linear, 55, 6),
                Part::new("few", Topic::Bootstrap, 65, 10),
                Part::new("bootstrap", Topic::Bootstrap, 115, 14),
            ],
            Self::Seal => vec![Part::new("arithmetic", Topic::Arithmetic, 15, 6).on_one()],
            Self::Poulpy => vec![
                Part::new("arithmetic", Topic::Arithmetic, 5, 6),
                Part::new("bootstrap", Topic::Bootstrap, 125, 19),
            ],
            Self::Ntt => vec![Part::new("arithmetic", Topic::Arithmetic, 5, 1).on_one()],
        }
    }

    /// About how long installing or building it takes.
    pub(crate) const fn install_seconds(self) -> u64 {
        match self {
            Self::Openfhe | Self::Seal => 10,
            Self::Poulpy => 120,
            Self::Ntt => 40,
        }
    }

    /// Installs or builds it.
    ///
    /// # Errors
    /// If it cannot be had here; the message says why.
    pub(crate) fn prepare(self, console: &Console) -> Result<Ready> {
        match self {
            Self::Openfhe => self.wheel(console, &python::OPENFHE),
            Self::Seal => self.wheel(console, &python::SEAL),
            Self::Poulpy => self.crate_of(console, Some("nightly")),
            Self::Ntt => self.crate_of(console, None),
        }
    }

    /// A script in its folder, with the library in an environment.
    fn wheel(self, console: &Console, wheel: &Wheel) -> Result<Ready> {
        let program = wheel.install(console)?;
        let script = Some(root().join("peers").join(self.name()).join("peer.py"));
        Ok(Ready { program, script, version: wheel.version() })
    }

    /// A Rust program in its folder, for this processor.
    fn crate_of(self, console: &Console, toolchain: Option<&str>) -> Result<Ready> {
        let directory = root().join("peers").join(self.name());
        let target = target_directory().join("peers").join(self.name());
        let mut command = Command::new("cargo");
        if let Some(toolchain) = toolchain {
            ensure_toolchain(console, toolchain)?;
            command.arg(format!("+{toolchain}"));
        }
        command.current_dir(&directory).args(["build", "--release", "--locked", "--target-dir"]);
        command.arg(&target).env("RUSTFLAGS", "-C target-cpu=native");
        step(console, &format!("{}: build", self.title()), &mut command, INSTALL)?;
        let lock = fs::read_to_string(directory.join("Cargo.lock"))?;
        let version = format!("{}, target-cpu=native", versions(&lock, self.crates()));
        let program = target.join("release").join(format!("peer-{}", self.name()));
        Ok(Ready { program, script: None, version })
    }

    /// The crates whose versions count.
    fn crates(self) -> &'static [&'static str] {
        match self {
            Self::Poulpy => &["poulpy-ckks", "poulpy-cpu-avx512"],
            _ => &["tfhe-ntt", "concrete-ntt", "fhe-math"],
        }
    }
}

/// `name version` of crates in a lock file; of several versions, the highest, which comes last.
fn versions(lock: &str, names: &[&str]) -> String {
    let version = |name: &&str| {
        let is_named = |entry: &&str| entry.contains(&format!("\nname = \"{name}\"\n"));
        let entry = lock.split("[[package]]").filter(is_named).last()?;
        let line = entry.lines().find_map(|line| line.strip_prefix("version = "))?;
        Some(format!("{name} {}", line.trim_matches('"')))
    };
    names.iter().filter_map(version).collect::<Vec<_>>().join(", ")
}

fn ensure_toolchain(console: &Console, toolchain: &str) -> Result<()> {
    let mut rustc = Command::new("rustc");
    if output_of(rustc.args([&format!("+{toolchain}"), "--version"])).is_some() {
        return Ok(());
    }
    let mut command = Command::new("rustup");
    command.args(["toolchain", "install", toolchain, "--profile", "minimal"]);
    step(console, &format!("rustup's {toolchain} compiler"), &mut command, INSTALL)
        .with_context(|| format!("it needs rustup's {toolchain} compiler"))?;
    Ok(())
}

/// Memory that programs can still take.
fn available_gigabytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kilobytes: u64 = line.trim().split(' ').next()?.parse().ok()?;
    Some(kilobytes >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_a_lock_file() {
        let lock = "[[package]]\nname = \"a\"\nversion = \"1.2\"\n\n[[package]]\nname = \"ab\"\n\
                    version = \"3\"\n\n[[package]]\nname = \"ab\"\nversion = \"4\"\n";
        assert_eq!(versions(lock, &["ab", "a", "none"]), "ab 4, a 1.2");
    }

    #[test]
    fn a_part_that_needs_more_memory_than_there_is_says_so() {
        assert!(
            Part::new("huge", Topic::Linear, 0, u64::MAX).refusal().unwrap().contains("are free")
        );
        assert!(Part::new("tiny", Topic::Linear, 0, 0).refusal().is_none());
    }

    #[test]
    fn every_peer_has_a_program_in_its_folder() {
        for peer in Peer::all() {
            let directory = root().join("peers").join(peer.name());
            let either = ["peer.py", "src/main.rs"].map(|file| directory.join(file).exists());
            assert!(either[0] || either[1], "{}", directory.display());
        }
    }
}
