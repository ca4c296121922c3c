//! `host-runner eval`: accuracy and precision over a file of labelled sentences.

mod summary;

use core::time::Duration;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use he_core::wire;
use rayon::prelude::*;

use self::summary::{ClearSummary, Outcome, Summary};
use super::output::Output;
use super::serve::Job;
use crate::adapter::plain::PlainAdapter;
use crate::client::Client;
use crate::connection::Connection;
use crate::dataset::{self, Example};
use crate::finetune::rehearsal;
use crate::import::ModelFolder;
use crate::objective::Objective;
use crate::personal::{self, HandedOver};
use crate::progress::Progress;
use crate::store::{DEVICE, SERVER};
use crate::{clear, precision};

const EXAMPLES: &str = "\
Examples:
  host-runner eval --task sst2 --file models/edge/sst2-dev-64.tsv --limit 20 --keys keys
  host-runner eval --task sst2 --file dev.tsv --clear --json -
  host-runner eval --file spam-dev.tsv --adapter mine.safetensors --clear
  host-runner eval --file spam-dev.tsv --adapter job --limit 20 --keys keys

Without --server, a server is started inside this process from KEYS/server.";

/// Classifies a file of labelled sentences and compares with the plaintext model
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Eval {
    /// What the file holds
    #[arg(long, value_enum, default_value_t = Task::Sst2, conflicts_with = "adapter")]
    task: Task,
    /// Tab-separated sentences and labels under one line of headings
    #[arg(long, visible_alias = "data", value_name = "TSV")]
    file: PathBuf,
    /// Stop after this many sentences
    #[arg(long, value_name = "K")]
    limit: Option<usize>,
    /// The folder that keygen wrote, with `server` and `device` in it
    #[arg(long, value_name = "DIR", required_unless_present = "clear")]
    keys: Option<PathBuf>,
    /// A running server's address
    #[arg(long, value_name = "ADDRESS", conflicts_with = "clear")]
    server: Option<String>,
    /// The model's folder
    #[arg(long, value_name = "DIR", default_value = "models/edge")]
    model: PathBuf,
    /// Your personal adapter in the clear, or the job's folder that `finetune` trained it in: labels are the classes
    /// that it was trained for
    #[arg(long, value_name = "PATH")]
    adapter: Option<PathBuf>,
    /// Run the plaintext model only
    #[arg(long)]
    clear: bool,
    /// Take at most this much memory, such as 12G, instead of what is available
    #[arg(long, value_name = "SIZE", conflicts_with_all = ["server", "clear"], value_parser = crate::memory::parse_bytes)]
    memory: Option<u64>,
    /// Write where the time went to this file, for `host-runner trace` and Perfetto
    #[arg(long, value_name = "FILE", conflicts_with_all = ["server", "clear"])]
    trace: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
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

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(10);

impl Eval {
    pub(super) fn run(&self) -> Result<()> {
        let folder = ModelFolder::open(&self.model)?;
        let own = |path: &PathBuf| personal::owned(path, self.keys.as_deref(), &folder);
        let adapter = self.adapter.as_ref().map(own).transpose()?;
        ensure!(
            !adapter.as_ref().is_some_and(|adapter| adapter.objective().is_real()),
            "the adapter answers with a number, so it has no accuracy; `finetune --dev` measures its squared error, and \
             `infer` says what it answers"
        );
        let classes = match &adapter {
            None => self.task.classes(),
            Some(_) => folder.model().config().classes,
        };
        let mut examples = dataset::read(&self.file, (Objective::CrossEntropy, classes), None)?;
        let long = rehearsal::take_long(&folder, &mut examples)?;
        if long > 0 {
            eprintln!("{}: {long} sentences are too long and left out", self.file.display());
        }
        examples.truncate(self.limit.unwrap_or(usize::MAX));
        let asked = Asked { folder: &folder, adapter: adapter.as_ref(), examples: &examples };
        match &self.keys {
            Some(keys) if !self.clear => self.run_encrypted(asked, keys),
            _ => self.run_clear(asked),
        }
    }

    fn run_clear(&self, asked: Asked<'_>) -> Result<()> {
        let Asked { folder, adapter, examples } = asked;
        let is_correct = |example: &Example| {
            let logits = clear::logits_with(folder, adapter, &example.sentence)?;
            Ok(usize::from(precision::largest(&logits) == precision::largest(&example.label)))
        };
        let counts: Vec<usize> = examples.par_iter().map(is_correct).collect::<Result<_>>()?;
        let summary = ClearSummary::new(examples.len(), counts.iter().sum());
        self.output.report(&summary, ClearSummary::print)
    }

    fn run_encrypted(&self, asked: Asked<'_>, keys: &Path) -> Result<()> {
        let client = Client::open(&keys.join(DEVICE), asked.folder)?;
        let questions = Questions { client, asked, output: &self.output };
        let outcomes = match &self.server {
            Some(address) => questions.ask_all(address)?,
            None => self.ask_own_server(&questions, keys)?,
        };
        let summary = Summary::new(asked.examples.len(), outcomes);
        self.output.report(&summary, Summary::print)
    }

    /// Asks a server on a thread of this process, over a socket all the same.
    fn ask_own_server(&self, questions: &Questions<'_>, keys: &Path) -> Result<Vec<Outcome>> {
        let Asked { folder, adapter, .. } = questions.asked;
        let adapter = adapter.zip(self.adapter.as_ref());
        let adapter =
            adapter.map(|(plain, path)| personal::hand_over(path, plain, keys, folder.model()));
        let adapter = adapter.transpose()?;
        let (server, path) = (keys.join(SERVER), adapter.as_ref().map(HandedOver::path));
        let job = Job::load(&server, &self.model, path, self.memory)?;
        let job = job.traced(self.trace.as_deref());
        job.while_serving(|address| questions.ask_all(address))
    }
}

/// A model, what changes it, and what it is asked about.
#[derive(Clone, Copy)]
struct Asked<'a> {
    folder: &'a ModelFolder,
    adapter: Option<&'a PlainAdapter>,
    examples: &'a [Example],
}

