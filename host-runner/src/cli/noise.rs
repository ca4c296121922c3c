//! `host-runner noise`: what operations and bootstraps do to precision, measured.

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use super::output::Output;
use crate::noise::refresh::{self, Precision};
use crate::noise::{self, Row};
use crate::preset;
use crate::progress::Progress;
use crate::random;

/// Operations that are measured, and the bootstraps.
const STEPS: usize = 19;

const EXAMPLES: &str = "\
Examples:
  host-runner noise
  host-runner noise --preset precise-128 --json -

Makes keys of its own; takes about a minute and 6 GB.";

/// Measures the noise of operations and bootstraps on fresh keys, beside the formulas
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ShowNoise {
    /// The parameter set
    #[arg(long, default_value = "edge-128")]
    preset: String,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Serialize)]
struct Report {
    preset: String,
    seconds: f64,
    operations: Vec<Row>,
    /// Bits after one half-bootstrap, and after the way back and another.
    bootstraps: [Precision; 2],
}

impl ShowNoise {
    pub(super) fn run(&self) -> Result<()> {
        let params = preset::params(&self.preset)?;
        let mut progress = Progress::new("noise", STEPS);
        let operations =
            noise::measure(&params, random::generator()?, &mut |name| progress.step(name))?;
        progress.note("half-bootstraps");
        let bootstraps = refresh::measure(&params, random::generator()?)?;
        progress.step("half-bootstraps");
        let seconds = progress.finish();
        let preset = self.preset.clone();
        let report = Report { preset, seconds, operations, bootstraps };
        self.output.report(&report, Report::print)
    }
}

impl Report {
    /// A table in Markdown.
    fn print(&self) {
        println!("| `{}`: operation | level | predicted | measured |", self.preset);
        println!("|---|---|---|---|");
        for Row { operation, level, predicted, measured } in &self.operations {
            println!("| {operation} | {level} | 2^{predicted:.2} | 2^{measured:.2} |");
        }
        println!("\nStandard deviation of a coefficient's noise.");
        let [once, twice] = self.bootstraps;
        println!("A half-bootstrap keeps {:.1} bits worst, {:.1} mean;", once.worst, once.mean);
        println!("with the way back and another {:.1}, {:.1}.", twice.worst, twice.mean);
    }
}
