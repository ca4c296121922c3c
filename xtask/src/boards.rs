//! The emulated boards: how each is built, started and listened to.

use crate::compiler::{Compiler, root};
use crate::console::Console;
use crate::process::{self, Line, step};
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use core::time::Duration;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

const BUILD_LIMIT: Duration = Duration::from_secs(1200);
const TESTS_LIMIT: Duration = Duration::from_secs(600);
/// Subdirectory of cargo's target directory for all board packages.
const AREA: &str = "firmware";

/// A board with a package of its own under `targets/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Board {
    /// Cortex-M4F, with the memory of an nRF52840.
    #[value(name = "mps2-an386")]
    Mps2An386,
    /// RV32IMAC on QEMU's `virt` board.
    #[value(name = "riscv32-virt")]
    Riscv32Virt,
}

/// What the test image of a board reported.
#[derive(Debug, Default)]
pub(crate) struct TestReport {
    /// Names of tests that held.
    pub passed: Vec<String>,
    /// Names of tests that did not, with what went wrong.
    pub failed: Vec<String>,
    /// Figures that the tests measured: name and value.
    pub figures: Vec<(String, u64)>,
}

impl Board {
    /// Every board.
    pub(crate) const ALL: [Self; 2] = [Self::Mps2An386, Self::Riscv32Virt];

    /// Its package's directory under `targets/`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mps2An386 => "mps2-an386",
            Self::Riscv32Virt => "riscv32-virt",
        }
    }

    /// The Rust target.
    pub(crate) fn triple(self) -> &'static str {
        match self {
            Self::Mps2An386 => "thumbv7em-none-eabihf",
            Self::Riscv32Virt => "riscv32imac-unknown-none-elf",
        }
    }

    /// The emulator's program.
    pub(crate) fn emulator(self) -> &'static str {
        match self {
            Self::Mps2An386 => "qemu-system-arm",
            Self::Riscv32Virt => "qemu-system-riscv32",
        }
    }

    /// The Debian package with the emulator.
    pub(crate) fn emulator_package(self) -> &'static str {
        match self {
            Self::Mps2An386 => "qemu-system-arm",
            Self::Riscv32Virt => "qemu-system-misc",
        }
    }

    pub(crate) fn directory(self) -> PathBuf {
        root().join("targets").join(self.name())
    }

    /// Builds the image `binary` and returns its path.
    ///
    /// # Errors
    /// The compiler's output.
    pub(crate) fn build(
        self,
        console: &Console,
        compiler: &Compiler,
        binary: &str,
    ) -> Result<PathBuf> {
        let label = format!("build {} image `{binary}`", self.name());
        let mut command = compiler.cargo("build", self.triple(), &self.directory(), AREA);
        command.args(["--release", "--locked", "--bin", binary]);
        step(console, &label, &mut command, BUILD_LIMIT)?;
        Ok(compiler.image(self.triple(), AREA, binary))
    }

    /// The emulator with `image` loaded, counting instructions, with the board's serial ports
    /// connected to TCP ports of this machine, in order, and `arguments` to the program.
    pub(crate) fn emulate(self, image: &Path, ports: &[u16], arguments: &[&str]) -> Command {
        let mut command = Command::new(self.emulator());
        match self {
            Self::Mps2An386 => command.args(["-M", "mps2-an386", "-cpu", "cortex-m4"]),
            Self::Riscv32Virt => command.args(["-M", "virt", "-bios", "none", "-m", "16M"]),
        };
        command.args(["-display", "none", "-monitor", "none", "-icount", "shift=0"]);
        if ports.is_empty() {
            command.args(["-serial", "none"]);
        }
        for (i, port) in ports.iter().enumerate() {
            command.arg("-chardev").arg(format!("socket,id=uart{i},host=127.0.0.1,port={port}"));
            command.arg("-serial").arg(format!("chardev:uart{i}"));
        }
        let arguments: String =
            arguments.iter().map(|a| format!(",arg={}", a.replace(',', ",,"))).collect();
        command.arg("-semihosting-config").arg(format!("enable=on,target=native{arguments}"));
        command.arg("-kernel").arg(image);
        command
    }

    /// Runs the test image and collects what it reports. Tests whose name lacks `filter` are left
    /// out by the image.
    ///
    /// # Errors
    /// If the emulator cannot be started or runs out of time. A crash is a failed test.
    pub(crate) fn run_tests(
        self,
        console: &Console,
        image: &Path,
        filter: &str,
    ) -> Result<TestReport> {
        let mut command = self.emulate(image, &[], &["tests", filter]);
        let mut report = TestReport::default();
        let mut under_way: Option<String> = None;
        let mut is_complete = false;
        let step = console.step(&format!("test {} in QEMU", self.name()));
        let finished = process::run_with(&mut command, TESTS_LIMIT, |line| {
            let Line::Out(text) = line else { return };
            let Ok(value) = serde_json::from_str::<Value>(text) else { return };
            if let Some(name) = value["start"].as_str() {
                step.show(name);
                under_way = Some(name.to_owned());
            } else if let Some(name) = value["test"].as_str() {
                under_way = None;
                report.take(name, &value);
            } else if value["failed"].is_u64() {
                is_complete = true;
                report.take_figure("ram_bytes", &value["ram_bytes"]);
            }
        });
        let finished = match finished {
            Ok(finished) => finished,
            Err(error) => {
                step.fail();
                let last = under_way.unwrap_or_default();
                return Err(error).with_context(|| format!("{}, in test {last}", self.name()));
            }
        };
        if let Some(name) = under_way {
            report.failed.push(format!("{name}: {}\n{}", finished.status, finished.tail(5)));
        } else if !is_complete {
            step.fail();
            bail!("{}: {}\n{}", self.name(), finished.status, finished.tail(20));
        }
        if report.failed.is_empty() {
            step.pass();
        } else {
            step.fail();
        }
        Ok(report)
    }
}

impl TestReport {
    fn take(&mut self, name: &str, value: &Value) {
        if value["ok"] == Value::Bool(true) {
            self.passed.push(name.to_owned());
        } else {
            let (what, file, line) = (&value["what"], &value["file"], &value["line"]);
            self.failed.push(format!("{name}: {what} ({file}:{line})"));
        }
        for (name, figure) in value["figures"].as_object().into_iter().flatten() {
            self.take_figure(name, figure);
        }
    }

    fn take_figure(&mut self, name: &str, figure: &Value) {
        if let Some(figure) = figure.as_u64() {
            self.figures.push((name.to_owned(), figure));
        }
    }

    /// The figure called `name`, if a test measured it.
    pub(crate) fn figure(&self, name: &str) -> Option<u64> {
        self.figures.iter().find(|(n, _)| n == name).map(|(_, value)| *value)
    }
}
