//! `host-runner finetune`: a personal adapter, trained on encrypted examples or rehearsed in the clear.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Args;
use he_lora::parameters::Parameters;
use he_lora::training::Training;
use serde::Serialize;

use crate::adapter::{self, plain};
use crate::connection::exchange_number;
use crate::finetune::job::{Declared, Job};
use crate::finetune::owner::{Destroyed, Owner};
use crate::finetune::rehearsal::{self, Prepared};
use crate::finetune::settings::{Fall, Settings, Target};
use crate::finetune::worker::{Event, Iteration, Worker};
use crate::import::ModelFolder;
use crate::plan::training::{TrainingPlan, TrainingReport};
use crate::progress::Progress;
use crate::store::{Manifest, SERVER};
use crate::{dataset, memory, preset};

const EXAMPLES: &str = "\
Examples:
  host-runner finetune --train spam.tsv --dev spam-dev.tsv --limit 256 --dry-run
  host-runner keygen --preset edge-128 --finetune 2 --out keys
  host-runner finetune --train spam.tsv --limit 256 --keys keys --job job --out mine.safetensors

FILE has a line of headings with the columns 'sentence' and 'label'. A dry run trains in the clear: the same
examples in the same order, with the same polynomials in the optimizer. It says how good the adapter will
be, whether a range is left, and what the encrypted run takes. An encrypted run goes on where it was stopped:
give the same command again.";

/// Trains a personal adapter on examples that the server cannot read
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Finetune {
    /// Tab-separated sentences and labels to learn from
    #[arg(long, value_name = "FILE")]
    train: PathBuf,
    /// Others, to measure accuracy on in the clear
    #[arg(long, value_name = "FILE")]
    dev: Option<PathBuf>,
    /// Learn from the first so many sentences only
    #[arg(long, value_name = "K")]
    limit: Option<usize>,
    /// The folder of the model that is adapted
    #[arg(long, value_name = "DIR", default_value = "models/edge")]
    model: PathBuf,
    /// Train in the clear, to see what an encrypted run will come to
    #[arg(long)]
    dry_run: bool,
    /// The folder that `keygen --finetune` wrote, with `server`, `device` and `owner` in it
    #[arg(long, value_name = "DIR", required_unless_present = "dry_run")]
    keys: Option<PathBuf>,
    /// The job's folder: encrypted examples and states; a job that is there already goes on
    #[arg(long, value_name = "DIR", required_unless_present = "dry_run")]
    job: Option<PathBuf>,
    /// The file to write the adapter to, with the names of PEFT
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Stop after this many more iterations
    #[arg(long, value_name = "K")]
    stop_after: Option<u32>,
    #[command(flatten)]
    declared: DeclaredArguments,
    /// Take at most this much memory, such as 12G, instead of what is available
    #[arg(long, value_name = "SIZE", value_parser = crate::memory::parse_bytes)]
    memory: Option<u64>,
    /// Write all figures as JSON to this file (`-` is standard output)
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What a run is declared with.
#[derive(Debug, Args)]
struct DeclaredArguments {
    /// The rank of every update
    #[arg(long, default_value_t = 2)]
    rank: usize,
    /// Updates are multiplied by alpha / rank
    #[arg(long, default_value_t = 2.0)]
    alpha: f64,
    /// The projections to train; the head always is
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Target::Q, Target::K, Target::V])]
    targets: Vec<Target>,
    /// How often to go through the examples
    #[arg(long, default_value_t = 1)]
    epochs: u32,
    /// Examples of an iteration
    #[arg(long, default_value_t = 8)]
    batch: usize,
    /// The largest learning rate
    #[arg(long, default_value_t = 0.01)]
    rate: f64,
    /// What it is multiplied by for queries and keys: lower it if exponents leave their range
    #[arg(long, default_value_t = 1.0)]
    exponent_rate: f64,
    /// How it falls
    #[arg(long, value_enum, default_value_t = Fall::Linear)]
    schedule: Fall,
    /// Iterations in which it rises
    #[arg(long, default_value_t = 0)]
    warmup: u32,
    /// What is taken off the parameters, as a part of the learning rate
    #[arg(long, default_value_t = 0.0)]
    weight_decay: f64,
    /// What the order of examples and the first parameters are drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl DeclaredArguments {
    fn settings(&self) -> Settings {
        Settings {
            rank: self.rank,
            alpha: self.alpha,
            targets: self.targets.clone(),
            epochs: self.epochs,
            batch: self.batch,
            rate: self.rate,
            exponent_rate: self.exponent_rate,
            schedule: self.schedule,
            warmup: self.warmup,
            weight_decay: self.weight_decay,
            seed: self.seed,
        }
    }
}

/// Everything there is to say of a run.
#[derive(Debug, Default, Serialize)]
struct Summary {
    iterations: u32,
    examples: usize,
    settings: Option<Settings>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<TrainingReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rehearsal: Option<rehearsal::Report>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ran: Vec<Iteration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accuracy: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clear_accuracy: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    largest_difference: Option<f64>,
}

