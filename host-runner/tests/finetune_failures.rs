//! What happens to a job when its server is killed, its disk is full, it has another user, or its owner goes away, at an
//! INSECURE size. The server is a process of its own: this one, started again.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "support/job.rs"]
mod job;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "support/small.rs"]
mod small;

use core::time::Duration;
use std::fs;
use std::io::{BufRead, BufReader, Lines, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use host_runner::connection::Connection;
use host_runner::finetune::exchange::{Ask, Part, Permission};
use host_runner::finetune::follow::Event;
use host_runner::server::Until;
use host_runner::{clear, precision};
use job::Setup;

/// Names the folders of keys, the folder of jobs and the address for [`serves_when_another_test_asks`].
const VARIABLES: [&str; 3] = ["FINETUNE_KEYS", "FINETUNE_JOBS", "FINETUNE_ADDRESS"];

/// Not a test: what the others start as their server.
#[test]
fn serves_when_another_test_asks() {
    let [Ok(keys), Ok(jobs), Ok(address)] = VARIABLES.map(std::env::var) else { return };
    let keys: Vec<_> = std::env::split_paths(&keys).collect();
    let keys: Vec<_> = keys.iter().map(PathBuf::as_path).collect();
    job::serve(&keys, Path::new(&jobs), &address, |server| {
        println!("\nlistening on {}", server.address());
        server.run(Until::Stopped, &|_| {}).unwrap();
    });
}

/// A server that is killed in the end.
struct Process {
    child: Child,
    address: String,
    /// Kept open: the process says that a test takes long, and ends if it cannot.
    _output: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// With files of at most so many blocks of 512 bytes, if a number is given.
    fn start(users: &[&Setup], jobs: &Path, address: &str, blocks: Option<u32>) -> Self {
        let keys = std::env::join_paths(users.iter().map(|user| user.scratch.path())).unwrap();
        let limit = blocks.map_or(String::new(), |n| format!("trap '' XFSZ; ulimit -f {n}; "));
        let mut child = Command::new("sh")
            .args(["-c", &format!("{limit}exec \"$0\" \"$@\"")])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "serves_when_another_test_asks", "--nocapture"])
            .env(VARIABLES[0], keys)
            .env(VARIABLES[1], jobs)
            .env(VARIABLES[2], address)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines = output.by_ref().map_while(Result::ok);
        let address =
            lines.find_map(|line| line.strip_prefix("listening on ").map(ToOwned::to_owned));
        Self { child, address: address.unwrap(), _output: output }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGKILL: the process hears nothing of it.
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}

/// Sends the job, without permission to begin.
fn upload(setup: &Setup, address: &str) {
    let owner = setup.owner();
    let follower = setup.follower(&owner, 0);
    follower.upload(&mut setup.remote(&owner, address), &mut |_| {}).unwrap();
}

#[test]
fn a_server_killed_at_any_moment_ends_with_the_same_bytes_and_loses_at_most_one_step() {
    let setup = Setup::insecure("finetune-killed", |settings| settings.epochs = 2);
    let (jobs, undisturbed) = (setup.path("jobs"), setup.path("undisturbed"));
    let mut process = Some(Process::start(&[&setup], &jobs, "127.0.0.1:0", None));
    let address = process.as_ref().unwrap().address.clone();
    upload(&setup, &address);
    copy(&jobs, &undisturbed);

    let seed = std::process::id().into();
    println!("seed {seed}");
    let (mut rng, (told, events)) = (ChaCha20Rng::seed_from_u64(seed), channel());
    let (followed, later) = thread::scope(|scope| {
        let owner = setup.owner();
        let (setup, address) = (&setup, address.as_str());
        let follower = scope.spawn(move || {
            let mut remote = setup.remote(&owner, address);
            let mut good = Vec::new();
            let found = setup.follower(&owner, 4).follow(&mut remote, &mut |event| match event {
                Event::Status(status) => drop(told.send((status.done, status.example))),
                Event::Good(seen) => good.push(seen.iteration.number),
                Event::Sent(_) | Event::Damaged(_) => {}
            });
            (found.unwrap().1, good)
        });
        let mut done = 0;
        for _ in 0..3 {
            // Some moment after an example of some iteration has begun.
            while events.recv().unwrap().1.is_none() {}
            thread::park_timeout(Duration::from_millis(rng.next_u64() % 700));
            drop(process.take());
            let states = Setup::states(&jobs);
            let last = states.iter().rfind(|name| name.ends_with(".state"));
            let kept: u32 = last.map_or(0, |name| name[..6].parse().unwrap());
            assert!(kept >= done, "{kept} states after {done}");
            done = kept;
            process = Some(Process::start(&[setup], &jobs, address, None));
            events.try_iter().for_each(drop);
        }
        let followed = follower.join().unwrap();
        (followed, events.try_iter().count())
    });
    println!("{later} messages later");
    let (state, good) = followed;
    assert_eq!(good, [1, 2, 3, 4]);
    setup.check(&state);
    setup.while_serving(&undisturbed, |address| setup.follow(address, 4)).unwrap();
    for name in ["states/000004.state", "results/000004"] {
        let [one, other] = [&jobs, &undisturbed].map(|jobs| fs::read(Setup::job(jobs).join(name)));
        assert!(one.unwrap() == other.unwrap(), "{name} differs");
    }
}

