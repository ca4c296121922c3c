//! `host-runner serve`: the server, which holds evaluation keys and weights and no secret.

use alloc::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use he_core::keyswitch::KeyPlan;
use he_core::params::Params;
use he_core::wire::{TransportKey, Upload};
use he_nn::stage::{Event, Stage};

use super::output::Output;
use crate::engine::{EncryptedAnswer, Engine};
use crate::files;
use crate::finetune::jobs::Jobs;
use crate::finetune::worker::Means;
use crate::import::ModelFolder;
use crate::memory;
use crate::personal::Source;
use crate::plan::Plan;
use crate::report::{ParametersReport, ServeReport};
use crate::server::{Answered, Answerer, Limits, Server, Until, User};
use crate::store::{self, Manifest};

const EXAMPLES: &str = "\
Examples:
  host-runner serve --keys keys/server --model models/edge --listen 127.0.0.1:7000
  host-runner serve --keys keys/server --model models/edge --once --json report.json
  host-runner serve --keys keys/server --adapter mine.enc
  host-runner serve --keys keys/server --adapter job
  host-runner serve --keys keys/server --listen 0.0.0.0:7000 --jobs jobs
  host-runner serve --keys hers/server --keys his/server --adapter hers.enc --jobs jobs

Several users' keys are in memory together; one question is answered at a time, and one iteration trained. Whose a
question or a job is, its tag says, and whose an adapter is, the adapter. Prints `listening on ADDRESS` on standard output when ready. `host-runner plan` says
beforehand how much memory it will take.";

