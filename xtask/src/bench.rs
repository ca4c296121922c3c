//! Our operations beside those of other libraries, measured in one run on this machine.

mod peer;
mod plot;
mod row;
mod table;

use crate::compiler::{host_cargo, root, target_directory};
use crate::console::Console;
use crate::process::step;
use anyhow::{Context, Result, bail};
use core::time::Duration;
use peer::Peer;
use row::{Library, Row};
use std::fs;
use std::path::{Path, PathBuf};

const LIMIT: Duration = Duration::from_secs(3600);
const EXAMPLES: &str = "Examples:
  cargo xtask bench                              our operations, on one core and on all
  cargo xtask bench rotate multiply              those whose names contain a word
  cargo xtask bench --json rows.json             the rows in a file
  cargo xtask bench --peers                      beside every peer that can be had; writes docs/peers.*
  cargo xtask bench --peers openfhe,seal         the same, renewing only these peers
  cargo xtask bench --quick                      a small ring: shows that it runs, and no speed";

/// What to measure.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Only operations whose names contain one of these.
    names: Vec<String>,
    /// Write the rows of our operations to this file as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Also measure other libraries, all or those named, and write `docs/peers.md` and `.svg`.
    /// Rows of the others come from their last run.
    #[arg(long, value_enum, value_delimiter = ',', num_args = 0.., conflicts_with = "names")]
    peers: Option<Vec<Peer>>,
    /// A small ring without any security.
    #[arg(long, conflicts_with = "peers")]
    quick: bool,
}

impl Arguments {
    /// The smallest run.
    pub(crate) fn quick() -> Self {
        Self { names: Vec::new(), json: None, peers: None, quick: true }
    }
}

/// Runs what was asked for; false if nothing was measured.
///
/// # Errors
/// If our own operations cannot be measured or results cannot be written.
pub(crate) fn run(console: &Console, arguments: &Arguments) -> Result<bool> {
    let wanted = match &arguments.peers {
        Some(named) if named.is_empty() => Peer::all().to_vec(),
        Some(named) => named.clone(),
        None => Vec::new(),
    };
    let (load, mut left_out) = (row::load(), Vec::new());
    for peer in wanted {
        if let Err(error) = measure(console, peer, load) {
            console.say(&format!("{} left out: {error:#}", peer.title()));
            left_out.push(format!("{}: {}", peer.title(), first_line(&error)));
        }
    }
    let ours = our_rows(console, arguments)?;
    if let Some(file) = &arguments.json {
        write(file, &(serde_json::to_string_pretty(&ours)? + "\n"))?;
    }
    if arguments.peers.is_some() {
        let us = Library::of_this_machine("ours", env!("CARGO_PKG_VERSION"), load, ours.clone());
        let kept = Peer::all().into_iter().filter_map(|peer| Library::load(&kept_at(peer)).ok());
        let libraries: Vec<Library> = [us].into_iter().chain(kept).collect();
        let docs = root().join("docs");
        write(&docs.join("peers.md"), &table::markdown(&libraries, &left_out))?;
        write(&docs.join("peers.svg"), &plot::svg(&libraries))?;
        println!("wrote docs/peers.md and docs/peers.svg");
    }
    Ok(!ours.is_empty())
}

/// Measures one peer and keeps its rows.
fn measure(console: &Console, peer: Peer, load: f64) -> Result<()> {
    let ready = peer.prepare(console)?;
    let mut rows = Vec::new();
    for part in peer.parts() {
        if let Some(reason) = part.refusal() {
            console.say(&format!("{}, {} left out: {reason}", peer.title(), part.name));
            continue;
        }
        for threads in part.threads() {
            let label = format!("{}: {}, {threads} threads", peer.title(), part.name);
            let mut command = ready.command(part.name, threads);
            let finished = match step(console, &label, &mut command, LIMIT) {
                Ok(finished) => finished,
                Err(error) => {
                    console.say(&format!("{label} left out: {error:#}"));
                    continue;
                }
            };
            rows.extend(row::parse(&finished.stdout)?);
        }
    }
    if rows.is_empty() {
        bail!("no part of it ran");
    }
    let library = Library::of_this_machine(peer.title(), &ready.version, load, rows);
    library.save(&kept_at(peer))
}

/// Runs our benchmark on one core and on all.
fn our_rows(console: &Console, arguments: &Arguments) -> Result<Vec<Row>> {
    let all = std::thread::available_parallelism()?.get();
    let counts = if arguments.quick || all == 1 { vec![all] } else { vec![1, all] };
    let file = target_directory().join("bench.json");
    let mut rows = Vec::new();
    for threads in counts {
        let mut command = host_cargo(&root());
        command.args(["bench", "--quiet", "--locked", "--package", "host-runner"]);
        command.args(["--bench", "engine", "--", "--json"]).arg(&file);
        command.args(arguments.quick.then_some("--quick")).args(&arguments.names);
        command.env("RAYON_NUM_THREADS", threads.to_string());
        let finished = step(console, &format!("ours, {threads} threads"), &mut command, LIMIT)?;
        println!("{}", finished.stdout.join("\n"));
        rows.extend(row::read(&file)?);
    }
    Ok(rows)
}

fn kept_at(peer: Peer) -> PathBuf {
    target_directory().join("peers").join(format!("{}.json", peer.name()))
}

fn write(file: &Path, text: &str) -> Result<()> {
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory).ok();
    }
    fs::write(file, text).with_context(|| format!("writing {}", file.display()))
}

fn first_line(error: &anyhow::Error) -> String {
    format!("{error:#}").lines().next().unwrap_or_default().to_owned()
}
