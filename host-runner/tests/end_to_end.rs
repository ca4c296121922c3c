//! Keys on disk, a server on a socket and a client, at an INSECURE size.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "support/small.rs"]
mod small;

use core::time::Duration;

use host_runner::client::{Client, Decrypted};
use host_runner::connection::Connection;
use host_runner::engine::Engine;
use host_runner::import::ModelFolder;
use host_runner::plan::Plan;
use host_runner::server::{Limits, Server, User};
use host_runner::store::{self, DEVICE, Manifest, SERVER, device};
use host_runner::{clear, precision};
use small::Scratch;
use std::path::Path;

const TIME: Duration = Duration::from_secs(60);

fn engine(keys: &Path, plan: &Plan, model: &Path) -> anyhow::Result<Engine> {
    let folder = keys.join(SERVER);
    let manifest = Manifest::open(&folder)?;
    let model = ModelFolder::open(model)?.into_model();
    Engine::load(&folder, &manifest, &small::params(), plan, model)
}

/// Asks an engine every sentence over one connection.
fn ask(
    keys: &Path,
    engine: &Engine,
    folder: &ModelFolder,
    sentences: &[&str],
) -> Vec<anyhow::Result<Decrypted>> {
    let params = small::params();
    let secrets = device::read(&keys.join(DEVICE), &params).unwrap();
    let client = Client::new(secrets, &params, folder).unwrap();
    let answerer = |upload, notify: &mut dyn FnMut(_)| engine.answer(upload, notify);
    let about = (engine.upload_shape().unwrap(), params.digest());
    let transport = store::read_transport(&keys.join(SERVER)).unwrap();
    let users = vec![User::new(about, &transport, &answerer)];
    let server = Server::bind("127.0.0.1:0", Limits::default(), users).unwrap();
    let ask = |address: &str| {
        let mut connection = Connection::connect(address, TIME).unwrap();
        let ask = |sentence: &&str| client.ask(&mut connection, sentence, &mut |_| {});
        sentences.iter().map(ask).collect()
    };
    server.while_asked(ask).unwrap()
}

#[test]
fn encrypted_answers_are_those_of_the_plaintext_model() {
    let scratch = Scratch::new("answers");
    let (folder, plan, _) = small::write_keys(scratch.path());
    let engine = engine(scratch.path(), &plan, &scratch.path().join("model")).unwrap();
    let sentences = ["a fine film .", "dull films", "é 電 unknown"];
    let answers = ask(scratch.path(), &engine, &folder, &sentences);
    for (sentence, answer) in sentences.iter().zip(answers) {
        let answer = answer.unwrap();
        let plain = clear::logits(&folder, sentence).unwrap();
        let bits = precision::error_bits(&answer.logits, &plain);
        assert!(bits > 6.0, "{sentence}: {:?} and {plain:?}", answer.logits);
        assert!((answer.canary - 1.0).abs() < 1.0 / 64.0);
    }
}

#[test]
fn an_activation_out_of_its_range_is_refused_by_the_canary() {
    let scratch = Scratch::new("canary");
    let (folder, plan, _) = small::write_keys(scratch.path());
    // Sixteen times the weights drive the head's tanh far out of its domain.
    let wild = scratch.path().join("wild");
    small::write_model(&wild, |name, bytes| {
        if name == "head.dense" {
            let (words, _) = bytes.as_chunks_mut::<2>();
            words.iter_mut().for_each(|w| *w = (i16::from_le_bytes(*w) * 32).to_le_bytes());
        }
    });
    let engine = engine(scratch.path(), &plan, &wild).unwrap();
    let answers = ask(scratch.path(), &engine, &folder, &["a fine film ."]);
    let error = answers.into_iter().next().unwrap().unwrap_err();
    let refused = error.downcast_ref::<he_nn::Error>();
    assert!(matches!(refused, Some(he_nn::Error::Refused { .. })), "{error:#}");
}

#[test]
fn a_bad_sentence_is_refused_before_anything_is_sent() {
    let scratch = Scratch::new("sentences");
    let (folder, plan, _) = small::write_keys(scratch.path());
    let engine = engine(scratch.path(), &plan, &scratch.path().join("model")).unwrap();
    let long = "film ".repeat(15);
    let answers = ask(scratch.path(), &engine, &folder, &["", " \u{301} ", &long, "a film"]);
    let errors: Vec<_> =
        answers.iter().map(|a| a.as_ref().err().map(ToString::to_string)).collect();
    assert_eq!(errors[0].as_deref(), Some("the sentence is empty"));
    assert_eq!(errors[1].as_deref(), Some("the sentence is empty"));
    assert_eq!(errors[2].as_deref(), Some("the sentence has more than 14 word pieces"));
    // The connection is as good as before.
    assert_eq!(errors[3], None);
}

#[test]
fn a_server_that_nobody_asks_ends() {
    let server = Server::bind("127.0.0.1:0", Limits::default(), Vec::new()).unwrap();
    assert_eq!(server.while_asked(str::len).unwrap(), server.address().to_string().len());
}
