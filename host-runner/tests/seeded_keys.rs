//! Keys from a seed that everyone knows, at an INSECURE size: what key authorities in secure worlds must
//! make of the same order, byte for byte (`targets/key-authority/src/golden.rs`).

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use core::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng;
use he_core::keyswitch::{KeyKind, KeyPlan};
use he_core::params::Params;
use host_runner::authority::{self, Order};
use host_runner::store::Existing;
use sha2::{Digest, Sha256};

const SEED: [u8; 32] = *b"INSECURE: everyone knows my seed";

/// The same keys as in `golden::order`, in the order in which a plan has them.
fn plan(params: &Params) -> KeyPlan {
    let top = params.max_level();
    let mut plan = KeyPlan::default();
    plan.need(KeyKind::Relinearization, top - params.coeffs_to_slots_levels());
    plan.need(KeyKind::Galois(5), top);
    plan.need(KeyKind::Galois(2047), 9);
    plan.need(KeyKind::Raise, top);
    plan.need(KeyKind::Pack(0), 0);
    plan.need(KeyKind::Pack(15), 0);
    plan.need(KeyKind::Down, 0);
    plan
}

/// A line for each public file below a folder, sorted.
fn digests(folder: &Path) -> String {
    let mut lines = Vec::new();
    for part in ["owner", "server"] {
        for entry in fs::read_dir(folder.join(part)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".key") {
                let digest = Sha256::digest(fs::read(folder.join(part).join(&name)).unwrap());
                let mut line = format!("{part}/{name} ");
                digest.iter().for_each(|byte| write!(line, "{byte:02x}").unwrap());
                lines.push(line + "\n");
            }
        }
    }
    lines.sort();
    lines.concat()
}

#[test]
fn keys_of_a_known_seed_are_the_golden_ones() {
    let params = Params::insecure_small(10, 7, 3).unwrap();
    let plan = plan(&params);
    let scratch = env::temp_dir().join(format!("host-runner-{}-seeded", std::process::id()));
    let mut rng = ChaCha20Rng::from_seed(SEED);
    let order = Order { preset: "INSECURE-small", params: &params, plan: &plan };
    authority::generate(order, &mut rng, &scratch, Existing::Replace, &mut |_| {}).unwrap();
    let found = digests(&scratch);
    fs::remove_dir_all(&scratch).unwrap();

    let golden: PathBuf =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../targets/key-authority/golden.txt");
    if env::var("GOLDEN").is_ok_and(|what| what == "write") {
        fs::write(&golden, &found).unwrap();
    }
    assert_eq!(fs::read_to_string(golden).unwrap(), found);
}
