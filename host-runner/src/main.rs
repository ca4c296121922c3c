//! The `host-runner` program: parses arguments and calls one function.

use std::process::ExitCode;

use clap::Parser;
use host_runner::cli::Cli;

#[global_allocator]
static MEMORY: he_memory::Memory = he_memory::Memory;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
