//! The arguments that declare a run.

use clap::Args;

use crate::finetune::settings::{Fall, Settings, Target};
use crate::objective::Objective;

/// What a run is declared with.
#[derive(Debug, Args)]
pub(super) struct DeclaredArguments {
    /// What labels are, and what is minimised
    #[arg(long, value_enum, default_value_t = Objective::CrossEntropy)]
    loss: Objective,
    /// Train every entry of every matrix instead of an adapter: two to five times as long
    #[arg(long, conflicts_with_all = ["rank", "alpha", "targets", "exponent_rate"])]
    full: bool,
    /// The rank of every update
    #[arg(long, default_value_t = 2)]
    rank: usize,
    /// Updates are multiplied by alpha / rank
    #[arg(long, default_value_t = 2.0)]
    alpha: f64,
    /// The projections to train; the head always is
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Target::Q, Target::K, Target::V])]
    targets: Vec<Target>,
    /// How often to go through the examples
    #[arg(long, default_value_t = 1)]
    epochs: u32,
    /// Examples of an iteration
    #[arg(long, default_value_t = 8)]
    batch: usize,
    /// The largest learning rate [default: 0.00125 for each example of a batch, at most 0.01]
    #[arg(long)]
    rate: Option<f64>,
    /// What it is multiplied by for queries and keys: lower it if exponents leave their range
    #[arg(long, default_value_t = 1.0)]
    exponent_rate: f64,
    /// How it falls
    #[arg(long, value_enum, default_value_t = Fall::Linear)]
    schedule: Fall,
    /// Iterations in which it rises
    #[arg(long, default_value_t = 0)]
    warmup: u32,
    /// What is taken off the parameters, as a part of the learning rate
    #[arg(long, default_value_t = 0.0)]
    weight_decay: f64,
    /// What the order of examples and the first parameters are drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl DeclaredArguments {
    /// The settings that they stand for.
    pub(super) fn settings(&self) -> Settings {
        Settings {
            full: self.full,
            loss: self.loss,
            rank: self.rank,
            alpha: self.alpha,
            targets: self.targets.clone(),
            epochs: self.epochs,
            batch: self.batch,
            rate: self.rate.unwrap_or_else(|| Settings::rate_of(self.batch)),
            exponent_rate: self.exponent_rate,
            schedule: self.schedule,
            warmup: self.warmup,
            weight_decay: self.weight_decay,
            seed: self.seed,
        }
    }
}
