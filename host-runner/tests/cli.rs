//! The program as a user meets it: help, reports, and what it says when something is wrong.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "support/small.rs"]
mod small;

use core::time::Duration;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use he_core::params::Params;
use host_runner::connection::Connection;
use host_runner::finetune::job::{Declared, Job};
use host_runner::finetune::settings::Settings;
use host_runner::plan::Plan;
use host_runner::store::{DEVICE, Manifest, SERVER};
use small::Scratch;

fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/edge")
}

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_host-runner")).args(arguments).output().unwrap()
}

/// Runs a command that fails; what it says.
fn error(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(!output.status.success(), "{arguments:?} succeeds");
    String::from_utf8(output.stderr).unwrap()
}

/// Runs a command that writes JSON to standard output.
fn json(arguments: &[&str]) -> serde_json::Value {
    let output = run(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A server's folder of the real preset, without any key in it.
fn empty_server(scratch: &Scratch) -> PathBuf {
    empty_server_at(scratch.path().join(SERVER))
}

fn empty_server_at(folder: PathBuf) -> PathBuf {
    std::fs::create_dir_all(&folder).unwrap();
    let params = Params::edge_128().unwrap();
    let model = host_runner::import::ModelFolder::open(&model()).unwrap();
    let plan = Plan::new(&params, model.model()).unwrap();
    Manifest::new("edge-128", &params, plan.keys().specs()).write(&folder).unwrap();
    folder
}

#[test]
fn every_command_has_help_with_examples() {
    for command in ["keygen", "provision", "serve", "infer", "eval", "plan", "params", "trace"] {
        let output = run(&[command, "--help"]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.contains("Examples:"), "{command}: {text}");
        assert!(text.contains(&format!("host-runner {command}")), "{command}: {text}");
    }
}

#[test]
fn a_table_whose_reader_has_gone_ends_without_a_word() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_host-runner"));
    let output = command.arg("params").stdout(writer).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), &*said), (Some(141), ""));
}

#[test]
fn a_missing_model_file_is_named() {
    let text = error(&["infer", "--clear", "--model", "no/such/folder"]);
    assert!(text.contains("no/such/folder") && text.contains("--model"), "{text}");
    for missing in ["config.json", "model.safetensors", "vocab.txt"] {
        let scratch = Scratch::new(&format!("missing-{missing}"));
        small::write_model(scratch.path(), |_, _| {});
        std::fs::remove_file(scratch.path().join(missing)).unwrap();
        let text = error(&["infer", "--clear", "--model", scratch.path().to_str().unwrap()]);
        assert!(text.contains(missing), "{text}");
    }
}

#[test]
fn a_tensor_that_does_not_fit_is_named() {
    let scratch = Scratch::new("tensor");
    small::write_model(scratch.path(), |name, bytes| {
        if name == "layers.1.feed_forward.output" {
            bytes[0] ^= 1;
        }
    });
    let text = error(&["infer", "--clear", "--model", scratch.path().to_str().unwrap()]);
    assert!(
        text.contains("layers.1.feed_forward.output") && text.contains("sum to zero"),
        "{text}"
    );
}

#[test]
fn an_unknown_preset_is_answered_with_those_there_are() {
    for command in ["params", "plan"] {
        let text = error(&[command, "--preset", "edge-64"]);
        assert!(text.contains("edge-64") && text.contains("edge-128"), "{text}");
    }
}

#[test]
fn the_plain_model_and_the_parameters_are_reported_as_json() {
    let model = model();
    let model = model.to_str().unwrap();
    let report =
        json(&["infer", "--clear", "--model", model, "--json", "-", "--", "a fine film ."]);
    assert_eq!(report["sentence"], "a fine film .");
    assert_eq!(report["logits"].as_array().unwrap().len(), 2);
    assert!(["negative", "positive"].contains(&report["label"].as_str().unwrap()));

    let report = json(&["params", "--json", "-"]);
    assert_eq!(report["log_n"], 16);
    assert!(report["log_qp"].as_f64().unwrap() <= 1747.0);
    assert!(report["security_bits"].as_f64().unwrap() >= 128.0);
}

#[test]
fn the_plan_stays_within_what_the_project_promises() {
    let model = model();
    let plan = json(&["plan", "--model", model.to_str().unwrap(), "--json", "-"]);
    assert!(plan["keys"]["resident_bytes"].as_u64().unwrap() < 4_000_000_000);
    assert!(plan["keys"]["wire_bytes"].as_u64().unwrap() < 2_000_000_000);
    assert!(plan["memory_bytes"].as_u64().unwrap() < 12_000_000_000);
    assert!(!plan["stages"].as_array().unwrap().is_empty());
}

#[test]
fn a_server_without_memory_says_how_much_it_needs_before_it_loads_a_key() {
    let scratch = Scratch::new("memory");
    let (folder, model) = (empty_server(&scratch), model());
    let (folder, model) = (folder.to_str().unwrap(), model.to_str().unwrap());
    let text = error(&["serve", "--keys", folder, "--model", model, "--memory", "1G"]);
    assert!(text.contains("needs") && text.contains("1.00 GB is the limit"), "{text}");
    // With memory enough the first thing missing is a key.
    let text = error(&["serve", "--keys", folder, "--model", model, "--memory", "100G"]);
    assert!(text.contains(".key"), "{text}");
}

