//! The server's side of a job: one iteration from a state to the next, with evaluation keys alone.

use std::fs;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use he_core::ciphertext::Ciphertext;
use he_core::cpu::Cpu;
use he_core::edge::BASE_PRIMES;
use he_core::eval::Evaluator;
use he_core::keyswitch::KeyPlan;
use he_core::linear::{EdgeAnswer, Rows, SeededUpload};
use he_core::refresh::{Refresh, Term};
use he_core::wire::{Answer, AnswerEntry, Link, TransportKey, Upload, UploadShape};
use he_lora::training::{self, Encrypted, Gradient, Training};
use he_nn::levels::Levels;
use he_nn::model::Model;

use super::exchange::{Iteration, LARGEST_PARAMETER, LARGEST_SCORE, LIMIT, Part};
use super::job::{Declared, Job};
use super::state::take;
use crate::client::example_shape;
use crate::engine::upload_shape;
use crate::files;
use crate::memory;
use crate::plan::training::{TrainingPlan, TrainingReport};

/// What a server trains with.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "holds a transport key")]
pub struct Means<'a> {
    /// With the keys of a training plan.
    pub cpu: &'a Cpu,
    /// The model that is adapted.
    pub model: &'a Model,
    /// What owner and server share.
    pub transport: &'a TransportKey,
}

/// Trains.
#[expect(missing_debug_implementations, reason = "holds a transport key")]
pub struct Worker<'a> {
    means: Means<'a>,
    training: Training,
    plan: TrainingPlan,
}

/// What an iteration gives.
#[derive(Debug)]
pub struct Step {
    /// The next state.
    pub state: Vec<Ciphertext>,
    /// The same and the scores of the examples before it, for the owner.
    pub result: Vec<u8>,
    /// What it took.
    pub report: Iteration,
}

impl<'a> Worker<'a> {
    /// Plans a declared job, for a process that may take so many bytes in all.
    ///
    /// # Errors
    /// If the job does not fit model and parameters.
    pub fn new(means: Means<'a>, declared: &Declared, bytes: Option<u64>) -> Result<Self> {
        let (model, settings) = (means.model, &declared.settings);
        settings.check(declared.examples)?;
        let training = settings.training(model.config(), declared.iterations()?)?;
        let params = means.cpu.params();
        let plan = TrainingPlan::within(bytes, params, model, &training, settings.batch)?;
        Ok(Self { means, training, plan })
    }

    /// The keys it needs.
    #[must_use]
    pub const fn keys(&self) -> &KeyPlan {
        self.plan.keys()
    }

    /// What it is expected to take.
    #[must_use]
    pub const fn report(&self) -> &TrainingReport {
        &self.plan.report
    }

    /// Runs iteration `number` of a job on the state before it. `passed` hears, each time that a forward pass worth
    /// of work is done, how many examples are through, and ends the iteration by an error.
    ///
    /// # Errors
    /// If an upload is missing or damaged; those of `passed`.
    pub fn step(
        &self,
        job: &Job,
        (number, state): (u32, &[Ciphertext]),
        passed: &mut dyn FnMut(usize) -> Result<()>,
    ) -> Result<Step> {
        let (cpu, model, training) = (self.means.cpu, self.means.model, &self.training);
        let (config, declared) = (model.config(), job.declared());
        let begun = Instant::now();
        let mut levels = Levels::planned(self.plan.levels());
        let (shape, mut state) = ((training.shape, training.scaling), state.to_vec());
        if let [vectors] = &state[..] {
            // Updates of matrices begin at zero, which an owner need not send.
            let zero = cpu.sub(vectors, vectors)?;
            state.resize(training::ciphertexts(cpu, config, training.shape)?, zero);
        }
        let (state, trained) = training::begin(cpu, config, shape, &state, &mut levels)?;
        let before = begun.elapsed().as_secs_f64();
        let (mut sum, mut scores) = (None, Vec::new());
        let batch = declared.settings.batch(declared.examples, number);
        let mut rest = batch.as_slice();
        for size in self.plan.groups() {
            let (group, others) = rest.split_at(size);
            rest = others;
            let rows = group.iter().map(|index| self.example(job, *index));
            let rows = rows.collect::<Result<Vec<_>>>()?;
            let examples: Vec<_> =
                rows.iter().map(|(upload, label)| Encrypted { upload, label }).collect();
            let both = (model, training);
            let (done, mut trouble) = (batch.len() - rest.len() - size, None);
            let mut passed = |count| {
                passed(done + count).map_err(|error| {
                    trouble = Some(error);
                    he_nn::Error::GivenUp
                })
            };
            let one = training::outcome(cpu, both, &trained, &examples, &mut levels, &mut passed);
            let one = match trouble {
                Some(error) => return Err(error),
                None => one?,
            };
            for rows in &one.scores {
                scores.extend(cpu.row_answers(rows, LARGEST_SCORE)?);
            }
            sum = Some(match sum {
                None => one.gradient,
                Some(sum) => Gradient::with(sum, cpu, &one.gradient)?,
            });
        }
        let examples_seconds = begun.elapsed().as_secs_f64() - before;
        drop(trained);
        let sum = sum.context("an empty batch")?;
        let (setting, gradient) = ((config, training), (&sum, u32::try_from(batch.len())?));
        let state = training::step(cpu, setting, number, state, gradient, &mut levels)?;
        let result = self.result(declared.exchange(number), &state, &scores)?;
        let (seconds, peak_bytes) = (begun.elapsed().as_secs_f64(), memory::peak());
        let optimizer_seconds = seconds - examples_seconds;
        let report = Iteration { number, seconds, examples_seconds, optimizer_seconds, peak_bytes };
        Ok(Step { state, result, report })
    }

