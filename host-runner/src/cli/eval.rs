//! `host-runner eval`: accuracy and precision over a file of labelled sentences.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::dataset::{self, Example};
use crate::import::ModelFolder;
use crate::progress::Progress;
use crate::{clear, precision};

const EXAMPLES: &str = "\
Examples:
  host-runner eval --task sst2 --file models/edge/sst2-dev-64.tsv --clear
  host-runner eval --task sst2 --file dev.tsv --clear --json -";

/// Classifies a file of labelled sentences and compares with the plaintext model
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Eval {
    /// What the file holds
    #[arg(long, value_enum, default_value_t = Task::Sst2)]
    task: Task,
    /// Tab-separated sentences and labels under one line of headings
    #[arg(long, value_name = "TSV")]
    file: PathBuf,
    /// Stop after this many sentences
    #[arg(long, value_name = "K")]
    limit: Option<usize>,
    /// The model's folder
    #[arg(long, value_name = "DIR", default_value = "models/edge")]
    model: PathBuf,
    /// Run the plaintext model only
    #[arg(long, required = true)]
    clear: bool,
    /// Write every result and the summary as JSON to this file (`-` is standard output)
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Task {
    /// Stanford Sentiment Treebank: two classes, 1 is positive
    Sst2,
}

impl Task {
    const fn classes(self) -> usize {
        match self {
            Self::Sst2 => 2,
        }
    }
}

/// The plaintext model over a file, as JSON.
#[derive(Debug, Serialize)]
struct ClearSummary {
    sentences: usize,
    correct: usize,
    accuracy: f64,
}

impl Eval {
    pub(super) fn run(&self) -> Result<()> {
        let folder = ModelFolder::open(&self.model)?;
        let examples = dataset::read(&self.file, self.task.classes(), self.limit)?;
        self.run_clear(&folder, &examples)
    }

    fn run_clear(&self, folder: &ModelFolder, examples: &[Example]) -> Result<()> {
        let mut progress = Progress::new("plaintext model", examples.len());
        let mut correct = 0;
        for example in examples {
            let logits = clear::logits(folder, &example.sentence)?;
            correct += usize::from(precision::largest(&logits) == example.label);
            progress.step("sentences");
        }
        let seconds = progress.finish();
        let accuracy = precision::ratio(correct, examples.len());
        println!("{correct} of {} correct: {accuracy:.4} ({seconds:.1} s)", examples.len());
        let summary = ClearSummary { sentences: examples.len(), correct, accuracy };
        self.json.as_ref().map_or(Ok(()), |path| super::write_json(path, &summary))
    }
}
