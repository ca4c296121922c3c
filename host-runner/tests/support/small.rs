//! A small model's folder and keys at an INSECURE size.

#[expect(dead_code, reason = "not all of it is needed here")]
#[path = "../../../he-nn/tests/synthetic/model.rs"]
mod synthetic;

use std::fs;
use std::path::{Path, PathBuf};

use he_core::keyswitch::KeyAuthority;
use he_core::params::Params;
use host_runner::authority::{self, Order};
use host_runner::import::ModelFolder;
use host_runner::plan::Plan;
use host_runner::random;
use host_runner::store::Existing;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

/// What the keys say their parameters are called.
pub(crate) const PRESET: &str = "INSECURE-small";

const WORDS: &str = "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\nfine\ndull\nfilm\n##s\n.\n";

/// A folder that is removed in the end.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("host-runner-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The parameters: the preset's chain at degree 2^10.
pub(crate) fn params() -> Params {
    Params::insecure_small(10, 7, synthetic::TOKENS.trailing_zeros()).unwrap()
}

/// Writes a model's folder; `change` may alter a matrix's bytes before.
pub(crate) fn write_model(folder: &Path, change: impl Fn(&str, &mut Vec<u8>)) {
    write_model_of(&["no", "yes", "both"], folder, change);
}

/// As [`write_model`], with these classes, at most three.
pub(crate) fn write_model_of(labels: &[&str], folder: &Path, change: impl Fn(&str, &mut Vec<u8>)) {
    let classes = labels.len();
    let (tokens, width) = (synthetic::TOKENS, synthetic::WIDTH);
    let pieces = WORDS.lines().count();
    let config = serde_json::json!({
        "family": "gk-bert", "layers": 2, "width": width, "heads": 2, "glu": 16,
        "activation": "gelu", "tokens": tokens, "classes": classes, "labels": labels,
        "weight_frac_bits": synthetic::FRAC_BITS, "vocabulary": pieces,
        "ranges": {
            "layers": [{"exponent": [0.0, 16.0], "gate": [-6.0, 6.0]},
                       {"exponent": [0.0, 16.0], "gate": [-6.0, 6.0]}],
            "norms": {"layers.0.norm2": [0.4, 12.0], "layers.1.norm1": [0.4, 12.0],
                      "layers.1.norm2": [0.4, 12.0], "head.norm": [0.4, 12.0]},
            "tanh": [-4.0, 4.0],
        },
    });
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    fs::write(folder.join("vocab.txt"), WORDS).unwrap();

    let mut numbers = synthetic::Numbers(99);
    let mut table = |rows: usize| -> Vec<u8> {
        #[expect(clippy::cast_possible_truncation, reason = "below 128")]
        let byte = |x: f64| ((x * 127.0) as i8).cast_unsigned();
        (0..rows * width).map(|_| byte(numbers.next())).collect()
    };
    let embeddings = [
        ("embedding.tokens".to_owned(), vec![pieces, width], Dtype::I8, table(pieces)),
        ("embedding.positions".to_owned(), vec![tokens, width], Dtype::I8, table(tokens)),
    ];
    let matrices = synthetic::tensors(5).into_iter().map(|(name, mut shape, mut bytes)| {
        if name == "head.classes" {
            shape[1] = classes;
            bytes.truncate(2 * width * classes);
        }
        change(&name, &mut bytes);
        (name, shape.to_vec(), Dtype::I16, bytes)
    });
    let all: Vec<_> = embeddings.into_iter().chain(matrices).collect();
    let views = all.iter().map(|(name, shape, kind, bytes)| {
        (name, TensorView::new(*kind, shape.clone(), bytes).unwrap())
    });
    let file = safetensors::serialize(views, None).unwrap();
    fs::write(folder.join("model.safetensors"), file).unwrap();
}

/// Writes a model's folder as `model` and keys for it beside it; returns who made the keys.
pub(crate) fn write_keys(scratch: &Path) -> (ModelFolder, Plan, KeyAuthority) {
    write_model(&scratch.join("model"), |_, _| {});
    let folder = ModelFolder::open(&scratch.join("model")).unwrap();
    let params = params();
    let plan = Plan::new(&params, folder.model()).unwrap();
    let mut rng = random::generator().unwrap();
    let authority = KeyAuthority::generate(&params, &mut rng).unwrap();
    let order = Order { preset: PRESET, params: &params, plan: plan.keys() };
    let place = (scratch, Existing::Keep);
    authority::write(order, &authority, &mut rng, place, &mut |_| {}).unwrap();
    (folder, plan, authority)
}
