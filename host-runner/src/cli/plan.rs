//! `host-runner plan`: what a forward pass will take, before anything heavy starts.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::import::ModelFolder;
use crate::memory;
use crate::plan::{self, PlanReport};
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
    /// Write the plan as JSON to this file (`-` is standard output)
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Plan {
    pub(super) fn run(&self) -> Result<()> {
        let params = preset::params(&self.preset)?;
        let folder = ModelFolder::open(&self.model)?;
        let report = plan::Plan::new(&params, folder.model())?.report;
        if let Some(path) = &self.json {
            return super::write_json(path, &report);
        }
        print(&report);
        Ok(())
    }
}

fn print(report: &PlanReport) {
    println!("stage                             lowest level");
    for stage in &report.stages {
        println!("{:<32}  {:>12}", stage.name, stage.level);
    }
    println!("\n{} bootstraps with {} sine evaluations", report.bootstraps, report.sines);
    println!("{} levels between bootstraps", report.computing_levels);
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
