//! A personal adapter from its owner's file to an answer, at an INSECURE size; and the files that are
//! refused on the way.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "support/ask.rs"]
mod ask;
#[path = "support/small.rs"]
mod small;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use he_core::params::Params;
use he_core::ring::{Portable, Ring, Serial};
use host_runner::adapter::encrypt::{self, Public};
use host_runner::adapter::encrypted::{self, Target};
use host_runner::adapter::plain::{self, PlainAdapter};
use host_runner::client::Decrypted;
use host_runner::engine::Engine;
use host_runner::import::ModelFolder;
use host_runner::plan::Plan;
use host_runner::store::{Manifest, OWNER, SERVER, owner};
use host_runner::{clear, precision};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use small::Scratch;

const SENTENCE: &str = "a fine film .";
const ALPHA: f64 = 4.0;

struct Setup {
    scratch: Scratch,
    folder: ModelFolder,
    plan: Plan,
    params: Params,
    ring: Ring,
}

/// A tensor of a file that is being altered.
type Named = (String, Vec<usize>, Vec<u8>);

impl Setup {
    fn insecure(name: &str) -> Self {
        let scratch = Scratch::new(name);
        let (folder, plan, _) = small::write_keys(scratch.path());
        let params = small::params();
        let ring = ring(&params);
        Self { scratch, folder, plan, params, ring }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn target(&self) -> Target<'_> {
        Target { ring: &self.ring, params: &self.params, model: self.folder.model() }
    }

    /// A file whose `lora_B` is zero.
    fn create(&self, name: &str) -> PathBuf {
        let (path, mut rng) = (self.path(name), ChaCha20Rng::seed_from_u64(5));
        plain::create(&path, self.folder.model(), 2, ALPHA, &mut rng).unwrap();
        path
    }

    /// A file with random small entries in `lora_B`, but for the canary's row.
    fn trained(&self, name: &str) -> PathBuf {
        let (path, mut rng) = (self.create(name), ChaCha20Rng::seed_from_u64(6));
        alter(&path, |tensors, _| {
            for (name, shape, bytes) in tensors {
                if !name.ends_with("lora_B.weight") {
                    continue;
                }
                let last = bytes.len() / 4 - shape[1];
                for (at, word) in bytes.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                    let is_canary = name.contains(".value.") && at >= last;
                    let unit = f32::from(rng.next_u32().to_le_bytes()[0]) / 128.0 - 1.0;
                    *word = if is_canary { [0; 4] } else { (0.3 * unit).to_le_bytes() };
                }
            }
        });
        path
    }

    fn encrypt(&self, plain: &Path, name: &str) -> PathBuf {
        let public = self.path(OWNER).join(owner::PUBLIC_KEY);
        let key = Public::open(&public, &self.ring, &self.params).unwrap();
        let adapter = PlainAdapter::open(plain, self.folder.model()).unwrap();
        let (path, mut rng) = (self.path(name), ChaCha20Rng::seed_from_u64(7));
        let bytes = encrypt::write(&path, self.target(), &key, &adapter, &mut rng).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), bytes);
        path
    }

    fn engine(&self) -> Engine {
        let folder = self.path(SERVER);
        let manifest = Manifest::open(&folder).unwrap();
        let model = ModelFolder::open(&self.path("model")).unwrap().into_model();
        Engine::load(&folder, &manifest, &self.params, &self.plan, model).unwrap()
    }

    /// Asks an engine over a socket.
    fn ask(&self, engine: &Engine) -> Decrypted {
        ask::ask(engine, self.scratch.path(), (&self.params, &self.folder), SENTENCE)
    }

    fn plain_error(&self, path: &Path) -> String {
        format!("{:#}", PlainAdapter::open(path, self.folder.model()).err().unwrap())
    }

    fn encrypted_error(&self, path: &Path) -> String {
        format!("{:#}", encrypted::read(path, self.target()).err().unwrap())
    }
}

fn ring(params: &Params) -> Ring {
    Ring::new(params.log_degree(), params.primes(), &Portable, &Serial).unwrap()
}

