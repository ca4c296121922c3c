//! INSECURE: keys for `models/edge` at `edge-128` from a seed that everyone knows, to compare with those
//! that a secure world for tests makes of it.
//!
//! ```text
//! cargo run --release -p host-runner --example insecure_keys -- DIR
//! ```

use std::path::Path;

use anyhow::{Context, Result};
use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng;
use host_runner::authority::{self, Order};
use host_runner::import::ModelFolder;
use host_runner::plan::Plan;
use host_runner::preset;
use host_runner::store::Existing;

fn main() -> Result<()> {
    let place = std::env::args().nth(1).context("name a folder for the keys")?;
    let params = preset::params(preset::EDGE_128)?;
    let folder = ModelFolder::open(Path::new("models/edge"))?;
    let plan = Plan::new(&params, folder.model())?;
    let order = Order { preset: preset::EDGE_128, params: &params, plan: plan.keys() };
    let mut rng = ChaCha20Rng::from_seed(*b"INSECURE: everyone knows my seed");
    authority::generate(order, &mut rng, Path::new(&place), Existing::Keep, &mut |_| {})?;
    Ok(())
}
