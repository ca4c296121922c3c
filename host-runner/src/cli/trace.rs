//! `host-runner trace`: a recorded trace as tables.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::trace::Trace;
use crate::trace::table::Tables;

const EXAMPLES: &str = "\
Examples:
  host-runner eval --file models/edge/sst2-dev-64.tsv --limit 1 --keys keys --trace out.json
  host-runner trace out.json

The file opens in https://ui.perfetto.dev and chrome://tracing, too. Seconds of operations leave out
the operations within them; processor is that of all threads together. Arithmetic and memory are
the least that this machine would take, and floor sums the larger of the two over all operations.
Ratio is seconds over the floor; work is what the ratio would be with no other program on the machine
and no thread idle.";

/// Sums up where the time of a traced forward pass went, beside what it could not go below
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ShowTrace {
    /// A file that `--trace` wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl ShowTrace {
    pub(super) fn run(&self) -> Result<()> {
        print!("{}", Tables::new(&Trace::read(&self.file)?));
        Ok(())
    }
}
