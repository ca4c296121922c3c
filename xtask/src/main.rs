//! `cargo xtask`: set-up, builds, tests, lints and the demonstration, one command each.

mod compiler;
mod console;
mod log;
mod process;

mod boards;
mod setup;

mod python;

mod layers;
mod tidy;

mod restarts;
mod session;

mod aarch64;
mod authority;
mod bench;
mod build;
mod c_example;
mod constant_time;
mod counted;
mod demo;
mod flash;
mod interop;
mod line;
mod lint;
mod size;
mod vectors;

mod test;

mod ci;

use anyhow::Result;
use clap::{Parser, Subcommand};
use compiler::Choice;
use console::Console;
use std::process::ExitCode;

/// The project's chores. Each command installs what it needs.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, after_help = EXAMPLES)]
struct Arguments {
    /// The compiler for bare-metal targets.
    #[arg(long, value_enum, default_value = "auto", global = true)]
    compiler: Choice,
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install what is missing: bare-metal targets, emulators.
    Setup,
    /// Build the libraries for every bare-metal target.
    Build,
    /// Run all tests: host, documentation, bare-metal builds, firmware in QEMU.
    Test(test::Arguments),
    /// Type a sentence into the emulated device and have it classified under encryption.
    Demo(demo::Arguments),
    /// Have a secure world in QEMU make secrets and keys, in 16 MB.
    Authority(authority::Arguments),
    /// Put the example firmware on a chip through a debug probe.
    Flash(flash::Arguments),
    /// Measure our operations, and those of other libraries beside them.
    Bench(bench::Arguments),
    /// Exchange keys and ciphertexts with other libraries, and compare errors with predictions.
    Interop(interop::Arguments),
    /// See whether the time that routines take depends on secrets.
    ConstantTime(constant_time::Arguments),
    /// Check format, lints, documentation and the project's own rules.
    Lint(lint::Arguments),
    /// What continuous integration runs: lint, test, size, demo.
    Ci,
    /// Show what every image takes of flash and RAM, against the budgets of the client.
    Size,
}

const EXAMPLES: &str = "Examples:
  cargo xtask setup                          what everything else needs
  cargo xtask test                           every test
  cargo xtask test --target mps2-an386       the firmware tests of one board
  cargo xtask test --counted                 count the instructions of every board again
  cargo xtask demo 'a dull film'             one sentence under encryption
  cargo xtask flash --target nrf52840 --dry-run   what would be flashed, and how
  cargo xtask bench --peers                  our operations beside those of other libraries
  cargo xtask interop                        our keys and ciphertexts in other libraries, and theirs in ours
  cargo xtask constant-time                  whether times depend on secrets
  cargo xtask test --filter tokenizer        tests whose name contains a word";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let console = Console::new();
    match run(&console, &arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the task; false if it ran to its end and found something wrong.
fn run(console: &Console, arguments: &Arguments) -> Result<bool> {
    let choice = arguments.compiler;
    match &arguments.task {
        Task::Setup => {
            let compiler = setup::all(console, choice)?;
            println!("ready: {} compiler for bare metal, QEMU for every board", compiler.name());
            Ok(true)
        }
        Task::Build => build::all(console, &setup::bare_metal(console, choice)?),
        Task::Test(arguments) => test::run(console, choice, arguments),
        Task::Demo(arguments) => demo::run(console, choice, arguments),
        Task::Authority(arguments) => authority::run(console, choice, arguments),
        Task::Flash(arguments) => flash::run(console, choice, arguments),
        Task::Bench(arguments) => bench::run(console, arguments),
        Task::Interop(arguments) => interop::run(console, arguments),
        Task::ConstantTime(arguments) => constant_time::run(console, choice, arguments),
        Task::Lint(arguments) => lint::run(console, choice, *arguments),
        Task::Ci => Ok(ci::run(console, choice)),
        Task::Size => size::run(console, choice),
    }
}
