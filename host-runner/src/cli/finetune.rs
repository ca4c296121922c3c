//! `host-runner finetune`: a personal adapter, trained on encrypted examples or rehearsed in the clear.

mod declared;
mod shown;

use core::time::Duration;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use he_lora::training::Training;
use serde::Serialize;

use self::declared::DeclaredArguments;
use self::shown::{Expected, Shown};
use super::output::Output;
use super::serve::Job;
use crate::adapter::{self, matrices, plain};
use crate::files::{self, Access};
use crate::finetune::exchange::Part;
use crate::finetune::follow::{Event, Follower, Seen};
use crate::finetune::job::{self, Declared};
use crate::finetune::numbers::State;
use crate::finetune::owner::Owner;
use crate::finetune::record::Record;
use crate::finetune::rehearsal::{self, Measure, Prepared};
use crate::finetune::remote::Remote;
use crate::finetune::settings::Settings;
use crate::import::ModelFolder;
use crate::plan::training::{TrainingPlan, TrainingReport};
use crate::progress::Progress;
use crate::store::{self, DEVICE, SERVER};
use crate::{dataset, preset};

const EXAMPLES: &str = "\
Examples:
  host-runner finetune --train spam.tsv --dev spam-dev.tsv --limit 256 --dry-run
  host-runner keygen --preset edge-128 --finetune 2 --out keys
  host-runner finetune --train spam.tsv --limit 256 --keys keys --job job --out mine.safetensors
  host-runner serve --keys keys/server --listen 0.0.0.0:7000 --jobs jobs         # on the server
  host-runner finetune --train spam.tsv --limit 256 --keys keys --job job --server host:7000 --out mine.safetensors

FILE has a line of headings with the columns 'sentence' and 'label': a class, from 0, or with `--loss squared-real` a
number in -1 to 1. A dry run trains in the clear: the same examples in the same order, with the same polynomials in the
optimizer. It says how good the adapter will be, whether a range is left, and what the encrypted run takes. An encrypted
run goes on where it was stopped: give the same command again. While this program is away a server goes on for --ahead
iterations; the losses of iterations are decrypted here.";

/// How long a server may be gone.
const PATIENCE: Duration = Duration::from_mins(10);

/// Trains a personal adapter on examples that the server cannot read
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Finetune {
    /// Tab-separated sentences and labels to learn from
    #[arg(long, value_name = "FILE")]
    train: PathBuf,
    /// Others, to measure accuracy on in the clear, or the squared error of real labels
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
    /// The folder that `keygen --finetune` wrote, with `device` and `owner` in it, and `server` unless --server is given
    #[arg(long, value_name = "DIR", required_unless_present = "dry_run")]
    keys: Option<PathBuf>,
    /// What is kept of the job: a job that is there already goes on. Without --server the server's part is here, too
    #[arg(long, value_name = "DIR", required_unless_present = "dry_run")]
    job: Option<PathBuf>,
    /// Train on this server, started with `serve --jobs`, instead of in this process
    #[arg(long, value_name = "HOST:PORT")]
    server: Option<String>,
    /// Iterations that the server may run before this program has looked at their states
    #[arg(long, value_name = "K", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    ahead: u32,
    /// Keep the last state, encrypted, in this file
    #[arg(long, value_name = "FILE")]
    state_out: Option<PathBuf>,
    /// The file to write the adapter to, with the names of PEFT, or with --full the model's matrices by their own names
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Stop after this many more iterations
    #[arg(long, value_name = "K")]
    stop_after: Option<u32>,
    #[command(flatten)]
    declared: DeclaredArguments,
    /// Take at most this much memory, such as 12G, instead of what is available
    #[arg(long, value_name = "SIZE", conflicts_with = "server", value_parser = crate::memory::parse_bytes)]
    memory: Option<u64>,
    #[command(flatten)]
    output: Output,
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
    ran: Vec<Seen>,
    #[serde(flatten)]
    measured: Option<Measure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clear: Option<Measure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    largest_difference: Option<f64>,
}

impl Finetune {
    pub(super) fn run(&self) -> Result<()> {
        let folder = ModelFolder::open(&self.model)?;
        let settings = self.declared.settings();
        let labels = (settings.loss, folder.model().config().classes);
        let read = |path: &PathBuf, limit: Option<usize>| {
            let mut examples = dataset::read(path, labels, None)?;
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
            (Some(keys), Some(job)) if !self.dry_run => self.run_encrypted(&run, keys, job)?,
            _ => self.rehearse(&run)?,
        };
        self.output.write(&summary)
    }

    fn rehearse(&self, run: &Run) -> Result<Summary> {
        let (rehearsed, mut summary) = run.rehearse(&self.output)?;
        let params = preset::params(preset::EDGE_128)?;
        let plan =
            TrainingPlan::new(&params, run.folder.model(), &run.training, run.settings.batch)?;
        eprint!("{}", Expected(&plan.report, run.iterations));
        summary.plan = Some(plan.report);
        summary.measured = run.measure(&rehearsed);
        if let Some(measured) = summary.measured {
            self.output.say(format_args!("{measured} of {}", run.dev_count()));
        }
        self.save(run, &rehearsed)?;
        Ok(summary)
    }