/// Rewrites an adapter's file.
fn alter(path: &Path, change: impl FnOnce(&mut Vec<Named>, &mut HashMap<String, String>)) {
    let bytes = fs::read(path).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let mut metadata = metadata.metadata().clone().unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let named = |(name, view): (String, TensorView<'_>)| {
        assert_eq!(view.dtype(), Dtype::F32);
        (name, view.shape().to_vec(), view.data().to_vec())
    };
    let mut tensors: Vec<Named> = file.tensors().into_iter().map(named).collect();
    tensors.sort();
    change(&mut tensors, &mut metadata);
    let views = tensors.iter().map(|(name, shape, bytes)| {
        (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    fs::write(path, safetensors::serialize(views, Some(metadata)).unwrap()).unwrap();
}

#[test]
fn an_adapted_answer_is_that_of_the_adapted_plaintext_model() {
    let setup = Setup::insecure("adapted");
    let plain = setup.trained("mine.safetensors");
    let adapter = PlainAdapter::open(&plain, setup.folder.model()).unwrap();
    let wanted = clear::logits_with(&setup.folder, Some(&adapter), SENTENCE).unwrap();
    let without = clear::logits(&setup.folder, SENTENCE).unwrap();
    let change = precision::error_bits(&wanted, &without);
    assert!(change < 5.0, "the adapter changes next to nothing: 2^-{change}");
    let adapter = encrypted::read(&setup.encrypt(&plain, "mine.enc"), setup.target()).unwrap();
    let engine = setup.engine().with_adapter(adapter).unwrap();
    let answer = setup.ask(&engine);
    let bits = precision::error_bits(&answer.logits, &wanted);
    assert!(bits > 6.0, "{:?} and {wanted:?}", answer.logits);
    assert!((answer.canary - 1.0).abs() < 1.0 / 64.0);
}

#[test]
fn an_adapter_that_leaves_the_declared_ranges_is_noticed_in_the_clear() {
    let setup = Setup::insecure("ranges");
    let plain = setup.trained("wild.safetensors");
    let found = || {
        let adapter = PlainAdapter::open(&plain, setup.folder.model()).unwrap();
        let trace = clear::trace(&setup.folder, Some(&adapter), SENTENCE).unwrap();
        clear::beyond_ranges(setup.folder.model().config(), &trace)
    };
    assert_eq!(found(), Vec::<String>::new());
    alter(&plain, |_, metadata| drop(metadata.insert("lora_alpha".into(), "100".into())));
    let found = found();
    assert!(
        found.iter().any(|line| line.starts_with("layer 1: the largest exponent")),
        "{found:?}"
    );
}

#[test]
fn a_new_adapter_changes_nothing() {
    let setup = Setup::insecure("new");
    let plain = setup.create("new.safetensors");
    let adapter = PlainAdapter::open(&plain, setup.folder.model()).unwrap();
    let wanted = clear::logits(&setup.folder, SENTENCE).unwrap();
    assert_eq!(clear::logits_with(&setup.folder, Some(&adapter), SENTENCE).unwrap(), wanted);
    let adapter = encrypted::read(&setup.encrypt(&plain, "new.enc"), setup.target()).unwrap();
    let engine = setup.engine().with_adapter(adapter).unwrap();
    let answer = setup.ask(&engine);
    let bits = precision::error_bits(&answer.logits, &wanted);
    assert!(bits > 6.0, "{:?} and {wanted:?}", answer.logits);
}

#[test]
fn encrypted_adapters_that_are_damaged_or_of_others_are_refused() {
    let setup = Setup::insecure("refused");
    let path = setup.encrypt(&setup.create("new.safetensors"), "new.enc");
    encrypted::check(&path, &setup.params, setup.folder.model()).unwrap();
    encrypted::read(&path, setup.target()).unwrap();
    let bytes = fs::read(&path).unwrap();
    let damaged = setup.path("damaged.enc");
    for length in [0, 31, 60, 83, 84, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&damaged, &bytes[..length]).unwrap();
        let error = setup.encrypted_error(&damaged);
        let early = encrypted::check(&damaged, &setup.params, setup.folder.model());
        assert_eq!(format!("{:#}", early.unwrap_err()), error);
        assert!(error.contains("truncated") || error.contains("copy it again"), "{error}");
    }
    fs::write(&damaged, [&bytes[..], &[0]].concat()).unwrap();
    assert!(setup.encrypted_error(&damaged).contains("copy it again"));
    let mut numbers = ChaCha20Rng::seed_from_u64(8);
    let inside = (0..24).map(|_| usize::try_from(numbers.next_u32()).unwrap() % bytes.len());
    for place in (0..84).step_by(3).chain(inside) {
        let mut flipped = bytes.clone();
        flipped[place] ^= 1 << (place % 8);
        fs::write(&damaged, flipped).unwrap();
        assert!(encrypted::read(&damaged, setup.target()).is_err(), "byte {place}");
    }

    let other = setup.path("other");
    small::write_model(&other, |name, bytes| {
        if name == "layers.1.attention.key" {
            bytes[0] ^= 1;
        }
    });
    let other = ModelFolder::open(&other).unwrap();
    let error = encrypted::read(&path, Target { model: other.model(), ..setup.target() });
    assert!(format!("{:#}", error.err().unwrap()).contains("another model"));
    let params = Params::insecure_small(11, 7, setup.params.log_tokens()).unwrap();
    let ring = ring(&params);
    let error = encrypted::read(&path, Target { ring: &ring, params: &params, ..setup.target() });
    assert!(format!("{:#}", error.err().unwrap()).contains("other parameters"));
}

#[test]
fn adapters_in_the_clear_that_do_not_fit_are_refused_by_name() {
    type Change = fn(&mut Vec<Named>, &mut HashMap<String, String>);
    let setup = Setup::insecure("plain");
    let part = "layers.1.attention.value.lora_B.weight";
    let cases: [(Change, &str); 9] = [
        (|_, metadata| drop(metadata.remove("lora_alpha")), "no metadata lora_alpha"),
        (|_, metadata| drop(metadata.insert("lora_alpha".into(), "-1".into())), "positive"),
        (|_, metadata| drop(metadata.insert("model_digest".into(), "0".into())), "another model"),
        (
            |tensors, _| {
                tensors.retain(|(name, ..)| !name.ends_with("1.attention.key.lora_A.weight"));
            },
            "layers.1.attention.key.lora_A.weight is missing",
        ),
        (|tensors, _| tensors.clear(), "no tensor"),
        (|tensors, _| tensors.push(("extra".into(), vec![1], vec![0; 4])), "extra has no place"),
        (|tensors, _| tensors[0].1.reverse(), "shape"),
        (|tensors, _| tensors[0].2[..4].copy_from_slice(&f32::NAN.to_le_bytes()), "not finite"),
        (
            |tensors, _| {
                let (.., bytes) =
                    tensors.iter_mut().rfind(|t| t.0.contains("value.lora_B")).unwrap();
                let last = bytes.len() - 4;
                bytes[last..].copy_from_slice(&1f32.to_le_bytes());
            },
            "leaves the last value zero",
        ),
    ];
    for (change, wanted) in cases {
        let path = setup.create("case.safetensors");
        alter(&path, change);
        let error = setup.plain_error(&path);
        assert!(error.contains(wanted), "{error}");
    }

    let path = setup.create("case.safetensors");
    let bytes = fs::read(&path).unwrap();
    for length in (0..bytes.len()).step_by(17) {
        fs::write(&path, &bytes[..length]).unwrap();
        assert!(setup.plain_error(&path).contains("not a whole"), "{length}");
    }

    // What PEFT writes: no alpha in the file, no projection that is not adapted.
    let path = setup.trained("case.safetensors");
    let adapter = PlainAdapter::open(&path, setup.folder.model()).unwrap();
    assert!((adapter.scaling() - ALPHA / 2.0).abs() < 1e-12);
    alter(&path, |tensors, metadata| {
        metadata.retain(|key, _| key == "format");
        tensors.retain(|(name, ..)| !name.contains("attention.key"));
        assert!(tensors.iter().any(|(name, ..)| name.ends_with(part)));
    });
    fs::write(setup.path("adapter_config.json"), r#"{"r": 2, "lora_alpha": 16}"#).unwrap();
    let adapter = PlainAdapter::open(&path, setup.folder.model()).unwrap();
    assert!((adapter.scaling() - 8.0).abs() < 1e-12);
}

#[test]
fn public_keys_that_are_damaged_or_something_else_are_refused() {
    let setup = Setup::insecure("public");
    let path = setup.path(OWNER).join(owner::PUBLIC_KEY);
    let bytes = fs::read(&path).unwrap();
    let damaged = setup.path("damaged.key");
    let read = |bytes: &[u8]| {
        fs::write(&damaged, bytes).unwrap();
        owner::read(&damaged, &setup.ring, &setup.params)
    };
    read(&bytes).unwrap();
    for length in [0, 31, 32, 55, bytes.len() / 2, bytes.len() - 1] {
        assert!(read(&bytes[..length]).is_err(), "{length}");
    }
    for place in (0..56).chain((56..bytes.len()).step_by(bytes.len() / 20)) {
        let mut flipped = bytes.clone();
        flipped[place] ^= 1 << (place % 8);
        assert!(read(&flipped).is_err(), "byte {place}");
    }
    read(&[&bytes[..], &[0]].concat()).unwrap_err();

    // The program itself takes presets only.
    let unknown = format!("{:#}", owner::params(&path).unwrap_err());
    assert!(unknown.contains("does not have"), "{unknown}");
    let other = setup.path(SERVER).join("relinearization.key");
    let error = format!("{:#}", owner::params(&other).unwrap_err());
    assert!(error.contains("not a public key"), "{error}");
}
