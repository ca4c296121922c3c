//! An owner's keys, examples and job at an INSECURE size, and a server for it.

use core::time::Duration;
use std::path::{Path, PathBuf};

use he_core::keyswitch::KeyAuthority;
use he_core::params::Params;
use he_core::wire::TransportKey;
use host_runner::adapter;
use host_runner::authority::{self, Order};
use host_runner::dataset::Example;
use host_runner::engine::Engine;
use host_runner::finetune::follow::{Event, Follower, Seen};
use host_runner::finetune::job::Declared;
use host_runner::finetune::jobs::Jobs;
use host_runner::finetune::numbers::State;
use host_runner::finetune::owner::Owner;
use host_runner::finetune::rehearsal::{self, Rehearsed};
use host_runner::finetune::remote::Remote;
use host_runner::finetune::settings::Settings;
use host_runner::finetune::worker::Means;
use host_runner::import::ModelFolder;
use host_runner::plan::Plan;
use host_runner::plan::training::TrainingPlan;
use host_runner::random;
use host_runner::server::{Limits, Server, User};
use host_runner::store::{self, Existing, Manifest, SERVER};

use crate::small::{self, Scratch};

/// How long a server may be gone.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Setup {
    pub(crate) scratch: Scratch,
    pub(crate) folder: ModelFolder,
    pub(crate) params: Params,
    pub(crate) declared: Declared,
    pub(crate) examples: Vec<Example>,
}

impl Setup {
    /// With keys of their own, and a job of two iterations an epoch.
    pub(crate) fn insecure(name: &str, change: impl Fn(&mut Settings)) -> Self {
        Self::insecure_with(name, |_, _| {}, change)
    }

    /// The same for a model of which `matrix` alters the bytes of matrices.
    pub(crate) fn insecure_with(
        name: &str,
        matrix: impl Fn(&str, &mut Vec<u8>),
        change: impl Fn(&mut Settings),
    ) -> Self {
        let scratch = Scratch::new(name);
        let model = scratch.path().join("model");
        small::write_model_of(&["no", "yes"], &model, matrix);
        let (folder, params) = (ModelFolder::open(&model).unwrap(), small::params());
        let mut settings = Settings { rank: 1, batch: 2, rate: 0.05, ..Settings::default() };
        change(&mut settings);
        let training = settings.training(folder.model().config(), 2).unwrap();
        let plan = TrainingPlan::new(&params, folder.model(), &training, 2).unwrap();
        let mut rng = random::generator().unwrap();
        let authority = KeyAuthority::generate(&params, &mut rng).unwrap();
        let order = Order { preset: small::PRESET, params: &params, plan: plan.keys() };
        let place = (scratch.path(), Existing::Keep);
        authority::write(order, &authority, &mut rng, place, &mut |_| {}).unwrap();
        let sentences = [("a fine film .", 1), ("a dull film", 0), ("dull .", 0), ("fine", 1)];
        let label = |class| if class == 0 { vec![1.0, 0.0] } else { vec![0.0, 1.0] };
        let example = |(text, y): (&str, _)| Example { sentence: text.into(), label: label(y) };
        let declared = Declared {
            preset: small::PRESET.to_owned(),
            model: format!("{:016x}", adapter::digest(folder.model())),
            examples: sentences.len(),
            number: 7,
            settings,
        };
        let examples = sentences.map(example).to_vec();
        Self { scratch, folder, params, declared, examples }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    pub(crate) fn owner(&self) -> Owner<'_> {
        Owner::new(self.scratch.path(), self.params.clone(), &self.folder).unwrap()
    }

