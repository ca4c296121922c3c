//! The emulated boards: how each is built, started and listened to. The boards themselves are the
//! entries of [`table`].

mod report;
mod sizes;
mod table;

use crate::compiler::{Compiler, root};
use crate::console::Console;
use crate::log;
use crate::process::{self, step};
use anyhow::{Context, Result};
use core::time::Duration;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread::{self, JoinHandle};

pub(crate) use report::TestReport;
pub(crate) use sizes::Sizes;
pub(crate) use table::{
    ALL, CLIENT, CLIENT_ENCLAVE, CLIENT_NRF52840, CLIENT_TZ, EXAMPLE, MICROVM_X86_64, MPS2_AN386,
    MPS2_AN505_TZ, RISCV32_ENCLAVE, RISCV64_ENCLAVE, VIRT_AARCH64_SECURE,
};

const BUILD_LIMIT: Duration = Duration::from_secs(1200);
const TESTS_LIMIT: Duration = Duration::from_secs(600);
/// The figure that is the flash of all images of a run.
pub(crate) const FLASH: &str = "flash_bytes";
/// The figure that is the RAM they take, with the deepest stack.
pub(crate) const RAM: &str = "ram_bytes";
/// Packages of the boards' workspace that run on the host too: directory under `targets/` and name.
pub(crate) const HOSTED: [(&str, &str); 6] = [
    ("common", "he-firmware"),
    ("entropy", "he-entropy"),
    ("he-core-c", "he-core-c"),
    ("isolation", "he-isolation"),
    ("storage", "he-storage"),
    ("transport", "he-transport"),
];
/// Subdirectory of cargo's target directory for all board packages.
const AREA: &str = "firmware";

/// A board, or one way of using it: an entry of [`table`].
#[derive(Debug)]
pub(crate) struct Board {
    /// What `--target` calls it.
    pub name: &'static str,
    /// The processor, in words.
    pub processor: &'static str,
    /// The Rust target of all its images.
    pub triple: &'static str,
    /// Who plays it.
    pub emulator: Emulator,
    /// The emulator's arguments that choose and equip the machine.
    pub machine: &'static [&'static str],
    /// How its images speak and end.
    pub reports: Reports,
    /// Its test runs: the images of each, loaded together. The first one starts; it is given the
    /// arguments `tests FILTER`, and runs the tests that have `FILTER` in their name.
    pub tests: &'static [&'static [Image]],
    /// Whether its counter counts instructions: then its figures are in the table of counts.
    pub is_counted: bool,
    /// Figures that may not exceed a limit.
    pub budgets: &'static [(&'static str, u64)],
}

/// A program that plays boards.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Emulator {
    /// Its name.
    pub program: &'static str,
    /// The Debian package that has it.
    pub package: &'static str,
    /// Arguments that give its boards the client's links: `uart0` to the server, `uart1` to the authority,
    /// `uart2` to the operator.
    pub links: &'static [&'static str],
}

/// How a board's images report, and how they end the emulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reports {
    /// Lines by semihosting. Arguments come the same way; status 0 says that all is well.
    Semihosting,
    /// Lines on the first serial port. Arguments come as the kernel's command line; the image ends
    /// the emulator by the device `isa-debug-exit`, which must be in `machine`, and status 33 says
    /// that all is well. A console in `machine` has the character device `records`.
    SerialPort,
}

/// A program for a board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Image {
    /// The directory of its package under `targets/`.
    pub package: &'static str,
    /// The name of the binary there.
    pub binary: &'static str,
}

impl Reports {
    /// The emulator's status when all is well.
    const fn good_status(self) -> i32 {
        match self {
            Self::Semihosting => 0,
            Self::SerialPort => 33,
        }
    }
}

impl Image {
    /// The directory of the package.
    pub(crate) fn directory(&self) -> PathBuf {
        root().join("targets").join(self.package)
    }
}

/// The directories of all packages that have images, each once.
pub(crate) fn packages() -> Vec<(&'static Board, PathBuf)> {
    let mut packages: Vec<(&Board, PathBuf)> =
        [CLIENT, CLIENT_NRF52840, EXAMPLE].map(|image| (&MPS2_AN386, image.directory())).into();
    for board in ALL {
        for image in board.tests.iter().copied().flatten() {
            let directory = image.directory();
            if packages.iter().all(|(_, known)| *known != directory) {
                packages.push((board, directory));
            }
        }
    }
    packages
}

impl Board {
    /// Builds an image and returns its path.
    ///
    /// # Errors
    /// The compiler's output.
    pub(crate) fn build(
        &self,
        console: &Console,
        compiler: &Compiler,
        image: Image,
    ) -> Result<PathBuf> {
        let Image { package, binary } = image;
        let label = format!("build {package} image `{binary}`");
        let mut command = compiler.cargo("build", self.triple, &image.directory(), AREA);
        command.args(["--release", "--locked", "--bin", binary]);
        step(console, &label, &mut command, BUILD_LIMIT)?;
        // Images of several packages may have one name; each is kept under its own.
        let built = compiler.image(self.triple, AREA, binary);
        let kept = built.with_file_name(format!("{package}-{binary}.elf"));
        fs::copy(&built, &kept).with_context(|| format!("copying {}", built.display()))?;
        Ok(kept)
    }

