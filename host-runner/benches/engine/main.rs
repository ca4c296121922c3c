//! What the server's operations cost at the size of `edge-128`, on real keys: wall-clock and
//! processor time of each, the least of some runs. Processor time counts all threads, so it says
//! something on a busy machine too. Results are decrypted and compared with the plain ones.
//!
//! `cargo bench -p host-runner --bench engine [-- NAME…]` runs those whose names contain a `NAME`;
//! `--json FILE` writes the rows, `--quick` takes a small ring. `RAYON_NUM_THREADS` sets the threads. It
//! needs 6 GB of memory and makes the keys first.

extern crate alloc;

mod linear;
mod operations;
mod runner;
mod setup;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use he_core::params::{EDGE_128, Params, ParamsLiteral};

use runner::Runner;
use setup::Setup;

#[global_allocator]
static MEMORY: he_memory::Memory = he_memory::Memory;

/// What to run.
#[derive(Debug, Parser)]
struct Arguments {
    /// Only operations whose names contain one of these.
    names: Vec<String>,
    /// Write the rows to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Take a small ring without any security: shows that everything runs, and no speed.
    #[arg(long)]
    quick: bool,
    /// What cargo passes.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let params = |log_tokens| {
        if arguments.quick {
            return Params::insecure_small(11, 8, log_tokens - 3);
        }
        Params::new(ParamsLiteral { log_tokens, ..EDGE_128 })
    };
    let mut runner = Runner::new(arguments.names);
    let refresh = runner.wants_any(&operations::REFRESH);
    if refresh || runner.wants_any(&operations::ARITHMETIC) {
        let mut setup = Setup::new(params(EDGE_128.log_tokens)?, refresh)?;
        operations::arithmetic(&mut runner, &mut setup)?;
        if refresh {
            operations::refresh(&mut runner, &mut setup)?;
        }
    }
    if runner.wants_any(&[linear::LINEAR]) {
        linear::run(&mut runner, &mut Setup::new(params(linear::LOG_TOKENS)?, true)?)?;
    }
    runner.finish(arguments.json.as_deref())
}
