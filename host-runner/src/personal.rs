//! A personal adapter as a person names it: a file, or the folder of a job that trained it.
//!
//! A server takes it encrypted ([`Source`]); nothing of a job is decrypted for that. Its owner also has it in the clear
//! ([`owned`]), to compare answers with, and hands it to a server of the same process ([`hand_over`]).

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use he_core::params::Params;
use he_core::ring::Ring;
use he_core::wire::{AdapterHead, TransportKey};
use he_lora::parameters::Shape;
use he_nn::model::Model;

use crate::adapter;
use crate::adapter::encrypt::{self, Public};
use crate::adapter::encrypted::{self, Encrypted, Target};
use crate::adapter::plain::PlainAdapter;
use crate::finetune::job::Job;
use crate::finetune::numbers::State;
use crate::finetune::owner::Owner;
use crate::finetune::settings::Settings;
use crate::import::ModelFolder;
use crate::random;
use crate::store::{self, Manifest, OWNER, owner};
use crate::threads::Rayon;

/// Where a server takes an adapter from.
#[derive(Debug)]
pub enum Source {
    /// A file that `adapter encrypt` wrote.
    File(PathBuf, AdapterHead),
    /// A job of training: its newest state.
    Job(Job),
}

impl Source {
    /// The adapter at `path` for a server with these keys; a wrong one is refused before anything heavy.
    ///
    /// # Errors
    /// If it is missing or damaged, of another model or parameters, or encrypted for another owner than the one of
    /// the keys.
    pub fn open(
        path: &Path,
        (keys, manifest): (&Path, &Manifest),
        params: &Params,
        model: &Model,
    ) -> Result<Self> {
        if !path.is_dir() {
            let head = encrypted::check(path, params, model)?;
            let is_owners = manifest.check_owner(head.owner);
            is_owners.with_context(|| format!("in {}", path.display()))?;
            return Ok(Self::File(path.to_owned(), head));
        }
        ensure!(Job::is_in(path), "{} holds no whole job", path.display());
        let transport = store::read_transport(keys)?;
        let job = find(path, (&transport, params.digest()), model)?;
        ensure!(
            manifest.preset() == job.declared().preset,
            "the job in {} is for keys of '{}', these are of '{}'",
            path.display(),
            job.declared().preset,
            manifest.preset()
        );
        Ok(Self::Job(job))
    }

    /// The shape of what was trained, if it has a head of its own.
    ///
    /// # Errors
    /// If it does not fit the model.
    pub fn shape(&self, model: &Model) -> Result<Option<Shape>> {
        match self {
            Self::File(_, head) => encrypted::shape(head, model),
            Self::Job(job) => {
                let declared = job.declared();
                let total = declared.iterations()?;
                Ok(Some(declared.settings.training(model.config(), total)?.shape))
            }
        }
    }

    /// Reads it; `warn` hears of states that are damaged, in whose place older ones are taken.
    ///
    /// # Errors
    /// If it is damaged, or a job has not trained yet.
    pub fn read(&self, target: Target<'_>, warn: &mut dyn FnMut(&str)) -> Result<Encrypted> {
        let job = match self {
            Self::File(path, _) => return encrypted::read(path, target),
            Self::Job(job) => job,
        };
        let (ring, params, declared) = (target.ring, target.params, job.declared());
        let total = declared.iterations()?;
        let mut damaged = |_, text: &str| warn(text);
        let (number, state) = job.newest_state((ring, params), &mut damaged)?;
        ensure!(number > 0, "the job has not trained yet; run `host-runner finetune` on it");
        let training = declared.settings.training(target.model.config(), total)?;
        Ok(Encrypted::State { shape: training.shape, scaling: training.scaling, state })
    }
}

/// The adapter at `path` in the clear: a file as it is, a job's decrypted with the folder of all keys.
///
/// # Errors
/// If it is missing, damaged or of another model, or a job cannot be decrypted with the keys.
pub fn owned(path: &Path, keys: Option<&Path>, folder: &ModelFolder) -> Result<PlainAdapter> {
    if !path.is_dir() {
        return PlainAdapter::open(path, folder.model());
    }
    let keys = keys.with_context(|| {
        format!("{} is encrypted; name the folder of its owner's keys with --keys", path.display())
    })?;
    let owner = Owner::open(keys, folder)?;
    let job = find(path, owner.client().identity(), folder.model())?;
    let Settings { alpha, loss, .. } = job.declared().settings;
    let State { parameters, matrices, .. } =
        owner.decrypt(&job).with_context(|| path.display().to_string())?;
    match matrices {
        Some([updates, ..]) => Ok(PlainAdapter::full(parameters, updates, loss)),
        None => PlainAdapter::trained(parameters, (alpha, loss), folder.model()),
    }
}

/// An adapter on its way to a server of this process; what was made for it is removed in the end.
#[derive(Debug)]
pub struct HandedOver {
    path: PathBuf,
    is_temporary: bool,
}

impl HandedOver {
    /// What the server opens.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for HandedOver {
    fn drop(&mut self) {
        if self.is_temporary {
            // It is encrypted: failing to remove it harms nothing.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Hands over the adapter at `path`: a job as it is, `adapter` encrypted with the public key in the folder of all keys.
///
/// # Errors
/// If the key is missing or damaged, the adapter does not fit the parameters, or the disk is full.
pub fn hand_over(
    path: &Path,
    adapter: &PlainAdapter,
    keys: &Path,
    model: &Model,
) -> Result<HandedOver> {
    if path.is_dir() {
        return Ok(HandedOver { path: path.to_owned(), is_temporary: false });
    }
    let public = keys.join(OWNER).join(owner::PUBLIC_KEY);
    let (_, params) = owner::params(&public)?;
    let ring = Ring::new(params.log_degree(), params.primes(), he_simd::best(), &Rayon)?;
    let key = Public::open(&public, &ring, &params)?;
    let path = std::env::temp_dir().join(format!("host-runner-{}.enc", std::process::id()));
    let target = Target { ring: &ring, params: &params, model };
    encrypt::write(&path, target, &key, adapter, &mut random::generator()?)?;
    Ok(HandedOver { path, is_temporary: true })
}

/// The job in a folder, of this owner and for this model.
fn find(path: &Path, identity: (&TransportKey, u64), model: &Model) -> Result<Job> {
    let job = Job::find(path, identity)?;
    let found = format!("{:016x}", adapter::digest(model));
    ensure!(
        found == job.declared().model,
        "the job in {} is for another model ({}) than this one ({found})",
        path.display(),
        job.declared().model
    );
    Ok(job)
}