#[test]
fn a_full_disk_is_named_with_the_file_and_loses_nothing() {
    let setup = Setup::insecure("finetune-full", |_| {});
    let jobs = setup.path("jobs");
    let process = Process::start(&[&setup], &jobs, "127.0.0.1:0", None);
    let (number, ..) = setup.follow(&process.address, 1).unwrap();
    assert_eq!(number, 1);
    drop(process);
    let folder = Setup::job(&jobs);
    let path = folder.join("states/000001.state");
    let before = fs::read(&path).unwrap();

    // Room for a result, and not for a state.
    let bytes = |path: &str| fs::metadata(folder.join(path)).unwrap().len();
    let blocks = (bytes("results/000001") + bytes("states/000001.state")) / 2 / 512;
    let process =
        Process::start(&[&setup], &jobs, "127.0.0.1:0", Some(u32::try_from(blocks).unwrap()));
    let error = setup.follow(&process.address, 2).err().unwrap();
    let text = format!("{error:#}");
    assert!(text.contains("000002.state") && text.contains("too large"), "{text}");
    drop(process);
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(Setup::states(&jobs), ["000001.state"], "something is left of what was not written");

    let process = Process::start(&[&setup], &jobs, "127.0.0.1:0", None);
    setup.check(&setup.follow(&process.address, 2).unwrap().1);
}

#[test]
fn an_owner_who_is_gone_finds_the_upload_and_the_job_where_the_server_has_come_to() {
    let setup = Setup::insecure("finetune-gone", |settings| settings.epochs = 2);
    let (jobs, owner) = (setup.path("jobs"), setup.owner());
    let process = Process::start(&[&setup], &jobs, "127.0.0.1:0", None);
    let remote = || setup.remote(&owner, &process.address);

    // Gone in the middle of the second example: what came before it is kept, and not sent again.
    remote().declare(&setup.declared.to_text().unwrap()).unwrap();
    remote().put(Part::First, &owner.first(&setup.declared).unwrap()).unwrap();
    remote().put(Part::Example(0), &owner.example(&setup.examples[0]).unwrap()).unwrap();
    let half = owner.example(&setup.examples[1]).unwrap();
    TcpStream::connect(&process.address).unwrap().write_all(&half[..half.len() / 2]).unwrap();
    let status = remote().status(None).unwrap();
    assert_eq!((status.examples, status.has_first, status.done), (1, true, 0));
    let first = remote().fetch(Part::Example(0)).unwrap();
    setup.follower(&owner, 0).upload(&mut remote(), &mut |_| {}).unwrap();
    assert_eq!(remote().status(None).unwrap().examples, 4);
    assert!(remote().fetch(Part::Example(0)).unwrap() == first);

    // Gone while it runs: the server goes on as far as it may, and no further.
    remote().ask(Ask::Allow(Permission { good: 0, until: 3 }), &[]).unwrap();
    let mut status = remote().status(None).unwrap();
    while status.example.is_none() {
        status = remote().status(Some(status.version)).unwrap();
    }
    // A question goes before the next example, and is answered as ever.
    let mut connection = Connection::connect(&process.address, Duration::from_secs(60)).unwrap();
    let asked = owner.client().ask(&mut connection, "a fine film .", &mut |_| {}).unwrap();
    let plain = clear::logits(&setup.folder, "a fine film .").unwrap();
    assert!(precision::error_bits(&asked.logits, &plain) > 6.0, "{:?}", asked.logits);
    assert!(remote().status(None).unwrap().done < 3, "the question came after the job");
    while status.done < 3 {
        status = remote().status(Some(status.version)).unwrap();
    }
    let mut same = status.version;
    while Some(same) == Some(status.version) && status.example.is_some() {
        status = remote().status(Some(same)).unwrap();
        same = status.version;
    }
    assert_eq!((status.done, status.ran.len(), status.example), (3, 3, None));
    let (number, state, seen) = setup.follow(&process.address, 4).unwrap();
    assert_eq!((number, seen.len()), (4, 4));
    setup.check(&state);
}

