//! Inference and an iteration of training, timed on ciphertexts under fresh keys.

use core::time::Duration;
use std::time::Instant;

use anyhow::{Context, Result};
use chacha20::ChaCha20Rng;
use he_core::ciphertext::Ciphertext;
use he_core::complex::Complex;
use he_core::cpu::Cpu;
use he_core::encode::Encoder;
use he_core::encrypt::Encryptor;
use he_core::eval::Evaluator;
use he_core::keyswitch::{EvaluationKeys, KeyAuthority, KeyPlan};
use he_core::linear::Rows;
use he_core::ntt::bit_reversed;
use he_core::params::Params;
use he_core::refresh::Refresh;
use he_core::ring::Ring;
use he_lora::adamw::Moments;
use he_lora::dense::Grid;
use he_lora::full::state;
use he_lora::matrices::Matrices;
use he_lora::parameters::Parameters;
use he_lora::reference::{Example, Outcome, evaluate, evaluate_full};
use he_lora::state::{Kind, Places};
use he_lora::training::{Encrypted, Training, iteration, unpack};
use he_nn::forward::Forward;
use he_nn::layer::head::class_row;
use he_nn::layout::row;
use he_nn::levels::Levels;
use he_nn::model::{Config, Model};
use he_nn::reference::{self, Trace};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use super::Subject;
use crate::import::ModelFolder;
use crate::threads::Rayon;

/// The largest entry of the first updates of matrices.
const SMALL: f64 = 1.0 / 128.0;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// A forward pass without an adapter.
    Inference,
    /// One iteration with one example: forward, back and the optimizer.
    Iteration,
}

/// One measurement.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Measured {
    /// Seconds of wall-clock time.
    pub seconds: f64,
    /// Seconds of all processors.
    pub processor_seconds: f64,
    /// The largest difference of a score, or of a parameter, and the same in double precision.
    pub error: f64,
}

/// A sentence as numbers.
#[derive(Clone, Debug)]
pub struct Sentence {
    embedding: Vec<f64>,
    length: usize,
}

impl Sentence {
    /// Of a text.
    ///
    /// # Errors
    /// If it is empty or too long.
    pub fn new(folder: &ModelFolder, text: &str) -> Result<Self> {
        let tokens = folder.model().config().tokens;
        let mut ids = vec![0; tokens];
        let length = folder.tokenizer()?.sentence(text, &mut ids)?;
        let embedding = reference::embed(&folder.embedding()?, &ids[..length], tokens);
        Ok(Self { embedding, length })
    }

    /// What a model makes of it in double precision.
    fn trace(&self, model: &Model) -> Trace {
        reference::forward(model, &self.embedding, self.length)
    }

    /// All features but the last, and the mask.
    fn rows(&self, width: usize) -> Vec<Vec<f64>> {
        let feature = |f| self.embedding.iter().skip(f).step_by(width).copied().collect();
        let mut rows: Vec<Vec<f64>> = (0..width - 1).map(feature).collect();
        let tokens = self.embedding.len() / width;
        rows.push((0..tokens).map(|t| if t < self.length { 1.0 } else { 0.0 }).collect());
        rows
    }
}

/// An engine with the keys of all subjects, and the secret that they were made with.
#[expect(missing_debug_implementations, reason = "holds a secret")]
pub struct Bench {
    authority: KeyAuthority,
    encoder: Encoder,
    cpu: Cpu,
    rng: ChaCha20Rng,
}