    pub(crate) fn remote<'a>(&self, owner: &'a Owner<'a>, address: &'a str) -> Remote<'a> {
        Remote::new(owner.client(), address, self.declared.number, PATIENCE)
    }

    /// Looks at each state before the next iteration, and goes on to iteration `until`.
    pub(crate) fn follower<'a>(&'a self, owner: &'a Owner<'a>, until: u32) -> Follower<'a> {
        Follower { owner, declared: &self.declared, examples: &self.examples, ahead: 1, until }
    }

    /// Sends what is not there and follows the job to `until`.
    pub(crate) fn follow(
        &self,
        address: &str,
        until: u32,
    ) -> anyhow::Result<(u32, State, Vec<Seen>)> {
        let owner = self.owner();
        let (mut remote, mut seen) = (self.remote(&owner, address), Vec::new());
        let follower = self.follower(&owner, until);
        follower.upload(&mut remote, &mut |_| {})?;
        let (number, state) = follower.follow(&mut remote, &mut |event| {
            if let Event::Good(one) = event {
                seen.push(*one);
            }
        })?;
        Ok((number, state, seen))
    }

    pub(crate) fn rehearse(&self) -> Rehearsed {
        let prepared = rehearsal::prepare(&self.folder, &self.examples).unwrap();
        rehearsal::run(&self.folder, &self.declared.settings, &prepared, &mut |_, _| {}).unwrap()
    }

    /// That a state is that of the run in the clear, and that training changed something.
    pub(crate) fn check(&self, found: &State) {
        let clear = self.rehearse().state;
        let first = self.declared.settings.first(found.parameters.shape());
        let first = State::first(first, self.folder.model().config());
        let (moved, error) = (clear.distance(&first), clear.distance(found));
        assert!(moved > 0.02, "{moved}");
        assert!(error < moved / 16.0, "{error} of {moved}");
    }

    /// The only job's folder below a folder of jobs.
    pub(crate) fn job(jobs: &Path) -> PathBuf {
        let folders = |path: &Path| {
            let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
            entries.filter(|path| path.is_dir()).collect::<Vec<_>>()
        };
        let [owner] = &folders(jobs)[..] else { panic!("not one owner") };
        let [job] = &folders(owner)[..] else { panic!("not one job") };
        job.clone()
    }

    /// The files of the only job's states, sorted.
    pub(crate) fn states(jobs: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(Self::job(jobs).join("states")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort_unstable();
        names
    }

    /// Serves with jobs in a folder while `ask` is asking, over one connection.
    pub(crate) fn while_serving<T>(&self, jobs: &Path, ask: impl FnOnce(&str) -> T) -> T {
        serve(&[self.scratch.path()], jobs, "127.0.0.1:0", |server| {
            server.while_asked(ask).unwrap()
        })
    }
}

/// What belongs to a user of a server.
struct Loaded {
    folder: PathBuf,
    manifest: Manifest,
    transport: TransportKey,
    engine: Engine,
}

impl Loaded {
    /// Beside an engine for the same model and parameters, if there is one.
    fn new(keys: &Path, alike: Option<&Engine>) -> Self {
        let (folder, params) = (keys.join(SERVER), small::params());
        let manifest = Manifest::open(&folder).unwrap();
        let model = ModelFolder::open(&keys.join("model")).unwrap().into_model();
        let plan = Plan::new(&params, &model).unwrap();
        let engine = match alike {
            Some(engine) => engine.beside(&folder, &manifest, &plan).unwrap(),
            None => Engine::load(&folder, &manifest, &params, &plan, model).unwrap(),
        };
        let transport = store::read_transport(&folder).unwrap();
        Self { folder, manifest, transport, engine }
    }

    fn jobs(&self, jobs: &Path) -> Jobs<'_> {
        let (cpu, model) = (self.engine.cpu(), self.engine.model());
        let means = Means { cpu, model, transport: &self.transport };
        Jobs::open(jobs, means, (&self.folder, &self.manifest), None).unwrap()
    }
}

/// A server with the keys and the models in some folders, one for each user.
pub(crate) fn serve<T>(
    keys: &[&Path],
    jobs: &Path,
    address: &str,
    run: impl FnOnce(&Server<'_>) -> T,
) -> T {
    let mut users: Vec<Loaded> = Vec::new();
    for keys in keys {
        let user = Loaded::new(keys, users.first().map(|user| &user.engine));
        users.push(user);
    }
    let jobs: Vec<_> = users.iter().map(|user| user.jobs(jobs)).collect();
    let answerers: Vec<_> = users
        .iter()
        .map(|user| |upload, notify: &mut dyn FnMut(_)| user.engine.answer(upload, notify))
        .collect();
    let parts = users.iter().zip(&answerers).zip(&jobs);
    let users = parts.map(|((user, answerer), jobs)| {
        let about = (user.engine.upload_shape().unwrap(), user.engine.params().digest());
        User::new(about, &user.transport, answerer).with_jobs(jobs)
    });
    run(&Server::bind(address, Limits::default(), users.collect()).unwrap())
}
