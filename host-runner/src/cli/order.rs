//! `host-runner order`: what a key authority in a secure world is asked for.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use he_core::keyswitch::KeySpec;
use he_core::params::Params;

use crate::files::{self, Access};
use crate::import::ModelFolder;
use crate::plan;
use crate::preset;
use crate::store::Manifest;

const EXAMPLES: &str = "\
Examples:
  host-runner order --preset edge-128 --out work

Writes DIR/order.bin, which `cargo xtask authority` hands to the secure world, and
DIR/manifest.json, which goes beside the keys that come back.";

/// Writes the list of keys that a server needs, for a key authority elsewhere
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Order {
    /// The parameter set
    #[arg(long, default_value = "edge-128")]
    preset: String,
    /// The folder of the model that the keys are for
    #[arg(long, value_name = "DIR", default_value = "models/edge")]
    model: PathBuf,
    /// An existing folder to write to
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

impl Order {
    pub(super) fn run(&self) -> Result<()> {
        let params = preset::params(&self.preset)?;
        let folder = ModelFolder::open(&self.model)?;
        let plan = plan::Plan::new(&params, folder.model())?;
        let mut nonce = [0; 32];
        getrandom::fill(&mut nonce).context("the system gives no randomness")?;
        let order = bytes(&params, &nonce, plan.keys().specs())?;
        files::write(&self.out.join("order.bin"), Access::Public, &order)?;
        Manifest::new(&self.preset, &params, plan.keys().specs()).write(&self.out)?;
        println!("{} keys", plan.keys().specs().len());
        Ok(())
    }
}

/// An order as `targets/key-authority/src/order.rs` describes it.
fn bytes(
    params: &Params,
    nonce: &[u8; 32],
    specs: impl ExactSizeIterator<Item = KeySpec>,
) -> Result<Vec<u8>> {
    let mut bytes = b"HEKO\x01\0\0\0".to_vec();
    bytes.extend(params.digest().to_le_bytes());
    bytes.extend(u32::try_from(he_lora::level(params.rows_level()))?.to_le_bytes());
    bytes.extend(u32::try_from(specs.len())?.to_le_bytes());
    bytes.extend(nonce);
    for spec in specs {
        let (kind, number) = spec.kind.numbers();
        let level = u32::try_from(spec.level)?;
        bytes.extend([kind, number, level].map(u32::to_le_bytes).as_flattened());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use he_core::keyswitch::KeyKind;

    use super::*;

    #[test]
    fn an_order_has_its_fields_where_the_authority_looks_for_them() {
        let params = Params::edge_128().unwrap();
        let spec = KeySpec { kind: KeyKind::Galois(5), level: 7 };
        let order = bytes(&params, &[9; 32], [spec, spec].into_iter()).unwrap();
        assert_eq!(order.len(), 56 + 2 * 12);
        assert_eq!(order[8..16], params.digest().to_le_bytes());
        assert_eq!(order[20..24], [2, 0, 0, 0]);
        assert_eq!(order[24..56], [9; 32]);
        assert_eq!(order[56..68], [2, 0, 0, 0, 5, 0, 0, 0, 7, 0, 0, 0]);
    }
}