impl Bench {
    /// Makes keys for what is to be measured; `step` hears of each that there is, and of how many.
    ///
    /// # Errors
    /// If the parameters have no room for a bootstrap.
    pub fn new(
        params: &Params,
        (subjects, wanted): (&[Subject], &[What]),
        mut rng: ChaCha20Rng,
        step: &mut dyn FnMut(usize),
    ) -> Result<Self> {
        let mut plan = KeyPlan::new(params);
        let keys = |subject: &'_ Subject| match wanted.contains(&What::Iteration) {
            true => subject.training.keys().specs().collect::<Vec<_>>(),
            false => subject.inference.keys().specs().collect(),
        };
        for spec in subjects.iter().flat_map(keys) {
            plan.need(spec.kind, spec.level);
        }
        let ring = Ring::new(params.log_degree(), params.primes(), he_simd::best(), &Rayon)?;
        let authority = KeyAuthority::generate(params, &mut rng)?;
        let (count, mut keys) = (plan.specs().count(), EvaluationKeys::new());
        for spec in plan.specs() {
            let key = authority.key(&ring, params, spec, &mut rng)?;
            keys.insert(&ring, spec.kind, key.expand(&ring, params)?);
            step(count);
        }
        let frac_bits = subjects.first().context("nothing to measure")?.model.config();
        let cpu = Cpu::new(params.clone(), ring, keys)?;
        let cpu = cpu.with_bootstrap(frac_bits.weight_frac_bits)?;
        Ok(Self { authority, encoder: Encoder::new(params.log_degree()), cpu, rng })
    }

    /// One forward pass: of the model alone, or, if all matrices are trained, with encrypted ones that are unpacked before.
    ///
    /// # Errors
    /// If a key is missing.
    pub fn inference(&mut self, subject: &Subject, sentence: &Sentence) -> Result<Measured> {
        let model = &subject.model;
        let training = subject.settings.training(model.config(), 1)?;
        let upload = self.rows(&sentence.rows(model.config().width))?;
        let first = self.first(subject, &training)?;
        let state = self.encrypted(&first)?;
        let (cpu, levels, mut silent) = (&self.cpu, subject.inference.levels(), |_| {});
        let shape = (training.shape, training.scaling);
        let mut planned = Levels::planned(&levels.trained);
        let (answer, time) = if training.shape.is_full() {
            let trained = unpack(cpu, model.config(), shape, &state, &mut planned)?;
            let forward = Forward::new(cpu, model, &mut silent).with_updates(trained.updates());
            timed(|| {
                Ok(forward.resuming(planned).run_with_head(&upload, |rows, mask, linears| {
                    trained.classify(cpu, model, (rows, mask), linears)
                })?)
            })?
        } else {
            let forward = Forward::new(cpu, model, &mut silent).with_levels(&levels.plain);
            timed(|| Ok(forward.run(&upload)?))?
        };
        let scores = match training.shape.is_full() {
            true => first.evaluate(model, &training, sentence).0.scores,
            false => sentence.trace(model).logits,
        };
        let (slots, half) = (self.decrypt(&answer), model.config().tokens / 2);
        let off = |(class, score)| f64::abs(slots[class_row(class) * half].re - score);
        Ok(time.measured(scores.into_iter().enumerate().map(off).fold(0.0, f64::max)))
    }

    /// One iteration of training from the first parameters that the settings have.
    ///
    /// # Errors
    /// If a key is missing.
    pub fn iteration(&mut self, subject: &Subject, sentence: &Sentence) -> Result<Measured> {
        let (model, config) = (&subject.model, subject.model.config());
        let training = subject.settings.training(config, 1)?;
        let first = self.first(subject, &training)?;
        let state = self.encrypted(&first)?;
        let upload = self.rows(&sentence.rows(config.width))?;
        let labels: Vec<_> = label(config).into_iter().map(|y| vec![y; config.tokens]).collect();
        let labels = self.rows(&labels)?;
        let mut levels = Levels::planned(subject.training.levels());
        let example = Encrypted { upload: &upload, label: &labels };
        let (cpu, both) = (&self.cpu, (model, &training));
        let (state, time) =
            timed(|| Ok(iteration(cpu, both, 1, &state, (&[example], 1), &mut levels)?))?;
        let slots: Vec<_> = state.iter().map(|z| self.decrypt(z)).collect();
        let error = first.after(model, &training, sentence).distance(cpu, config, &slots)?;
        Ok(time.measured(error))
    }

    /// What training begins with: updates of all matrices are small numbers in place of zeros, so that a wrong product shows.
    fn first(&self, subject: &Subject, training: &Training) -> Result<Numbers> {
        let config = subject.model.config();
        let mut matrices = training.shape.is_full().then(|| Matrices::zeros(config));
        if let Some(all) = &mut matrices {
            for index in 0..all.count() {
                for entry in 0..config.width * config.width {
                    if all.is_trained(index, entry % config.width) {
                        all.matrix_mut(index)[entry] = small(entry + index);
                    }
                }
            }
        }
        Ok(Numbers { vectors: subject.settings.first(training.shape), matrices })
    }

    fn encrypted(&mut self, numbers: &Numbers) -> Result<Vec<Ciphertext>> {
        let places = Places::new(&self.cpu, numbers.vectors.shape())?;
        let mut slots = vec![places.pack(Kind::Parameter, &numbers.vectors)];
        if let Some(matrices) = &numbers.matrices {
            let grid = Grid::new(&self.cpu, numbers.vectors.shape().width())?;
            let zeros = matrices.zeroed();
            slots.extend(state::pack(&grid, [matrices, &zeros, &zeros])?);
        }
        slots.iter().map(|slots| self.encrypt(slots)).collect()
    }

    fn encryptor(&self) -> Encryptor<'_> {
        Encryptor { ring: self.cpu.ring(), params: self.cpu.params(), encoder: &self.encoder }
    }

    fn encrypt(&mut self, slots: &[Complex]) -> Result<Ciphertext> {
        let Self { authority, encoder, cpu, rng } = self;
        let encryptor = Encryptor { ring: cpu.ring(), params: cpu.params(), encoder };
        let place = (cpu.rows_level(), cpu.default_scale());
        Ok(encryptor.encrypt(authority.big_secret(), slots, place, rng)?)
    }

    fn decrypt(&self, z: &Ciphertext) -> Vec<Complex> {
        self.encryptor().decrypt(self.authority.big_secret(), z).to_vec()
    }

    /// Rows of these values.
    fn rows(&mut self, rows: &[Vec<f64>]) -> Result<Rows> {
        let half = self.cpu.tokens() / 2;
        let slots: Vec<Complex> = (0..rows.len() * half)
            .map(|slot| (&rows[slot / half], bit_reversed(slot % half, half)))
            .map(|(row, token)| Complex::new(row[token], row[token + half]))
            .collect();
        let slots = self.encrypt(&slots)?;
        let all = self.cpu.slots_to_rows(&slots)?;
        let wanted: Vec<_> = (0..rows.len()).map(|index| vec![row(index)]).collect();
        Ok(self.cpu.select(&all, &wanted)?)
    }
}

