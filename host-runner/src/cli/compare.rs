//! `host-runner compare`: a softmax beside the Gaussian kernel, and full fine-tuning beside an adapter.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use he_core::params::Params;
use serde::Serialize;

use super::output::Output;
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
  host-runner compare --measure inference --measure iteration --full

Without --measure it counts, in some seconds. To measure it makes keys of its own, in about a minute, and takes 9 GB;
--full takes some minutes more, and 16 GB.";

/// Compares full fine-tuning, adapters, softmax and Gaussian kernel: bootstraps, expected and measured seconds
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Compare {
    /// The parameter set
    #[arg(long, default_value = "edge-128")]
    preset: String,
    /// The folder of the model with a Gaussian kernel
    #[arg(long, value_name = "DIR", default_value = "models/edge")]
    model: PathBuf,
    /// The folder of a model of its shape with a softmax
    #[arg(long, value_name = "DIR", default_value = "models/edge-softmax")]
    softmax_model: PathBuf,
    /// Time this on ciphertexts, for adapters with both
    #[arg(long, value_name = "WHAT")]
    measure: Vec<What>,
    /// Measure full fine-tuning besides
    #[arg(long, requires = "measure")]
    full: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    preset: &'a str,
    /// Adapters with each kind of attention, and full fine-tuning with a softmax.
    costs: [&'a Costs; 3],
    measured: Vec<Times>,
}

/// A measurement of each that `costs` have, in their order; the last only if it was asked for.
#[derive(Debug, Serialize)]
struct Times {
    what: What,
    times: Vec<Measured>,
}

impl Compare {
    pub(super) fn run(&self) -> Result<()> {
        let params = preset::params(&self.preset)?;
        let folders = [ModelFolder::open(&self.model)?, ModelFolder::open(&self.softmax_model)?];
        let models = folders.each_ref().map(ModelFolder::model);
        let mut progress = Progress::new("counts", 3);
        let subjects = Subject::all(&params, models, &Settings::default(), &mut |name| {
            progress.step(name);
        })?;
        let _ = progress.finish();
        let measured = match self.measure.is_empty() {
            true => Vec::new(),
            false => self.measured(&params, &folders, &subjects)?,
        };
        let costs = subjects.each_ref().map(|subject| &subject.costs);
        let report = Report { preset: &self.preset, costs, measured };
        self.output.report(&report, Report::print)
    }

    fn measured(
        &self,
        params: &Params,
        [gaussian, softmax]: &[ModelFolder; 2],
        subjects: &[Subject; 3],
    ) -> Result<Vec<Times>> {
        let sentences = [gaussian, softmax, softmax].map(|folder| Sentence::new(folder, SENTENCE));
        let subjects = &subjects[..if self.full { 3 } else { 2 }];
        let mut keys: Option<Progress> = None;
        let wanted = (subjects, &self.measure[..]);
        let mut bench = Bench::new(params, wanted, random::generator()?, &mut |count| {
            keys.get_or_insert_with(|| Progress::new("keys", count)).step("made");
        })?;
        let _ = keys.map(Progress::finish);
        let mut progress = Progress::new("comparison", subjects.len() * self.measure.len());
        let sentences = sentences.into_iter().collect::<Result<Vec<_>>>()?;
        let mut time = |what, subject: &Subject, sentence: &Sentence| {
            progress.note(subject.costs.name);
            let time = match what {
                What::Inference => bench.inference(subject, sentence),
                What::Iteration => bench.iteration(subject, sentence),
            };
            progress.step(subject.costs.name);
            time
        };
        let mut all = Vec::new();
        for &what in &self.measure {
            let pairs = subjects.iter().zip(&sentences);
            let times = pairs.map(|(subject, sentence)| time(what, subject, sentence));
            all.push(Times { what, times: times.collect::<Result<_>>()? });
        }
        let _ = progress.finish();
        Ok(all)
    }
}

impl Report<'_> {
    /// Tables in Markdown.
    fn print(&self) {
        let [gaussian, softmax, full] = self.costs;
        println!("Expected processor seconds:\n");
        println!(
            "| | {}: bootstraps | seconds | {}: bootstraps | seconds | factor | {}: bootstraps | seconds | factor |",
            gaussian.name, softmax.name, full.name
        );
        println!("|---|---|---|---|---|---|---|---|---|");
        let batch = format!("an iteration of {BATCH} examples");
        for (name, less, more, full) in [
            ("inference", gaussian.inference, softmax.inference, full.inference),
            ("an iteration of one example", gaussian.iteration, softmax.iteration, full.iteration),
            (&batch, gaussian.batch, softmax.batch, full.batch),
            ("of it: what is done once", gaussian.step, softmax.step, full.step),
        ] {
            println!("{}{} |", line(name, less, more), columns(less, full));
        }
        for (less, more) in gaussian.stages.iter().zip(&softmax.stages) {
            let [a, b] = [less, more]
                .map(|x| Counted { bootstraps: x.bootstraps.len(), seconds: x.seconds });
            println!("{} | | | |", line(less.name, a, b));
        }
        for times in &self.measured {
            self.print_measured(times);
        }
    }

    fn print_measured(&self, Times { what, times }: &Times) {
        println!("\n{what:?}, measured on one sentence:");
        for (costs, time) in self.costs.iter().zip(times) {
            println!(
                "{:<21} {:7.2} s, {:7.2} s of processor time, off by 2^{:.1}",
                costs.name,
                time.seconds,
                time.processor_seconds,
                time.error.log2()
            );
        }
        let Some((first, others)) = times.split_first() else { return };
        for (costs, time) in self.costs.iter().skip(1).zip(others) {
            println!(
                "factor of {}: {:.2} in wall-clock time, {:.2} in processor time",
                costs.name,
                time.seconds / first.seconds,
                time.processor_seconds / first.processor_seconds
            );
        }
    }
}

fn line(name: &str, less: Counted, more: Counted) -> String {
    format!("| {name} | {} | {:.2} s{}", less.bootstraps, less.seconds, columns(less, more))
}

/// The columns of what takes more.
fn columns(less: Counted, more: Counted) -> String {
    format!(" | {} | {:.2} s | {:.2}", more.bootstraps, more.seconds, more.seconds / less.seconds)
}
