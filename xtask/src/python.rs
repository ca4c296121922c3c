//! Other libraries by their Python wheels, each in a virtual environment of its own.

use crate::compiler::target_directory;
use crate::console::Console;
use crate::process::{output_of, step};
use anyhow::{Result, bail};
use core::time::Duration;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const INSTALL: Duration = Duration::from_secs(1800);

/// A library that is had as a wheel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wheel {
    /// The name for people.
    pub title: &'static str,
    /// The name of its environment.
    name: &'static str,
    /// The versions of Python that it can be had for, the best first.
    versions: &'static [&'static str],
    /// What to install: the wheel itself, then what it needs.
    packages: &'static [&'static str],
}

/// The wheel of `openfhe`, which holds a module for Python 3.10 only.
pub(crate) const OPENFHE: Wheel = Wheel {
    title: "OpenFHE",
    name: "openfhe",
    versions: &["3.10"],
    packages: &["openfhe==1.6.1.0.22.4", "numpy<2.3"],
};

/// The wheel of Microsoft SEAL.
pub(crate) const SEAL: Wheel = Wheel {
    title: "SEAL",
    name: "seal",
    versions: &["3.11", "3.12", "3.13", "3.10"],
    packages: &["seal-python==4.4.0", "numpy"],
};

impl Wheel {
    /// The interpreter of an environment with the packages, which are installed now if need be.
    ///
    /// # Errors
    /// If it cannot be had here; the message says why.
    pub(crate) fn install(&self, console: &Console) -> Result<PathBuf> {
        let Some(python) = self.versions.iter().find_map(|version| python(version)) else {
            bail!("it needs Python {}, which is not installed", self.versions.join(" or "));
        };
        let environment = target_directory().join("peers").join(format!("{}-venv", self.name));
        let program = environment.join("bin/python");
        if !program.exists() {
            let mut command = Command::new(&python);
            command.args(["-m", "venv"]).arg(&environment);
            step(console, &format!("{}: an environment", self.title), &mut command, INSTALL)?;
        }
        let mut command = Command::new(&program);
        command.args(["-m", "pip", "install", "--disable-pip-version-check"]).args(self.packages);
        let label = format!("{}: install {}", self.title, self.packages[0]);
        step(console, &label, &mut command, INSTALL)?;
        Ok(program)
    }

    /// The version, for people.
    pub(crate) fn version(&self) -> String {
        format!("{}, wheel", self.packages[0].replace("==", " "))
    }
}

/// An interpreter of this version: on the path, or among those of pyenv.
fn python(version: &str) -> Option<PathBuf> {
    let name = format!("python{version}");
    let answers = |program: &Path| {
        let mut command = Command::new(program);
        output_of(command.args(["-c", "import sys; print('%d.%d' % sys.version_info[:2])"]))
            .is_some_and(|answer| answer == version)
    };
    let home = env::var_os("PYENV_ROOT").map(PathBuf::from).or_else(|| {
        let home = PathBuf::from(env::var_os("HOME")?);
        Some(home.join(".pyenv"))
    });
    let kept = home.and_then(|home| fs::read_dir(home.join("versions")).ok());
    let kept =
        kept.into_iter().flatten().flatten().map(|entry| entry.path().join("bin").join(&name));
    [PathBuf::from(&name)].into_iter().chain(kept).find(|program| answers(program))
}
