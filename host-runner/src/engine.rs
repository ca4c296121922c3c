//! The encrypted forward pass with everything it needs: keys, transforms and model. No secret.

use alloc::sync::Arc;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use he_core::cpu::Cpu;
use he_core::edge::BASE_PRIMES;
use he_core::eval::Evaluator;
use he_core::keyswitch::{EvaluationKeys, KeyPlan, KeySpec};
use he_core::linear::SeededUpload;
use he_core::modulus::Modulus;
use he_core::params::Params;
use he_core::ring::Ring;
use he_core::wire::{AnswerEntry, Upload, UploadShape};
use he_lora::Adapter;
use he_lora::trained::Trained;
use he_lora::training::unpack;
use he_nn::forward::Forward;
use he_nn::layer::head::{CANARY_ROW, class_row};
use he_nn::levels::Levels as Bootstraps;
use he_nn::model::Model;
use he_nn::stage::Event;
use rayon::prelude::*;

use crate::adapter::encrypted::{Encrypted, Target};
use crate::plan::{Levels, Plan};
use crate::progress::Progress;
use crate::store::{self, KeyFile, Manifest};
use crate::threads::{self, Rayon};
use crate::trace::{Recorder, Shared, Trace};

/// Answers uploads.
#[derive(Debug)]
pub struct Engine {
    cpu: Cpu,
    model: Model,
    adapter: Personal,
    levels: Levels,
    recorder: Option<Arc<Recorder>>,
}

/// What the model is changed by.
#[derive(Debug)]
enum Personal {
    Nothing,
    Updates(Adapter<Cpu>),
    /// As unpacked once, for all answers, and how many bootstraps that took.
    Trained(Box<Trained<Cpu>>, usize),
}

/// The encrypted answer, in the parts that are sent.
#[derive(Clone, Debug, PartialEq)]
pub struct EncryptedAnswer {
    /// What the values are multiplied by.
    pub scale: f64,
    /// The mask, in evaluation form.
    pub mask: Vec<u32>,
    /// The classes' scores in order, then the canary.
    pub entries: Vec<AnswerEntry>,
}

impl Engine {
    /// Loads the keys of a server's folder and prepares the model.
    ///
    /// # Errors
    /// If a key is missing, damaged or of other parameters, or the model does not fit them; the
    /// message says what to do.
    pub fn load(
        folder: &Path,
        manifest: &Manifest,
        params: &Params,
        plan: &Plan,
        model: Model,
    ) -> Result<Self> {
        let cpu = prepare(folder, manifest, params, (plan.keys(), &model))?;
        let rows = params.edge_degree() / params.tokens();
        ensure!(rows > CANARY_ROW, "an answer does not fit an edge ciphertext of {rows} rows");
        let levels = plan.levels().clone();
        Ok(Self { cpu, model, adapter: Personal::Nothing, levels, recorder: None })
    }

    /// Another one with the keys of a server's folder for the same model and parameters, which shares all else.
    ///
    /// # Errors
    /// If a key is missing, damaged or of other parameters.
    pub fn beside(&self, folder: &Path, manifest: &Manifest, plan: &Plan) -> Result<Self> {
        let (params, ring) = (self.params(), self.cpu.ring());
        manifest.check(params)?;
        let specs = check_keys(folder, manifest, params, plan.keys())?;
        let cpu = self.cpu.sharing(read_keys(folder, &specs, params, ring)?);
        let (model, levels) = (self.model.clone(), plan.levels().clone());
        Ok(Self { cpu, model, adapter: Personal::Nothing, levels, recorder: None })
    }

