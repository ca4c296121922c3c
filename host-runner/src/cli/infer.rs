//! `host-runner infer`: the device's client in a host process.

use core::time::Duration;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;

use super::output::Output;
use super::serve::Job;
use crate::adapter::plain::PlainAdapter;
use crate::client::{Client, DEFAULT_SENTENCE};
use crate::connection::Connection;
use crate::import::ModelFolder;
use crate::objective::Objective;
use crate::personal::{self, HandedOver};
use crate::report::{ClearReport, InferReport};
use crate::store::{DEVICE, SERVER};
use crate::{clear, memory, precision};

const EXAMPLES: &str = "\
Examples:
  host-runner infer 'a warm , funny film' --keys keys/device --server 127.0.0.1:7000
  host-runner infer 'a warm , funny film' --keys keys --trace out.json
  host-runner infer 'a warm , funny film' --clear --json -
  host-runner infer 'a warm , funny film' --clear --adapter mine.safetensors
  host-runner infer 'a warm , funny film' --keys keys --adapter job

Without --server, a server is started inside this process from KEYS/server.
With --clear there is no encryption and no server: the plaintext model answers.";

/// Classifies one sentence, under encryption or in the clear
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Infer {
    /// The sentence
    #[arg(default_value = DEFAULT_SENTENCE)]
    sentence: String,
    /// The `device` folder that keygen wrote; without --server, the folder that it is in
    #[arg(long, value_name = "DIR", required_unless_present = "clear")]
    keys: Option<PathBuf>,
    /// Where the server listens
    #[arg(long, value_name = "ADDRESS")]
    server: Option<String>,
    /// The model's folder: vocabulary and embedding for the client, and the plaintext model
    #[arg(long, value_name = "DIR", default_value = "models/edge")]
    model: PathBuf,
    /// Your personal adapter in the clear, or the job's folder that `finetune` trained it in: the plaintext model, which
    /// answers are compared with, has it, and so does a server inside this process
    #[arg(long, value_name = "PATH")]
    adapter: Option<PathBuf>,
    /// Run the plaintext model only
    #[arg(long)]
    clear: bool,
    /// Write where the time went to this file, for `host-runner trace` and Perfetto
    #[arg(long, value_name = "FILE", conflicts_with_all = ["server", "clear"])]
    trace: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(10);

impl Infer {
    pub(super) fn run(&self) -> Result<()> {
        let folder = ModelFolder::open(&self.model)?;
        // With --server, --keys is the device's folder alone.
        let all = match &self.server {
            None => self.keys.as_deref(),
            Some(_) => self.keys.as_deref().and_then(Path::parent),
        };
        let own = |path: &PathBuf| personal::owned(path, all, &folder);
        let asked = Asked { adapter: self.adapter.as_ref().map(own).transpose()?, folder };
        match &self.keys {
            Some(keys) if !self.clear => self.run_encrypted(&asked, keys),
            _ => self.run_clear(&asked),
        }
    }

    fn run_clear(&self, asked: &Asked) -> Result<()> {
        let logits = self.plain_logits(asked)?;
        let label = asked.label(&logits)?;
        let probabilities = asked.probabilities(&logits);
        let report = ClearReport { sentence: self.sentence.clone(), label, logits, probabilities };
        self.output.report(&report, |report| {
            println!("{}", headline(&report.label, &report.probabilities));
            println!("logits  {}", super::decimals(&report.logits, 6));
        })
    }

    fn plain_logits(&self, asked: &Asked) -> Result<Vec<f64>> {
        let trace = clear::trace(&asked.folder, asked.adapter.as_ref(), &self.sentence)?;
        for warning in clear::beyond_ranges(asked.folder.model().config(), &trace) {
            eprintln!("warning: {warning}: encrypted answers are not to be trusted");
        }
        Ok(trace.logits)
    }

    fn run_encrypted(&self, asked: &Asked, keys: &Path) -> Result<()> {
        if let Some(address) = &self.server {
            return self.ask(&Client::open(keys, &asked.folder)?, asked, address);
        }
        let client = Client::open(&keys.join(DEVICE), &asked.folder)?;
        // A sentence that cannot be asked is refused before keys are loaded.
        clear::trace(&asked.folder, None, &self.sentence)?;
        let server = keys.join(SERVER);
        let adapter = asked.adapter.as_ref().zip(self.adapter.as_ref());
        let adapter = adapter
            .map(|(plain, path)| personal::hand_over(path, plain, keys, asked.folder.model()));
        let adapter = adapter.transpose()?;
        let job = Job::load(&server, &self.model, adapter.as_ref().map(HandedOver::path), None)?;
        let job = job.traced(self.trace.as_deref());
        job.while_serving(|address| self.ask(&client, asked, address))
    }

    fn ask(&self, client: &Client<'_>, asked: &Asked, server: &str) -> Result<()> {
        let plain_logits = self.plain_logits(asked)?;
        let mut connection = Connection::connect(server, CONNECT)?;
        let begun = Instant::now();
        let decrypted = client.ask(&mut connection, &self.sentence, &mut |progress| {
            let (stage, total) = (progress.index + 1, progress.total);
            let seconds = f64::from(progress.millis) / 1e3;
            eprintln!("server: {stage}/{total} {} ({seconds:.1} s)", progress.stage.as_str());
        })?;
        let seconds = begun.elapsed().as_secs_f64();
        let report = InferReport {
            sentence: self.sentence.clone(),
            label: asked.label(&decrypted.logits)?,
            probabilities: asked.probabilities(&decrypted.logits),
            error_bits: precision::error_bits(&decrypted.logits, &plain_logits),
            logits: decrypted.logits,
            plain_logits,
            canary: "intact",
            canary_value: decrypted.canary,
            upload_bytes: decrypted.upload_bytes,
            download_bytes: decrypted.download_bytes,
            seconds,
        };
        self.output.report(&report, print)
    }
}

/// A model and the adapter that it is changed by.
struct Asked {
    folder: ModelFolder,
    adapter: Option<PlainAdapter>,
}

impl Asked {
    /// The name of the class with the highest score: its number, if the classes are the adapter's own. The first score,
    /// if the adapter was trained to answer with a number.
    fn label(&self, logits: &[f64]) -> Result<String> {
        let class = precision::largest(logits);
        if self.objective().is_real() {
            let value = logits.first().context("an answer without scores")?;
            return Ok(format!("{value:.4}"));
        }
        if self.adapter.as_ref().is_some_and(|adapter| adapter.parameters().is_some()) {
            return Ok(format!("class {class}"));
        }
        self.folder.labels().get(class).cloned().context("a class without a name")
    }

    /// Scores as probabilities: none if they were not trained to be that.
    fn probabilities(&self, logits: &[f64]) -> Vec<f64> {
        match self.objective() {
            Objective::CrossEntropy => precision::probabilities(logits),
            Objective::Squared | Objective::SquaredReal => Vec::new(),
        }
    }

    fn objective(&self) -> Objective {
        self.adapter.as_ref().map(PlainAdapter::objective).unwrap_or_default()
    }
}

/// A label, and the probabilities of all classes if there are any.
fn headline(label: &str, probabilities: &[f64]) -> String {
    match probabilities {
        [] => label.to_owned(),
        _ => format!("{label}  ({})", super::decimals(probabilities, 4)),
    }
}

fn print(report: &InferReport) {
    println!("{}", headline(&report.label, &report.probabilities));
    println!("logits, decrypted        {}", super::decimals(&report.logits, 6));
    println!("logits, plaintext model  {}", super::decimals(&report.plain_logits, 6));
    println!("largest difference       2^-{:.1}", report.error_bits);
    println!("canary                   {} ({:.6})", report.canary, report.canary_value);
    println!(
        "upload {}, download {}, {:.1} s",
        memory::bytes(report.upload_bytes as u64),
        memory::bytes(report.download_bytes as u64),
        report.seconds
    );
}
