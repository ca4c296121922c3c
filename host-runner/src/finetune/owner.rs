//! The owner's side of a job: what is encrypted before, and what is decrypted after.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use he_core::complex::Complex;
use he_core::encode::Encoder;
use he_core::encrypt::{Encryptor, PublicKey};
use he_core::linear::answer_slot;
use he_core::params::Params;
use he_core::ring::Ring;
use he_lora::parameters::Parameters;
use he_lora::state::{Kind, Places};
use he_lora::training::Training;

use super::job::{Declared, Job};
use crate::client::Client;
use crate::dataset::Example;
use crate::files::{self, Access};
use crate::import::ModelFolder;
use crate::random;
use crate::store::{self, DEVICE, OWNER};
use crate::threads::Rayon;

/// No file of answers is larger.
const LIMIT: u64 = 1 << 26;
/// Parameters are smaller: twice what training is likely to reach.
pub const LARGEST_PARAMETER: f64 = 4.0;
/// How far a canary may be from what it should be: far more than noise, far less than what destroys a state.
const CANARY_ERROR: f64 = 1.0 / 16.0;

/// Who encrypts a job, and decrypts its result.
#[expect(missing_debug_implementations, reason = "holds secrets")]
pub struct Owner<'a> {
    client: Client<'a>,
    folder: &'a ModelFolder,
    params: Params,
    ring: Ring,
    public: PublicKey,
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

    /// Encrypts a job into its folder; examples that are there already are kept. `done` hears of each
    /// example.
    ///
    /// # Errors
    /// If a sentence is empty or too long, or the disk is full.
    pub fn encrypt(
        &self,
        job: &Job,
        declared: &Declared,
        examples: &[Example],
        done: &mut dyn FnMut(),
    ) -> Result<()> {
        for (index, example) in examples.iter().enumerate() {
            let path = job.example(index);
            if !path.exists() {
                let mut label = vec![0.0; self.folder.model().config().classes];
                *label.get_mut(example.label).context("a label beyond the classes")? = 1.0;
                let upload = self.client.example(&example.sentence, &label);
                let upload = upload.with_context(|| format!("in sentence {}", index + 1))?;
                files::write(&path, Access::Public, &upload)?;
            }
            done();
        }
        let (ring, params) = (&self.ring, &self.params);
        let encoder = Encoder::new(params.log_degree());
        let encryptor = Encryptor { ring, params, encoder: &encoder };
        let places = self.places(declared)?;
        let slots = places.pack(Kind::Parameter, &declared.settings.first(places.shape()));
        let (mut rng, scale) = (random::generator()?, params.default_scale());
        let state = encryptor.encrypt_public(&self.public, &slots, scale, &mut rng)?;
        job.write_state(0, params, &state)?;
        job.declare(declared)
    }

    /// Decrypts what iteration `number` of a job left.
    ///
    /// # Errors
    /// If it is missing, damaged or of another job or iteration, or its canary says that a value left the range
    /// of an approximation: [`Destroyed`].
    pub fn decrypt(&self, job: &Job, declared: &Declared, number: u32) -> Result<Parameters> {
        let bytes = files::read(&job.answers(), LIMIT)?;
        let mut slots = vec![Complex::ZERO; self.params.degree() / 2];
        let (answers, mut taken) = (self.params.degree() / self.params.edge_degree(), 0);
        self.client.open_all(declared.exchange(number), &bytes, |number, coefficient, value| {
            let slot = (number < answers).then(|| answer_slot(&self.params, number, coefficient));
            if let Some(slot) = slot.flatten().and_then(|at| slots.get_mut(at)) {
                *slot = Complex::real(value);
                taken += 1;
            }
        })?;
        ensure!(taken == slots.len(), "the answers have {taken} numbers, not {}", slots.len());
        let (places, training) = (self.places(declared)?, self.training(declared)?);
        if let Some(canary) = places.canary(Kind::Mean, &slots) {
            let decay = training.optimizer.mean_decay.powi(number.cast_signed());
            let wanted = training.canary() * (1.0 - decay);
            ensure!((canary - wanted).abs() < CANARY_ERROR, Destroyed { number });
        }
        Ok(places.read(Kind::Parameter, &slots)?)
    }

    fn places(&self, declared: &Declared) -> Result<Places> {
        let shape = self.training(declared)?.shape;
        Ok(Places::of_slots(self.params.degree() / 2, self.params.tokens(), shape)?)
    }

    fn training(&self, declared: &Declared) -> Result<Training> {
        let iterations = declared.settings.iterations(declared.examples)?;
        declared.settings.training(self.folder.model().config(), iterations)
    }
}

/// A state whose canary is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destroyed {
    /// The iteration that left it.
    pub number: u32,
}

impl core::fmt::Display for Destroyed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "iteration {}: a value left the range of an approximation and destroyed the state; a \
             rehearsal (--dry-run) names the range, a lower --rate or --alpha keeps it",
            self.number
        )
    }
}

impl core::error::Error for Destroyed {}
