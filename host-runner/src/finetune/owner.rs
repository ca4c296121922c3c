//! The owner's secrets at work: what is encrypted for a job, and what is decrypted of it.

use std::path::Path;

use anyhow::{Result, ensure};
use he_core::complex::Complex;
use he_core::encode::Encoder;
use he_core::encrypt::{Encryptor, PublicKey};
use he_core::linear::answer_slot;
use he_core::params::Params;
use he_core::ring::Ring;
use he_lora::state::Kind;
use he_lora::training::Training;

use super::exchange::Part;
use super::job::{Declared, Job};
use super::numbers::{self, State};
use super::state::{read_state, state_bytes};
use crate::client::Client;
use crate::dataset::Example;
use crate::import::ModelFolder;
use crate::random;
use crate::store::{self, DEVICE, OWNER};
use crate::threads::Rayon;

/// No entry of an update is larger, nor of its mean or square: what destroys a ciphertext leaves numbers far beyond.
const LARGEST_MATRIX: f64 = 64.0;
/// How far a canary may be from what it should be: far more than noise, far less than what destroys a state.
const CANARY_ERROR: f64 = 1.0 / 16.0;

/// Who encrypts a job, and decrypts its results.
#[expect(missing_debug_implementations, reason = "holds secrets")]
pub struct Owner<'a> {
    client: Client<'a>,
    folder: &'a ModelFolder,
    params: Params,
    ring: Ring,
    public: PublicKey,
}

/// What an iteration's result says.
#[expect(missing_debug_implementations, reason = "holds a person's weights")]
pub struct Opened {
    /// After the iteration.
    pub state: State,
    /// The scores of each of its examples before it.
    pub scores: Vec<Vec<f64>>,
    /// Whether everything in the state that is known beforehand is what it should be. If not, a value left the range
    /// of an approximation, and all numbers here mean nothing.
    pub is_intact: bool,
}

impl<'a> Owner<'a> {
    /// With the keys of `keys/device` and `keys/owner`, which are of one of the presets.
    ///
    /// # Errors
    /// If a key is missing, damaged, or of another model.
    pub fn open(keys: &Path, folder: &'a ModelFolder) -> Result<Self> {
        let (_, params) = store::device::params(&keys.join(DEVICE))?;
        Self::new(keys, params, folder)
    }