    /// What an adapter has to be encrypted for.
    #[must_use]
    pub fn target(&self) -> Target<'_> {
        Target { ring: self.cpu.ring(), params: self.cpu.params(), model: &self.model }
    }

    /// With an encrypted adapter; a state of training is unpacked.
    ///
    /// # Errors
    /// If it is a state, and the plan was made without it or a key is missing.
    pub fn with_adapter(self, adapter: Encrypted) -> Result<Self> {
        let adapter = match adapter {
            Encrypted::Updates(adapter) => Personal::Updates(adapter),
            Encrypted::State { shape, scaling, state } => {
                let mut levels = Bootstraps::planned(&self.levels.trained);
                let unpack = |_: &mut dyn FnMut(Event)| {
                    let config = self.model.config();
                    Ok(unpack(&self.cpu, config, (shape, scaling), &state, &mut levels)?)
                };
                let trained = threads::on_pool(unpack, &mut |_| {})?;
                Personal::Trained(Box::new(trained), levels.used())
            }
        };
        Ok(Self { adapter, ..self })
    }

    /// With a record of what is computed; the machine is measured first.
    #[must_use]
    pub fn with_recorder(self) -> Self {
        let recorder = Arc::new(Recorder::new(self.cpu.ring(), self.cpu.params()));
        let cpu = self.cpu.with_observer(Box::new(Shared(Arc::clone(&recorder))));
        Self { cpu, recorder: Some(recorder), ..self }
    }

    /// What was recorded since this was last asked, if it is.
    #[must_use]
    pub fn trace(&self) -> Option<Trace> {
        Some(self.recorder.as_ref()?.take())
    }

    /// The parameters.
    #[must_use]
    pub fn params(&self) -> &Params {
        self.cpu.params()
    }

    /// What it computes with, for training beside it.
    #[must_use]
    pub const fn cpu(&self) -> &Cpu {
        &self.cpu
    }

    /// The model.
    #[must_use]
    pub const fn model(&self) -> &Model {
        &self.model
    }

    /// The shape of the uploads it takes.
    ///
    /// # Errors
    /// If the model does not fill whole edge ciphertexts.
    pub fn upload_shape(&self) -> Result<UploadShape> {
        upload_shape(self.params(), self.model.config().width)
    }

    /// Runs the forward pass.
    ///
    /// # Errors
    /// If the upload does not fit, or a key is missing.
    pub fn answer(&self, upload: Upload, notify: &mut dyn FnMut(Event)) -> Result<EncryptedAnswer> {
        threads::on_pool(|notify| self.answer_here(upload, notify), notify)
    }

    fn answer_here(
        &self,
        upload: Upload,
        notify: &mut dyn FnMut(Event),
    ) -> Result<EncryptedAnswer> {
        let Some(recorder) = &self.recorder else { return self.compute(upload, notify) };
        let mut watch = |event| {
            recorder.stage(event);
            notify(event);
        };
        recorder.sentence(|| self.compute(upload, &mut watch))
    }

    fn compute(&self, upload: Upload, notify: &mut dyn FnMut(Event)) -> Result<EncryptedAnswer> {
        let Upload { masks, bodies } = upload;
        let seeded = |body: [Vec<u32>; BASE_PRIMES]| SeededUpload { seed: masks, b: body.into() };
        let uploads: Vec<_> = bodies.into_iter().map(seeded).collect();
        let rows = self.cpu.receive(&uploads)?;
        let forward = Forward::new(&self.cpu, &self.model, notify);
        let slots = match &self.adapter {
            Personal::Nothing => forward.with_levels(&self.levels.plain).run(&rows)?,
            Personal::Updates(adapter) => {
                let forward = forward.with_levels(&self.levels.adapted);
                forward.with_updates(Some(adapter)).run(&rows)?
            }
            Personal::Trained(trained, unpacked) => {
                let levels = self.levels.trained.get(*unpacked..).unwrap_or_default();
                let forward = forward.with_levels(levels).with_updates(trained.updates());
                forward.run_with_head(&rows, |rows, mask, linears| {
                    trained.classify(&self.cpu, &self.model, (rows, mask), linears)
                })?
            }
        };
        // The answer may be as low as rows can be, where no level is left to correct its scale: it is
        // read at the default one, and what it was travels with it.
        let default = self.cpu.default_scale();
        let correction = self.cpu.scale(&slots) / default;
        let answer = self.cpu.answer(&self.cpu.with_scale(&slots, default))?;
        let classes = (0..self.model.config().classes).map(class_row);
        let entry = |row| {
            let position = self.cpu.answer_position(row);
            let body = *answer.b.get(position).context("an answer beyond the edge ciphertext")?;
            Ok(AnswerEntry { position: u32::try_from(position)?, body })
        };
        let entries = classes.chain([CANARY_ROW]).map(entry).collect::<Result<_>>()?;
        let scale = answer.scale * correction;
        Ok(EncryptedAnswer { scale, mask: answer.a, entries })
    }
}