    fn run_encrypted(&self, run: &Run, keys: &Path, folder: &Path) -> Result<Summary> {
        let record = Record::at(folder)?;
        let (preset, _) = store::device::params(&keys.join(DEVICE))?;
        let declared = record.declared(|number| run.declared(preset, number))?;
        record.check_examples(&run.examples)?;
        let owner = Owner::open(keys, &run.folder)?;
        let job = Encrypted { run, record: &record, declared: &declared, owner: &owner };
        let Some((number, state)) = (match &self.server {
            Some(address) => self.follow(&job, address, self.ahead)?,
            None => {
                let server = keys.join(SERVER);
                let engine = Job::load(&server, &self.model, None, self.memory)?;
                let engine = engine.training(Some(&folder.join(job::SERVER)));
                // Whoever looks at every state before the next iteration loses none.
                engine.while_serving(|address| self.follow(&job, address, 1))?
            }
        }) else {
            self.output.say("stopped; the same command goes on");
            return Ok(run.summary(record.iterations()?));
        };
        let (clear, rehearsed) = run.rehearse(&self.output)?;
        let difference = state.distance(&clear);
        self.output.say(format_args!(
            "largest difference from the run in the clear: 2^{:.1} after {number} iterations",
            difference.log2()
        ));
        let mut summary = run.summary(record.iterations()?);
        summary.largest_difference = Some(difference);
        summary.rehearsal = rehearsed.rehearsal;
        (summary.measured, summary.clear) = (run.measure(&state), run.measure(&clear));
        if let (Some(encrypted), Some(clear)) = (summary.measured, summary.clear) {
            let line =
                format_args!("{encrypted} of {}; the run in the clear: {clear}", run.dev_count());
            self.output.say(line);
        }
        self.save(run, &state)?;
        Ok(summary)
    }

    /// Follows a job at an address; the last iteration and its state if the job is done.
    fn follow(
        &self,
        job: &Encrypted<'_>,
        address: &str,
        ahead: u32,
    ) -> Result<Option<(u32, State)>> {
        let Encrypted { run, record, declared, owner } = *job;
        let mut remote = Remote::new(owner.client(), address, declared.number, PATIENCE);
        let mut shown = Shown::new(run.iterations, run.settings.batch, run.examples.len());
        let mut follower =
            Follower { owner, declared, examples: &run.examples, ahead, until: run.iterations };
        follower.upload(&mut remote, &mut |event| shown.show(event))?;
        if let Some(more) = self.stop_after {
            let done = remote.status(None)?.done;
            follower.until = run.iterations.min(done.saturating_add(more));
        }
        let mut kept = Ok(());
        let (number, state) = follower.follow(&mut remote, &mut |event| {
            if let (Event::Good(seen), Ok(())) = (event, &kept) {
                kept = record.add(seen);
            }
            shown.show(event);
        })?;
        kept?;
        if number < run.iterations {
            return Ok(None);
        }
        if let Some(path) = &self.state_out {
            let bytes = remote.fetch(Part::State(number))?;
            owner.check_state(declared, number, &bytes)?;
            files::write(path, Access::Public, &bytes)?;
            self.output.say(format_args!("{}: the last state, encrypted", path.display()));
        }
        Ok(Some((number, state)))
    }

    fn save(&self, run: &Run, state: &State) -> Result<()> {
        let Some(path) = &self.out else { return Ok(()) };
        let (model, Settings { alpha, loss, .. }) = (run.folder.model(), &run.settings);
        if let Some([updates, ..]) = &state.matrices {
            matrices::save(path, model, *loss, (&state.parameters, updates))?;
            self.output.say(format_args!("{}: the matrices, private", path.display()));
            return Ok(());
        }
        plain::save(path, model, (*alpha, *loss), &state.parameters)?;
        self.output.say(format_args!("{}: the adapter, private", path.display()));
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
    fn rehearse(&self, output: &Output) -> Result<(State, Summary)> {
        let examples = rehearsal::prepare(&self.folder, &self.examples)?;
        let mut progress = Progress::new("iterations in the clear", self.iterations as usize);
        let rehearsed = rehearsal::run(&self.folder, &self.settings, &examples, &mut |_, loss| {
            progress.step(&format!("loss {loss:.3}"));
        })?;
        let _ = progress.finish();
        let report = &rehearsed.report;
        output.say(format_args!(
            "loss {:.3} to {:.3} in {} iterations; window filled {:.2}, scores {:.2}",
            report.losses.first().copied().unwrap_or(f64::NAN),
            report.losses.last().copied().unwrap_or(f64::NAN),
            self.iterations,
            report.window,
            report.scores,
        ));
        if report.window > 1.0 || report.scores > 1.0 {
            eprintln!("warning: a declared range was left: lower --rate or --alpha");
        }
        for (what, count) in &report.beyond {
            eprintln!("warning: {what} in {count} passes: lower --rate or --alpha");
        }
        let rehearsal = Some(rehearsed.report);
        Ok((rehearsed.state, Summary { rehearsal, ..self.summary(Vec::new()) }))
    }

    fn measure(&self, state: &State) -> Option<Measure> {
        let both = (&self.folder, &self.training);
        Some(rehearsal::measure(both, self.settings.loss, state, self.dev.as_ref()?))
    }

    fn dev_count(&self) -> usize {
        self.dev.as_ref().map_or(0, Vec::len)
    }

    /// What a job is declared as.
    fn declared(&self, preset: &str, number: u64) -> Declared {
        let model = format!("{:016x}", adapter::digest(self.folder.model()));
        let (examples, settings) = (self.examples.len(), self.settings.clone());
        Declared { preset: preset.to_owned(), model, examples, number, settings }
    }

    fn summary(&self, ran: Vec<Seen>) -> Summary {
        Summary {
            iterations: self.iterations,
            examples: self.examples.len(),
            settings: Some(self.settings.clone()),
            ran,
            ..Summary::default()
        }
    }
}

/// An encrypted run as its owner has it.
#[derive(Clone, Copy)]
struct Encrypted<'a> {
    run: &'a Run,
    record: &'a Record,
    declared: &'a Declared,
    owner: &'a Owner<'a>,
}
