//! `host-runner adapter`: makes and encrypts personal adapters.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use he_core::ring::Ring;

use crate::adapter::encrypt::{self, Public};
use crate::adapter::encrypted::Target;
use crate::adapter::plain::{self, PlainAdapter};
use crate::import::ModelFolder;
use crate::store::owner;
use crate::threads::Rayon;
use crate::{memory, random};

const EXAMPLES: &str = "\
Examples:
  host-runner adapter new --model models/edge --rank 2 --out mine.safetensors
  host-runner adapter encrypt --public keys/owner/public.key --adapter mine.safetensors --out mine.enc
  host-runner serve --keys keys/server --adapter mine.enc

The owner keeps mine.safetensors; the server gets mine.enc and learns its rank, alpha and classes only.";

/// Makes a personal adapter, or encrypts one for a server
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Adapter {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    New(New),
    Encrypt(Encrypt),
}

impl Adapter {
    pub(super) fn run(&self) -> Result<()> {
        match &self.action {
            Action::New(action) => action.run(),
            Action::Encrypt(action) => action.run(),
        }
    }
}

const NEW_EXAMPLES: &str = "\
Examples:
  host-runner adapter new --model models/edge --rank 2 --out mine.safetensors

lora_A is random and lora_B is zero, so the adapter changes nothing before it is trained. Names and
shapes are those of Hugging Face's PEFT; the last row of a value's lora_B has to stay zero.";

/// Writes an adapter that changes nothing yet
#[derive(Debug, Args)]
#[command(after_help = NEW_EXAMPLES)]
struct New {
    /// The folder of the model that the adapter is for
    #[arg(long, value_name = "DIR", default_value = "models/edge")]
    model: PathBuf,
    /// The rank of each layer's update
    #[arg(long, default_value_t = 2)]
    rank: usize,
    /// The update is multiplied by alpha / rank
    #[arg(long, default_value_t = 8.0)]
    alpha: f64,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl New {
    fn run(&self) -> Result<()> {
        let folder = ModelFolder::open(&self.model)?;
        let mut rng = random::generator()?;
        plain::create(&self.out, folder.model(), self.rank, self.alpha, &mut rng)?;
        println!("{}: rank {}, alpha {} (private)", self.out.display(), self.rank, self.alpha);
        Ok(())
    }
}

const ENCRYPT_EXAMPLES: &str = "\
Examples:
  host-runner adapter encrypt --public keys/owner/public.key --adapter mine.safetensors --out mine.enc";

/// Encrypts an adapter under its owner's public key
#[derive(Debug, Args)]
#[command(after_help = ENCRYPT_EXAMPLES)]
struct Encrypt {
    /// The `owner/public.key` that keygen wrote
    #[arg(long, value_name = "FILE")]
    public: PathBuf,
    /// The folder of the model that the adapter is for
    #[arg(long, value_name = "DIR", default_value = "models/edge")]
    model: PathBuf,
    /// The adapter
    #[arg(long, value_name = "FILE")]
    adapter: PathBuf,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Encrypt {
    fn run(&self) -> Result<()> {
        let (_, params) = owner::params(&self.public)?;
        let ring = Ring::new(params.log_degree(), params.primes(), he_simd::best(), &Rayon)?;
        let key = Public::open(&self.public, &ring, &params)?;
        let folder = ModelFolder::open(&self.model)?;
        let adapter = PlainAdapter::open(&self.adapter, folder.model())?;
        let target = Target { ring: &ring, params: &params, model: folder.model() };
        let mut rng = random::generator()?;
        let bytes = encrypt::write(&self.out, target, &key, &adapter, &mut rng)?;
        println!("{}: {}, for the server", self.out.display(), memory::bytes(bytes));
        Ok(())
    }
}