    /// Rows of an upload and of its label.
    fn example(&self, job: &Job, index: usize) -> Result<(Rows, Rows)> {
        let path = job.path(Part::Example(index));
        let bytes = files::read(&path, LIMIT)?;
        let upload = read_example(self.means, &bytes);
        let upload = upload.inspect_err(|_| {
            // It was whole when it came: its owner sends it again.
            let _ = fs::remove_file(&path);
        });
        let Upload { masks, bodies } = upload.with_context(|| format!("in {}", path.display()))?;
        let (cpu, seed) = (self.means.cpu, masks);
        let seeded = |body: [Vec<u32>; BASE_PRIMES]| SeededUpload { seed, b: body.into() };
        let rows = cpu.receive(&bodies.into_iter().map(seeded).collect::<Vec<_>>())?;
        let (width, classes) = (self.means.model.config().width, self.training.shape.classes());
        let part = |range: core::ops::Range<usize>| {
            let rows_of: Vec<Vec<Term>> = range.map(|row| vec![Term { row, shift: 0 }]).collect();
            cpu.select(&rows, &rows_of)
        };
        Ok((part(0..width)?, part(width..width + classes)?))
    }

    /// What the owner reads: all slots of the state, then the scores of each example.
    fn result(
        &self,
        sequence: u64,
        state: &[Ciphertext],
        scores: &[EdgeAnswer],
    ) -> Result<Vec<u8>> {
        let Means { cpu, model, transport } = self.means;
        let mut link = Link::new(transport, cpu.params().digest(), sequence);
        let first = upload_shape(cpu.params(), model.config().width)?.primes[0];
        let mut bytes = Vec::new();
        let mut write = |answer: &EdgeAnswer, count: usize| {
            let entries: Vec<AnswerEntry> = (0u32..)
                .zip(&answer.b)
                .take(count)
                .map(|(position, &body)| AnswerEntry { position, body })
                .collect();
            let answer = Answer { scale: answer.scale, mask: &answer.a, entries: &entries };
            answer.write(&mut link, first, |piece| {
                bytes.extend_from_slice(piece);
                Ok::<_, anyhow::Error>(())
            })
        };
        for ciphertext in state {
            for answer in cpu.answers(ciphertext, LARGEST_PARAMETER)? {
                write(&answer, answer.b.len())?;
            }
        }
        // The first token holds a score.
        scores.iter().try_for_each(|answer| write(answer, 1))?;
        Ok(bytes)
    }
}

/// Reads an example as it is kept and sent.
///
/// # Errors
/// If it is truncated, altered, or of another owner.
pub fn read_example(means: Means<'_>, mut bytes: &[u8]) -> Result<Upload> {
    let (params, width) = (means.cpu.params(), means.model.config().width);
    let shape: UploadShape = example_shape(&upload_shape(params, width)?);
    let read = |piece: &mut [u8]| take(&mut bytes, piece);
    let (_, frame) = Link::accept(means.transport, params.digest(), shape.length(), read)?;
    let upload = Upload::read(frame, &shape)?;
    ensure!(bytes.is_empty(), "there are bytes after its end");
    Ok(upload)
}
