//! The server's side of a job: iterations from the newest state on, with evaluation keys alone.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use he_core::cpu::Cpu;
use he_core::edge::BASE_PRIMES;
use he_core::eval::Evaluator;
use he_core::linear::{Rows, SeededUpload};
use he_core::params::Params;
use he_core::refresh::{Refresh, Term};
use he_core::wire::{Answer, AnswerEntry, Link, TransportKey, Upload, UploadShape};
use he_lora::state::Trained;
use he_lora::training::{self, Encrypted, Training};
use he_nn::levels::Levels;
use he_nn::model::Model;
use serde::Serialize;

use super::job::{Declared, Job};
use super::owner::LARGEST_PARAMETER;
use crate::adapter;
use crate::client::example_shape;
use crate::engine::{prepare, upload_shape};
use crate::files::{self, Access};
use crate::memory;
use crate::plan::training::TrainingPlan;
use crate::store::{self, Manifest};

/// No upload is larger.
const LIMIT: u64 = 1 << 24;

/// Trains.
#[expect(missing_debug_implementations, reason = "holds a transport key")]
pub struct Worker {
    cpu: Cpu,
    model: Model,
    training: Training,
    declared: Declared,
    plan: TrainingPlan,
    shape: UploadShape,
    transport: TransportKey,
}

/// What an iteration took.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Iteration {
    /// Its number, from 1.
    pub number: u32,
    /// Wall-clock seconds of all.
    pub seconds: f64,
    /// Of the forward and backward passes.
    pub examples_seconds: f64,
    /// Of the optimizer, and of what else is done once.
    pub optimizer_seconds: f64,
    /// The most memory that the process had had by its end.
    pub peak_bytes: Option<u64>,
}