/// Answers encrypted questions
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Serve {
    /// The `server` folder that keygen wrote; several for several users
    #[arg(long, value_name = "DIR", required = true)]
    keys: Vec<PathBuf>,
    /// The model's folder
    #[arg(long, value_name = "DIR", default_value = "models/edge")]
    model: PathBuf,
    /// A personal adapter that `adapter encrypt` wrote, or the folder of a job of `finetune`, whose newest state it
    /// takes; every answer to its owner is then that of the adapted model
    #[arg(long, value_name = "PATH")]
    adapter: Vec<PathBuf>,
    /// The address to listen at; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: String,
    /// Exit after one answer
    #[arg(long, conflicts_with = "jobs")]
    once: bool,
    /// Train what `finetune --server` sends, between questions; jobs and their states are in this folder
    #[arg(long, value_name = "DIR")]
    jobs: Option<PathBuf>,
    /// Take at most this much memory, such as 12G, instead of what is available
    #[arg(long, value_name = "SIZE", value_parser = crate::memory::parse_bytes)]
    memory: Option<u64>,
    /// Write where the time of the last answer went to this file, for `host-runner trace` and Perfetto
    #[arg(long, value_name = "FILE", conflicts_with = "jobs")]
    trace: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

impl Serve {
    pub(super) fn run(&self) -> Result<()> {
        let open = |keys: &PathBuf| Planned::new(keys, &self.model);
        let mut all = self.keys.iter().map(open).collect::<Result<Vec<_>>>()?;
        self.adapter.iter().try_for_each(|path| give(&mut all, path))?;
        let resident = check(&all, self.memory)?;
        // Beside others' keys a job takes what is left of what there is now.
        let limit =
            if all.len() > 1 { self.memory.or_else(memory::available) } else { self.memory };
        let mut users: Vec<Job> = Vec::new();
        for user in all {
            let others = resident - user.resident_bytes()?;
            let digest = user.params.digest();
            let alike = users.iter().find(|other| other.engine.params().digest() == digest);
            let limit = limit.map(|limit| limit.saturating_sub(others));
            let job = user.load(alike.map(|other| &other.engine), limit)?;
            users.push(job.traced(self.trace.as_deref()).training(self.jobs.as_deref()));
        }
        let until = if self.once { Until::Answered } else { Until::Stopped };
        serve(&users, &self.listen, until, &self.output)
    }
}

/// A user to be, of whom nothing heavy is loaded.
struct Planned {
    keys: PathBuf,
    manifest: Manifest,
    params: Params,
    model: PathBuf,
    folder: ModelFolder,
    adapter: Option<Source>,
    plan: Plan,
}

impl Planned {
    fn new(keys: &Path, model: &Path) -> Result<Self> {
        let manifest = Manifest::open(keys)?;
        let (params, folder) = (manifest.params()?, ModelFolder::open(model)?);
        let plan = Plan::new(&params, folder.model())?;
        let (keys, model) = (keys.to_owned(), model.to_owned());
        Ok(Self { keys, manifest, params, model, folder, adapter: None, plan })
    }

    /// The adapter at `path`, if it is this user's.
    fn open(&self, path: &Path) -> Result<Source> {
        Source::open(path, (&self.keys, &self.manifest), &self.params, self.folder.model())
    }

    fn adapt(&mut self, adapter: Source) -> Result<()> {
        ensure!(self.adapter.is_none(), "two adapters for the keys in {}", self.keys.display());
        let model = self.folder.model();
        if let Some(shape) = adapter.shape(model)? {
            let plan = Plan::new(&self.params, model)?;
            self.plan = plan.with_trained(&self.params, model, shape)?;
        }
        self.adapter = Some(adapter);
        Ok(())
    }

    /// Bytes that are there for as long as it is served: all keys of the folder, matrices, and its adapter.
    fn resident_bytes(&self) -> Result<u64> {
        let mut keys = KeyPlan::new(&self.params);
        for spec in self.manifest.keys(&self.params)? {
            keys.need(spec.kind, spec.level);
        }
        // Residues take whole words in memory, which is less than twice what they take in the file.
        let adapter = match &self.adapter {
            Some(Source::File(path, _)) => 2 * files::length(path)?,
            _ => 0,
        };
        let report = &self.plan.report;
        let others = report.memory_bytes - report.work_bytes - report.keys.resident_bytes;
        Ok(others + keys.resident_bytes(&self.params) + adapter)
    }

    /// Loads keys and adapter beside an engine for the same model and parameters, if there is one, for a user whose jobs
    /// may take so much memory.
    fn load(self, alike: Option<&Engine>, memory: Option<u64>) -> Result<Job> {
        let Self { keys, manifest, params, folder, adapter, plan, .. } = self;
        let mut engine = match alike {
            Some(engine) => engine.beside(&keys, &manifest, &plan)?,
            None => Engine::load(&keys, &manifest, &params, &plan, folder.into_model())?,
        };
        if let Some(adapter) = adapter {
            let mut warn = |text: &str| eprintln!("warning: {text}; the state before it is taken");
            let adapter = adapter.read(engine.target(), &mut warn)?;
            engine = engine.with_adapter(adapter)?;
        }
        let parameters = ParametersReport::new(manifest.preset(), &params);
        let transport = store::read_transport(&keys)?;
        let (trace, jobs) = (None, None);
        Ok(Job { keys, manifest, transport, engine, plan, parameters, trace, jobs, memory })
    }
}

/// Gives an adapter to the user whose it is.
fn give(all: &mut [Planned], path: &Path) -> Result<()> {
    if let [user] = all {
        return user.adapt(user.open(path)?);
    }
    let (mut fitting, mut refused) = (Vec::new(), Vec::new());
    for user in all {
        match user.open(path) {
            Ok(adapter) => fitting.push((adapter, user)),
            Err(error) => refused.push(format!("{}: {error:#}", user.keys.display())),
        }
    }
    ensure!(fitting.len() < 2, "{} could be of more than one of these users", path.display());
    match fitting.pop() {
        Some((adapter, user)) => user.adapt(adapter),
        None => bail!("{} is of none of these users: {}", path.display(), refused.join("; ")),
    }
}

/// Checks that there is memory for all together, who share the matrices of a preset and of whom one at a time is computed
/// for; returns what stays there.
fn check(all: &[Planned], limit: Option<u64>) -> Result<u64> {
    let first = all.first().context("no --keys")?;
    let preset = first.manifest.preset();
    let mut name = format!("serving '{}' under '{preset}'", first.model.display());
    if all.len() > 1 {
        name = format!("{name} to {} users", all.len());
    }
    let (mut resident, mut presets) = (0, BTreeSet::new());
    for user in all {
        let is_new = presets.insert(user.params.digest());
        let shared = if is_new { 0 } else { user.plan.report.transform_bytes };
        resident += user.resident_bytes()? - shared;
    }
    let work = all.iter().map(|user| user.plan.report.work_bytes).max().unwrap_or(0);
    memory::check(&name, resident + work, limit)?;
    Ok(resident)
}

/// A loaded engine with what belongs to its user, and what there is to report of it.
pub(super) struct Job {
    keys: PathBuf,
    manifest: Manifest,
    transport: TransportKey,
    engine: Engine,
    plan: Plan,
    parameters: ParametersReport,
    trace: Option<PathBuf>,
    jobs: Option<PathBuf>,
    memory: Option<u64>,
}

impl Job {
    /// Checks that there is memory enough, then loads keys, model and adapter.
    pub(super) fn load(
        keys: &Path,
        model: &Path,
        adapter: Option<&Path>,
        memory: Option<u64>,
    ) -> Result<Self> {
        let mut all = [Planned::new(keys, model)?];
        adapter.map_or(Ok(()), |path| give(&mut all, path))?;
        check(&all, memory)?;
        let [user] = all;
        user.load(None, memory)
    }

    /// With a trace written to `path` after each answer, if there is one.
    pub(super) fn traced(self, path: Option<&Path>) -> Self {
        let Some(path) = path else { return self };
        Self { engine: self.engine.with_recorder(), trace: Some(path.to_owned()), ..self }
    }

    /// With jobs in a folder, if there is one.
    pub(super) fn training(self, jobs: Option<&Path>) -> Self {
        Self { jobs: jobs.map(Path::to_owned), ..self }
    }

    /// The jobs in the folder, if there is one.
    fn jobs(&self) -> Result<Option<Jobs<'_>>> {
        let Some(folder) = &self.jobs else { return Ok(None) };
        let (cpu, model) = (self.engine.cpu(), self.engine.model());
        let means = Means { cpu, model, transport: &self.transport };
        let jobs = Jobs::open(folder, means, (&self.keys, &self.manifest), self.memory)?;
        eprintln!("jobs are in {}", jobs.folder().display());
        Ok(Some(jobs))
    }

    /// Writes what was computed since this was last called.
    fn write_trace(&self) -> Result<()> {
        match (&self.trace, self.engine.trace()) {
            (Some(path), Some(trace)) => trace.write(path),
            _ => Ok(()),
        }
    }

    /// Answers with this engine, and says how far it is.
    fn answerer(&self) -> impl Fn(Upload, &mut dyn FnMut(Event)) -> Result<EncryptedAnswer> + Sync {
        |upload, notify| {
            let begun = Instant::now();
            self.engine.answer(upload, &mut |event| {
                show(event, begun);
                notify(event);
            })
        }
    }

    /// Whom a server answers with this engine.
    fn user<'a>(
        &'a self,
        answerer: &'a Answerer<'a>,
        jobs: Option<&'a Jobs<'a>>,
    ) -> Result<User<'a>> {
        let about = (self.engine.upload_shape()?, self.engine.params().digest());
        let user = User::new(about, &self.transport, answerer);
        Ok(match jobs {
            Some(jobs) => user.with_jobs(jobs),
            None => user,
        })
    }

    /// Says what an answer took.
    fn report(&self, answered: &Answered, output: &Output) -> Result<()> {
        let Answered { server, upload_bytes, download_bytes, .. } = answered.clone();
        eprintln!(
            "{}: answered in {:.1} s, {} up, {} down",
            self.keys.display(),
            server.seconds,
            memory::bytes(upload_bytes as u64),
            memory::bytes(download_bytes as u64)
        );
        let (keys, parameters) = (self.plan.report.keys, self.parameters.clone());
        let report = ServeReport { server, keys, parameters, upload_bytes, download_bytes };
        output.write(&report)?;
        self.write_trace()
    }

    /// Serves whoever `ask` sends to the address that it is given, over one connection.
    pub(super) fn while_serving<T>(&self, ask: impl FnOnce(&str) -> Result<T>) -> Result<T> {
        let answerer = |upload, notify: &mut dyn FnMut(_)| self.engine.answer(upload, notify);
        let jobs = self.jobs()?;
        let users = vec![self.user(&answerer, jobs.as_ref())?];
        let server = Server::bind("127.0.0.1:0", Limits::default(), users)?;
        let result = server.while_asked(ask)?;
        self.write_trace()?;
        result
    }
}

/// Serves users at `address` and reports every answer.
fn serve(users: &[Job], address: &str, until: Until, output: &Output) -> Result<()> {
    let answerers: Vec<_> = users.iter().map(Job::answerer).collect();
    let jobs = users.iter().map(Job::jobs).collect::<Result<Vec<_>>>()?;
    let parts = users.iter().zip(&answerers).zip(&jobs);
    let all = parts.map(|((user, answerer), jobs)| user.user(answerer, jobs.as_ref()));
    let server = Server::bind(address, Limits::default(), all.collect::<Result<_>>()?)?;
    output.say(format_args!("listening on {}", server.address()));
    server.run(until, &|answered| {
        if let Err(error) = users[answered.user].report(answered, output) {
            eprintln!("warning: {error:#}");
        }
    })
}

/// Says which stage begins.
fn show(event: Event, begun: Instant) {
    if let Event::Begin(stage) = event {
        let (number, seconds) = (stage.index + 1, begun.elapsed().as_secs_f64());
        eprintln!("stage {number}/{}: {} ({seconds:.1} s)", Stage::total(), stage.name());
    }
}
