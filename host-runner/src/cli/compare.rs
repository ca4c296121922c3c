//! `host-runner compare`: a softmax beside the Gaussian kernel.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use he_core::params::Params;
use serde::Serialize;

use crate::compare::measured::{Bench, Measured, Sentence, What};
use crate::compare::{BATCH, Costs, Counted, Subject};
use crate::finetune::settings::Settings;
use crate::import::ModelFolder;
use crate::preset;
use crate::progress::Progress;
use crate::random;

const SENTENCE: &str = "a gorgeous, witty, seductive movie";

const EXAMPLES: &str = "\
Examples:
  host-runner compare
  host-runner compare --measure inference
  host-runner compare --measure inference --measure iteration --json -

Without --measure it counts, in some seconds. To measure it makes keys of its own, in about a minute, and takes 9 GB.
The softmax is a timing model: the matrices of the Gaussian model, in the circuit of a softmax.";

/// Compares softmax attention with the Gaussian kernel: bootstraps, expected and measured seconds
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Compare {
    /// The parameter set
    #[arg(long, default_value = "edge-128")]
    preset: String,
    /// The model's folder
    #[arg(long, value_name = "DIR", default_value = "models/edge")]
    model: PathBuf,
    /// Time this on ciphertexts, with both
    #[arg(long, value_name = "WHAT")]
    measure: Vec<What>,
    /// Write the comparison as JSON to this file (`-` is standard output)
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    preset: &'a str,
    costs: [&'a Costs; 2],
    measured: Vec<Pair>,
}

/// A measurement with each kind of attention, as `costs` are in order.
#[derive(Debug, Serialize)]
struct Pair {
    what: What,
    times: [Measured; 2],
}

impl Compare {
    pub(super) fn run(&self) -> Result<()> {
        let params = preset::params(&self.preset)?;
        let folder = ModelFolder::open(&self.model)?;
        let settings = Settings::default();
        let mut progress = Progress::new("counts", 2);
        let subjects = Subject::both(&params, folder.model(), &settings, &mut |attention| {
            progress.step(attention);
        })?;
        let _ = progress.finish();
        let measured = match self.measure.is_empty() {
            true => Vec::new(),
            false => self.measured(&params, &folder, &settings, &subjects)?,
        };
        let [gaussian, softmax] = &subjects;
        let costs = [&gaussian.costs, &softmax.costs];
        let report = Report { preset: &self.preset, costs, measured };
        match &self.json {
            Some(path) => super::write_json(path, &report),
            None => {
                report.print();
                Ok(())
            }
        }
    }

    fn measured(
        &self,
        params: &Params,
        folder: &ModelFolder,
        settings: &Settings,
        subjects: &[Subject; 2],
    ) -> Result<Vec<Pair>> {
        let sentence = Sentence::new(folder, SENTENCE)?;
        let mut keys: Option<Progress> = None;
        let wanted = (&subjects[..], &self.measure[..]);
        let mut bench = Bench::new(params, wanted, random::generator()?, &mut |count| {
            keys.get_or_insert_with(|| Progress::new("keys", count)).step("made");
        })?;
        let _ = keys.map(Progress::finish);
        let mut progress = Progress::new("comparison", 2 * self.measure.len());
        let mut time = |subject: &Subject, what| {
            progress.note(subject.costs.attention);
            let time = match what {
                What::Inference => bench.inference(subject, &sentence),
                What::Iteration => bench.iteration(subject, settings, &sentence),
            };
            progress.step(subject.costs.attention);
            time
        };
        let [gaussian, softmax] = subjects;
        let pair = |&what| Ok(Pair { what, times: [time(gaussian, what)?, time(softmax, what)?] });
        let pairs = self.measure.iter().map(pair).collect();
        let _ = progress.finish();
        pairs
    }
}

impl Report<'_> {
    /// Tables in Markdown.
    fn print(&self) {
        let [gaussian, softmax] = self.costs;
        println!(
            "Expected processor seconds; the softmax is a timing model, whose answers mean nothing.\n"
        );
        let names = [gaussian.attention, softmax.attention];
        println!(
            "| | {}: bootstraps | seconds | {}: bootstraps | seconds | factor |",
            names[0], names[1]
        );
        println!("|---|---|---|---|---|---|");
        let batch = format!("an iteration of {BATCH} examples");
        for (name, less, more) in [
            ("inference", gaussian.inference, softmax.inference),
            ("an iteration of one example", gaussian.iteration, softmax.iteration),
            (&batch, gaussian.batch, softmax.batch),
        ] {
            line(name, less, more);
        }
        for (less, more) in gaussian.stages.iter().zip(&softmax.stages) {
            let [a, b] = [less, more]
                .map(|x| Counted { bootstraps: x.bootstraps.len(), seconds: x.seconds });
            line(less.name, a, b);
        }
        for Pair { what, times: [less, more] } in &self.measured {
            println!("\n{what:?}, measured on one sentence:");
            for (costs, time) in [(gaussian, less), (softmax, more)] {
                println!(
                    "{:<16} {:7.2} s, {:7.2} s of processor time, off by 2^{:.1}",
                    costs.attention,
                    time.seconds,
                    time.processor_seconds,
                    time.error.log2()
                );
            }
            println!(
                "factor {:.2} in wall-clock time, {:.2} in processor time",
                more.seconds / less.seconds,
                more.processor_seconds / less.processor_seconds
            );
        }
    }
}

fn line(name: &str, less: Counted, more: Counted) {
    println!(
        "| {name} | {} | {:.2} s | {} | {:.2} s | {:.2} |",
        less.bootstraps,
        less.seconds,
        more.bootstraps,
        more.seconds,
        more.seconds / less.seconds
    );
}
