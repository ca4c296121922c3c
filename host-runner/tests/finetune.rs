//! A job of private fine-tuning from its owner over a socket to the server and back, at an INSECURE size.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "support/job.rs"]
mod job;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "support/small.rs"]
mod small;

use std::fs;
use std::process::Command;

use he_lora::parameters::Vector;
use host_runner::adapter::plain;
use host_runner::finetune::exchange::Part;
use host_runner::objective::Objective;
use job::Setup;

#[test]
fn a_job_with_a_damaged_state_ends_where_the_run_in_the_clear_does_and_tells_its_loss() {
    let setup = Setup::insecure("finetune", |_| {});
    let jobs = setup.path("jobs");
    let (number, _, mut seen) =
        setup.while_serving(&jobs, |address| setup.follow(address, 1)).unwrap();
    assert_eq!((number, seen.len()), (1, 1));

    // A bit of the last state: the one before is taken, and the iteration runs once more.
    let path = Setup::job(&jobs).join("states/000001.state");
    let good = fs::read(&path).unwrap();
    let mut bytes = good.clone();
    bytes[good.len() / 2] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let (number, state, later) =
        setup.while_serving(&jobs, |address| setup.follow(address, 2)).unwrap();
    assert_eq!((number, later.len()), (2, 1));
    assert_eq!(fs::read(&path).unwrap(), good);
    setup.check(&state);
    seen.extend(later);
    for (seen, loss) in seen.iter().zip(setup.rehearse().report.losses) {
        assert!((seen.loss - loss).abs() < 1e-3, "{} and {loss}", seen.loss);
    }
}

#[test]
fn jobs_of_two_owners_with_one_number_in_one_folder_do_not_mix() {
    let first = Setup::insecure("finetune-first", |_| {});
    let mut second = Setup::insecure("finetune-second", |settings| settings.seed = 2);
    second.examples.iter_mut().for_each(|example| example.label.reverse());
    let jobs = first.path("jobs");
    // Whoever has other keys is not listened to.
    let refused = first.while_serving(&jobs, |address| second.follow(address, 2)).err().unwrap();
    assert!(format!("{refused:#}").contains("not under these keys"), "{refused:#}");
    let (one, other) = first.while_serving(&jobs, |address| {
        let other = second.while_serving(&jobs, |address| second.follow(address, 2));
        (first.follow(address, 2).unwrap().1, other.unwrap().1)
    });
    first.check(&one);
    second.check(&other);
    assert_ne!(one.parameters.numbers(), other.parameters.numbers());

    // Nor is a job copied by hand taken for one's own.
    let owners: Vec<_> = fs::read_dir(&jobs).unwrap().map(|entry| entry.unwrap().path()).collect();
    let declarations: Vec<_> =
        owners.iter().map(|o| o.join("0000000000000007/declaration")).collect();
    let [here, there] = &declarations[..] else { panic!("{} owners", owners.len()) };
    let (mine, theirs) = (fs::read(here).unwrap(), fs::read(there).unwrap());
    fs::write(here, &theirs).unwrap();
    fs::write(there, &mine).unwrap();
    let error = first.while_serving(&jobs, |address| first.follow(address, 2)).err().unwrap();
    assert!(format!("{error:#}").contains("of another owner"), "{error:#}");
}

#[test]
fn all_matrices_are_trained_as_in_the_clear() {
    let setup = Setup::insecure("finetune-full", |settings| settings.full = true);
    let jobs = setup.path("jobs");
    let (number, state, seen) =
        setup.while_serving(&jobs, |address| setup.follow(address, 2)).unwrap();
    assert_eq!((number, seen.len()), (2, 2));
    setup.check(&state);
    let clear = setup.rehearse();
    for (seen, loss) in seen.iter().zip(&clear.report.losses) {
        assert!((seen.loss - loss).abs() < 1e-3, "{} and {loss}", seen.loss);
    }
    let [[found, ..], [wanted, ..]] = [state, clear.state].map(|state| state.matrices.unwrap());
    let largest =
        |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max);
    for index in 0..wanted.count() {
        let (found, wanted) = (found.matrix(index), wanted.matrix(index));
        let (moved, error) = (largest(wanted, &vec![0.0; wanted.len()]), largest(found, wanted));
        assert!(moved > 0.0 && error < moved / 4.0, "{index}: {error} of {moved}");
    }
}

