//! The command line: one subcommand a file, each a struct of arguments with a `run`.

mod adapter;
mod compare;
mod eval;
mod finetune;
mod infer;
mod keygen;
mod noise;
mod order;
mod output;
mod params;
mod plan;
mod provision;
mod serve;
mod trace;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Encrypted language models for people's own devices: key authority, server and host client.
#[derive(Debug, Parser)]
#[command(version, about, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Keygen(keygen::Keygen),
    Order(order::Order),
    Provision(provision::Provision),
    Serve(serve::Serve),
    Infer(infer::Infer),
    Eval(eval::Eval),
    Finetune(finetune::Finetune),
    Plan(plan::Plan),
    Compare(compare::Compare),
    Params(params::ShowParams),
    Noise(noise::ShowNoise),
    Trace(trace::ShowTrace),
    Adapter(adapter::Adapter),
}

impl Cli {
    /// Runs the chosen subcommand.
    ///
    /// # Errors
    /// What went wrong, for the user, naming the thing and the way out.
    pub fn run(&self) -> Result<()> {
        match &self.command {
            Command::Keygen(command) => command.run(),
            Command::Order(command) => command.run(),
            Command::Provision(command) => command.run(),
            Command::Serve(command) => command.run(),
            Command::Infer(command) => command.run(),
            Command::Eval(command) => command.run(),
            Command::Finetune(command) => command.run(),
            Command::Plan(command) => command.run(),
            Command::Compare(command) => command.run(),
            Command::Params(command) => command.run(),
            Command::Noise(command) => command.run(),
            Command::Trace(command) => command.run(),
            Command::Adapter(command) => command.run(),
        }
    }
}

/// Numbers in one line.
fn decimals(numbers: &[f64], places: usize) -> String {
    numbers.iter().map(|x| format!("{x:.places$}")).collect::<Vec<_>>().join("  ")
}
