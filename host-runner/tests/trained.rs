//! What training came to, used: a job's last state as it is, and its adapter exported and encrypted again, at an
//! INSECURE size; and what is refused on the way.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "support/ask.rs"]
mod ask;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "support/job.rs"]
mod job;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "support/small.rs"]
mod small;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng;
use he_core::ring::{Portable, Ring, Serial};
use he_lora::parameters::Parameters;
use he_lora::reference::{self, Loss};
use he_nn::model::Linear;
use host_runner::adapter::encrypt::{self, Public};
use host_runner::adapter::encrypted::{self, Target};
use host_runner::adapter::matrices;
use host_runner::adapter::plain::{self, PlainAdapter};
use host_runner::authority::{self, Order};
use host_runner::client::Decrypted;
use host_runner::dataset::Example;
use host_runner::engine::Engine;
use host_runner::finetune::numbers::State;
use host_runner::finetune::rehearsal;
use host_runner::finetune::settings::Settings;
use host_runner::objective::Objective;
use host_runner::personal::Source;
use host_runner::plan::Plan;
use host_runner::store::{Existing, Manifest, OWNER, SERVER, owner};
use host_runner::{clear, precision, random};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

const SENTENCE: &str = "a fine film .";
const ALPHA: f64 = 2.0;

/// An owner with keys, and the job that they declare.
struct Setup {
    job: job::Setup,
    ring: Ring,
}

impl Setup {
    fn insecure(name: &str) -> Self {
        Self::insecure_with(name, |settings| settings.alpha = ALPHA)
    }

    fn insecure_with(name: &str, change: impl Fn(&mut Settings)) -> Self {
        let job = job::Setup::insecure(name, change);
        let ring = Ring::new(job.params.log_degree(), job.params.primes(), &Portable, &Serial);
        Self { job, ring: ring.unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.job.path(name)
    }

    fn target(&self) -> Target<'_> {
        Target { ring: &self.ring, params: &self.job.params, model: self.job.folder.model() }
    }

    /// Trains to iteration `until`; the job's folder, and what the owner decrypts then.
    fn train(&self, until: u32) -> (PathBuf, State) {
        let jobs = self.path("jobs");
        let found = self.job.while_serving(&jobs, |address| self.job.follow(address, until));
        (job::Setup::job(&jobs), found.unwrap().1)
    }

    fn export(&self, parameters: &Parameters) -> PathBuf {
        let path = self.path("mine.safetensors");
        plain::save(&path, self.job.folder.model(), (ALPHA, Objective::CrossEntropy), parameters)
            .unwrap();
        path
    }

    fn open(&self, path: &Path) -> anyhow::Result<PlainAdapter> {
        PlainAdapter::open(path, self.job.folder.model())
    }

    fn encrypt(&self, adapter: &PlainAdapter) -> PathBuf {
        let (path, bytes) = self.try_encrypt(adapter).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), bytes);
        path
    }

    fn try_encrypt(&self, adapter: &PlainAdapter) -> anyhow::Result<(PathBuf, u64)> {
        let public = self.path(OWNER).join(owner::PUBLIC_KEY);
        let key = Public::open(&public, &self.ring, &self.job.params).unwrap();
        let (path, mut rng) = (self.path("mine.enc"), ChaCha20Rng::seed_from_u64(7));
        let bytes = encrypt::write(&path, self.target(), &key, adapter, &mut rng)?;
        Ok((path, bytes))
    }

    /// The adapter at `path` as a server with these keys takes it.
    fn source(&self, path: &Path) -> anyhow::Result<Source> {
        let keys = self.path(SERVER);
        let manifest = Manifest::open(&keys).unwrap();
        Source::open(path, (&keys, &manifest), &self.job.params, self.job.folder.model())
    }

    fn engine(&self, source: &Source) -> Engine {
        let (keys, model) = (self.path(SERVER), self.job.folder.model());
        let manifest = Manifest::open(&keys).unwrap();
        let shape = source.shape(model).unwrap().unwrap();
        let plan = Plan::new(&self.job.params, model).unwrap();
        let plan = plan.with_trained(&self.job.params, model, shape).unwrap();
        let engine =
            Engine::load(&keys, &manifest, &self.job.params, &plan, model.clone()).unwrap();
        let adapter = source.read(engine.target(), &mut |text| panic!("{text}")).unwrap();
        engine.with_adapter(adapter).unwrap()
    }

    /// Asks an engine over a socket.
    fn ask(&self, engine: &Engine) -> Decrypted {
        ask::ask(engine, &self.path(""), (&self.job.params, &self.job.folder), SENTENCE)
    }

    /// Checks what a server with the adapter at `path` answers.
    fn check_answer(&self, path: &Path, wanted: &[f64]) {
        let answer = self.ask(&self.engine(&self.source(path).unwrap()));
        let bits = precision::error_bits(&answer.logits, wanted);
        assert!(bits > 6.0, "{}: {:?} and {wanted:?}", path.display(), answer.logits);
        assert!((answer.canary - 1.0).abs() < 1.0 / 64.0, "{}", answer.canary);
    }

    /// The first parameters of the job, with all columns `up` moved from zero.
    fn parameters(&self) -> Parameters {
        let training =
            self.job.declared.settings.training(self.job.folder.model().config(), 2).unwrap();
        let mut parameters = self.job.declared.settings.first(training.shape);
        for vector in training.shape.vectors() {
            for (f, x) in parameters.vector_mut(vector).iter_mut().enumerate() {
                if training.shape.is_trained(vector, f) {
                    *x += 0.125 * f64::from(u8::try_from(f % 5).unwrap()) - 0.25;
                }
            }
        }
        parameters
    }
}