/// An evaluator with everything for bootstraps and with the keys of a server's folder, among which are those
/// of a plan for a model.
///
/// # Errors
/// If a key is missing, damaged or of other parameters; the message says what to do.
pub fn prepare(
    folder: &Path,
    manifest: &Manifest,
    params: &Params,
    (wanted, model): (&KeyPlan, &Model),
) -> Result<Cpu> {
    manifest.check(params)?;
    let specs = check_keys(folder, manifest, params, wanted)?;
    // Keys and matrices are made at the same time, each with the tables of a ring of its own.
    let ring = || Ring::new(params.log_degree(), params.primes(), he_simd::best(), &Rayon);
    let frac_bits = model.config().weight_frac_bits;
    let prepare =
        || Cpu::new(params.clone(), ring()?, EvaluationKeys::new())?.with_bootstrap(frac_bits);
    let (keys, cpu) = rayon::join(|| read_keys(folder, &specs, params, &ring()?), prepare);
    Ok(cpu?.with_keys(keys?))
}

/// The keys that a server's folder has, among which are those of a plan.
///
/// # Errors
/// If one is not there; the message says what to do.
pub fn check_keys(
    folder: &Path,
    manifest: &Manifest,
    params: &Params,
    wanted: &KeyPlan,
) -> Result<Vec<KeySpec>> {
    let specs = manifest.keys(params)?;
    for wanted in wanted.specs() {
        let serves = |spec: &KeySpec| spec.kind == wanted.kind && spec.level >= wanted.level;
        ensure!(
            specs.iter().any(serves),
            "{} has no key {:?} for level {}, which this model needs; \
             make keys for it with `host-runner keygen --model`, with --trained for adapters that were trained and \
             with --finetune for training",
            folder.display(),
            wanted.kind,
            wanted.level
        );
    }
    Ok(specs)
}

/// Reads keys and regenerates their masks.
fn read_keys(
    folder: &Path,
    specs: &[KeySpec],
    params: &Params,
    ring: &Ring,
) -> Result<EvaluationKeys> {
    let progress = Mutex::new(Progress::new("evaluation keys", specs.len()));
    let read = |spec: &KeySpec| {
        let path = folder.join(KeyFile::new(spec).file());
        let key = store::read_key(&path, ring, params, *spec)?.expand(ring, params)?;
        progress.lock().unwrap_or_else(PoisonError::into_inner).step("loaded");
        Ok((spec.kind, key))
    };
    let mut keys = EvaluationKeys::new();
    for (kind, key) in specs.par_iter().map(read).collect::<Result<Vec<_>>>()? {
        keys.insert(ring, kind, key);
    }
    Ok(keys)
}

/// The shape of an upload of `width` features.
///
/// # Errors
/// If the features do not fill whole edge ciphertexts.
pub fn upload_shape(params: &Params, width: usize) -> Result<UploadShape> {
    let (degree, values) = (params.edge_degree(), width * params.tokens());
    ensure!(values.is_multiple_of(degree), "{width} features do not fill edge ciphertexts");
    let mut primes = params.base().iter().filter_map(|i| Modulus::new(params.primes()[i]));
    let (Some(first), Some(second), None) = (primes.next(), primes.next(), primes.next()) else {
        anyhow::bail!("the base has another number of primes than {BASE_PRIMES}");
    };
    let count = u32::try_from(values / degree)?;
    Ok(UploadShape { degree, primes: [first, second], count })
}
