//! `host-runner serve`: the server, which holds evaluation keys and weights and no secret.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use anyhow::{Result, anyhow};
use clap::Args;
use he_core::wire::TransportKey;
use he_nn::stage::{Event, Stage};

use crate::engine::Engine;
use crate::files;
use crate::finetune::jobs::Jobs;
use crate::finetune::worker::Means;
use crate::import::ModelFolder;
use crate::memory;
use crate::personal::Source;
use crate::plan::Plan;
use crate::report::{ParametersReport, ServeReport};
use crate::server::{Answered, Answerer, Limits, Server, Until};
use crate::store::{self, Manifest};

const EXAMPLES: &str = "\
Examples:
  host-runner serve --keys keys/server --model models/edge --listen 127.0.0.1:7000
  host-runner serve --keys keys/server --model models/edge --once --json report.json
  host-runner serve --keys keys/server --adapter mine.enc
  host-runner serve --keys keys/server --adapter job
  host-runner serve --keys keys/server --listen 0.0.0.0:7000 --jobs jobs

Prints `listening on ADDRESS` on standard output when ready. `host-runner plan` says
beforehand how much memory it will take.";

/// Answers encrypted questions
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Serve {
    /// The `server` folder that keygen wrote
    #[arg(long, value_name = "DIR")]
    keys: PathBuf,
    /// The model's folder
    #[arg(long, value_name = "DIR", default_value = "models/edge")]
    model: PathBuf,
    /// A personal adapter that `adapter encrypt` wrote, or the folder of a job of `finetune`, whose newest state it
    /// takes; every answer is then that of the adapted model
    #[arg(long, value_name = "PATH")]
    adapter: Option<PathBuf>,
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
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Write times and memory of the last answer as JSON to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Serve {
    pub(super) fn run(&self) -> Result<()> {
        let job = Job::load(&self.keys, &self.model, self.adapter.as_deref(), self.memory)?;
        let job = job.traced(self.trace.as_deref()).training(self.jobs.as_deref());
        let until = if self.once { Until::Answered } else { Until::Stopped };
        job.serve(&self.listen, &self.keys, until, self.json.as_deref())
    }
}

/// A loaded engine and what there is to report of it.
#[derive(Debug)]
pub(super) struct Job {
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
        let manifest = Manifest::open(keys)?;
        let params = manifest.params()?;
        let folder = ModelFolder::open(model)?;
        let open = |path| Source::open(path, (keys, &manifest), &params, folder.model());
        let adapter = adapter.map(open).transpose()?;
        let mut plan = Plan::new(&params, folder.model())?;
        let shape = adapter.as_ref().map(|adapter| adapter.shape(folder.model())).transpose()?;
        if let Some(shape) = shape.flatten() {
            plan = plan.with_trained(&params, folder.model(), shape)?;
        }
        let name = format!("serving '{}' under '{}'", model.display(), manifest.preset());
        // Residues take whole words in memory, which is less than twice what they take in the file.
        let adapter_bytes = match &adapter {
            Some(Source::File(path, _)) => 2 * files::length(path)?,
            _ => 0,
        };
        memory::check(&name, plan.report.memory_bytes + adapter_bytes, memory)?;
        let model = folder.into_model();
        let mut engine = Engine::load(keys, &manifest, &params, &plan, model)?;
        if let Some(adapter) = adapter {
            let mut warn = |text: &str| eprintln!("warning: {text}; the state before it is taken");
            let adapter = adapter.read(engine.target(), &mut warn)?;
            engine = engine.with_adapter(adapter)?;
        }
        let parameters = ParametersReport::new(manifest.preset(), &params);
        Ok(Self { engine, plan, parameters, trace: None, jobs: None, memory })
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

    /// What the folder of keys has besides keys.
    fn bound(keys: &Path) -> Result<(Manifest, TransportKey)> {
        Ok((Manifest::open(keys)?, store::read_transport(keys)?))
    }

    /// The jobs in the folder, if there is one.
    fn jobs<'a>(
        &'a self,
        keys: &'a Path,
        (manifest, transport): &'a (Manifest, TransportKey),
    ) -> Result<Option<Jobs<'a>>> {
        let Some(folder) = &self.jobs else { return Ok(None) };
        let (cpu, model) = (self.engine.cpu(), self.engine.model());
        let means = Means { cpu, model, transport };
        let jobs = Jobs::open(folder, means, (keys, manifest), self.memory)?;
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

    /// Serves at `address` and reports every answer.
    fn serve(&self, address: &str, keys: &Path, until: Until, json: Option<&Path>) -> Result<()> {
        let engine = &self.engine;
        let answerer = |upload, notify: &mut dyn FnMut(Event)| {
            let begun = Instant::now();
            engine.answer(upload, &mut |event| {
                show(event, begun);
                notify(event);
            })
        };
        let bound = Self::bound(keys)?;
        let jobs = self.jobs(keys, &bound)?;
        let server = self.bind(address, keys, (&answerer, jobs.as_ref()))?;
        println!("listening on {}", server.address());
        server.run(until, &|answered| {
            let Answered { server, upload_bytes, download_bytes } = answered.clone();
            eprintln!(
                "answered in {:.1} s, {} up, {} down",
                server.seconds,
                memory::bytes(upload_bytes as u64),
                memory::bytes(download_bytes as u64)
            );
            let (keys, parameters) = (self.plan.report.keys, self.parameters.clone());
            let report = ServeReport { server, keys, parameters, upload_bytes, download_bytes };
            let written = json.map_or(Ok(()), |path| super::write_json(path, &report));
            if let Err(error) = written.and_then(|()| self.write_trace()) {
                eprintln!("warning: {error:#}");
            }
        })
    }

    /// A socket for this engine.
    fn bind<'a>(
        &'a self,
        address: &str,
        keys: &Path,
        (answerer, jobs): (&'a Answerer<'a>, Option<&'a Jobs<'a>>),
    ) -> Result<Server<'a>> {
        let transport = store::read_transport(keys)?;
        let about = (self.engine.upload_shape()?, self.engine.params().digest());
        let server = Server::bind(address, Limits::default(), about, transport, answerer)?;
        Ok(match jobs {
            Some(jobs) => server.with_jobs(jobs),
            None => server,
        })
    }

    /// Serves whoever `ask` sends to the address that it is given, over one connection.
    pub(super) fn while_serving<T>(
        &self,
        keys: &Path,
        ask: impl FnOnce(&str) -> Result<T>,
    ) -> Result<T> {
        let answerer = |upload, notify: &mut dyn FnMut(_)| self.engine.answer(upload, notify);
        let bound = Self::bound(keys)?;
        let jobs = self.jobs(keys, &bound)?;
        let server = self.bind("127.0.0.1:0", keys, (&answerer, jobs.as_ref()))?;
        let address = server.address().to_string();
        let result = thread::scope(|scope| {
            let serving = scope.spawn(|| server.run(Until::HungUp, &|_| {}));
            let result = ask(&address);
            serving.join().map_err(|_| anyhow!("the server panicked"))??;
            result
        });
        self.write_trace()?;
        result
    }
}

/// Says which stage begins.
fn show(event: Event, begun: Instant) {
    if let Event::Begin(stage) = event {
        let (number, seconds) = (stage.index + 1, begun.elapsed().as_secs_f64());
        eprintln!("stage {number}/{}: {} ({seconds:.1} s)", Stage::total(), stage.name());
    }
}
