//! `host-runner infer`: the device's client in a host process.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::clear;
use crate::import::ModelFolder;
use crate::precision;
use crate::report::ClearReport;

const EXAMPLES: &str = "\
Examples:
  host-runner infer 'a warm , funny film' --clear
  host-runner infer 'a warm , funny film' --clear --json -

With --clear there is no encryption and no server: the plaintext model answers.";

/// What is classified if nothing else is said.
const DEFAULT_SENTENCE: &str = "a gripping, funny and deeply human film .";

/// Classifies one sentence, under encryption or in the clear
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Infer {
    /// The sentence
    #[arg(default_value = DEFAULT_SENTENCE)]
    sentence: String,
    /// The model's folder: vocabulary and embedding for the client, and the plaintext model
    #[arg(long, value_name = "DIR", default_value = "models/edge")]
    model: PathBuf,
    /// Run the plaintext model only
    #[arg(long, required = true)]
    clear: bool,
    /// Write the result as JSON to this file (`-` is standard output)
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Infer {
    pub(super) fn run(&self) -> Result<()> {
        let folder = ModelFolder::open(&self.model)?;
        self.run_clear(&folder)
    }

    fn run_clear(&self, folder: &ModelFolder) -> Result<()> {
        let logits = clear::logits(folder, &self.sentence)?;
        let label = folder.labels()[precision::largest(&logits)].clone();
        let probabilities = precision::probabilities(&logits);
        println!("{label}  ({})", super::decimals(&probabilities, 4));
        println!("logits  {}", super::decimals(&logits, 6));
        let sentence = self.sentence.clone();
        let report = ClearReport { sentence, label, logits, probabilities };
        self.json.as_ref().map_or(Ok(()), |path| super::write_json(path, &report))
    }
}
