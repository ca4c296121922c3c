//! Format, clippy, documentation, dependencies, spelling, and the project's own rules.

use crate::boards::{self, Board, HOSTED};
use crate::compiler::{Choice, Compiler, host_cargo, root, target_directory};
use crate::console::Console;
use crate::process::{output_of, step};
use crate::{layers, setup, tidy};
use anyhow::Result;
use core::time::Duration;
use std::path::PathBuf;
use std::process::Command;

const LIMIT: Duration = Duration::from_secs(1800);

/// What to check.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct Arguments {
    /// Only what needs no compiling: the project's own rules and the format.
    #[arg(long)]
    quick: bool,
}

/// A name and what to run.
type Check = (String, Command);

/// Runs every check, each to its end; false if one found something.
///
/// # Errors
/// If no bare-metal compiler can be had.
pub(crate) fn run(console: &Console, choice: Choice, arguments: Arguments) -> Result<bool> {
    let mut problems = tidy::problems(&root())?;
    problems.extend(layers::problems(&root())?);
    let tidiness = console.step("project rules");
    if problems.is_empty() {
        tidiness.pass();
    } else {
        tidiness.fail();
    }

    let mut commands = formats();
    if !arguments.quick {
        commands.extend(host_checks());
        commands.extend(board_checks(&setup::bare_metal(console, choice)?));
        commands.extend(optional_checks());
    }
    for (label, mut command) in commands {
        if let Err(error) = step(console, &label, &mut command, LIMIT) {
            problems.push(format!("{label}: {error:#}"));
        }
    }
    for problem in &problems {
        eprintln!("{problem}");
    }
    println!("problems: {}", problems.len());
    Ok(problems.is_empty())
}

fn formats() -> Vec<Check> {
    let workspaces = [("the workspace", root()), ("the boards' workspace", root().join("targets"))];
    let check = |(name, directory): (&str, PathBuf)| {
        let mut command = host_cargo(&directory);
        command.args(["fmt", "--all", "--check"]);
        (format!("format of {name}"), command)
    };
    workspaces.into_iter().map(check).collect()
}

fn host_checks() -> Vec<Check> {
    let mut checks = Vec::new();
    let mut command = host_cargo(&root());
    command.args(["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]);
    checks.push(("clippy of the workspace".to_owned(), command));

    let mut command = host_cargo(&root().join("targets/common"));
    command
        .args(["clippy", "--all-targets", "--locked"])
        .args(HOSTED.map(|(_, package)| ["-p", package]).as_flattened());
    command.arg("--target-dir").arg(target_directory().join("firmware-host"));
    command.args(["--", "-D", "warnings"]);
    checks.push(("clippy of what boards share".to_owned(), command));

    let mut command = host_cargo(&root());
    command.args(["doc", "--workspace", "--no-deps", "--locked"]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    checks.push(("documentation".to_owned(), command));
    checks
}

/// Clippy on the images. Debian's compiler brings none, so those go unchecked under it.
fn board_checks(compiler: &Compiler) -> Vec<Check> {
    if *compiler != Compiler::Rustup {
        return Vec::new();
    }
    let check = |(board, directory): (&Board, PathBuf)| {
        let mut command = compiler.cargo("clippy", board.triple, &directory, "firmware");
        command.args(["--release", "--locked", "--", "-D", "warnings"]);
        let name = directory.file_name().unwrap_or_default().to_string_lossy();
        (format!("clippy of {name}"), command)
    };
    boards::packages().into_iter().map(check).collect()
}

/// Checks by tools that not every machine has; those that are missing are left out.
fn optional_checks() -> Vec<Check> {
    let mut checks = Vec::new();
    if output_of(host_cargo(&root()).args(["deny", "--version"])).is_some() {
        let mut command = host_cargo(&root());
        command.args(["deny", "--locked", "check", "licenses", "bans", "sources"]);
        checks.push(("dependencies".to_owned(), command));
    }
    if output_of(Command::new("typos").arg("--version")).is_some() {
        let mut command = Command::new("typos");
        command.current_dir(root());
        checks.push(("spelling".to_owned(), command));
    }
    checks
}