#[test]
fn a_server_of_two_users_counts_the_memory_of_both_and_gives_an_adapter_to_its_owner() {
    let scratch = Scratch::new("users");
    let (model, params) = (model(), Params::edge_128().unwrap());
    let servers = ["one", "two", "three"].map(|name| {
        let server = empty_server_at(scratch.path().join(name).join(SERVER));
        let seed = [name.as_bytes()[1]; 32];
        host_runner::store::write_transport(&server, &seed).unwrap();
        server
    });
    let folder = host_runner::import::ModelFolder::open(&model).unwrap();
    let declared = Declared {
        preset: "edge-128".to_owned(),
        model: format!("{:016x}", host_runner::adapter::digest(folder.model())),
        examples: 8,
        number: 1,
        settings: Settings::default(),
    };
    let (job, text) = (scratch.path().join("job"), declared.to_text().unwrap());
    let transport = host_runner::store::read_transport(&servers[1]).unwrap();
    Job::declare(&job, (&transport, params.digest()), &text).unwrap();

    let [one, two, three] = servers.each_ref().map(|path| path.to_str().unwrap());
    let model = ["--model", model.to_str().unwrap(), "--memory", "8G"];
    let adapter = ["--adapter", job.to_str().unwrap()];
    let serve = |keys: &[&str], more: &[&str]| {
        let keys: Vec<_> = keys.iter().flat_map(|keys| ["--keys", *keys]).collect();
        error(&[&["serve"], &keys[..], &model, more].concat())
    };
    // One of them would fit, and lacks a key.
    assert!(serve(&[one], &[]).contains(".key"));
    let text = serve(&[one, two], &adapter);
    assert!(text.contains("to 2 users needs") && text.contains("8.00 GB is the limit"), "{text}");
    assert!(serve(&[one], &adapter).contains("of another owner"));
    let text = serve(&[one, three], &adapter);
    assert!(text.contains("of none of these users"), "{text}");
}

#[test]
fn keys_of_another_preset_are_refused() {
    let scratch = Scratch::new("preset");
    small::write_keys(scratch.path());
    let (server, device) = (scratch.path().join(SERVER), scratch.path().join(DEVICE));
    let text = error(&["serve", "--keys", server.to_str().unwrap()]);
    assert!(text.contains(small::PRESET), "{text}");
    let text = error(&["provision", "--keys", device.to_str().unwrap()]);
    assert!(text.contains("edge.secret"), "{text}");
    let text = error(&["provision", "--keys", server.to_str().unwrap()]);
    assert!(text.contains("not a device folder"), "{text}");
}

#[test]
fn nothing_is_overwritten_without_force() {
    let scratch = Scratch::new("force");
    small::write_keys(scratch.path());
    let (out, model) = (scratch.path().to_str().unwrap(), model());
    let text = error(&["keygen", "--out", out, "--model", model.to_str().unwrap()]);
    assert!(text.contains("--force"), "{text}");
}

#[test]
fn nobody_listening_is_said_so() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let text = Connection::connect(&free, Duration::from_secs(1)).unwrap_err().to_string();
    assert!(text.contains(&free) && text.contains("host-runner serve"), "{text}");
}

#[test]
fn an_evaluation_in_the_clear_reads_the_file_and_counts() {
    let scratch = Scratch::new("eval");
    let (file, model) = (scratch.path().join("two.tsv"), model());
    std::fs::write(&file, "sentence\tlabel\na masterpiece .\t1\nawful and boring .\t0\n").unwrap();
    let (file, model) = (file.to_str().unwrap(), model.to_str().unwrap());
    let report = json(&["eval", "--file", file, "--clear", "--model", model, "--json", "-"]);
    assert_eq!(report["sentences"], 2);
    let text = error(&["eval", "--file", "no.tsv", "--clear", "--model", model]);
    assert!(text.contains("no.tsv"), "{text}");
}

#[test]
fn an_adapter_with_a_head_of_its_own_is_evaluated_and_its_classes_are_numbered() {
    let scratch = Scratch::new("head");
    let (file, mine, model) =
        (scratch.path().join("two.tsv"), scratch.path().join("mine.safetensors"), model());
    let long = "far ".repeat(70);
    let text = format!("sentence\tlabel\nplay a song\t1\n{long}\t0\nwill it rain\t0\n");
    std::fs::write(&file, text).unwrap();
    let [file, mine, model] = [&file, &mine, &model].map(|path| path.to_str().unwrap());
    let learning = ["--epochs", "6", "--batch", "2", "--rate", "0.02", "--schedule", "constant"];
    let train = ["finetune", "--train", file, "--dry-run", "--out", mine, "--model", model];
    assert!(run(&[&train[..], &learning].concat()).status.success());

    let adapted = ["--adapter", mine, "--clear", "--model", model, "--json", "-"];
    let report = json(&[&["eval", "--data", file][..], &adapted].concat());
    assert_eq!((&report["sentences"], &report["correct"]), (&2.into(), &2.into()));
    let report = json(&[&["infer", "play a song"][..], &adapted].concat());
    assert_eq!(report["label"], "class 1");

    let (server, folder) = (empty_server(&scratch), scratch.path().to_str().unwrap());
    host_runner::store::write_transport(&server, &[7; 32]).unwrap();
    let keys = server.to_str().unwrap();
    let text = error(&["serve", "--keys", keys, "--model", model, "--adapter", folder]);
    assert!(text.contains("no whole job"), "{text}");
}
