//! The `host-runner` program: parses arguments and calls one function.

use std::process::ExitCode;

use clap::Parser;
use host_runner::cli::Cli;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