#[test]
fn questions_and_jobs_of_two_users_of_one_process_run_side_by_side_and_do_not_mix() {
    let first = Setup::insecure("finetune-user", |_| {});
    let mut second = Setup::insecure("finetune-other-user", |settings| settings.seed = 2);
    second.examples.iter_mut().for_each(|example| example.label.reverse());
    let process = Process::start(&[&first, &second], &first.path("jobs"), "127.0.0.1:0", None);
    thread::scope(|scope| {
        for setup in [&first, &second] {
            let address = process.address.as_str();
            scope.spawn(move || {
                let (owner, sentence) = (setup.owner(), "a fine film .");
                let follower = setup.follower(&owner, 2);
                let mut remote = setup.remote(&owner, address);
                follower.upload(&mut remote, &mut |_| {}).unwrap();
                remote.ask(Ask::Allow(Permission { good: 0, until: 1 }), &[]).unwrap();
                let mut connection = Connection::connect(address, Duration::from_mins(1)).unwrap();
                let asked = owner.client().ask(&mut connection, sentence, &mut |_| {}).unwrap();
                let plain = clear::logits(&setup.folder, sentence).unwrap();
                let bits = precision::error_bits(&asked.logits, &plain);
                assert!(bits > 6.0, "{:?} and {plain:?}", asked.logits);
                setup.check(&follower.follow(&mut remote, &mut |_| {}).unwrap().1);
            });
        }
    });
    let stranger = Setup::insecure("finetune-stranger", |_| {});
    let refused = stranger.follow(&process.address, 1).err().unwrap();
    assert!(format!("{refused:#}").contains("not under these keys"), "{refused:#}");
}

#[test]
fn results_that_are_damaged_or_gone_are_computed_again() {
    let setup = Setup::insecure("finetune-results", |_| {});
    let (jobs, owner) = (setup.path("jobs"), setup.owner());
    let path = |number: u32| Setup::job(&jobs).join(format!("results/{number:06}"));
    let damage = |number| {
        let path = path(number);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).unwrap();
    };
    setup.while_serving(&jobs, |address| setup.follow(address, 1)).unwrap();
    // One that was not looked at, then two that were.
    setup.while_serving(&jobs, |address| {
        let mut remote = setup.remote(&owner, address);
        remote.ask(Ask::Allow(Permission { good: 1, until: 2 }), &[]).unwrap();
        let mut status = remote.status(None).unwrap();
        while status.done < 2 {
            status = remote.status(Some(status.version)).unwrap();
        }
        damage(2);
        let mut again = Vec::new();
        let mut follow = || {
            let found = setup.follower(&owner, 2).follow(&mut remote, &mut |event| {
                if let Event::Damaged(number) = event {
                    again.push(number);
                }
            });
            setup.check(&found.unwrap().1);
        };
        follow();
        damage(1);
        fs::remove_file(path(2)).unwrap();
        follow();
        assert_eq!(again, [2, 2, 1]);
    });
}

/// A model of which the way back through the attention of layer 2 is steep and the way forward is not.
fn steep(name: &str, bytes: &mut Vec<u8>) {
    let entry = |(index, w): (usize, i16)| match name {
        "layers.1.attention.value" => w >> 6,
        "layers.1.attention.output" if index % 2 == 0 => 1 << 14,
        "layers.1.attention.output" => -(1 << 14),
        _ => w,
    };
    let words = bytes.chunks_exact(2).map(|w| i16::from_le_bytes([w[0], w[1]]));
    *bytes = words.enumerate().map(entry).flat_map(i16::to_le_bytes).collect();
}

#[test]
fn a_derivative_that_leaves_its_range_stops_the_job_at_the_last_good_state_and_its_layer_is_named()
{
    let setup = Setup::insecure_with("finetune-back", steep, |settings| {
        // Of the adapter next to nothing, so that all else keeps its range; the columns of the classes grow.
        (settings.rate, settings.alpha, settings.targets) = (1.0, 0.125, Vec::new());
    });
    let report = setup.rehearse().report;
    assert!(report.beyond.keys().all(|what| what.contains("the derivative")), "{report:?}");
    assert!(report.window < 1.0 && report.scores < 1.0, "{report:?}");
    let jobs = setup.path("jobs");
    let error = setup.while_serving(&jobs, |address| setup.follow(address, 2)).err().unwrap();
    let text = format!("{error:#}");
    assert!(text.starts_with("iteration 2: layer 2: the derivative by its attention"), "{text}");
    assert_eq!(Setup::states(&jobs), ["000001.state"]);
}

#[test]
fn a_state_that_is_changed_on_the_server_is_not_blamed_on_the_settings() {
    let setup = Setup::insecure("finetune-changed", |_| {});
    let other = Setup::insecure("finetune-other-keys", |_| {});
    let jobs = setup.path("jobs");
    setup.while_serving(&jobs, |address| setup.follow(address, 1)).unwrap();
    // Whole, of this iteration, and under other keys: what an error of the machine would make of it.
    let mut later = setup.declared.clone();
    later.number += 1;
    let foreign = other.owner().first(&later).unwrap();
    let path = Setup::job(&jobs).join("states/000001.state");
    let good = fs::read(&path).unwrap();
    fs::write(&path, foreign).unwrap();
    let follow = || setup.while_serving(&jobs, |address| setup.follow(address, 2));
    let text = format!("{:#}", follow().err().unwrap());
    assert!(text.contains("iteration 2") && text.contains("nothing leaves its range"), "{text}");
    assert_eq!(Setup::states(&jobs), ["000001.state"]);
    fs::write(&path, good).unwrap();
    setup.check(&follow().unwrap().1);
}
