//! Keys on disk, in folders that never meet again: `server`, with evaluation keys, `device`, with
//! secrets, and `owner`, with what personal adapters are encrypted with.
//!
//! ```text
//! server/manifest.json   what the keys are for and which file holds which
//! server/transport.key   32 bytes: authenticates frames, reads nothing
//! server/*.key           evaluation keys: frames of `he_core::wire`, one a digit
//! device/edge.secret     one provisioning frame: edge secret, message seed, transport key
//! owner/public.key       one frame: a public key of the big ring
//! ```
//!
//! All but `transport.key` carry the wire format's checksum, so a damaged file is refused when it
//! is loaded. Nothing in this module that reads the server's folder has a type that could hold a
//! secret of the encryption scheme.

pub mod device;
mod evaluation;
mod manifest;
pub mod owner;

pub use evaluation::{read_key, write_key};
pub use manifest::{KeyFile, MANIFEST, Manifest};

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use he_core::modulus::Modulus;
use he_core::params::Params;
use he_core::sample::SecretSeed;
use he_core::wire::TransportKey;
use zeroize::Zeroizing;

use crate::files::{self, Access};

/// The name of the folder for the server.
pub const SERVER: &str = "server";

/// The name of the folder for the device.
pub const DEVICE: &str = "device";

/// The name of the folder for the owner of a personal adapter.
pub const OWNER: &str = "owner";

/// The name of the file with the key that authenticates frames.
pub const TRANSPORT: &str = "transport.key";

/// The folders while keys are made: they take their places only when all are whole.
#[derive(Debug)]
pub struct NewKeys {
    place: PathBuf,
    beside: PathBuf,
}

const FOLDERS: [&str; 3] = [SERVER, DEVICE, OWNER];

/// What to do where keys are already.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Existing {
    /// Refuse to touch them.
    Keep,
    /// Replace them once the new ones are whole.
    Replace,
}

impl NewKeys {
    /// Begins keys that will be in `place`.
    ///
    /// # Errors
    /// If there are keys already and they are to be kept, or the folder cannot be written.
    pub fn begin(place: &Path, existing: Existing) -> Result<Self> {
        for name in FOLDERS {
            let folder = place.join(name);
            if existing == Existing::Keep && folder.exists() {
                bail!("{} has keys already; pass --force to replace them", folder.display());
            }
        }
        let beside = place.join(format!(".new-{}", std::process::id()));
        create(place, 0o755)?;
        create(&beside, 0o700)?;
        create(&beside.join(SERVER), 0o755)?;
        create(&beside.join(DEVICE), 0o700)?;
        create(&beside.join(OWNER), 0o755)?;
        Ok(Self { place: place.to_owned(), beside })
    }

    /// The server's folder until [`Self::commit`].
    #[must_use]
    pub fn server(&self) -> PathBuf {
        self.beside.join(SERVER)
    }

    /// The device's folder until [`Self::commit`].
    #[must_use]
    pub fn device(&self) -> PathBuf {
        self.beside.join(DEVICE)
    }

    /// The owner's folder until [`Self::commit`].
    #[must_use]
    pub fn owner(&self) -> PathBuf {
        self.beside.join(OWNER)
    }

    /// Moves the folders to their places.
    ///
    /// # Errors
    /// If the system does not let them be moved.
    pub fn commit(self) -> Result<()> {
        for name in FOLDERS {
            let (from, to) = (self.beside.join(name), self.place.join(name));
            if to.exists() {
                let old = self.beside.join(format!("old-{name}"));
                fs::rename(&to, &old).with_context(|| format!("cannot move {}", to.display()))?;
            }
            fs::rename(&from, &to).with_context(|| format!("cannot place {}", to.display()))?;
        }
        fs::File::open(&self.place)
            .and_then(|folder| folder.sync_all())
            .with_context(|| format!("cannot sync {}", self.place.display()))
    }
}

impl Drop for NewKeys {
    fn drop(&mut self) {
        // What is left here is half-made or replaced; failing to remove it harms nothing.
        let _ = fs::remove_dir_all(&self.beside);
    }
}

/// Writes the key that authenticates frames.
///
/// # Errors
/// If the folder cannot be written.
pub fn write_transport(folder: &Path, key: &[u8; 32]) -> Result<()> {
    files::write(&folder.join(TRANSPORT), Access::Private, key)
}

/// Reads the key that authenticates frames.
///
/// # Errors
/// If the file is missing or of another length.
pub fn read_transport(folder: &Path) -> Result<TransportKey> {
    let path = folder.join(TRANSPORT);
    let bytes = Zeroizing::new(files::read(&path, 32)?);
    let key: Result<[u8; 32], _> = bytes.as_slice().try_into();
    let Ok(key) = key.map(Zeroizing::new) else {
        bail!("{} is truncated; make keys anew with `host-runner keygen`", path.display())
    };
    Ok(TransportKey::new(SecretSeed::new(*key)))
}

/// The primes of the parameters, as the wire format takes them.
pub(crate) fn moduli(params: &Params) -> Vec<Modulus> {
    params.primes().iter().filter_map(|&q| Modulus::new(q)).collect()
}

/// Fails unless `folder` is one of keygen's, called `name`.
fn check_folder(folder: &Path, name: &str, file: &str) -> Result<()> {
    ensure!(
        folder.join(file).is_file(),
        "{} is not a {name} folder of keys (it has no {file}); \
         make one with `host-runner keygen --out DIR` and name DIR/{name}",
        folder.display()
    );
    Ok(())
}

fn create(folder: &Path, mode: u32) -> Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(mode).create(folder);
    made.with_context(|| format!("cannot make the folder {}", folder.display()))
}