/// What is asked, by whom, and where each result is said.
struct Questions<'a> {
    client: Client<'a>,
    asked: Asked<'a>,
    output: &'a Output,
}

impl Questions<'_> {
    /// Asks about every example over one connection and says each result in a line; an answer that
    /// the canary refuses counts as none.
    fn ask_all(&self, address: &str) -> Result<Vec<Outcome>> {
        let total = self.asked.examples.len();
        let mut connection = Connection::connect(address, CONNECT)?;
        let mut progress = Progress::new("sentences", total);
        let mut outcomes = Vec::with_capacity(total);
        for (example, number) in self.asked.examples.iter().zip(1..) {
            let line = match self.ask(example, &mut connection, &progress) {
                Ok(outcome) => {
                    let line = format!("{number:>4}/{total} {outcome}");
                    outcomes.push(outcome);
                    line
                }
                Err(error) if is_refused_by_canary(&error) => {
                    format!("{number:>4}/{total} {error:#}  {}", example.sentence)
                }
                Err(error) => return Err(error.context(format!("in sentence {number}"))),
            };
            progress.aside(|| self.output.say(&line));
            progress.pass();
        }
        let _ = progress.finish();
        Ok(outcomes)
    }

    fn ask(
        &self,
        example: &Example,
        connection: &mut Connection,
        progress: &Progress,
    ) -> Result<Outcome> {
        let Asked { folder, adapter, .. } = self.asked;
        let plain_logits = clear::logits_with(folder, adapter, &example.sentence)?;
        let begun = Instant::now();
        let mut note = |stage: &wire::Progress| progress.note(stage.stage.as_str());
        let decrypted = self.client.ask(connection, &example.sentence, &mut note)?;
        Ok(Outcome {
            sentence: example.sentence.clone(),
            label: precision::largest(&example.label),
            predicted: precision::largest(&decrypted.logits),
            plain_predicted: precision::largest(&plain_logits),
            error_bits: precision::error_bits(&decrypted.logits, &plain_logits),
            plain_margin: precision::margin(&plain_logits),
            logits: decrypted.logits,
            plain_logits,
            canary: decrypted.canary,
            seconds: begun.elapsed().as_secs_f64(),
        })
    }
}

fn is_refused_by_canary(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(he_nn::Error::Refused { .. }))
}