    /// The emulator with `images` loaded, counting instructions, with the client's links, if any, connected to
    /// TCP ports of this machine, in order, and `arguments` to the program. The first one is connected again
    /// whenever the connection ends.
    pub(crate) fn emulate(
        &self,
        images: &[impl AsRef<Path>],
        ports: &[u16],
        arguments: &[&str],
    ) -> Command {
        let mut command = Command::new(self.emulator.program);
        command.args(self.machine);
        command.args(["-display", "none", "-monitor", "none", "-icount", "shift=0"]);
        for (i, port) in ports.iter().enumerate() {
            let again = if i == 0 { ",reconnect=1" } else { "" };
            let socket = format!("socket,id=uart{i},host=127.0.0.1,port={port},nodelay=on{again}");
            command.arg("-chardev").arg(socket);
        }
        if !ports.is_empty() {
            command.args(self.emulator.links);
        }
        match self.reports {
            Reports::Semihosting => {
                if ports.is_empty() {
                    command.args(["-serial", "none"]);
                }
                let arguments: String =
                    arguments.iter().map(|a| format!(",arg={}", a.replace(',', ",,"))).collect();
                let semihosting = format!("enable=on,target=native{arguments}");
                command.arg("-semihosting-config").arg(semihosting);
            }
            Reports::SerialPort => {
                command.args(["-serial", "stdio", "-chardev", "null,id=records"]);
                command.arg("-append").arg(arguments.join(" "));
            }
        }
        let mut images = images.iter().map(AsRef::as_ref);
        if let Some(first) = images.next() {
            command.arg("-kernel").arg(first);
        }
        for image in images {
            command.arg("-device").arg(format!("loader,file={}", image.display()));
        }
        command
    }

    /// Builds the test images, runs them and collects what they report, with their sizes. Tests whose
    /// name lacks `filter` are left out by the images.
    ///
    /// # Errors
    /// If something cannot be built or started or runs out of time. A crash is a failed test.
    pub(crate) fn test(
        &self,
        console: &Console,
        compiler: &Compiler,
        filter: &str,
    ) -> Result<TestReport> {
        let mut report = TestReport::default();
        for images in self.tests {
            let build = |&image: &Image| self.build(console, compiler, image);
            let images = images.iter().map(build).collect::<Result<Vec<_>>>()?;
            let mut run = self.run_tests(console, &images, filter)?;
            let sizes = images.iter().map(|image| Sizes::of(image)).collect::<Result<Vec<_>>>()?;
            let flash = sizes.iter().map(Sizes::flash).sum();
            run.figures.push((FLASH.to_owned(), flash));
            report.join(run);
        }
        Ok(report)
    }

    fn run_tests(&self, console: &Console, images: &[PathBuf], filter: &str) -> Result<TestReport> {
        let mut command = self.emulate(images, &[], &["tests", filter]);
        let mut report = TestReport::default();
        let step = console.step(&format!("test {} in QEMU", self.name));
        let mut child = process::spawn(&mut command)?;
        let log = log_of(images, &mut child)?;
        let finished = process::follow(child, &process::describe(&command), TESTS_LIMIT, |line| {
            if let Some(name) = report.line(line.text()) {
                step.show(name);
            }
        });
        report.log = log.and_then(|log| log.join().ok()).unwrap_or_default();
        match finished {
            Ok(finished) => report.end(&finished, self.reports.good_status()),
            Err(error) => report.failed.push(format!("{error:#}")),
        }
        if report.failed.is_empty() {
            step.pass();
        } else {
            step.fail();
        }
        Ok(report)
    }
}

/// Where the first image logs by `defmt`, standard output is that log: the thread that decodes it.
fn log_of(images: &[PathBuf], child: &mut Child) -> Result<Option<JoinHandle<Vec<String>>>> {
    let Some(path) = images.first() else { return Ok(None) };
    let image = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    if !log::has_table(&image) {
        return Ok(None);
    }
    let Some(output) = child.stdout.take() else { return Ok(None) };
    Ok(Some(thread::spawn(move || {
        let mut lines = Vec::new();
        log::decode(&image, output, |line| lines.push(line)).ok();
        lines
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_of_every_board_has_its_package_and_names_are_unique() {
        for (i, board) in ALL.iter().enumerate() {
            assert!(ALL[..i].iter().all(|other| other.name != board.name), "{}", board.name);
            for image in board.tests.iter().copied().flatten() {
                let source = image.directory().join(format!("src/bin/{}.rs", image.binary));
                assert!(source.exists(), "{}", source.display());
            }
        }
    }
}
