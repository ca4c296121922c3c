//! `host-runner plan`: what a forward pass will take, before anything heavy starts.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::output::Output;
use crate::import::ModelFolder;
use crate::memory;
use crate::plan::{self, PlanReport, PlannedBootstrap};
use crate::preset;

const EXAMPLES: &str = "\
Examples:
  host-runner plan --preset edge-128 --model models/edge
  host-runner plan --json -";

/// Prints levels, bootstraps, keys and memory of a forward pass
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Plan {
    /// The parameter set
    #[arg(long, default_value = "edge-128")]
    preset: String,
    /// The model's folder
    #[arg(long, value_name = "DIR", default_value = "models/edge")]
    model: PathBuf,
    #[command(flatten)]
    output: Output,
}

impl Plan {
    pub(super) fn run(&self) -> Result<()> {
        let params = preset::params(&self.preset)?;
        let folder = ModelFolder::open(&self.model)?;
        let report = plan::Plan::new(&params, folder.model())?.report;
        self.output.report(&report, print)
    }
}

fn print(report: &PlanReport) {
    println!("{:<32}  {:>6}  {:>9}  bootstraps", "stage", "lowest", "processor");
    for stage in &report.stages {
        let bootstraps: Vec<_> = stage.bootstraps.iter().map(bootstrap).collect();
        println!(
            "{:<32}  {:>6}  {:>7.2} s  {}",
            stage.name,
            stage.level,
            stage.seconds,
            bootstraps.join("; ")
        );
    }
    println!(
        "\nexpected: {:.1} s of processor time; {:.1} s if every bootstrap returned to the highest level",
        report.seconds, report.unplanned_seconds
    );
    println!("{} bootstraps with {} sine evaluations", report.bootstraps, report.sines);
    println!("{} levels between bootstraps, at most", report.computing_levels);
    println!("{} ways from slots back to rows", report.descents);
    println!("{} linear layers, {} weights", report.linear_layers, report.weights);
    let operations = &report.operations;
    println!(
        "non-linear layers: {} products in {} relinearisations, {} with plain vectors, \
         {} rotations, {} conjugations, {} rescales",
        operations.products,
        operations.relinearizations,
        operations.plain_products,
        operations.rotations,
        operations.conjugations,
        operations.rescales
    );
    println!(
        "\n{} evaluation keys: {} on the wire, {} in memory ({} rotations for layers)",
        report.keys.count,
        memory::bytes(report.keys.wire_bytes),
        memory::bytes(report.keys.resident_bytes),
        report.rotations
    );
    println!("matrices of the bootstrap: {}", memory::bytes(report.transform_bytes));
    println!("memory in all: {}", memory::bytes(report.memory_bytes));
    if let Some(available) = memory::available() {
        println!("this machine has {} available", memory::bytes(available));
    }
}

/// The level it returns to, what it packs, and what it is expected to take.
fn bootstrap(one: &PlannedBootstrap) -> String {
    let halves = if one.halves == 1 { "one half" } else { "both halves" };
    format!("to level {}, {} rows, {halves}: {:.2} s", one.level, one.rows, one.seconds)
}
