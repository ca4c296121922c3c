//! `host-runner infer`: the device's client in a host process.

use core::time::Duration;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;

use super::serve::Job;
use crate::adapter::plain::PlainAdapter;
use crate::client::{Client, DEFAULT_SENTENCE};
use crate::connection::Connection;
use crate::import::ModelFolder;
use crate::report::{ClearReport, InferReport};
use crate::store::{DEVICE, SERVER};
use crate::{clear, memory, precision};

const EXAMPLES: &str = "\
Examples:
  host-runner infer 'a warm , funny film' --keys keys/device --server 127.0.0.1:7000
  host-runner infer 'a warm , funny film' --keys keys --trace out.json
  host-runner infer 'a warm , funny film' --clear --json -
  host-runner infer 'a warm , funny film' --clear --adapter mine.safetensors

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
    /// A personal adapter in the clear: the plaintext model, which answers are compared with, has it
    #[arg(long, value_name = "FILE")]
    adapter: Option<PathBuf>,
    /// Run the plaintext model only
    #[arg(long)]
    clear: bool,
    /// Write where the time went to this file, for `host-runner trace` and Perfetto
    #[arg(long, value_name = "FILE", conflicts_with_all = ["server", "clear"])]
    trace: Option<PathBuf>,
    /// Write the result as JSON to this file (`-` is standard output)
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(10);

impl Infer {
    pub(super) fn run(&self) -> Result<()> {
        let folder = ModelFolder::open(&self.model)?;
        match &self.keys {
            Some(keys) if !self.clear => self.run_encrypted(&folder, keys),
            _ => self.run_clear(&folder),
        }
    }

    fn run_clear(&self, folder: &ModelFolder) -> Result<()> {
        let logits = self.plain_logits(folder)?;
        let label = folder.labels()[precision::largest(&logits)].clone();
        let probabilities = precision::probabilities(&logits);
        let report = ClearReport { sentence: self.sentence.clone(), label, logits, probabilities };
        if self.json.as_deref() != Some(Path::new("-")) {
            println!("{}  ({})", report.label, super::decimals(&report.probabilities, 4));
            println!("logits  {}", super::decimals(&report.logits, 6));
        }
        self.json.as_ref().map_or(Ok(()), |path| super::write_json(path, &report))
    }

    fn plain_logits(&self, folder: &ModelFolder) -> Result<Vec<f64>> {
        let open = |path: &PathBuf| PlainAdapter::open(path, folder.model());
        let adapter = self.adapter.as_ref().map(open).transpose()?;
        let trace = clear::trace(folder, adapter.as_ref(), &self.sentence)?;
        for warning in clear::beyond_ranges(folder.model().config(), &trace) {
            eprintln!("warning: {warning}: encrypted answers are not to be trusted");
        }
        Ok(trace.logits)
    }

    fn run_encrypted(&self, folder: &ModelFolder, keys: &Path) -> Result<()> {
        if let Some(address) = &self.server {
            return self.ask(&Client::open(keys, folder)?, folder, address);
        }
        let client = Client::open(&keys.join(DEVICE), folder)?;
        let server = keys.join(SERVER);
        let job = Job::load(&server, &self.model, None, None)?.traced(self.trace.as_deref());
        job.while_serving(&server, |address| self.ask(&client, folder, address))
    }

    fn ask(&self, client: &Client<'_>, folder: &ModelFolder, server: &str) -> Result<()> {
        let plain_logits = self.plain_logits(folder)?;
        let mut connection = Connection::connect(server, CONNECT)?;
        let begun = Instant::now();
        let decrypted = client.ask(&mut connection, &self.sentence, &mut |progress| {
            let (stage, total) = (progress.index + 1, progress.total);
            let seconds = f64::from(progress.millis) / 1e3;
            eprintln!("server: {stage}/{total} {} ({seconds:.1} s)", progress.stage.as_str());
        })?;
        let seconds = begun.elapsed().as_secs_f64();
        let label = folder.labels().get(precision::largest(&decrypted.logits));
        let report = InferReport {
            sentence: self.sentence.clone(),
            label: label.context("a class without a name")?.clone(),
            probabilities: precision::probabilities(&decrypted.logits),
            error_bits: precision::error_bits(&decrypted.logits, &plain_logits),
            logits: decrypted.logits,
            plain_logits,
            canary: "intact",
            canary_value: decrypted.canary,
            upload_bytes: decrypted.upload_bytes,
            download_bytes: decrypted.download_bytes,
            seconds,
        };
        if self.json.as_deref() != Some(Path::new("-")) {
            print(&report);
        }
        self.json.as_ref().map_or(Ok(()), |path| super::write_json(path, &report))
    }
}

fn print(report: &InferReport) {
    println!("{}  ({})", report.label, super::decimals(&report.probabilities, 4));
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
