//! `manifest.json`: which evaluation keys a server's folder has.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use he_core::keyswitch::{KeyKind, KeySpec};
use he_core::params::Params;
use serde::{Deserialize, Serialize};

use crate::files::{self, Access};
use crate::preset;

/// The manifest's file name.
pub const MANIFEST: &str = "manifest.json";

/// The layout that this version writes and reads.
const FORMAT: u32 = 1;

/// No manifest is larger.
const LIMIT: u64 = 1 << 20;

/// A list of keys for one parameter set.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Manifest {
    format: u32,
    preset: String,
    digest: String,
    /// The number of the owner's public key; manifests of older keys have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    keys: Vec<KeyFile>,
}

/// One key.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct KeyFile {
    /// What it is for: `relinearization`, `galois`, `raise`, `pack` or `down`.
    pub kind: String,
    /// The Galois element of `galois`, the part of `pack`, 0 for the others.
    pub number: u32,
    /// The highest level it serves.
    pub level: usize,
}

impl KeyFile {
    /// The entry of a key.
    #[must_use]
    pub fn new(spec: &KeySpec) -> Self {
        let (kind, number) = match spec.kind {
            KeyKind::Relinearization => ("relinearization", 0),
            KeyKind::Galois(galois) => ("galois", galois),
            KeyKind::Raise => ("raise", 0),
            KeyKind::Pack(part) => ("pack", part),
            KeyKind::Down => ("down", 0),
        };
        Self { kind: kind.to_owned(), number, level: spec.level }
    }

    /// The key that the entry stands for.
    ///
    /// # Errors
    /// If there is no such kind, or the level is not one that such keys may have: in particular, a
    /// key under a small or sparse secret exists at the base modulus only.
    pub fn spec(&self, params: &Params) -> Result<KeySpec> {
        let kind = match self.kind.as_str() {
            "relinearization" => KeyKind::Relinearization,
            "galois" => KeyKind::Galois(self.number),
            "raise" => KeyKind::Raise,
            "pack" => KeyKind::Pack(self.number),
            "down" => KeyKind::Down,
            other => bail!("there is no kind of key called '{other}'"),
        };
        let top = match kind {
            KeyKind::Pack(_) | KeyKind::Down => 0,
            _ => params.max_level(),
        };
        ensure!(self.level <= top, "a {} key of level {} is not allowed", self.kind, self.level);
        Ok(KeySpec { kind, level: self.level })
    }

    /// The file's name.
    #[must_use]
    pub fn file(&self) -> String {
        match self.kind.as_str() {
            "galois" | "pack" => format!("{}-{}.key", self.kind, self.number),
            kind => format!("{kind}.key"),
        }
    }
}

impl Manifest {
    /// A list of keys of `params`, called `preset`.
    pub fn new(preset: &str, params: &Params, specs: impl Iterator<Item = KeySpec>) -> Self {
        Self {
            format: FORMAT,
            preset: preset.to_owned(),
            digest: format!("{:016x}", params.digest()),
            owner: None,
            keys: specs.map(|spec| KeyFile::new(&spec)).collect(),
        }
    }

    /// Of the owner whose public key has this number.
    #[must_use]
    pub fn owned_by(self, owner: u64) -> Self {
        Self { owner: Some(format!("{owner:016x}")), ..self }
    }

    /// Checks that a public key of this number belongs to the keys, if they say to whom they belong.
    ///
    /// # Errors
    /// If they are another owner's.
    pub fn check_owner(&self, owner: u64) -> Result<()> {
        let found = format!("{owner:016x}");
        let wanted = self.owner.as_ref().unwrap_or(&found);
        ensure!(
            *wanted == found,
            "it is encrypted for another owner ({found}) than the one of these keys ({wanted}); encrypt it with the \
             owner/public.key that came with them"
        );
        Ok(())
    }

    /// Reads the manifest of a server's folder.
    ///
    /// # Errors
    /// If the folder is not one, or the file is damaged or of another version.
    pub fn open(folder: &Path) -> Result<Self> {
        super::check_folder(folder, super::SERVER, MANIFEST)?;
        let path = folder.join(MANIFEST);
        let manifest: Self = serde_json::from_slice(&files::read(&path, LIMIT)?)
            .with_context(|| format!("in {}", path.display()))?;
        ensure!(
            manifest.format == FORMAT,
            "{} is of format {}; this program reads {FORMAT}",
            path.display(),
            manifest.format
        );
        Ok(manifest)
    }

    /// Writes the manifest.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        files::write(&folder.join(MANIFEST), Access::Public, &serde_json::to_vec_pretty(self)?)
    }

    /// The name of the parameter set.
    #[must_use]
    pub fn preset(&self) -> &str {
        &self.preset
    }

    /// The parameter set, if it is a preset of this program.
    ///
    /// # Errors
    /// If it is not, or its primes have changed since the keys were made.
    pub fn params(&self) -> Result<Params> {
        let params = preset::params(&self.preset)?;
        self.check(&params)?;
        Ok(params)
    }

    /// Checks that the keys are of this parameter set.
    ///
    /// # Errors
    /// If they are not.
    pub fn check(&self, params: &Params) -> Result<()> {
        let digest = format!("{:016x}", params.digest());
        ensure!(
            self.digest == digest,
            "the keys are for other parameters ('{}', {}) than these ({digest}); \
             make keys anew with `host-runner keygen`",
            self.preset,
            self.digest
        );
        Ok(())
    }

    /// The keys.
    ///
    /// # Errors
    /// If an entry is not a key.
    pub fn keys(&self, params: &Params) -> Result<Vec<KeySpec>> {
        self.keys.iter().map(|key| key.spec(params)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_and_keys_are_the_same_thing() {
        let params = Params::edge_128().unwrap();
        for (kind, level) in [
            (KeyKind::Relinearization, 22),
            (KeyKind::Galois(5), 25),
            (KeyKind::Raise, 25),
            (KeyKind::Pack(63), 0),
            (KeyKind::Down, 0),
        ] {
            let spec = KeySpec { kind, level };
            assert_eq!(KeyFile::new(&spec).spec(&params).unwrap(), spec);
        }
    }

    #[test]
    fn a_key_under_a_small_or_sparse_secret_is_refused_at_every_other_level() {
        let params = Params::edge_128().unwrap();
        for kind in ["pack", "down"] {
            for level in 1..=params.max_level() + 1 {
                let entry = KeyFile { kind: kind.to_owned(), number: 0, level };
                assert!(entry.spec(&params).is_err(), "{kind} {level}");
            }
        }
        let high = KeyFile { kind: "raise".to_owned(), number: 0, level: params.max_level() + 1 };
        assert!(high.spec(&params).is_err());
        let unknown = KeyFile { kind: "secret".to_owned(), number: 0, level: 0 };
        assert!(unknown.spec(&params).is_err());
    }
}