#[test]
fn parts_and_results_that_are_altered_or_of_another_job_are_refused() {
    let setup = Setup::insecure("finetune-refused", |_| {});
    let owner = setup.owner();
    setup.while_serving(&setup.path("jobs"), |address| {
        let mut remote = setup.remote(&owner, address);
        remote.declare(&setup.declared.to_text().unwrap()).unwrap();
        let mut other = setup.declared.clone();
        other.settings.rate = 0.01;
        let error = remote.declare(&other.to_text().unwrap()).unwrap_err();
        assert!(error.to_string().contains("declared otherwise"), "{error}");
        other.number = 8;
        for (part, bytes) in [
            (Part::First, owner.first(&other).unwrap()),
            (Part::First, owner.first(&setup.declared).unwrap()[1..].to_vec()),
            (Part::Example(0), owner.example(&setup.examples[0]).unwrap().split_off(1)),
            (Part::Example(4), owner.example(&setup.examples[0]).unwrap()),
            (Part::State(1), owner.first(&setup.declared).unwrap()),
        ] {
            assert!(remote.put(part, &bytes).is_err(), "{part:?}");
        }
        let follower = setup.follower(&owner, 1);
        follower.upload(&mut remote, &mut |_| {}).unwrap();
        follower.follow(&mut remote, &mut |_| {}).unwrap();
        let mut bytes = remote.fetch(Part::Result(1)).unwrap();
        assert!(owner.open_result(&setup.declared, 1, &bytes).unwrap().is_intact);
        assert!(owner.open_result(&setup.declared, 2, &bytes).is_err());
        assert!(owner.open_result(&other, 1, &bytes).is_err());
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        assert!(owner.open_result(&setup.declared, 1, &bytes).is_err());
        bytes[middle] ^= 1;
        bytes.pop();
        assert!(owner.open_result(&setup.declared, 1, &bytes).is_err());
    });
}

#[test]
fn a_destroyed_state_is_taken_back_and_the_clear_run_says_what_left_its_range() {
    let setup = Setup::insecure("finetune-range", |settings| {
        (settings.rate, settings.alpha, settings.epochs) = (1.0, 8.0, 2);
    });
    let jobs = setup.path("jobs");
    let error = setup.while_serving(&jobs, |address| setup.follow(address, 4)).err().unwrap();
    let text = format!("{error:#}");
    let number = text.strip_prefix("iteration ").and_then(|text| text.split_once(':')).unwrap().0;
    assert!(text.contains("layer 2: the largest exponent left 0.00 to 16.00"), "{text}");
    // The state before it is there, and nothing after it.
    let good = number.parse::<u32>().unwrap() - 1;
    let states = Setup::states(&jobs);
    assert_eq!(states.last().cloned().unwrap_or_default(), format!("{good:06}.state"), "{text}");
}

#[test]
fn a_job_with_real_labels_ends_where_the_run_in_the_clear_does_and_answers_with_a_number() {
    let loss = Objective::SquaredReal;
    let mut setup = Setup::insecure("finetune-real", |settings| settings.loss = loss);
    for (example, y) in setup.examples.iter_mut().zip(["0.75", "-0.5", "-1", "0.25"]) {
        example.label = loss.label(y, 2).unwrap();
    }
    let (_, state, seen) =
        setup.while_serving(&setup.path("jobs"), |address| setup.follow(address, 2)).unwrap();
    setup.check(&state);
    for (seen, loss) in seen.iter().zip(setup.rehearse().report.losses) {
        assert!((seen.loss - loss).abs() < 1e-3, "{} and {loss}", seen.loss);
    }
    let other = state.parameters.vector(Vector::Class(1));
    assert!(other.iter().all(|x| x.abs() < 1e-3), "{other:?}");

    // Its file says what it is: one answer is a number, and a file of classes has nothing to say of it.
    let (adapter, model, file) =
        (setup.path("mine.safetensors"), setup.path("model"), setup.path("dev.tsv"));
    let alpha = setup.declared.settings.alpha;
    plain::save(&adapter, setup.folder.model(), (alpha, loss), &state.parameters).unwrap();
    fs::write(&file, "sentence\tlabel\ndull\t1\n").unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_host-runner"));
        command.args(arguments).arg("--clear").arg("--model").arg(&model);
        let output = command.arg("--adapter").arg(&adapter).output().unwrap();
        [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap())
    };
    let [said, _] = run(&["infer", "a dull film"]);
    let (answer, logits) = said.split_once('\n').unwrap();
    let score = logits.strip_prefix("logits  ").unwrap().split_whitespace().next().unwrap();
    assert!(
        (answer.parse::<f64>().unwrap() - score.parse::<f64>().unwrap()).abs() < 1e-4,
        "{said}"
    );
    let [_, refused] = run(&["eval", "--file", file.to_str().unwrap()]);
    assert!(refused.contains("answers with a number"), "{refused}");
}
