//! `host-runner compare`: a softmax beside the Gaussian kernel, and full fine-tuning beside an adapter.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use he_core::params::Params;
use serde::Serialize;

use crate::compare::full::Full;
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
--full takes some minutes more. Full fine-tuning is the pass with a softmax, and all its products with encrypted
matrices.";

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
    /// Time this on ciphertexts, with both
    #[arg(long, value_name = "WHAT")]
    measure: Vec<What>,
    /// Measure full fine-tuning besides
    #[arg(long, requires = "measure")]
    full: bool,
    /// Write the comparison as JSON to this file (`-` is standard output)
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    preset: &'a str,
    costs: [&'a Costs; 2],
    full: &'a Full,
    measured: Vec<Pair>,
    /// Each part of full fine-tuning, as `full.parts` are in order.
    measured_parts: Vec<Measured>,
}

type Times = (Vec<Pair>, Vec<Measured>);

/// A measurement with each kind of attention, as `costs` are in order.
#[derive(Debug, Serialize)]
struct Pair {
    what: What,
    times: [Measured; 2],
}

impl Compare {
    pub(super) fn run(&self) -> Result<()> {
        let params = preset::params(&self.preset)?;
        let folders = [ModelFolder::open(&self.model)?, ModelFolder::open(&self.softmax_model)?];
        let models = folders.each_ref().map(ModelFolder::model);
        let settings = Settings::default();
        let mut progress = Progress::new("counts", 2);
        let subjects = Subject::both(&params, models, &settings, &mut |attention| {
            progress.step(attention);
        })?;
        let _ = progress.finish();
        let [gaussian, softmax] = &subjects;
        let full = &Full::new(&params, models[0], &settings, &softmax.costs)?;
        let (measured, measured_parts) = match self.measure.is_empty() {
            true => Times::default(),
            false => self.measured(&params, &folders, &settings, (&subjects, full))?,
        };
        let costs = [&gaussian.costs, &softmax.costs];
        let report = Report { preset: &self.preset, costs, full, measured, measured_parts };
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
        folders: &[ModelFolder; 2],
        settings: &Settings,
        (subjects, full): (&[Subject; 2], &Full),
    ) -> Result<Times> {
        let [one, other] = folders;
        let sentences = [Sentence::new(one, SENTENCE)?, Sentence::new(other, SENTENCE)?];
        let mut keys: Option<Progress> = None;
        let wanted = (&subjects[..], &self.measure[..], self.full.then_some(full));
        let mut bench = Bench::new(params, wanted, random::generator()?, &mut |count| {
            keys.get_or_insert_with(|| Progress::new("keys", count)).step("made");
        })?;
        let _ = keys.map(Progress::finish);
        let parts = if self.full { full.parts.len() } else { 0 };
        let mut progress = Progress::new("comparison", 2 * self.measure.len() + parts);
        let mut time = |index: usize, what| {
            let (subject, sentence) = (&subjects[index], &sentences[index]);
            progress.note(subject.costs.attention);
            let time = match what {
                What::Inference => bench.inference(subject, sentence),
                What::Iteration => bench.iteration(subject, settings, sentence),
            };
            progress.step(subject.costs.attention);
            time
        };
        let pair = |&what| Ok(Pair { what, times: [time(0, what)?, time(1, what)?] });
        let pairs = self.measure.iter().map(pair).collect::<Result<_>>()?;
        let parts = match self.full {
            true => {
                let (softmax, sentence) = (&subjects[1], &sentences[1]);
                bench.full(softmax, settings, sentence, &mut |name| progress.step(name))?
            }
            false => Vec::new(),
        };
        let _ = progress.finish();
        Ok((pairs, parts))
    }
}

impl Report<'_> {
    /// Tables in Markdown.
    fn print(&self) {
        let ([gaussian, softmax], full) = (self.costs, self.full);
        println!("Expected processor seconds:\n");
        let names = [gaussian.attention, softmax.attention];
        println!(
            "| | {}: bootstraps | seconds | {}: bootstraps | seconds | factor | full and {}: bootstraps | seconds | factor |",
            names[0], names[1], names[1]
        );
        println!("|---|---|---|---|---|---|---|---|---|");
        let batch = format!("an iteration of {BATCH} examples");
        for (name, less, more, full) in [
            ("inference", gaussian.inference, softmax.inference, full.inference),
            ("an iteration of one example", gaussian.iteration, softmax.iteration, full.iteration),
            (&batch, gaussian.batch, softmax.batch, full.batch),
        ] {
            println!("{}{} |", line(name, less, more), columns(less, full));
        }
        for (less, more) in gaussian.stages.iter().zip(&softmax.stages) {
            let [a, b] = [less, more]
                .map(|x| Counted { bootstraps: x.bootstraps.len(), seconds: x.seconds });
            println!("{} | | | |", line(less.name, a, b));
        }
        self.print_parts();
        for pair in &self.measured {
            self.print_measured(pair);
        }
    }

    /// What full fine-tuning does besides.
    fn print_parts(&self) {
        println!(
            "\n| full fine-tuning | bootstraps | expected | runs | measured a run | all runs |"
        );
        println!("|---|---|---|---|---|---|");
        for (index, one) in self.full.parts.iter().enumerate() {
            let Counted { bootstraps, seconds } = one.counted;
            print!("| {} | {bootstraps} | {seconds:.2} s | {} |", one.part.name(), one.times);
            match self.measured_parts.get(index) {
                None => println!(" | |"),
                Some(time) => {
                    let once = time.processor_seconds;
                    println!(" {once:.2} s | {:.2} s |", once * as_f64(one.times));
                }
            }
        }
        if let Some(time) = self.measured_parts.first() {
            println!("\nProducts and gradients are off by 2^{:.1}.", time.error.log2());
        }
    }

    fn print_measured(&self, Pair { what, times: [less, more] }: &Pair) {
        let [gaussian, softmax] = self.costs;
        println!("\n{what:?}, measured on one sentence:");
        let mut all =
            vec![(gaussian.attention.to_owned(), *less), (softmax.attention.to_owned(), *more)];
        if let Some(full) = self.full.measured(*what, more, &self.measured_parts, softmax) {
            all.push((format!("full, {}", softmax.attention), full));
        }
        for (name, time) in &all {
            println!(
                "{name:<16} {:7.2} s, {:7.2} s of processor time, off by 2^{:.1}",
                time.seconds,
                time.processor_seconds,
                time.error.log2()
            );
        }
        for (name, time) in all.iter().skip(1) {
            println!(
                "factor of {name}: {:.2} in wall-clock time, {:.2} in processor time",
                time.seconds / less.seconds,
                time.processor_seconds / less.processor_seconds
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

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
const fn as_f64(n: usize) -> f64 {
    n as f64
}
