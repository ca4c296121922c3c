//! The parts of the tests: what there is to run, and how.

use super::outcome::Outcome;
use crate::boards::{self, Board, HOSTED, MPS2_AN386};
use crate::compiler::{Choice, host_cargo, root, target_directory};
use crate::console::Console;
use crate::process::{output_of, run_with};
use crate::{
    aarch64, build, c_example, constant_time, flash, interop, line, restarts, setup, vectors,
};
use anyhow::Result;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use core::time::Duration;
use std::process::Command;

const LIMIT: Duration = Duration::from_secs(1800);
/// Exchanges in each direction with each other library; `cargo xtask interop` makes more.
const EXCHANGES: u32 = 20;
/// A part of the tests.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    /// Unit, property and integration tests of the workspace.
    Host,
    /// The examples in the documentation.
    Docs,
    /// The tests of the whole way once more, on the portable kernels.
    Portable,
    /// The tests of the kernels for 64-bit ARM, in QEMU.
    Aarch64,
    /// The bodies of the firmware tests, on the host.
    FirmwareOnHost,
    /// Builds for bare metal.
    Builds,
    /// The test images of a board.
    Board(&'static Board),
    /// The example firmware on two boards, and dry runs of flashing it to chips.
    ExampleFirmware,
    /// What the client remembers when power fails, on the Cortex-M4F board.
    Restarts,
    /// The client's conversation over a line with accidents, on the Cortex-M4F board and across a wall.
    Line,
    /// The static library for C in a firmware written in C, on the Cortex-M4F board.
    HeCoreC,
    /// The published vectors, made again from their definitions in Python.
    Vectors,
    /// Secrets under valgrind, and device images without divisions.
    ConstantTime,
    /// Keys and ciphertexts exchanged with other libraries, where their wheels can be had.
    Interop,
}

impl Part {
    /// Every part, in the order they run.
    pub(super) fn all() -> Vec<Self> {
        let boards = boards::ALL.map(Self::Board);
        let first = [
            Self::Host,
            Self::Docs,
            Self::Portable,
            Self::Aarch64,
            Self::FirmwareOnHost,
            Self::Builds,
        ];
        first
            .into_iter()
            .chain(boards)
            .chain([
                Self::ExampleFirmware,
                Self::Restarts,
                Self::Line,
                Self::HeCoreC,
                Self::Vectors,
                Self::ConstantTime,
                Self::Interop,
            ])
            .collect()
    }

