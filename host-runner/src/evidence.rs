//! The estimates of attacks that stand behind the presets, as `security/estimate.py` wrote them.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

const FILE: &str = include_str!("../../security/evidence.json");

/// What attacks on a preset are estimated to cost.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Evidence {
    /// The preset, with an underscore for its hyphen.
    pub preset: String,
    /// The standard deviation of errors.
    pub sigma: f64,
    /// `log2` of the probability that a bootstrap's sine leaves its range.
    pub log2_overflow: f64,
    /// One entry for each secret and the largest modulus it is used with.
    pub instances: Vec<Instance>,
}

/// One hard problem.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Instance {
    /// Which secret.
    pub name: String,
    /// `log2` of the degree.
    pub log_degree: u32,
    /// `log2` of the modulus that was assumed, special primes included.
    pub log_qp: f64,
    /// Non-zero coefficients of a sparse secret.
    pub weight: Option<usize>,
    /// `log2` of the cheapest attack's cost.
    pub bits: f64,
    /// `log2` of the cost of each attack; absent where it does not succeed.
    pub attacks: Map<String, Value>,
}

impl Evidence {
    /// The evidence for `preset`.
    ///
    /// # Errors
    /// If there is none.
    pub fn new(preset: &str) -> Result<Self> {
        let all: Vec<Self> = serde_json::from_str(FILE).context("in security/evidence.json")?;
        let found = all.into_iter().find(|evidence| evidence.preset.replace('_', "-") == preset);
        found.with_context(|| format!("security/evidence.json says nothing of '{preset}'"))
    }

    /// The least bits over all secrets.
    #[must_use]
    pub fn bits(&self) -> f64 {
        self.instances.iter().map(|instance| instance.bits).fold(f64::INFINITY, f64::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preset;

    #[test]
    fn every_secret_of_every_preset_has_an_estimate_of_at_least_128_bits() {
        for name in preset::NAMES {
            let evidence = Evidence::new(name).unwrap();
            assert!(evidence.bits() >= 128.0);
            for wanted in preset::params(name).unwrap().instances() {
                let found = evidence.instances.iter().find(|i| i.name == wanted.name).unwrap();
                assert_eq!(found.log_degree, wanted.log_degree);
                assert!(found.log_qp >= wanted.log_qp, "{} at {}", wanted.name, wanted.log_qp);
            }
        }
        assert!(Evidence::new("edge-64").is_err());
    }
}