/// What is trained, in double precision.
struct Numbers {
    vectors: Parameters,
    matrices: Option<Matrices>,
}

impl Numbers {
    fn evaluate(
        &self,
        model: &Model,
        training: &Training,
        sentence: &Sentence,
    ) -> (Outcome, Option<Matrices>) {
        let Sentence { embedding, length } = sentence;
        let label = label(model.config());
        let example = Example { embedding, length: *length, label: &label };
        let (scaling, loss) = (training.scaling, training.loss);
        match &self.matrices {
            None => (evaluate(model, &self.vectors, scaling, example, loss), None),
            Some(matrices) => {
                let both = (&self.vectors, matrices);
                let (outcome, gradient) = evaluate_full(model, both, scaling, example, loss);
                (outcome, Some(gradient))
            }
        }
    }

    /// After one iteration.
    fn after(mut self, model: &Model, training: &Training, sentence: &Sentence) -> Self {
        let (outcome, matrices) = self.evaluate(model, training, sentence);
        let (optimizer, root) = (&training.optimizer, |x: f64| 1.0 / x.sqrt());
        let zeros = || Parameters::zeros(training.shape);
        let (mut gradient, mut moments) = (zeros(), Moments { mean: zeros(), square: zeros() });
        training.accumulate(&mut gradient, &outcome.gradient, 1.0);
        optimizer.apply(1, &mut self.vectors, &mut moments, &gradient, &root);
        if let (Some(theta), Some(g)) = (&mut self.matrices, matrices) {
            let [mut gradient, mut mean, mut square] = [(); 3].map(|()| theta.zeroed());
            training.accumulate_matrices(&mut gradient, &g, 1.0);
            for index in 0..theta.count() {
                let [a, b, c] = [&mut *theta, &mut mean, &mut square].map(|x| x.matrix_mut(index));
                let step = (1, training.matrices.rate);
                optimizer.apply_to(step, [a, b, c], gradient.matrix(index), &root);
            }
        }
        self
    }

    /// The largest difference from what a state holds.
    fn distance(&self, cpu: &Cpu, config: &Config, state: &[Vec<Complex>]) -> Result<f64> {
        let largest = |found: &[f64], wanted: &[f64]| {
            found.iter().zip(wanted).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max)
        };
        let places = Places::new(cpu, self.vectors.shape())?;
        let found = places.read(Kind::Parameter, &state[0])?;
        let mut error = largest(found.numbers(), self.vectors.numbers());
        if let Some(matrices) = &self.matrices {
            let grid = Grid::new(cpu, config.width)?;
            let found = state::read(&grid, config, 0, &state[1..])?;
            let one = |index| largest(found.matrix(index), matrices.matrix(index));
            error = (0..found.count()).map(one).fold(error, f64::max);
        }
        Ok(error)
    }
}

/// That of the first class.
fn label(config: &Config) -> Vec<f64> {
    (0..config.classes).map(|c| if c == 0 { 1.0 } else { 0.0 }).collect()
}

/// Numbers that look random.
fn small(index: usize) -> f64 {
    let mixed = u32::try_from(index).unwrap_or(0).wrapping_mul(2_654_435_761);
    SMALL * (f64::from(mixed) / 2f64.powi(31) - 1.0)
}

/// How long something took.
#[derive(Clone, Copy, Debug)]
struct Time {
    wall: Duration,
    processor: Duration,
}

impl Time {
    fn measured(self, error: f64) -> Measured {
        let [seconds, processor_seconds] = [self.wall, self.processor].map(|t| t.as_secs_f64());
        Measured { seconds, processor_seconds, error }
    }
}

fn timed<T>(f: impl FnOnce() -> Result<T>) -> Result<(T, Time)> {
    let processor = || Duration::try_from(clock_gettime(ClockId::ProcessCPUTime));
    let (start, before) = (Instant::now(), processor()?);
    let value = f()?;
    Ok((value, Time { wall: start.elapsed(), processor: processor()?.saturating_sub(before) }))
}