impl Finetune {
    pub(super) fn run(&self) -> Result<()> {
        let folder = ModelFolder::open(&self.model)?;
        let settings = self.declared.settings();
        let classes = folder.model().config().classes;
        let read = |path: &PathBuf, limit: Option<usize>| {
            let mut examples = dataset::read(path, classes, None)?;
            let long = rehearsal::take_long(&folder, &mut examples)?;
            if long > 0 {
                eprintln!("{}: {long} sentences are too long and left out", path.display());
            }
            examples.truncate(limit.unwrap_or(usize::MAX));
            Ok::<_, anyhow::Error>(examples)
        };
        let examples = read(&self.train, self.limit)?;
        settings.check(examples.len())?;
        let dev = self.dev.as_ref().map(|path| read(path, None)).transpose()?;
        let dev = dev.map(|dev| rehearsal::prepare(&folder, &dev)).transpose()?;
        let run = Run {
            iterations: settings.iterations(examples.len())?,
            training: settings
                .training(folder.model().config(), settings.iterations(examples.len())?)?,
            folder,
            settings,
            examples,
            dev,
        };
        let summary = match (&self.keys, &self.job) {
            (Some(keys), Some(job)) if !self.dry_run => self.run_encrypted(run, keys, job)?,
            _ => self.rehearse(&run)?,
        };
        self.json.as_ref().map_or(Ok(()), |path| super::write_json(path, &summary))
    }

    fn rehearse(&self, run: &Run) -> Result<Summary> {
        let (rehearsed, mut summary) = run.rehearse()?;
        let params = preset::params(preset::EDGE_128)?;
        let plan =
            TrainingPlan::new(&params, run.folder.model(), &run.training, run.settings.batch)?;
        eprint!("{}", Expected(&plan.report, run.iterations));
        summary.plan = Some(plan.report);
        summary.accuracy = run.accuracy(&rehearsed);
        if let Some(accuracy) = summary.accuracy {
            println!("accuracy {:.1} % of {}", 100.0 * accuracy, run.dev_count());
        }
        self.save(run, &rehearsed)?;
        Ok(summary)
    }

    fn run_encrypted(&self, run: Run, keys: &Path, folder: &Path) -> Result<Summary> {
        let job = Job::at(folder)?;
        let declared = run.declare(&job, keys)?;
        let model = ModelFolder::open(&self.model)?.into_model();
        let worker = Worker::load(&keys.join(SERVER), model, declared.clone(), self.memory)?;
        let mut summary = Summary {
            iterations: run.iterations,
            examples: run.examples.len(),
            settings: Some(run.settings.clone()),
            ..Summary::default()
        };
        let owner = Owner::open(keys, &run.folder)?;
        let mut shown = Shown::new(run.iterations, run.settings.batch);
        let mut left = self.stop_after.unwrap_or(u32::MAX);
        let found = loop {
            let step = left.min(1);
            let is_done = worker.run(&job, Some(step), &mut |event| {
                shown.show(event);
                if let Event::Done(iteration) = event {
                    summary.ran.push(*iteration);
                }
            })?;
            // The owner looks at every state, so that no iteration is built on a destroyed one.
            let found = owner.decrypt(&job, &declared, shown.done);
            if found.as_ref().is_err_and(anyhow::Error::is::<Destroyed>) {
                job.discard(shown.done)?;
            }
            let found = found?;
            left -= step;
            if is_done {
                break found;
            }
            if left == 0 {
                println!("stopped; the same command goes on");
                return Ok(summary);
            }
        };
        drop(worker);
        let (clear, rehearsed) = run.rehearse()?;
        let pairs = found.numbers().iter().zip(clear.numbers());
        let difference = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        println!("largest difference from the run in the clear: 2^{:.1}", difference.log2());
        summary.largest_difference = Some(difference);
        summary.rehearsal = rehearsed.rehearsal;
        summary.accuracy = run.accuracy(&found);
        summary.clear_accuracy = run.accuracy(&clear);
        if let (Some(encrypted), Some(clear)) = (summary.accuracy, summary.clear_accuracy) {
            let (a, b) = (100.0 * encrypted, 100.0 * clear);
            println!("accuracy {a:.1} % of {}; of the run in the clear {b:.1} %", run.dev_count());
        }
        self.save(&run, &found)?;
        Ok(summary)
    }

    fn save(&self, run: &Run, parameters: &Parameters) -> Result<()> {
        let Some(path) = &self.out else { return Ok(()) };
        plain::save(path, run.folder.model(), run.settings.alpha, parameters)?;
        println!("{}: the adapter, private", path.display());
        Ok(())
    }
}

/// A run and what it reads.
struct Run {
    folder: ModelFolder,
    settings: Settings,
    training: Training,
    iterations: u32,
    examples: Vec<dataset::Example>,
    dev: Option<Vec<Prepared>>,
}

