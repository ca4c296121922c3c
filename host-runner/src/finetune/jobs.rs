//! Jobs of one owner on a server: what is said to their owner, and which is trained next.
//!
//! The folder has one for each owner, called after the transport key, and in it one for each job. An owner's
//! server never opens another's; what is copied there by hand is refused by the tag of its declaration.

use alloc::collections::BTreeMap;
use core::panic::AssertUnwindSafe;
use core::time::Duration;
use std::fs::{self, File};
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail, ensure};
use he_core::ciphertext::Ciphertext;
use he_core::wire::TransportKey;

use super::exchange::{Ask, Part, Permission, Request, Said, Status};
use super::job::{Declared, Job, folder_name, owner_name};
use super::state::read_state;
use super::worker::{Means, Step, Worker, read_example};
use crate::adapter;
use crate::engine::check_keys;
use crate::memory;
use crate::store::Manifest;
use crate::turn::Turn;

/// How long an owner who asks for news is kept waiting, if there are none.
const WAIT: Duration = Duration::from_secs(5);

/// Jobs of one owner.
#[expect(missing_debug_implementations, reason = "holds a transport key")]
pub struct Jobs<'a> {
    means: Means<'a>,
    keys: &'a Path,
    manifest: &'a Manifest,
    memory_limit: Option<u64>,
    folder: PathBuf,
    shared: Mutex<Shared>,
    changed: Condvar,
    /// Held for as long as this lives, so that no other process trains here.
    _lock: File,
}

#[derive(Default)]
struct Shared {
    version: u64,
    is_stopped: bool,
    /// The job under way, and examples that its iteration has passed.
    current: Option<(u64, usize)>,
    /// Jobs whose owner took something back while they were under way.
    discarded: Option<u64>,
    /// Jobs that failed, and why.
    troubles: BTreeMap<u64, String>,
}

impl<'a> Jobs<'a> {
    /// The jobs in a folder, of the owner of the keys in `keys`.
    ///
    /// # Errors
    /// If the folder cannot be made, or another process works there.
    pub fn open(
        folder: &Path,
        means: Means<'a>,
        (keys, manifest): (&'a Path, &'a Manifest),
        memory_limit: Option<u64>,
    ) -> Result<Self> {
        let folder = folder.join(owner_name(means.transport)?);
        let made = fs::create_dir_all(&folder);
        made.with_context(|| format!("cannot make {}", folder.display()))?;
        let path = folder.join("lock");
        let lock =
            File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let locked = lock.try_lock();
        locked.with_context(|| format!("another server works in {}", folder.display()))?;
        let (shared, changed) = (Mutex::default(), Condvar::new());
        let jobs =
            Self { means, keys, manifest, memory_limit, folder, shared, changed, _lock: lock };
        jobs.numbers()?.into_iter().try_for_each(|number| jobs.look(number))?;
        Ok(jobs)
    }

