//! Inference and an iteration of training, timed on ciphertexts under fresh keys.

mod full;

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
use he_lora::state::{Kind, Places};
use he_lora::training::{Encrypted, iteration};
use he_nn::forward::Forward;
use he_nn::layer::head::class_row;
use he_nn::layout::row;
use he_nn::levels::Levels;
use he_nn::model::Model;
use he_nn::reference::{self, Trace};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use super::Subject;
use super::full::Full;
use crate::finetune::settings::Settings;
use crate::import::ModelFolder;
use crate::threads::Rayon;

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
    /// Makes keys for what is to be measured, and for full fine-tuning if that is; `step` hears of each that there is, and of how many.
    ///
    /// # Errors
    /// If the parameters have no room for a bootstrap.
    pub fn new(
        params: &Params,
        (subjects, wanted, full): (&[Subject], &[What], Option<&Full>),
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
        for &(step, level) in full.iter().flat_map(|full| &full.rotations) {
            plan.need_rotation(params, step.cast_signed(), level);
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

    /// One forward pass.
    ///
    /// # Errors
    /// If a key is missing.
    pub fn inference(&mut self, subject: &Subject, sentence: &Sentence) -> Result<Measured> {
        let model = &subject.model;
        let upload = self.rows(&sentence.rows(model.config().width))?;
        let (cpu, levels) = (&self.cpu, &subject.inference.levels().plain);
        let (answer, time) = timed(|| {
            let mut silent = |_| {};
            Ok(Forward::new(cpu, model, &mut silent).with_levels(levels).run(&upload)?)
        })?;
        let slots = self.decrypt(&answer);
        let half = model.config().tokens / 2;
        let scores = sentence.trace(model).logits.into_iter().enumerate();
        let error = scores.map(|(class, score)| (slots[class_row(class) * half].re - score).abs());
        Ok(time.measured(error.fold(0.0, f64::max)))
    }

    /// One iteration of training from the first parameters that `settings` have.
    ///
    /// # Errors
    /// If a key is missing.
    pub fn iteration(
        &mut self,
        subject: &Subject,
        settings: &Settings,
        sentence: &Sentence,
    ) -> Result<Measured> {
        let (model, config) = (&subject.model, subject.model.config());
        let training = settings.training(config, 1)?;
        let mut parameters = settings.first(training.shape);
        let label: Vec<f64> = (0..config.classes).map(|c| if c == 0 { 1.0 } else { 0.0 }).collect();
        let upload = self.rows(&sentence.rows(config.width))?;
        let labels: Vec<_> = label.iter().map(|&y| vec![y; config.tokens]).collect();
        let labels = self.rows(&labels)?;
        let places = Places::new(&self.cpu, training.shape)?;
        let state = self.encrypt(&places.pack(Kind::Parameter, &parameters))?;
        let mut levels = Levels::planned(subject.training.levels());
        let example = Encrypted { upload: &upload, label: &labels };
        let cpu = &self.cpu;
        let (state, time) = timed(|| {
            Ok(iteration(cpu, (model, &training), 1, &state, (&[example], 1), &mut levels)?)
        })?;
        let found = places.read(Kind::Parameter, &self.decrypt(&state))?;

        let example = he_lora::reference::Example {
            embedding: &sentence.embedding,
            length: sentence.length,
            label: &label,
        };
        let exact = he_lora::reference::evaluate;
        let exact = exact(model, &parameters, training.scaling, example, training.loss).gradient;
        let zeros = || he_lora::parameters::Parameters::zeros(training.shape);
        let mut gradient = zeros();
        training.accumulate(&mut gradient, &exact, 1.0);
        let mut moments = he_lora::adamw::Moments { mean: zeros(), square: zeros() };
        let root = |x: f64| 1.0 / x.sqrt();
        training.optimizer.apply(1, &mut parameters, &mut moments, &gradient, &root);
        let pairs = found.numbers().iter().zip(parameters.numbers());
        Ok(time.measured(pairs.map(|(x, y)| (x - y).abs()).fold(0.0, f64::max)))
    }

    fn encryptor(&self) -> Encryptor<'_> {
        Encryptor { ring: self.cpu.ring(), params: self.cpu.params(), encoder: &self.encoder }
    }

    fn encrypt(&mut self, slots: &[Complex]) -> Result<Ciphertext> {
        self.encrypt_at(slots, self.cpu.rows_level())
    }

    fn encrypt_at(&mut self, slots: &[Complex], level: usize) -> Result<Ciphertext> {
        let Self { authority, encoder, cpu, rng } = self;
        let encryptor = Encryptor { ring: cpu.ring(), params: cpu.params(), encoder };
        let place = (level, cpu.default_scale());
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