    /// With keys of these parameters.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn new(keys: &Path, params: Params, folder: &'a ModelFolder) -> Result<Self> {
        let secrets = store::device::read(&keys.join(DEVICE), &params)?;
        let client = Client::new(secrets, &params, folder)?;
        let ring = Ring::new(params.log_degree(), params.primes(), he_simd::best(), &Rayon)?;
        let public = keys.join(OWNER).join(store::owner::PUBLIC_KEY);
        let public = store::owner::read(&public, &ring, &params)?;
        Ok(Self { client, folder, params, ring, public })
    }

    /// The client whose secrets these are.
    #[must_use]
    pub const fn client(&self) -> &Client<'a> {
        &self.client
    }

    /// The model's folder.
    #[must_use]
    pub const fn folder(&self) -> &'a ModelFolder {
        self.folder
    }

    /// An example with its label, as it is sent.
    ///
    /// # Errors
    /// If the sentence is empty or too long.
    pub fn example(&self, example: &Example) -> Result<Vec<u8>> {
        self.client.example(&example.sentence, &example.label)
    }

    /// The state before the first iteration, as it is sent: without the updates of matrices, which are zero.
    ///
    /// # Errors
    /// If the settings do not fit the model, or the system gives no randomness.
    pub fn first(&self, declared: &Declared) -> Result<Vec<u8>> {
        let (ring, params) = (&self.ring, &self.params);
        let encoder = Encoder::new(params.log_degree());
        let encryptor = Encryptor { ring, params, encoder: &encoder };
        let first = self.first_state(declared)?;
        let (mut rng, scale) = (random::generator()?, params.default_scale());
        let slots = first.slots(params)?.into_iter().next().unwrap_or_default();
        let state = encryptor.encrypt_public(&self.public, &slots, scale, &mut rng)?;
        state_bytes(params, declared.exchange(0), &[state])
    }

    /// The state before the first iteration.
    ///
    /// # Errors
    /// If the settings do not fit the model.
    pub fn first_state(&self, declared: &Declared) -> Result<State> {
        let shape = self.training(declared)?.shape;
        Ok(State::first(declared.settings.first(shape), self.folder.model().config()))
    }

    /// Decrypts what iteration `number` left.
    ///
    /// # Errors
    /// If it is truncated, altered, or of another job or iteration.
    pub fn open_result(&self, declared: &Declared, number: u32, bytes: &[u8]) -> Result<Opened> {
        let (params, config) = (&self.params, self.folder.model().config());
        let training = self.training(declared)?;
        let count = State::ciphertexts(params, config, training.shape)?;
        let mut slots = vec![vec![Complex::ZERO; params.degree() / 2]; count];
        let (answers, mut taken) = (params.degree() / params.edge_degree(), 0);
        let (mut scores, mut largest) = (Vec::new(), [0f64; 2]);
        self.client.open_all(declared.exchange(number), bytes, |number, coefficient, value| {
            let Some(slots) = slots.get_mut(number / answers) else {
                scores.push(value);
                return;
            };
            taken += 1;
            let (slot, is_real) = answer_slot(params, number % answers, coefficient);
            if let Some(slot) = slots.get_mut(slot) {
                *(if is_real { &mut slot.re } else { &mut slot.im }) = value;
            }
            if number < answers && !is_real {
                largest[0] = largest[0].max(value.abs());
            } else if number >= answers {
                largest[1] = largest[1].max(value.abs());
            }
        })?;
        let wanted = count * params.degree();
        ensure!(taken == wanted, "the result has {taken} numbers, not {wanted}");
        let (classes, batch) = (training.shape.classes(), declared.settings.batch);
        let wanted = batch * classes;
        ensure!(scores.len() == wanted, "the result has {} scores, not {wanted}", scores.len());
        let decay = training.optimizer.mean_decay.powi(number.cast_signed());
        let error = numbers::places(params, training.shape)?
            .canary(Kind::Mean, &slots[0])
            .map_or(0.0, |canary| (canary - training.canary() * (1.0 - decay)).abs());
        Ok(Opened {
            state: State::read((params, config), training.shape, &slots)?,
            scores: scores.chunks_exact(classes).map(<[f64]>::to_vec).collect(),
            // The state of vectors is real: what is imaginary is known to be zero, too.
            is_intact: error.max(largest[0]) < CANARY_ERROR && largest[1] < LARGEST_MATRIX,
        })
    }

    /// Decrypts what the last iteration of a job left.
    ///
    /// # Errors
    /// If there is none yet, or it is destroyed; as [`Self::open_result`].
    pub fn decrypt(&self, job: &Job) -> Result<State> {
        let number = job.done()?;
        ensure!(number > 0, "the job has not trained yet; run `host-runner finetune` on it");
        let opened = self.open_result(job.declared(), number, &job.read(Part::Result(number))?)?;
        ensure!(opened.is_intact, "iteration {number} destroyed the state");
        Ok(opened.state)
    }

    /// Checks a state that the server sent.
    ///
    /// # Errors
    /// If it is truncated, damaged, or of another job or iteration.
    pub fn check_state(&self, declared: &Declared, number: u32, bytes: &[u8]) -> Result<()> {
        read_state(bytes, declared.exchange(number), (&self.ring, &self.params)).map(|_| ())
    }

    /// The mean loss of scores of some examples.
    ///
    /// # Errors
    /// If the settings do not fit the model.
    pub fn loss(
        &self,
        declared: &Declared,
        scores: &[Vec<f64>],
        examples: &[&Example],
    ) -> Result<f64> {
        let (training, mut sum) = (self.training(declared)?, 0.0);
        for (scores, example) in scores.iter().zip(examples) {
            sum += training.loss.evaluate(scores, &example.label).0;
        }
        Ok(sum / f64::from(u32::try_from(scores.len().max(1))?))
    }

    /// What the settings come to.
    ///
    /// # Errors
    /// If they do not fit the model.
    pub fn training(&self, declared: &Declared) -> Result<Training> {
        declared.settings.training(self.folder.model().config(), declared.iterations()?)
    }
}