    /// Where the jobs are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Removes what a killed process left behind and states that are damaged.
    fn look(&self, number: u64) -> Result<()> {
        for part in ["", "examples", "states", "results"] {
            let Ok(entries) = fs::read_dir(self.place(number).join(part)) else { continue };
            for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
                if path.extension().is_some_and(|end| end == "part") {
                    let removed = fs::remove_file(&path);
                    removed.with_context(|| format!("cannot remove {}", path.display()))?;
                }
            }
        }
        // Whoever works at it next says what is wrong to its owner.
        let looked = self.job(number).and_then(|job| match job.done()? {
            0 => Ok(()),
            _ => self.newest_state(&job).map(|_| ()),
        });
        if let Err(error) = looked {
            eprintln!("warning: job {number:016x}: {error:#}");
        }
        Ok(())
    }

    /// What to say to what an owner asks.
    #[must_use]
    pub fn answer(&self, request: &Request, bytes: &[u8]) -> (Said, Vec<u8>) {
        match self.try_answer(request, bytes) {
            Ok(said) => said,
            Err(error) => (Said::Failed(format!("{error:#}")), Vec::new()),
        }
    }

    fn try_answer(&self, request: &Request, bytes: &[u8]) -> Result<(Said, Vec<u8>)> {
        if matches!(request.ask, Ask::Declare) {
            self.declare(request.job, bytes)?;
            return Ok((Said::Done, Vec::new()));
        }
        let job = self.job(request.job)?;
        match request.ask {
            Ask::Declare => {}
            Ask::Put(part) => {
                self.check_part(&job, part, bytes)?;
                job.write(part, bytes)?;
            }
            Ask::Fetch(part @ Part::Result(_)) if !job.path(part).exists() => {}
            Ask::Fetch(part) => return Ok((Said::Done, job.read(part)?)),
            Ask::Status { seen } => {
                return Ok((Said::Status(self.status(&job, seen)?), Vec::new()));
            }
            Ask::Allow(permission) => self.allow(&job, permission)?,
            Ask::Discard(number) => {
                let mut shared = self.lock();
                job.discard(number)?;
                if matches!(shared.current, Some((current, _)) if current == request.job) {
                    shared.discarded = Some(request.job);
                }
                self.announce(shared);
            }
        }
        Ok((Said::Done, Vec::new()))
    }

    fn declare(&self, number: u64, text: &[u8]) -> Result<()> {
        let declared = Declared::parse(text)?;
        ensure!(declared.number == number, "a declaration of another job");
        let found = format!("{:016x}", adapter::digest(self.means.model));
        ensure!(found == declared.model, "the job is for another model than this server's");
        let preset = self.manifest.preset();
        ensure!(
            preset == declared.preset,
            "the job is for keys of '{}', this server's are of '{preset}'",
            declared.preset,
        );
        let worker = Worker::new(self.means, &declared, self.bytes())?;
        let keys = check_keys(self.keys, self.manifest, self.means.cpu.params(), worker.keys());
        keys.with_context(|| {
            let what = declared.settings.keys();
            format!("these keys are not for such a training; `host-runner keygen --finetune {what}` makes them")
        })?;
        memory::check("training", worker.report().memory_bytes, self.bytes())?;
        Job::declare(&self.place(number), self.identity(), text).map(|_| ())
    }

    /// Refuses a part that is not what it should be, before it is kept.
    fn check_part(&self, job: &Job, part: Part, bytes: &[u8]) -> Result<()> {
        match part {
            Part::First => {
                let (cpu, sequence) = (self.means.cpu, job.declared().exchange(0));
                read_state(bytes, sequence, (cpu.ring(), cpu.params())).map(|_| ())
            }
            Part::Example(place) if place < job.declared().examples => {
                read_example(self.means, bytes).map(|_| ())
            }
            _ => bail!("a job of {} examples has no such part", job.declared().examples),
        }
    }

    fn status(&self, job: &Job, seen: Option<u64>) -> Result<Status> {
        let number = job.declared().number;
        let is_old = |shared: &mut Shared| Some(shared.version) == seen && !shared.is_stopped;
        let waited = self.changed.wait_timeout_while(self.lock(), WAIT, is_old);
        let (shared, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let (done, permission) = (job.done()?, job.permission()?);
        let current = shared.current.filter(|(current, _)| *current == number);
        Ok(Status {
            version: shared.version,
            has_first: job.path(Part::First).exists(),
            examples: job.examples(),
            done,
            permission,
            example: current.map(|(_, example)| example),
            ran: job.ran(permission.good, done),
            trouble: shared.troubles.get(&number).cloned(),
        })
    }

    fn allow(&self, job: &Job, permission: Permission) -> Result<()> {
        let mut shared = self.lock();
        job.allow(permission)?;
        shared.troubles.remove(&job.declared().number);
        self.announce(shared);
        Ok(())
    }

    /// Trains whatever may be trained until [`Self::stop`], giving way to questions.
    pub fn run(&self, turn: &Turn) {
        while let Some(job) = self.next() {
            let number = job.declared().number;
            let work = catch_unwind(AssertUnwindSafe(|| self.work(&job, turn)));
            let mut shared = self.lock();
            shared.current = None;
            let was_discarded = shared.discarded.take().is_some();
            let error = match work {
                Ok(Ok(())) => None,
                Ok(Err(_)) if shared.is_stopped || was_discarded => None,
                Ok(Err(error)) => Some(format!("{error:#}")),
                Err(_) => Some("the iteration panicked".to_owned()),
            };
            if let Some(error) = error {
                eprintln!("job {number:016x}: {error}");
                shared.troubles.insert(number, error);
            }
            self.announce(shared);
        }
    }

    /// Ends [`Self::run`] after the example that is under way.
    pub fn stop(&self) {
        let mut shared = self.lock();
        shared.is_stopped = true;
        self.announce(shared);
    }

    /// Waits for a job that may be trained.
    fn next(&self) -> Option<Job> {
        let mut shared = self.lock();
        loop {
            if shared.is_stopped {
                return None;
            }
            let numbers = self.numbers().unwrap_or_default();
            let well = numbers.into_iter().filter(|n| !shared.troubles.contains_key(n));
            let mut jobs = well.filter_map(|number| self.job(number).ok());
            if let Some(job) = jobs.find(|job| may_run(job).unwrap_or(false)) {
                shared.current = Some((job.declared().number, 0));
                return Some(job);
            }
            shared = self.changed.wait(shared).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Runs iterations for as long as they may run.
    fn work(&self, job: &Job, turn: &Turn) -> Result<()> {
        let worker = Worker::new(self.means, job.declared(), self.bytes())?;
        while may_run(job)? {
            // Questions go before its parts, iterations of other owners' jobs before or after all of it.
            let _iterating = turn.iteration();
            let (done, state) = self.newest_state(job)?;
            self.note(job, 0)?;
            let mut taken = Some(turn.work());
            let step = worker.step(job, (done + 1, &state), &mut |example| {
                taken.take();
                self.note(job, example)?;
                taken = Some(turn.work());
                Ok(())
            })?;
            drop(taken);
            self.finish(job, &step)?;
        }
        Ok(())
    }

    /// Says how far an iteration is, or that it is not to go on.
    fn note(&self, job: &Job, example: usize) -> Result<()> {
        let mut shared = self.lock();
        ensure!(!shared.is_stopped && shared.discarded.is_none(), "the iteration was given up");
        shared.current = Some((job.declared().number, example));
        self.announce(shared);
        Ok(())
    }

    /// Keeps what an iteration gave, unless its owner took back what it began with.
    fn finish(&self, job: &Job, step: &Step) -> Result<()> {
        let mut shared = self.lock();
        ensure!(shared.discarded.is_none(), "the iteration was given up");
        let params = self.means.cpu.params();
        job.finish(params, &step.report, (&step.state, &step.result))?;
        shared.current = Some((job.declared().number, 0));
        self.announce(shared);
        Ok(())
    }

    /// The newest state that is whole; those that are not are removed.
    fn newest_state(&self, job: &Job) -> Result<(u32, Vec<Ciphertext>)> {
        let (cpu, mut damaged) = (self.means.cpu, Vec::new());
        let mut warn = |number, text: &str| {
            eprintln!("warning: {text}; the state before it is taken");
            damaged.push(number);
        };
        let found = job.newest_state((cpu.ring(), cpu.params()), &mut warn)?;
        damaged.into_iter().try_for_each(|number| job.remove_state(number))?;
        Ok(found)
    }

    /// What this process may take in all: the limit, or what it has and what is free.
    fn bytes(&self) -> Option<u64> {
        let all = || Some(memory::available()? + memory::resident()?);
        self.memory_limit.or_else(all)
    }

    fn job(&self, number: u64) -> Result<Job> {
        let place = self.place(number);
        ensure!(place.is_dir(), "there is no job {number:016x} of this owner here");
        Job::open(&place, self.identity())
    }

    fn place(&self, number: u64) -> PathBuf {
        self.folder.join(folder_name(number))
    }

    fn identity(&self) -> (&TransportKey, u64) {
        (self.means.transport, self.means.cpu.params().digest())
    }

    /// The numbers of all jobs, upwards.
    fn numbers(&self) -> Result<Vec<u64>> {
        let entries = fs::read_dir(&self.folder);
        let entries = entries.with_context(|| format!("cannot read {}", self.folder.display()))?;
        let mut numbers = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            numbers.extend(name.to_str().and_then(|name| u64::from_str_radix(name, 16).ok()));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets everybody look again.
    fn announce(&self, mut shared: MutexGuard<'_, Shared>) {
        shared.version += 1;
        drop(shared);
        self.changed.notify_all();
    }
}

/// Whether a job is whole and its owner lets it go on.
fn may_run(job: &Job) -> Result<bool> {
    let declared = job.declared();
    let last = job.permission()?.until.min(declared.iterations()?);
    let is_whole = || job.path(Part::First).exists() && job.examples() == declared.examples;
    Ok(job.done()? < last && is_whole())
}
