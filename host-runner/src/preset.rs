//! Parameter sets by their names.

use anyhow::{Result, bail};
use he_core::params::Params;

/// The preset for devices: 128 bits, sentences of 64 tokens.
pub const EDGE_128: &str = "edge-128";

/// As [`EDGE_128`], with more precise bootstraps.
pub const PRECISE_128: &str = "precise-128";

/// Every name that [`params`] knows.
pub const NAMES: [&str; 2] = [EDGE_128, PRECISE_128];

/// The parameter set called `name`.
///
/// # Errors
/// If there is none; the message lists those there are.
pub fn params(name: &str) -> Result<Params> {
    match name {
        EDGE_128 => Ok(Params::edge_128()?),
        PRECISE_128 => Ok(Params::precise_128()?),
        _ => bail!("there is no preset '{name}'; there are {}", NAMES.join(", ")),
    }
}

/// The name of the set with this digest, if it is a preset.
#[must_use]
pub fn name(digest: u64) -> Option<&'static str> {
    let has_digest = |name: &&str| params(name).is_ok_and(|params| params.digest() == digest);
    NAMES.into_iter().find(has_digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_secure_and_known_by_its_digest() {
        for preset in NAMES {
            let params = params(preset).unwrap();
            assert!(!params.is_insecure());
            assert_eq!(name(params.digest()), Some(preset));
        }
        assert_eq!(name(0), None);
        assert!(params("edge-64").unwrap_err().to_string().contains(EDGE_128));
    }
}