    /// What `--target` calls it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Docs => "docs",
            Self::Portable => "portable",
            Self::Aarch64 => "aarch64",
            Self::FirmwareOnHost => "firmware-on-host",
            Self::Builds => "builds",
            Self::Board(board) => board.name,
            Self::ExampleFirmware => "example-firmware",
            Self::Restarts => "restarts",
            Self::Line => "line",
            Self::HeCoreC => "he-core-c",
            Self::Vectors => "vectors",
            Self::ConstantTime => "constant-time",
            Self::Interop => "interop",
        }
    }

    /// Whether it is a board.
    pub(super) const fn is_board(self) -> bool {
        matches!(self, Self::Board(_))
    }

    /// Takes the names of parts and no others.
    pub(super) fn parser() -> impl TypedValueParser<Value = Self> {
        let names = PossibleValuesParser::new(Self::all().into_iter().map(Self::name));
        names.try_map(|name| {
            Self::all().into_iter().find(|part| part.name() == name).ok_or("no such part")
        })
    }

    /// Runs it.
    ///
    /// # Errors
    /// What is missing or cannot be built.
    pub(super) fn run(self, console: &Console, choice: Choice, filter: &str) -> Result<Outcome> {
        match self {
            Self::Host => {
                let mut command = workspace_tests();
                command.arg("--workspace").args((!filter.is_empty()).then_some(filter));
                cargo_test(console, "host tests", &mut command)
            }
            Self::Docs => {
                let mut command = host_cargo(&root());
                command.args(["test", "--doc", "--workspace", "--", filter]);
                cargo_test(console, "documentation tests", &mut command)
            }
            Self::Portable => {
                let mut command = workspace_tests();
                command.args(["-p", "host-runner", "--test", "end_to_end"]);
                command.env("HE_KERNELS", "portable");
                cargo_test(console, "the whole way on portable kernels", &mut command)
            }
            Self::Aarch64 => {
                let mut command = aarch64::tests(console, choice, filter)?;
                cargo_test(console, "kernels for 64-bit ARM", &mut command)
            }
            Self::FirmwareOnHost => {
                let mut command = host_cargo(&root().join("targets/common"));
                command
                    .args(["test", "--locked"])
                    .args(HOSTED.map(|(_, package)| ["-p", package]).as_flattened());
                command.arg("--target-dir").arg(target_directory().join("firmware-host"));
                command.args(["--", filter]);
                cargo_test(console, "firmware tests on the host", &mut command)
            }
            Self::Builds => {
                let compiler = setup::bare_metal(console, choice)?;
                Ok(Outcome::of_builds(build::outcomes(console, &compiler, filter)))
            }
            Self::Board(board) => on_board(console, choice, board, filter),
            Self::ExampleFirmware => {
                let compiler = setup::bare_metal(console, choice)?;
                setup::emulators(console, &boards::ALL)?;
                Ok(Outcome::of_builds(flash::outcomes(console, &compiler)))
            }
            Self::Restarts => {
                let compiler = setup::bare_metal(console, choice)?;
                setup::emulators(console, &[&MPS2_AN386])?;
                Ok(Outcome::of_builds(restarts::outcomes(console, &compiler)?))
            }
            Self::Line => {
                let compiler = setup::bare_metal(console, choice)?;
                setup::emulators(console, &[&MPS2_AN386])?;
                Ok(Outcome::of_builds(line::outcomes(console, &compiler)?))
            }
            Self::HeCoreC => {
                let compiler = setup::bare_metal(console, choice)?;
                setup::emulators(console, &[&MPS2_AN386])?;
                setup::c_compiler(console)?;
                let mut command = c_example::build(console, &compiler)?;
                cargo_test(console, "test he-core-c in QEMU", &mut command)
            }
            Self::Vectors => Ok(Outcome::of_builds(vectors::outcomes(console)?)),
            Self::ConstantTime => Ok(Outcome::of_builds(constant_time::gates(console, choice)?)),
            Self::Interop => {
                Ok(Outcome::of_exchanges(console, interop::exchange(console, EXCHANGES)?))
            }
        }
    }
}

fn on_board(console: &Console, choice: Choice, board: &Board, filter: &str) -> Result<Outcome> {
    let compiler = setup::bare_metal(console, choice)?;
    setup::emulators(console, &[board])?;
    console.say(&format!("{}: {}", board.name, board.processor));
    let report = board.test(console, &compiler, filter)?;
    Ok(Outcome::of_board(board, report))
}

/// `cargo nextest run` where it is installed, else `cargo test`.
fn workspace_tests() -> Command {
    let mut command = host_cargo(&root());
    if output_of(host_cargo(&root()).args(["nextest", "--version"])).is_some() {
        command.args(["nextest", "run", "--no-fail-fast", "--no-tests", "pass"]);
    } else {
        command.args(["test", "--no-fail-fast", "--lib", "--bins", "--tests"]);
    }
    command.arg("--locked");
    command
}

/// Runs `command` and counts the tests it reports.
fn cargo_test(console: &Console, label: &str, command: &mut Command) -> Result<Outcome> {
    let step = console.step(label);
    let result = run_with(command, LIMIT, |line| step.show(line.text()));
    let outcome = match result {
        Ok(finished) => Outcome::of_cargo(&finished),
        Err(error) => {
            step.fail();
            return Err(error);
        }
    };
    if outcome.failed == 0 {
        step.pass();
    } else {
        step.fail();
    }
    Ok(outcome)
}