impl Run {
    fn rehearse(&self) -> Result<(Parameters, Summary)> {
        let examples = rehearsal::prepare(&self.folder, &self.examples)?;
        let mut progress = Progress::new("iterations in the clear", self.iterations as usize);
        let rehearsed = rehearsal::run(&self.folder, &self.settings, &examples, &mut |_, loss| {
            progress.step(&format!("loss {loss:.3}"));
        })?;
        let _ = progress.finish();
        let report = &rehearsed.report;
        println!(
            "loss {:.3} to {:.3} in {} iterations; window filled {:.2}, scores {:.2}",
            report.losses.first().copied().unwrap_or(f64::NAN),
            report.losses.last().copied().unwrap_or(f64::NAN),
            self.iterations,
            report.window,
            report.scores,
        );
        if report.window > 1.0 || report.scores > 1.0 {
            eprintln!("warning: a declared range was left: lower --rate or --alpha");
        }
        for (what, count) in &report.beyond {
            eprintln!(
                "warning: {what} was out of its range {count} times: lower --rate or --alpha"
            );
        }
        let summary = Summary {
            iterations: self.iterations,
            examples: self.examples.len(),
            settings: Some(self.settings.clone()),
            rehearsal: Some(rehearsed.report),
            ..Summary::default()
        };
        Ok((rehearsed.parameters, summary))
    }

    fn accuracy(&self, parameters: &Parameters) -> Option<f64> {
        let dev = self.dev.as_ref()?;
        Some(rehearsal::accuracy(&self.folder, &self.training, parameters, dev))
    }

    fn dev_count(&self) -> usize {
        self.dev.as_ref().map_or(0, Vec::len)
    }

    /// What the job in the folder was declared with; encrypts it first if there is none.
    fn declare(&self, job: &Job, keys: &Path) -> Result<Declared> {
        let preset = Manifest::open(&keys.join(SERVER))?.preset().to_owned();
        let model = format!("{:016x}", adapter::digest(self.folder.model()));
        let (examples, settings) = (self.examples.len(), self.settings.clone());
        let wanted = |number| Declared { preset, model, examples, number, settings };
        if let Some(found) = job.declared()? {
            let wanted = wanted(found.number);
            ensure!(
                found == wanted,
                "the job there was declared otherwise; give its own arguments, or another --job"
            );
            return Ok(found);
        }
        let declared = wanted(exchange_number()?);
        let mut progress = Progress::new("examples", examples);
        let mut done = || progress.step("encrypted");
        let owner = Owner::open(keys, &self.folder)?;
        owner.encrypt(job, &declared, &self.examples, &mut done).context("encrypting the job")?;
        let _ = progress.finish();
        Ok(declared)
    }
}

/// What an encrypted run is expected to take.
struct Expected<'a>(&'a TrainingReport, u32);

impl core::fmt::Display for Expected<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self(plan, iterations) = self;
        let batch = u32::try_from(plan.batch).unwrap_or(u32::MAX);
        let iteration = f64::from(batch) * plan.example_seconds + plan.step_seconds;
        writeln!(
            f,
            "an encrypted run: {:.1} bootstraps and {:.0} s of processor time an example ({:.1} times a \
             forward pass), {:.0} s an optimizer step; {:.1} processor hours in all",
            f64::from(u32::try_from(plan.bootstraps - plan.step_bootstraps).unwrap_or(u32::MAX))
                / f64::from(batch),
            plan.example_seconds,
            plan.example_seconds / plan.forward_seconds,
            plan.step_seconds,
            f64::from(*iterations) * iteration / 3600.0,
        )?;
        writeln!(
            f,
            "{} keys, {} on disk; {} of memory",
            plan.keys.count,
            memory::bytes(plan.keys.wire_bytes),
            memory::bytes(plan.memory_bytes)
        )
    }
}

/// What a person sees of an encrypted run.
struct Shown {
    begun: Instant,
    first: Option<u32>,
    done: u32,
    total: u32,
    batch: usize,
}

impl Shown {
    fn new(total: u32, batch: usize) -> Self {
        Self { begun: Instant::now(), first: None, done: 0, total, batch }
    }

    fn show(&mut self, event: Event<'_>) {
        match event {
            Event::Begin(done) => {
                if self.first.is_none() {
                    (self.begun, self.first) = (Instant::now(), Some(done));
                    eprintln!("{done} of {} iterations are done", self.total);
                }
                self.done = done;
            }
            Event::Damaged(what) => eprintln!("warning: {what}; the state before it is taken"),
            Event::Example(number) => {
                let seconds = self.begun.elapsed().as_secs_f64();
                let now = self.done + 1;
                eprintln!(
                    "iteration {now}/{}: example {number}/{} ({seconds:.0} s)",
                    self.total, self.batch
                );
            }
            Event::Done(iteration) => {
                self.done = iteration.number;
                let ran = f64::from(self.done - self.first.unwrap_or(0));
                let left = f64::from(self.total - self.done);
                let seconds = self.begun.elapsed().as_secs_f64() / ran * left;
                eprintln!(
                    "iteration {}/{} in {:.0} s, of which the optimizer {:.0} s; {:.0} min left",
                    self.done,
                    self.total,
                    iteration.seconds,
                    iteration.optimizer_seconds,
                    seconds / 60.0
                );
            }
        }
    }
}
