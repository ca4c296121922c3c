//! What a server does with a folder of keys that is incomplete, damaged, or not its own.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "support/small.rs"]
mod small;

use std::fs;
use std::path::Path;

use he_core::params::Params;
use host_runner::authority::{self, Order};
use host_runner::engine::Engine;
use host_runner::import::ModelFolder;
use host_runner::plan::Plan;
use host_runner::random;
use host_runner::store::{DEVICE, Existing, MANIFEST, Manifest, OWNER, SERVER, TRANSPORT, device};
use small::Scratch;

/// What loading the keys below `keys` says.
fn load(keys: &Path, plan: &Plan) -> Result<(), String> {
    let load = || {
        let folder = keys.join(SERVER);
        let manifest = Manifest::open(&folder)?;
        let model = ModelFolder::open(&keys.join("model"))?.into_model();
        Engine::load(&folder, &manifest, &small::params(), plan, model)
    };
    load().map(drop).map_err(|error| format!("{error:#}"))
}

#[test]
fn damaged_missing_and_swapped_keys_are_named() {
    let scratch = Scratch::new("damaged");
    let (_, plan, _) = small::write_keys(scratch.path());
    load(scratch.path(), &plan).unwrap();
    let key = scratch.path().join(SERVER).join("raise.key");
    let good = fs::read(&key).unwrap();

    let mut flipped = good.clone();
    let places = [0, 5, 33, 60, good.len() / 2, good.len() - 1];
    for place in places {
        flipped[place] ^= 0x10;
        fs::write(&key, &flipped).unwrap();
        let error = load(scratch.path(), &plan).unwrap_err();
        assert!(error.contains("raise.key"), "byte {place}: {error}");
        flipped[place] ^= 0x10;
    }
    fs::write(&key, &good[..good.len() - 1]).unwrap();
    let error = load(scratch.path(), &plan).unwrap_err();
    assert!(error.contains("raise.key") && error.contains("truncated"), "{error}");

    fs::copy(scratch.path().join(SERVER).join("relinearization.key"), &key).unwrap();
    assert!(load(scratch.path(), &plan).unwrap_err().contains("raise.key"));

    fs::remove_file(&key).unwrap();
    assert!(load(scratch.path(), &plan).unwrap_err().contains("raise.key"));

    fs::write(&key, &good).unwrap();
    load(scratch.path(), &plan).unwrap();
}

#[test]
fn keys_of_another_preset_or_without_one_that_the_model_needs_are_refused() {
    let scratch = Scratch::new("other");
    let (_, plan, _) = small::write_keys(scratch.path());
    let path = scratch.path().join(SERVER).join(MANIFEST);
    let good = fs::read_to_string(&path).unwrap();

    let other = Params::edge_128().unwrap();
    Manifest::open(path.parent().unwrap()).unwrap().check(&other).unwrap_err();
    let text = Manifest::open(path.parent().unwrap()).unwrap().params().unwrap_err().to_string();
    assert!(text.contains(small::PRESET), "{text}");

    let mut manifest: serde_json::Value = serde_json::from_str(&good).unwrap();
    manifest["keys"].as_array_mut().unwrap().retain(|key| key["kind"] != "down");
    fs::write(&path, manifest.to_string()).unwrap();
    let error = load(scratch.path(), &plan).unwrap_err();
    assert!(error.contains("no key Down") && error.contains("keygen"), "{error}");

    for (bad, part) in [("{", MANIFEST), ("{\"format\": 1}", "missing field")] {
        fs::write(&path, bad).unwrap();
        let error = load(scratch.path(), &plan).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
    fs::write(&path, good.replace("\"format\": 1", "\"format\": 2")).unwrap();
    assert!(load(scratch.path(), &plan).unwrap_err().contains("format 2"));
}

#[test]
fn a_damaged_device_folder_is_refused() {
    let scratch = Scratch::new("device");
    small::write_keys(scratch.path());
    let (folder, params) = (scratch.path().join(DEVICE), small::params());
    let path = folder.join(device::EDGE_SECRET);
    let good = fs::read(&path).unwrap();
    assert!(device::read(&folder, &params).is_ok());
    for place in 0..good.len() {
        let mut bad = good.clone();
        bad[place] ^= 1;
        fs::write(&path, &bad).unwrap();
        assert!(device::read(&folder, &params).is_err(), "byte {place}");
    }
    for length in 0..good.len() {
        fs::write(&path, &good[..length]).unwrap();
        assert!(device::read(&folder, &params).is_err(), "length {length}");
    }
    fs::write(&path, &good).unwrap();
    assert!(device::read(&folder, &Params::edge_128().unwrap()).is_err());
    // A server's folder is not a device's, and the other way round.
    let error = device::params(&scratch.path().join(SERVER)).unwrap_err().to_string();
    assert!(error.contains("not a device folder"), "{error}");
    let error = Manifest::open(&folder).unwrap_err().to_string();
    assert!(error.contains("not a server folder"), "{error}");
}

#[test]
fn keys_are_replaced_only_when_asked_and_then_whole() {
    let scratch = Scratch::new("replace");
    let (model, plan, maker) = small::write_keys(scratch.path());
    let params = small::params();
    let order = Order { preset: small::PRESET, params: &params, plan: plan.keys() };
    let transport = || fs::read(scratch.path().join(SERVER).join(TRANSPORT)).unwrap();
    let before = transport();

    let mut rng = random::generator().unwrap();
    let mut write = |existing| {
        let place = (scratch.path(), existing);
        authority::write(order, &maker, &mut rng, place, &mut |_| {})
    };
    let kept = write(Existing::Keep);
    assert!(kept.unwrap_err().to_string().contains("--force"));
    assert_eq!(transport(), before);

    write(Existing::Replace).unwrap();
    assert_ne!(transport(), before);
    load(scratch.path(), &plan).unwrap();
    drop(model);
    let mut names: Vec<_> = fs::read_dir(scratch.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, [DEVICE, "model", OWNER, SERVER], "something was left behind");
}
