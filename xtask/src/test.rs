//! Every test: on the host, in the documentation, bare-metal builds, and firmware in QEMU.

use crate::boards::{self, Board, MPS2_AN386, TestReport};
use crate::compiler::{Choice, host_cargo, root, target_directory};
use crate::console::Console;
use crate::process::{Finished, output_of, run_with};
use crate::{aarch64, build, c_example, interop, setup};
use anyhow::{Context, Result};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use core::time::Duration;
use serde::Serialize;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

const LIMIT: Duration = Duration::from_secs(1800);
/// Exchanges in each direction with each other library; `cargo xtask interop` makes more.
const EXCHANGES: u32 = 20;

/// What to test.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only this part, a board or another; may be given several times.
    #[arg(long, visible_alias = "target", value_parser = Part::parser())]
    part: Vec<Part>,
    /// Only tests whose name contains this.
    #[arg(long, default_value = "")]
    filter: String,
    /// Write the results to this file as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

impl Arguments {
    /// Every part, unfiltered.
    pub(crate) fn everything() -> Self {
        Self { part: Vec::new(), filter: String::new(), json: None }
    }
}

/// A part of the tests.
#[derive(Debug, Clone, Copy)]
enum Part {
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
    /// The static library for C in a firmware written in C, on the Cortex-M4F board.
    HeCoreC,
    /// Keys and ciphertexts exchanged with other libraries, where their wheels can be had.
    Interop,
}

/// How a part went.
#[derive(Debug, Default, Serialize)]
struct Outcome {
    part: String,
    passed: usize,
    failed: usize,
    failures: Vec<String>,
    figures: serde_json::Map<String, serde_json::Value>,
}

/// All parts together.
#[derive(Debug, Serialize)]
struct Summary {
    parts: Vec<Outcome>,
    passed: usize,
    failed: usize,
}

/// Runs the tests; false if any failed.
///
/// # Errors
/// If the results cannot be written. A part that cannot run counts as a failed test.
pub(crate) fn run(console: &Console, choice: Choice, arguments: &Arguments) -> Result<bool> {
    let mut parts = Vec::new();
    for part in Part::all() {
        let name = part.name();
        if !arguments.part.is_empty() && arguments.part.iter().all(|part| part.name() != name) {
            continue;
        }
        let mut outcome = part.run(console, choice, &arguments.filter).unwrap_or_else(|error| {
            Outcome { failed: 1, failures: vec![format!("{error:#}")], ..Outcome::default() }
        });
        outcome.part = name.to_owned();
        for failure in &outcome.failures {
            eprintln!("FAILED {}: {failure}", outcome.part);
        }
        println!("{}: {} passed, {} failed", outcome.part, outcome.passed, outcome.failed);
        parts.push(outcome);
    }
    let passed = parts.iter().map(|part| part.passed).sum();
    let failed = parts.iter().map(|part| part.failed).sum();
    if let Some(file) = &arguments.json {
        let summary = serde_json::to_string_pretty(&Summary { parts, passed, failed })?;
        fs::write(file, summary + "\n").with_context(|| format!("writing {}", file.display()))?;
    }
    println!("{passed} passed, {failed} failed");
    Ok(failed == 0)
}

impl Part {
    /// Every part, in the order they run.
    fn all() -> Vec<Self> {
        let boards = boards::ALL.map(Self::Board);
        let first = [
            Self::Host,
            Self::Docs,
            Self::Portable,
            Self::Aarch64,
            Self::FirmwareOnHost,
            Self::Builds,
        ];
        first.into_iter().chain(boards).chain([Self::HeCoreC, Self::Interop]).collect()
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Docs => "docs",
            Self::Portable => "portable",
            Self::Aarch64 => "aarch64",
            Self::FirmwareOnHost => "firmware-on-host",
            Self::Builds => "builds",
            Self::Board(board) => board.name,
            Self::HeCoreC => "he-core-c",
            Self::Interop => "interop",
        }
    }

    /// Takes the names of parts and no others.
    fn parser() -> impl TypedValueParser<Value = Self> {
        let names = PossibleValuesParser::new(Self::all().into_iter().map(Self::name));
        names.try_map(|name| {
            Self::all().into_iter().find(|part| part.name() == name).ok_or("no such part")
        })
    }

    fn run(self, console: &Console, choice: Choice, filter: &str) -> Result<Outcome> {
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
                command.args(["test", "--locked", "-p", "he-firmware", "-p", "he-core-c"]);
                command.arg("--target-dir").arg(target_directory().join("firmware-host"));
                command.args(["--", filter]);
                cargo_test(console, "firmware tests on the host", &mut command)
            }
            Self::Builds => {
                let compiler = setup::bare_metal(console, choice)?;
                Ok(Outcome::of_builds(build::outcomes(console, &compiler, filter)))
            }
            Self::Board(board) => on_board(console, choice, board, filter),
            Self::HeCoreC => {
                let compiler = setup::bare_metal(console, choice)?;
                setup::emulators(console, &[&MPS2_AN386])?;
                setup::c_compiler(console)?;
                let mut command = c_example::build(console, &compiler)?;
                cargo_test(console, "test he-core-c in QEMU", &mut command)
            }
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

