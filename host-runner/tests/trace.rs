//! What a traced forward pass at an INSECURE size leaves behind.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "support/small.rs"]
mod small;

use core::time::Duration;
use std::process::Command;

use he_nn::stage::STAGES;
use host_runner::client::Client;
use host_runner::connection::Connection;
use host_runner::engine::Engine;
use host_runner::plan::Plan;
use host_runner::server::{Limits, Server, User};
use host_runner::store::{self, DEVICE, Manifest, SERVER, device};
use host_runner::trace::{Category, Span, Trace};
use small::Scratch;

/// The trace of one sentence, and the plan of its forward pass.
fn traced(scratch: &Scratch) -> (Trace, Plan) {
    let (folder, plan, _) = small::write_keys(scratch.path());
    let (params, keys) = (small::params(), scratch.path().join(SERVER));
    let manifest = Manifest::open(&keys).unwrap();
    let engine = Engine::load(&keys, &manifest, &params, &plan, folder.model().clone());
    let engine = engine.unwrap().with_recorder();
    let answerer = |upload, notify: &mut dyn FnMut(_)| engine.answer(upload, notify);
    let about = (engine.upload_shape().unwrap(), params.digest());
    let transport = store::read_transport(&keys).unwrap();
    let users = vec![User::new(about, &transport, &answerer)];
    let server = Server::bind("127.0.0.1:0", Limits::default(), users).unwrap();
    let secrets = device::read(&scratch.path().join(DEVICE), &params).unwrap();
    let client = Client::new(secrets, &params, &folder).unwrap();
    let ask = |address: &str| {
        let mut connection = Connection::connect(address, Duration::from_secs(60)).unwrap();
        client.ask(&mut connection, "a fine film .", &mut |_| {}).unwrap();
    };
    server.while_asked(ask).unwrap();
    (engine.trace().unwrap(), plan)
}

#[test]
fn a_trace_nests_and_survives_its_file_at_an_insecure_size() {
    let scratch = Scratch::new("trace");
    let (trace, _) = traced(&scratch);
    let path = scratch.path().join("trace.json");
    trace.write(&path).unwrap();
    assert_eq!(Trace::read(&path).unwrap(), trace);
    // What viewers ask for.
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    for event in json["traceEvents"].as_array().unwrap() {
        assert!(event["ph"] == "X" && event["ts"].is_number() && event["dur"].is_number());
        assert!(event["pid"].is_number() && event["tid"].is_number() && event["name"].is_string());
    }

    let spans = &trace.spans;
    for (i, a) in spans.iter().enumerate() {
        for b in spans[..i].iter().filter(|b| b.thread == a.thread) {
            let apart = b.end_us() <= a.begin_us || a.end_us() <= b.begin_us;
            assert!(apart || a.contains(b) || b.contains(a), "{a:?} and {b:?}");
        }
    }
    let names = |category| -> Vec<&str> {
        let mut found: Vec<_> = spans.iter().filter(|span| span.category == category).collect();
        found.sort_by(|a, b| a.begin_us.total_cmp(&b.begin_us));
        found.iter().map(|span| &*span.name).collect()
    };
    assert_eq!(names(Category::Sentence), ["sentence"]);
    assert_eq!(names(Category::Stage), STAGES);
    let sentence = spans.iter().find(|span| span.category == Category::Sentence).unwrap();
    assert!(spans.iter().all(|span| sentence.contains(span)));
    // Every refresh is packed, raised, transformed and reduced, in this order.
    let refreshes = spans.iter().filter(|span| span.name.ends_with("rows_to_slots"));
    for refresh in refreshes {
        let mut steps: Vec<&Span> = spans.iter().filter(|span| refresh.contains(span)).collect();
        steps.sort_by(|a, b| a.begin_us.total_cmp(&b.begin_us));
        let mut steps: Vec<_> = steps.iter().map(|span| &*span.name).collect();
        steps.retain(|name| ["pack", "raise", "coeffs_to_slots", "eval_mod"].contains(name));
        steps.dedup();
        assert_eq!(steps, ["pack", "raise", "coeffs_to_slots", "eval_mod"]);
    }
}

#[test]
fn operations_are_those_of_the_plan_at_their_levels_at_an_insecure_size() {
    let scratch = Scratch::new("trace-levels");
    let (trace, plan) = traced(&scratch);
    let params = small::params();
    let of = |category| trace.spans.iter().filter(move |span| span.category == category);
    let bootstraps: Vec<_> =
        of(Category::Step).filter(|span| span.name == "rows_to_slots").collect();
    for span in of(Category::Operation) {
        let details = span.details;
        // A bootstrap may take a shorter chain, and what is adjusted has a prime or two besides.
        if span.name != "adjust" && !bootstraps.iter().any(|around| around.contains(span)) {
            assert_eq!(details.limbs, params.basis(details.level).len(), "{span:?}");
        }
        assert!(details.own_us <= span.duration_us, "{span:?}");
        let floors = details.arithmetic_us + details.memory_us;
        assert!(floors > 0.0 || details.count == 0, "{span:?}");
    }
    let outside = |name: &str| -> Vec<&Span> {
        let named = of(Category::Operation).filter(|span| span.name == name);
        named.filter(|span| !of(Category::Step).any(|step| step.contains(span))).collect()
    };
    let count = |name| outside(name).iter().map(|span| span.details.count).sum::<usize>();
    let planned = plan.report.operations;
    assert_eq!(count("dot") + count("dot_rescaled"), planned.products);
    assert_eq!(outside("dot").len() + outside("dot_rescaled").len(), planned.relinearizations);
    assert_eq!(outside("rescale").len() + outside("dot_rescaled").len(), planned.rescales);
    assert_eq!(count("dot_plain"), planned.plain_products);
    assert_eq!(count("rotate"), planned.rotations);
    assert_eq!(count("conjugate"), planned.conjugations);
    // Bootstraps begin at the top of the chain, and linear layers are on rows.
    assert_eq!(
        of(Category::Operation).map(|span| span.details.level).max(),
        Some(params.max_level())
    );
    let products: Vec<_> = of(Category::Operation).filter(|span| span.name == "matmul").collect();
    assert_eq!(products.len(), plan.report.linear_layers);
    assert!(products.iter().all(|span| span.details.level == 0));
}

#[test]
fn a_trace_is_summed_up_beside_its_floors() {
    let scratch = Scratch::new("trace-table");
    let path = scratch.path().join("trace.json");
    traced(&scratch).0.write(&path).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_host-runner"));
    let output = program.arg("trace").arg(&path).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    for name in ["butterflies", "layer 1: feed-forward", "eval_mod", "dot_rescaled"] {
        assert!(text.contains(name), "{name} in {text}");
    }
}