/// Something that happened.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// Training begins, or goes on, after so many iterations.
    Begin(u32),
    /// So many examples of the iteration that runs are done.
    Example(usize),
    /// An iteration is done, and its state is on the disk.
    Done(&'a Iteration),
    /// A state could not be read and an older one is taken.
    Damaged(&'a str),
}

impl Worker {
    /// Loads what a declared job needs.
    ///
    /// # Errors
    /// If keys or model are not those of the job, or there is not enough memory; the message says what to do.
    pub fn load(
        keys: &Path,
        model: Model,
        declared: Declared,
        memory_limit: Option<u64>,
    ) -> Result<Self> {
        let manifest = Manifest::open(keys)?;
        let params = manifest.params()?;
        Self::new((keys, &manifest), &params, model, declared, memory_limit)
    }

    /// With keys of these parameters.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn new(
        (keys, manifest): (&Path, &Manifest),
        params: &Params,
        model: Model,
        declared: Declared,
        memory_limit: Option<u64>,
    ) -> Result<Self> {
        let found = format!("{:016x}", adapter::digest(&model));
        ensure!(found == declared.model, "the job is for another model than this one");
        ensure!(
            manifest.preset() == declared.preset,
            "the job is for keys of '{}', these are of '{}'",
            declared.preset,
            manifest.preset()
        );
        let iterations = declared.settings.iterations(declared.examples)?;
        let training = declared.settings.training(model.config(), iterations)?;
        let (batch, bytes) = (declared.settings.batch, memory_limit.or_else(memory::available));
        let plan = TrainingPlan::within(bytes, params, &model, &training, batch)?;
        memory::check("training", plan.report.memory_bytes, memory_limit)?;
        let shape = example_shape(&upload_shape(params, model.config().width)?);
        let cpu = prepare(keys, manifest, params, (plan.keys(), &model))?;
        let transport = store::read_transport(keys)?;
        Ok(Self { cpu, model, training, declared, plan, shape, transport })
    }

    /// Runs iterations until the job is done or `limit` more were run, and leaves the owner the state after each. `notify`
    /// hears of what happens. True if the job is done.
    ///
    /// # Errors
    /// If a file of the job is missing or damaged, or the disk is full. Finished iterations are not lost.
    pub fn run(
        &self,
        job: &Job,
        limit: Option<u32>,
        notify: &mut dyn FnMut(Event<'_>),
    ) -> Result<bool> {
        let total = self.declared.settings.iterations(self.declared.examples)?;
        let mut warn = |text: &str| notify(Event::Damaged(text));
        let (done, mut state) =
            job.newest_state(self.cpu.ring(), self.cpu.params(), total, &mut warn)?;
        notify(Event::Begin(done));
        let last = limit.map_or(total, |limit| total.min(done.saturating_add(limit)));
        for number in done + 1..=last {
            let report;
            (state, report) = self.iteration(job, number, &state, notify)?;
            job.write_state(number, self.cpu.params(), &state)?;
            self.write_answers(job, number, &state)?;
            notify(Event::Done(&report));
        }
        if done >= last {
            self.write_answers(job, done, &state)?;
        }
        Ok(last == total)
    }

    fn iteration(
        &self,
        job: &Job,
        number: u32,
        state: &<Cpu as Evaluator>::Ciphertext,
        notify: &mut dyn FnMut(Event<'_>),
    ) -> Result<(<Cpu as Evaluator>::Ciphertext, Iteration)> {
        let (cpu, config, training) = (&self.cpu, self.model.config(), &self.training);
        let begun = Instant::now();
        let mut levels = Levels::planned(self.plan.levels());
        let state = training::refresh(cpu, config, state, &mut levels)?;
        let trained = Trained::unpack(cpu, training.shape, training.scaling, &state)?;
        let before = begun.elapsed().as_secs_f64();
        let mut sum = None;
        let batch = self.declared.settings.batch(self.declared.examples, number);
        let (mut rest, mut done) = (batch.as_slice(), 0);
        for size in self.plan.groups() {
            let (group, others) = rest.split_at(size);
            rest = others;
            let rows = group.iter().map(|index| self.read_example(job, *index));
            let rows = rows.collect::<Result<Vec<_>>>()?;
            let examples: Vec<_> =
                rows.iter().map(|(upload, label)| Encrypted { upload, label }).collect();
            let both = (&self.model, training);
            let one = training::outcome(cpu, both, &trained, &examples, &mut levels)?.gradient;
            sum = Some(match sum {
                None => one,
                Some(sum) => cpu.add(&sum, &one)?,
            });
            done += size;
            notify(Event::Example(done));
        }
        let passed = begun.elapsed().as_secs_f64();
        let sum = sum.context("an empty batch")?;
        let gradient = (&sum, u32::try_from(batch.len())?);
        let setting = (config, training);
        let state = training::step(cpu, setting, number, &state, gradient, &mut levels)?;
        let seconds = begun.elapsed().as_secs_f64();
        let examples_seconds = passed - before;
        let optimizer_seconds = seconds - examples_seconds;
        let peak_bytes = memory::peak();
        Ok((state, Iteration { number, seconds, examples_seconds, optimizer_seconds, peak_bytes }))
    }

    /// Rows of an upload and of its label.
    fn read_example(&self, job: &Job, index: usize) -> Result<(Rows, Rows)> {
        let path = job.example(index);
        let bytes = files::read(&path, LIMIT)?;
        let mut rest = bytes.as_slice();
        let read = |piece: &mut [u8]| {
            let taken = rest.split_off(..piece.len()).context("the file is truncated")?;
            piece.copy_from_slice(taken);
            Ok::<_, anyhow::Error>(())
        };
        let digest = self.cpu.params().digest();
        let upload = Link::accept(&self.transport, digest, self.shape.length(), read)
            .and_then(|(_, frame)| Upload::read(frame, &self.shape))
            .with_context(|| format!("in {}", path.display()))?;
        let Upload { masks, bodies } = upload;
        let seeded = |body: [Vec<u32>; BASE_PRIMES]| SeededUpload { seed: masks, b: body.into() };
        let rows = self.cpu.receive(&bodies.into_iter().map(seeded).collect::<Vec<_>>())?;
        let (width, classes) = (self.model.config().width, self.training.shape.classes());
        let part = |range: core::ops::Range<usize>| {
            let rows_of: Vec<Vec<Term>> = range.map(|row| vec![Term { row, shift: 0 }]).collect();
            self.cpu.select(&rows, &rows_of)
        };
        Ok((part(0..width)?, part(width..width + classes)?))
    }

    fn write_answers(
        &self,
        job: &Job,
        number: u32,
        state: &<Cpu as Evaluator>::Ciphertext,
    ) -> Result<()> {
        let digest = self.cpu.params().digest();
        let mut link = Link::new(&self.transport, digest, self.declared.exchange(number));
        let mut bytes = Vec::new();
        for answer in self.cpu.answers(state, LARGEST_PARAMETER)? {
            let entries: Vec<AnswerEntry> = (0u32..)
                .zip(&answer.b)
                .map(|(position, &body)| AnswerEntry { position, body })
                .collect();
            let answer = Answer { scale: answer.scale, mask: &answer.a, entries: &entries };
            answer.write(&mut link, self.shape.primes[0], |piece| {
                bytes.extend_from_slice(piece);
                Ok::<_, anyhow::Error>(())
            })?;
        }
        files::write(&job.answers(), Access::Public, &bytes)
    }
}