impl Outcome {
    /// Counts the lines with which nextest and the standard harness end a run.
    fn of_cargo(finished: &Finished) -> Self {
        let mut outcome = Self::default();
        for line in &finished.both {
            if line.contains("test result:") || line.trim_start().starts_with("Summary [") {
                outcome.passed += count_before(line, "passed");
                outcome.failed += count_before(line, "failed");
            } else if line.ends_with("... FAILED") || line.trim_start().starts_with("FAIL [") {
                outcome.failures.push(line.trim().to_owned());
            }
        }
        if !finished.success {
            outcome.failed = outcome.failed.max(1);
            outcome.failures.push(format!("{}\n{}", finished.status, finished.tail(60)));
        }
        outcome
    }

    fn of_builds(builds: Vec<build::Outcome>) -> Self {
        let mut outcome = Self::default();
        for (name, error) in builds {
            match error {
                None => outcome.passed += 1,
                Some(error) => outcome.failures.push(format!("{name}: {error}")),
            }
        }
        outcome.failed = outcome.failures.len();
        outcome
    }

    /// A test for each group of exchanges, named by what was decrypted; none with a library that cannot
    /// be had.
    fn of_exchanges(console: &Console, found: Vec<(&str, interop::Verdict)>) -> Self {
        let mut outcome = Self::default();
        for (title, verdict) in found {
            match verdict {
                interop::Verdict::Unavailable(why) => {
                    console.say(&format!("{title} cannot be installed: {why}"));
                }
                interop::Verdict::Exchanged(groups) => {
                    for group in groups {
                        if group.failed == 0 {
                            outcome.passed += 1;
                        } else {
                            outcome.failures.push(format!("{group:?}"));
                        }
                    }
                }
            }
        }
        outcome.failed = outcome.failures.len();
        outcome
    }

    fn of_board(board: &Board, report: TestReport) -> Self {
        let mut outcome = Self { passed: report.passed.len(), ..Self::default() };
        for &(name, budget) in board.budgets {
            match report.figure(name) {
                Some(figure) if figure > budget => {
                    let what = format!("{name} is {figure}, over its budget of {budget}");
                    outcome.failures.push(what);
                }
                Some(_) => outcome.passed += 1,
                None => {}
            }
        }
        for (name, figure) in &report.figures {
            if name.ends_with("_instructions") && !board.is_counted {
                continue;
            }
            println!("  {name:<40} {figure:>12}");
            outcome.figures.insert(name.clone(), (*figure).into());
        }
        outcome.failures.extend(report.failed);
        outcome.failed = outcome.failures.len();
        outcome
    }
}

/// The number that stands before `word` in `line`; 0 if none does.
fn count_before(line: &str, word: &str) -> usize {
    let words: Vec<_> = line.split([' ', ',', ';']).filter(|w| !w.is_empty()).collect();
    let at = words.iter().position(|w| *w == word);
    at.and_then(|i| words.get(i.checked_sub(1)?)?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(success: bool, text: &str) -> Finished {
        let both = text.lines().map(str::to_owned).collect();
        Finished { success, status: "status".to_owned(), both, ..Finished::default() }
    }

    #[test]
    fn the_closing_lines_of_both_harnesses_are_counted() {
        let libtest = "test result: ok. 6 passed; 0 failed; 0 ignored\n\
                       test a::b ... FAILED\ntest result: FAILED. 1 passed; 2 failed; 0 ignored";
        let outcome = Outcome::of_cargo(&finished(true, libtest));
        assert_eq!((outcome.passed, outcome.failed), (7, 2));
        assert_eq!(outcome.failures, ["test a::b ... FAILED"]);
        let nextest =
            "     Summary [   0.034s] 12 tests run: 10 passed (1 slow), 2 failed, 3 skipped";
        let outcome = Outcome::of_cargo(&finished(true, nextest));
        assert_eq!((outcome.passed, outcome.failed), (10, 2));
    }

    #[test]
    fn a_run_that_dies_without_counting_is_a_failure() {
        assert_eq!(Outcome::of_cargo(&finished(false, "error: no such crate")).failed, 1);
    }

    #[test]
    fn a_figure_over_its_budget_is_a_failure() {
        let &(name, budget) = MPS2_AN386.budgets.first().unwrap();
        let with = |figure| TestReport {
            passed: vec!["a".to_owned()],
            figures: vec![(name.to_owned(), figure)],
            ..TestReport::default()
        };
        assert_eq!(Outcome::of_board(&MPS2_AN386, with(budget)).failed, 0);
        assert_eq!(Outcome::of_board(&MPS2_AN386, with(budget + 1)).failed, 1);
    }
}
