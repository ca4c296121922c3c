//! Which compiler builds for bare metal: rustup's, with the targets it downloads, or Debian's,
//! which brings the source of `core` and `alloc` and builds them along.

use crate::process::output_of;
use anyhow::{Result, bail};
use clap::ValueEnum;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The targets that the libraries are built for.
pub(crate) const TARGETS: [&str; 7] = [
    "thumbv6m-none-eabi",
    "thumbv7em-none-eabihf",
    "thumbv8m.main-none-eabihf",
    "riscv32imac-unknown-none-elf",
    "riscv64gc-unknown-none-elf",
    "aarch64-unknown-none",
    "x86_64-unknown-none",
];

/// Further targets, of images whose two sides share a processor: without registers for floating point
/// there are none to save and erase at the wall.
const WALL_TARGETS: [&str; 2] = ["thumbv8m.main-none-eabi", "riscv64imac-unknown-none-elf"];

/// What the user asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Choice {
    /// Rustup's where its targets are or can be installed, else Debian's.
    Auto,
    /// Rustup's or nothing.
    Rustup,
    /// Debian's or nothing.
    Debian,
}

/// A compiler that can build for bare metal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Compiler {
    /// Rustup's, with the targets installed.
    Rustup,
    /// Debian's `rustc-web`, `cargo-web` and `rust-web-src`, with this linker.
    Debian {
        /// `rust-lld` or `ld.lld`.
        linker: PathBuf,
    },
}

const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_RUSTDOC: &str = "/usr/bin/rustdoc";
const DEBIAN_SOURCE: &str = "/usr/lib/rustlib/src/rust/library/core/src/lib.rs";

impl Compiler {
    /// A `cargo` command of this compiler for `target`, run in `directory`. `area` keeps build
    /// products of different packages apart; those of different compilers always are.
    pub(crate) fn cargo(&self, verb: &str, target: &str, directory: &Path, area: &str) -> Command {
        let mut command = match self {
            Self::Rustup => host_cargo(directory),
            Self::Debian { .. } => Command::new(DEBIAN_CARGO),
        };
        command.current_dir(directory).arg(verb).args(["--target", target]);
        command
            .arg("--target-dir")
            .arg(target_directory().join(format!("{area}{}", self.suffix())));
        if let Self::Debian { linker } = self {
            let variable = target.to_uppercase().replace(['-', '.'], "_");
            command
                .arg("-Zbuild-std=core,alloc")
                .env("RUSTC", DEBIAN_RUSTC)
                .env("RUSTDOC", DEBIAN_RUSTDOC)
                .env("RUSTC_BOOTSTRAP", "1")
                .env(format!("CARGO_TARGET_{variable}_LINKER"), linker)
                .env_remove("LD_LIBRARY_PATH")
                .env_remove("RUSTUP_TOOLCHAIN");
        }
        command
    }

    /// Where [`Compiler::cargo`] with the same `area` puts a release binary.
    pub(crate) fn image(&self, target: &str, area: &str, binary: &str) -> PathBuf {
        let area = target_directory().join(format!("{area}{}", self.suffix()));
        area.join(target).join("release").join(binary)
    }

    /// The name for messages.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Rustup => "rustup",
            Self::Debian { .. } => "Debian",
        }
    }

    fn suffix(&self) -> &'static str {
        match self {
            Self::Rustup => "",
            Self::Debian { .. } => "-debian",
        }
    }
}

/// Rustup's compiler if every target is installed.
///
/// # Errors
/// The targets that are missing, in words.
pub(crate) fn rustup() -> Result<Compiler> {
    let missing = missing_targets();
    if missing.is_empty() {
        return Ok(Compiler::Rustup);
    }
    bail!("rustup's toolchain lacks {}", missing.join(", "))
}

/// Debian's compiler if it is installed with its source and a linker is found.
///
/// # Errors
/// What is missing, in words.
pub(crate) fn debian() -> Result<Compiler> {
    for file in [DEBIAN_CARGO, DEBIAN_RUSTC, DEBIAN_SOURCE] {
        if !Path::new(file).exists() {
            bail!("{file} is missing");
        }
    }
    let beside_rustc =
        sysroot().map(|root| root.join("lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld"));
    let candidates = beside_rustc.into_iter().chain([PathBuf::from("/usr/bin/ld.lld")]);
    match candidates.into_iter().find(|path| path.exists()) {
        Some(linker) => Ok(Compiler::Debian { linker }),
        None => bail!("no linker: neither rust-lld nor ld.lld is installed"),
    }
}

/// The targets that rustup's toolchain has no library for.
pub(crate) fn missing_targets() -> Vec<&'static str> {
    let targets = TARGETS.into_iter().chain(WALL_TARGETS);
    let Some(root) = sysroot() else { return targets.collect() };
    let lacks = |target: &&str| !root.join("lib/rustlib").join(target).join("lib").exists();
    targets.filter(lacks).collect()
}

/// A `cargo` command for the host, run in `directory`.
pub(crate) fn host_cargo(directory: &Path) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(directory).env("RUSTUP_AUTO_INSTALL", "0");
    command
}

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Where cargo builds: `CARGO_TARGET_DIR` or `target` in the repository.
pub(crate) fn target_directory() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

fn sysroot() -> Option<PathBuf> {
    let mut rustc = Command::new("rustc");
    rustc.current_dir(root()).env("RUSTUP_AUTO_INSTALL", "0").args(["--print", "sysroot"]);
    output_of(&mut rustc).map(PathBuf::from)
}
