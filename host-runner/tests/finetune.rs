//! A job of private fine-tuning from its owner to the server and back, at an INSECURE size: stopped, resumed,
//! and damaged on the way.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

#[expect(dead_code, reason = "other tests use the rest")]
#[path = "support/small.rs"]
mod small;

use std::fs;
use std::path::PathBuf;

use he_core::keyswitch::KeyAuthority;
use he_core::params::Params;
use host_runner::adapter;
use host_runner::authority::{self, Order};
use host_runner::dataset::Example;
use host_runner::finetune::job::{Declared, Job};
use host_runner::finetune::owner::Owner;
use host_runner::finetune::rehearsal;
use host_runner::finetune::settings::Settings;
use host_runner::finetune::worker::{Event, Worker};
use host_runner::import::ModelFolder;
use host_runner::plan::training::TrainingPlan;
use host_runner::random;
use host_runner::store::{Existing, Manifest, SERVER};
use small::Scratch;

struct Setup {
    scratch: Scratch,
    folder: ModelFolder,
    params: Params,
    declared: Declared,
    examples: Vec<Example>,
}

impl Setup {
    fn insecure(name: &str) -> Self {
        let scratch = Scratch::new(name);
        let model = scratch.path().join("model");
        small::write_model_of(&["no", "yes"], &model, |_, _| {});
        let (folder, params) = (ModelFolder::open(&model).unwrap(), small::params());
        let settings = Settings { rank: 1, batch: 2, rate: 0.05, ..Settings::default() };
        let training = settings.training(folder.model().config(), 2).unwrap();
        let plan = TrainingPlan::new(&params, folder.model(), &training, 2).unwrap();
        let mut rng = random::generator().unwrap();
        let authority = KeyAuthority::generate(&params, &mut rng).unwrap();
        let order = Order { preset: small::PRESET, params: &params, plan: plan.keys() };
        let place = (scratch.path(), Existing::Keep);
        authority::write(order, &authority, &mut rng, place, &mut |_| {}).unwrap();
        let sentences = [("a fine film .", 1), ("a dull film", 0), ("dull .", 0), ("fine", 1)];
        let example = |(text, label): (&str, usize)| Example { sentence: text.into(), label };
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

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn owner(&self) -> Owner<'_> {
        Owner::new(self.scratch.path(), self.params.clone(), &self.folder).unwrap()
    }

    fn encrypted(&self, name: &str) -> Job {
        let job = Job::at(&self.path(name)).unwrap();
        self.owner().encrypt(&job, &self.declared, &self.examples, &mut || {}).unwrap();
        job
    }

    fn worker(&self) -> Worker {
        let keys = self.path(SERVER);
        let manifest = Manifest::open(&keys).unwrap();
        let model = ModelFolder::open(&self.path("model")).unwrap().into_model();
        let declared = self.declared.clone();
        Worker::new((&keys, &manifest), &self.params, model, declared, None).unwrap()
    }
}

/// Runs at most `limit` iterations; after how many it began, how many states were damaged, and whether all is done.
fn run(worker: &Worker, job: &Job, limit: Option<u32>) -> (u32, usize, bool) {
    let (mut begun, mut damaged) = (0, 0);
    let done = worker.run(job, limit, &mut |event| match event {
        Event::Begin(number) => begun = number,
        Event::Damaged(_) => damaged += 1,
        _ => {}
    });
    (begun, damaged, done.unwrap())
}

#[test]
fn a_job_that_is_stopped_and_damaged_ends_where_the_run_in_the_clear_does() {
    let setup = Setup::insecure("finetune");
    let job = setup.encrypted("job");
    assert_eq!(job.declared().unwrap().as_ref(), Some(&setup.declared));
    let worker = setup.worker();
    assert_eq!(run(&worker, &job, Some(1)), (0, 0, false));

    // A bit of the last state: the one before is taken, and the iteration runs once more.
    let state = setup.path("job/states/000001.state");
    let mut bytes = fs::read(&state).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&state, &bytes).unwrap();
    assert_eq!(run(&worker, &job, None), (0, 1, true));
    assert_eq!(run(&worker, &job, None), (2, 0, true));

    let found = setup.owner().decrypt(&job, &setup.declared, 2).unwrap();
    let prepared = rehearsal::prepare(&setup.folder, &setup.examples).unwrap();
    let settings = &setup.declared.settings;
    let clear = rehearsal::run(&setup.folder, settings, &prepared, &mut |_, _| {}).unwrap();
    let first = settings.first(found.shape());
    let differences =
        |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    let moved = differences(clear.parameters.numbers(), first.numbers());
    let error = differences(found.numbers(), clear.parameters.numbers());
    assert!(moved > 0.02, "{moved}");
    assert!(error < moved / 16.0, "{error} of {moved}");
}

#[test]
fn results_of_another_job_or_altered_ones_are_refused() {
    let setup = Setup::insecure("finetune-refused");
    let job = setup.encrypted("job");
    assert!(run(&setup.worker(), &job, None).2);
    let owner = setup.owner();
    assert!(owner.decrypt(&job, &setup.declared, 1).is_err());
    let other = Declared { number: 8, ..setup.declared.clone() };
    assert!(owner.decrypt(&job, &other, 2).is_err());
    let mut bytes = fs::read(job.answers()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(job.answers(), &bytes).unwrap();
    assert!(owner.decrypt(&job, &setup.declared, 2).is_err());
    bytes[middle] ^= 1;
    fs::write(job.answers(), &bytes[..bytes.len() - 1]).unwrap();
    assert!(owner.decrypt(&job, &setup.declared, 2).is_err());
    fs::write(job.answers(), &bytes).unwrap();
    assert!(owner.decrypt(&job, &setup.declared, 2).is_ok());
}
