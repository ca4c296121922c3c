//! Whether routines that touch secrets take the same time whatever these are: by valgrind, in the
//! instructions of a device, and by a clock.
//!
//! The first two are gates: jumps and addresses on the host at several optimisation levels, instructions
//! whose time depends on their operands in a device's images. The clock is a third view and only informs.
//! Instruction counts of every target are a fourth: the firmware's tests have them.

mod divisions;

use crate::build::Outcome;
use crate::compiler::{Choice, host_cargo, root, target_directory};
use crate::console::Console;
use crate::process::{Finished, run_with, step};
use crate::setup;
use anyhow::{Context, Result, bail};
use core::time::Duration;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::process::Command;

const BUILD: Duration = Duration::from_secs(900);
const RUN: Duration = Duration::from_secs(900);
/// Optimisation levels: compilers make other jumps at each.
const LEVELS: [&str; 4] = ["1", "2", "3", "s"];
/// Above this, a `|t|` is called a difference.
const THRESHOLD: f64 = 4.5;

/// How long to look.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Seconds for which each routine is timed; 0 for none.
    #[arg(long, default_value_t = 3)]
    seconds: u32,
}

/// A routine under valgrind.
#[derive(Debug, Deserialize)]
struct Marked {
    routine: String,
    leaks: bool,
    excepted: usize,
    complaints: usize,
}

/// A routine by the clock.
#[derive(Debug, Deserialize)]
struct Timed {
    routine: String,
    leaks: bool,
    t: f64,
    measurements: usize,
}

/// Every view; false if a gate is shut.
///
/// # Errors
/// If something cannot be installed, built or run.
pub(crate) fn run(console: &Console, choice: Choice, arguments: &Arguments) -> Result<bool> {
    let outcomes = gates(console, choice)?;
    let failed: Vec<_> = outcomes.iter().filter(|(_, error)| error.is_some()).collect();
    for (name, error) in &failed {
        eprintln!("FAILED {name}: {}", error.as_deref().unwrap_or_default());
    }
    println!("{} passed, {} failed", outcomes.len() - failed.len(), failed.len());
    if arguments.seconds > 0 {
        timed(console, arguments.seconds)?;
    }
    Ok(failed.is_empty())
}

/// Each routine at each optimisation level under valgrind, and each image without divisions.
///
/// # Errors
/// If something cannot be installed, built or run.
pub(crate) fn gates(console: &Console, choice: Choice) -> Result<Vec<Outcome>> {
    let mut outcomes = divisions::outcomes(console, choice)?;
    if cfg!(not(target_arch = "x86_64")) {
        console.say("valgrind is asked on x86_64 only: left out");
        return Ok(outcomes);
    }
    setup::valgrind(console)?;
    for level in LEVELS {
        outcomes.extend(marked(console, level)?);
    }
    Ok(outcomes)
}

fn marked(console: &Console, level: &str) -> Result<Vec<Outcome>> {
    let program = built(console, level)?;
    let log = program.with_file_name("valgrind.log");
    let mut command = Command::new("valgrind");
    command.args(["--error-limit=no", "--read-inline-info=yes", "--num-callers=16"]);
    command.arg(format!("--log-file={}", log.display())).arg(program).arg("marked");
    let label = format!("secrets followed by valgrind, optimised {level}");
    let rows: Vec<Marked> = rows(&step(console, &label, &mut command, RUN)?)?;
    if rows.is_empty() {
        bail!("nothing was examined");
    }
    let outcome = |row: &Marked| {
        let name = format!("{}, optimised {level}", row.routine);
        (name, row.verdict().map(|what| format!("{what}; see {}", log.display())))
    };
    Ok(rows.iter().map(outcome).collect())
}

impl Marked {
    /// What is wrong.
    fn verdict(&self) -> Option<String> {
        if self.leaks {
            return (self.complaints == 0).then(|| "a leak that was not found".to_owned());
        }
        (self.complaints > self.excepted)
            .then(|| format!("{} jumps or addresses depend on secrets", self.complaints))
    }
}

/// The program at one optimisation level.
fn built(console: &Console, level: &str) -> Result<PathBuf> {
    let directory = target_directory().join("constant-time").join(level);
    let mut command = host_cargo(&root());
    command.args(["build", "--release", "--locked", "-p", "he-taint", "--target-dir"]);
    command.arg(&directory).env("CARGO_PROFILE_RELEASE_OPT_LEVEL", level);
    step(console, &format!("build what is examined, optimised {level}"), &mut command, BUILD)?;
    Ok(directory.join("release/constant-time"))
}

/// Prints what the clock says.
fn timed(console: &Console, seconds: u32) -> Result<()> {
    let program = built(console, "3")?;
    let mut command = Command::new(program);
    command.arg("timed").arg(seconds.to_string());
    let rows: Vec<Timed> = rows(&step(console, "secrets by the clock", &mut command, RUN)?)?;
    println!("| routine | t | measurements |  |\n|---|---|---|---|");
    for Timed { routine, leaks, t, measurements } in rows {
        let word = match (t.abs() > THRESHOLD, leaks) {
            (true, false) => "differs: look again on a quiet machine",
            (false, true) => "a leak that was not seen",
            _ => "as expected",
        };
        println!("| {routine} | {t:.1} | {measurements} | {word} |");
    }
    Ok(())
}

fn rows<T: DeserializeOwned>(finished: &Finished) -> Result<Vec<T>> {
    let parse = |line: &String| serde_json::from_str(line).with_context(|| line.clone());
    finished.stdout.iter().map(parse).collect()
}

/// Runs a short program to its end and returns the lines that it printed.
fn lines_of(program: &str, arguments: &[&str], file: &Path) -> Result<Vec<String>> {
    let mut command = Command::new(program);
    let finished = run_with(command.args(arguments).arg(file), RUN, |_| {})?;
    if !finished.success {
        bail!("{program} {}: {}", file.display(), finished.tail(5));
    }
    Ok(finished.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(leaks: bool, excepted: usize, complaints: usize) -> Marked {
        Marked { routine: "r".to_owned(), leaks, excepted, complaints }
    }

    #[test]
    fn a_leak_fails_and_so_does_a_leak_that_is_not_found() {
        assert!(row(false, 0, 0).verdict().is_none());
        assert!(row(false, 0, 1).verdict().is_some());
        assert!(row(false, 4, 4).verdict().is_none());
        assert!(row(false, 4, 5).verdict().is_some());
        assert!(row(true, 0, 1).verdict().is_none());
        assert!(row(true, 0, 0).verdict().is_some());
    }
}
