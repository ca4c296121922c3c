//! `host-runner keygen`: the key authority makes secrets and evaluation keys.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use he_core::params::Params;
use he_lora::parameters::Shape;
use he_nn::model::Model;

use super::output::Output;
use crate::authority::{self, Order};
use crate::finetune::settings::Settings;
use crate::import::ModelFolder;
use crate::memory;
use crate::plan::Plan;
use crate::plan::training::{LARGEST_GROUP, TrainingPlan};
use crate::preset;
use crate::progress::Progress;
use crate::random;
use crate::store::{DEVICE, Existing, OWNER, SERVER};

const EXAMPLES: &str = "\
Examples:
  host-runner keygen --preset edge-128 --out keys
  host-runner keygen --preset edge-128 --out keys --force --json -
  host-runner keygen --preset edge-128 --out keys --finetune 2
  host-runner keygen --preset edge-128 --out keys --finetune full
  host-runner keygen --preset edge-128 --out keys --trained 2

Writes DIR/server (evaluation keys: give it to the server) and DIR/device (the edge
secret: provision it into the device, then keep it offline or delete it), and DIR/owner
(a public key: personal adapters are encrypted with it).";

/// Makes a device's secrets and the evaluation keys that its server needs
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Keygen {
    /// The parameter set
    #[arg(long, default_value = "edge-128")]
    preset: String,
    /// The folder of the model that the keys are for
    #[arg(long, value_name = "DIR", default_value = "models/edge")]
    model: PathBuf,
    /// Where the folders `server`, `device` and `owner` are made
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Make keys for `finetune` too, for updates of this rank, or for whole matrices (`full`)
    #[arg(long, value_name = "RANK", value_parser = rank)]
    finetune: Option<usize>,
    /// Make keys to answer with adapters that were trained elsewhere too, of this rank; --finetune has them
    #[arg(long, value_name = "RANK", conflicts_with = "finetune")]
    trained: Option<usize>,
    /// Replace keys that are there already
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    output: Output,
}

impl Keygen {
    pub(super) fn run(&self) -> Result<()> {
        let params = preset::params(&self.preset)?;
        let folder = ModelFolder::open(&self.model)?;
        let mut plan = Plan::new(&params, folder.model())?;
        if let Some(rank) = self.trained {
            let shape = Shape::new(rank, folder.model().config())?;
            plan = plan.with_trained(&params, folder.model(), shape)?;
        }
        let existing = if self.force { Existing::Replace } else { Existing::Keep };
        let training = self.finetune.map(|rank| training_plan(&params, folder.model(), rank));
        let training = training.transpose()?;
        let plan = training.as_ref().map_or_else(|| plan.keys(), TrainingPlan::keys);
        let order = Order { preset: &self.preset, params: &params, plan };
        let mut progress = Progress::new("evaluation keys", plan.specs().len());
        let mut rng = random::generator()?;
        let mut done = |file: &str| progress.step(file);
        let report = authority::generate(order, &mut rng, &self.out, existing, &mut done)?;
        let seconds = progress.finish();
        let (server, device) = (self.out.join(SERVER), self.out.join(DEVICE));
        self.output.say(format_args!(
            "{} keys in {seconds:.1} s: {} on the wire, {} in the server's memory",
            report.count,
            memory::bytes(report.wire_bytes),
            memory::bytes(report.resident_bytes)
        ));
        self.output.say(format_args!("for the server: {}", server.display()));
        self.output.say(format_args!("for the device: {} (secret)", device.display()));
        let owner = self.out.join(OWNER);
        self.output.say(format_args!("for the owner of an adapter: {}", owner.display()));
        self.output.write(&report)
    }
}

/// What full fine-tuning is called in place of a rank.
const FULL: usize = 0;

fn rank(text: &str) -> Result<usize, String> {
    match text {
        "full" => Ok(FULL),
        _ => text.parse().ok().filter(|rank| *rank > 0).ok_or("a rank from 1, or `full`".into()),
    }
}

/// The plan of an iteration of the largest group: no batch takes other keys.
fn training_plan(params: &Params, model: &Model, rank: usize) -> Result<TrainingPlan> {
    let default = Settings { batch: LARGEST_GROUP, ..Settings::default() };
    let settings = match rank {
        FULL => Settings { full: true, ..default },
        rank => Settings { rank, ..default },
    };
    let training = settings.training(model.config(), 1)?;
    TrainingPlan::new(params, model, &training, LARGEST_GROUP)
}
