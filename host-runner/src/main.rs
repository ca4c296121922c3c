//! The `host-runner` program: parses arguments and calls one function.

use std::panic;
use std::process::{self, ExitCode};

use clap::Parser;
use host_runner::cli::Cli;

#[global_allocator]
static MEMORY: he_memory::Memory = he_memory::Memory;

/// The exit status of a program that nobody reads any more: that of SIGPIPE, which Rust ignores.
const UNREAD: i32 = 128 + 13;

fn main() -> ExitCode {
    end_when_unread();
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whoever reads a table may stop before its end, as `head` does. Printing panics then, and there is nobody to tell.
fn end_when_unread() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let text = info.payload_as_str().unwrap_or_default();
        if text.starts_with("failed printing to stdout: Broken pipe") {
            process::exit(UNREAD);
        }
        usual(info);
    }));
}