#[test]
fn a_trained_state_and_its_adapter_encrypted_again_answer_as_the_exported_adapter_in_the_clear() {
    let setup = Setup::insecure("trained");
    let (job, state) = setup.train(2);
    let exported = setup.open(&setup.export(&state.parameters)).unwrap();
    let wanted = clear::logits_with(&setup.job.folder, Some(&exported), SENTENCE).unwrap();
    let without = clear::logits(&setup.job.folder, SENTENCE).unwrap();
    let change = precision::error_bits(&wanted, &without);
    assert!(change < 5.0, "the adapter changes next to nothing: 2^-{change}");
    for path in [job, setup.encrypt(&exported)] {
        setup.check_answer(&path, &wanted);
    }
}

#[test]
fn matrices_that_were_trained_answer_encrypted_as_in_the_clear_and_are_exported() {
    let setup = Setup::insecure_with("trained-full", |settings| settings.full = true);
    let (job, state) = setup.train(2);
    let folder = &setup.job.folder;
    let training = setup.job.owner().training(&setup.job.declared).unwrap();
    let asked = Example { sentence: SENTENCE.to_owned(), label: vec![1.0, 0.0] };
    let asked = rehearsal::prepare(folder, &[asked]).unwrap();
    let wanted = state.scores(folder.model(), &training, asked[0].example());
    setup.check_answer(&job, &wanted);

    let (path, [updates, ..]) = (setup.path("matrices.safetensors"), state.matrices.unwrap());
    let both = (&state.parameters, &updates);
    matrices::save(&path, folder.model(), Objective::Squared, both).unwrap();
    let bytes = fs::read(&path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let found = tensors.tensor("layers.1.attention.output").unwrap();
    let (words, _) = found.data().as_chunks::<4>();
    let frozen = &folder.model().layers()[1].attention.output;
    let unit = f64::from(frozen.frac_bits).exp2();
    let update = updates.matrix(updates.of(Linear::Output(1)).start);
    assert!(update.iter().any(|x| *x != 0.0));
    for ((word, &w), d) in words.iter().zip(&frozen.entries).zip(update) {
        let (found, wanted) = (f64::from(f32::from_le_bytes(*word)), f64::from(w) / unit + d);
        assert!((found - wanted).abs() < 1e-6 * wanted.abs().max(1.0), "{found} {wanted}");
    }

    let opened = setup.open(&path).unwrap();
    assert!(opened.is_full() && opened.objective() == Objective::Squared);
    let found = clear::logits_with(folder, Some(&opened), SENTENCE).unwrap();
    let error = found.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(error < 1e-5, "{found:?} and {wanted:?}");
    let refused = setup.try_encrypt(&opened).unwrap_err().to_string();
    assert!(refused.contains("name the job's folder"), "{refused}");
}

#[test]
fn keys_for_answering_alone_suffice_for_an_adapter_that_was_trained() {
    let setup = Setup::insecure("answering");
    let (model, params) = (setup.job.folder.model(), &setup.job.params);
    let adapter = setup.open(&setup.export(&setup.parameters())).unwrap();
    let shape = adapter.parameters().unwrap().shape();
    let plan = Plan::new(params, model).unwrap().with_trained(params, model, shape).unwrap();
    let order = Order { preset: small::PRESET, params, plan: plan.keys() };
    let (mut rng, place) = (random::generator().unwrap(), setup.job.scratch.path());
    authority::generate(order, &mut rng, place, Existing::Replace, &mut |_| {}).unwrap();
    let wanted = clear::logits_with(&setup.job.folder, Some(&adapter), SENTENCE).unwrap();
    setup.check_answer(&setup.encrypt(&adapter), &wanted);
}

#[test]
fn what_another_owner_encrypted_is_refused_by_name() {
    let (one, other) = (Setup::insecure("owner-one"), Setup::insecure("owner-other"));
    let (job, _) = one.train(0);
    let adapter = one.open(&one.export(&one.parameters())).unwrap();
    for path in [job.clone(), one.encrypt(&adapter)] {
        one.source(&path).unwrap();
        let error = format!("{:#}", other.source(&path).unwrap_err());
        assert!(error.contains("another owner"), "{error}");
    }
    // A job without an iteration has nothing to serve.
    let untrained = one.source(&job).unwrap().read(one.target(), &mut |_| {});
    assert!(untrained.err().unwrap().to_string().contains("has not trained yet"));
}

#[test]
fn an_exported_head_comes_back_and_scores_as_the_reference_does() {
    let setup = Setup::insecure("exported");
    let parameters = setup.parameters();
    let adapter = setup.open(&setup.export(&parameters)).unwrap();
    let read = adapter.parameters().unwrap();
    let mut pairs = read.numbers().iter().zip(parameters.numbers());
    assert!(pairs.all(|(a, b)| (a - b).abs() < 1e-7));
    assert!((adapter.scaling() - ALPHA).abs() < 1e-12);

    let tokens = setup.job.folder.model().config().tokens;
    let mut ids = vec![0; tokens];
    let length = setup.job.folder.tokenizer().unwrap().sentence(SENTENCE, &mut ids).unwrap();
    let table = setup.job.folder.embedding().unwrap();
    let embedding = he_nn::reference::embed(&table, &ids[..length], tokens);
    let example = reference::Example { embedding: &embedding, length, label: &[0.0, 1.0] };
    let wanted =
        reference::evaluate(setup.job.folder.model(), read, ALPHA, example, Loss::Squared).scores;
    for found in [
        adapter,
        PlainAdapter::trained(
            parameters,
            (ALPHA, Objective::CrossEntropy),
            setup.job.folder.model(),
        )
        .unwrap(),
    ] {
        let found = clear::logits_with(&setup.job.folder, Some(&found), SENTENCE).unwrap();
        let error = found.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(error < 1e-6, "{found:?} and {wanted:?}");
    }
}

#[test]
fn heads_that_are_damaged_or_do_not_fit_are_refused() {
    let setup = Setup::insecure("heads");
    let whole = setup.export(&setup.parameters());
    let enc = setup.encrypt(&setup.open(&whole).unwrap());
    let bytes = fs::read(&enc).unwrap();
    for place in (0..84).step_by(5).chain((84..bytes.len()).step_by(bytes.len() / 16)) {
        let mut flipped = bytes.clone();
        flipped[place] ^= 1 << (place % 8);
        fs::write(&enc, flipped).unwrap();
        assert!(encrypted::read(&enc, setup.target()).is_err(), "byte {place}");
    }
    for length in [83, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&enc, &bytes[..length]).unwrap();
        assert!(setup.source(&enc).is_err(), "{length}");
    }

    let bytes = fs::read(&whole).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let metadata: HashMap<_, _> = metadata.metadata().clone().unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let without = |part: &str| {
        let rest = file.tensors().into_iter().filter(|(name, _)| !name.ends_with(part));
        let rest: Vec<(String, TensorView<'_>)> = rest.collect();
        fs::write(&whole, safetensors::serialize(rest, Some(metadata.clone())).unwrap()).unwrap();
        format!("{:#}", setup.open(&whole).err().unwrap())
    };
    for part in ["head.classes.weight", "head.dense.lora_A.weight", "head.dense.lora_B.weight"] {
        let error = without(part);
        assert!(error.contains(part) && error.contains("missing"), "{error}");
    }
    let classes = file.tensor("base_model.model.head.classes.weight").unwrap();
    let short = TensorView::new(Dtype::F32, vec![1, 8], &classes.data()[..32]).unwrap();
    let others = file.tensors().into_iter().filter(|(name, _)| !name.contains("head.classes"));
    let all = others.chain([("base_model.model.head.classes.weight".to_owned(), short)]);
    let all: Vec<_> = all.collect();
    fs::write(&whole, safetensors::serialize(all, Some(metadata.clone())).unwrap()).unwrap();
    let error = format!("{:#}", setup.open(&whole).err().unwrap());
    assert!(error.contains("head.classes.weight has shape"), "{error}");
}
