//! Our operations beside those of other libraries, measured in one run on this machine.

mod page;
mod peer;
mod plot;
mod row;
mod table;

use crate::compiler::{host_cargo, root, target_directory};
use crate::console::Console;
use crate::process::step;
use anyhow::{Context, Result, bail};
use core::time::Duration;
use page::Page;
use peer::{OURS_SECONDS, Peer, Topic};
use row::{Library, Row};
use std::fs;
use std::path::{Path, PathBuf};

const LIMIT: Duration = Duration::from_secs(3600);
const EXAMPLES: &str = "Examples:
  cargo xtask bench                              our operations, on one core and on all
  cargo xtask bench rotate multiply              those whose names contain a word
  cargo xtask bench --json rows.json             the rows in a file
  cargo xtask bench --peers                      beside every peer that can be had; writes docs/peers.*
  cargo xtask bench --peers openfhe,seal         the same, renewing only these peers and ours
  cargo xtask bench --peers --only bootstrap     the same, renewing only bootstraps
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
    /// Also measure other libraries, all or those named, and write `docs/peers.md`, `.svg` and `.json`.
    /// Rows of the others come from their last run, in `docs/peers.json`.
    #[arg(long, value_enum, value_delimiter = ',', num_args = 0.., conflicts_with = "names")]
    peers: Option<Vec<Peer>>,
    /// Of ours and of the peers only these; other rows come from the last run.
    #[arg(long, value_enum, value_delimiter = ',', requires = "peers")]
    only: Vec<Topic>,
    /// A small ring without any security.
    #[arg(long, conflicts_with = "peers")]
    quick: bool,
}

impl Arguments {
    /// The smallest run.
    pub(crate) fn quick() -> Self {
        Self { names: Vec::new(), json: None, peers: None, only: Vec::new(), quick: true }
    }

    /// Whether parts of this topic are wanted.
    fn wants(&self, topic: Topic) -> bool {
        self.only.is_empty() || self.only.contains(&topic)
    }
}

/// Runs what was asked for; false if nothing was measured.
///
/// # Errors
/// If our own operations cannot be measured or results cannot be written.
pub(crate) fn run(console: &Console, arguments: &Arguments) -> Result<bool> {
    if let Some(named) = &arguments.peers {
        let mut peers = if named.is_empty() { Peer::all().to_vec() } else { named.clone() };
        peers.retain(|peer| peer.parts().iter().any(|part| arguments.wants(part.topic)));
        return compare(console, arguments, &peers);
    }
    let rows = our_rows(console, &arguments.names, arguments.quick)?;
    keep_ours(arguments, &rows)?;
    Ok(!rows.is_empty())
}

/// Measures ours and these peers one after another, and writes the page after each of them.
fn compare(console: &Console, arguments: &Arguments, peers: &[Peer]) -> Result<bool> {
    let parts: Vec<_> = peers.iter().flat_map(|peer| peer.parts()).collect();
    let wanted = parts.iter().filter(|part| arguments.wants(part.topic));
    let seconds = OURS_SECONDS
        + peers.iter().map(|peer| peer.install_seconds()).sum::<u64>()
        + wanted.map(|part| part.seconds).sum::<u64>();
    let minutes = seconds.div_ceil(60);
    console.say(&format!(
        "about {minutes} minutes on a quiet machine of two cores (--only and --peers NAME,… choose)"
    ));
    let mut page = Page::read()?;
    let topics = arguments.only.iter().flat_map(|topic| topic.ours());
    let busy = row::busy();
    let rows = our_rows(console, &topics.map(|&name| name.to_owned()).collect::<Vec<_>>(), false)?;
    keep_ours(arguments, &rows)?;
    let ours = Library::of_this_machine("ours", env!("CARGO_PKG_VERSION"), busy, rows);
    page.renew(ours, arguments.only.is_empty())?;
    for &peer in peers {
        match measure(console, arguments, peer, &mut page.left_out) {
            Ok(library) => page.renew(library, arguments.only.is_empty())?,
            Err(error) => {
                console.say(&format!("{} left out: {error:#}", peer.title()));
                page.left_out.push(format!("{}: {}", peer.title(), first_line(&error)));
                page.write()?;
            }
        }
    }
    println!("wrote docs/peers.md, docs/peers.svg and docs/peers.json");
    Ok(true)
}

/// Measures one peer; what of it cannot be measured is added to `left_out`.
fn measure(
    console: &Console,
    arguments: &Arguments,
    peer: Peer,
    left_out: &mut Vec<String>,
) -> Result<Library> {
    let ready = peer.prepare(console)?;
    let (mut rows, mut busy) = (Vec::new(), 0f64);
    for part in peer.parts().into_iter().filter(|part| arguments.wants(part.topic)) {
        let mut refuse = |what: &str, reason: &str| {
            console.say(&format!("{}, {what} left out: {reason}", peer.title()));
            left_out.push(format!("{}, {what}: {reason}", peer.title()));
        };
        if let Some(reason) = part.refusal() {
            refuse(part.name, &reason);
            continue;
        }
        for threads in part.threads() {
            busy = busy.max(row::busy());
            let label = format!("{}: {}, {threads} threads", peer.title(), part.name);
            let mut command = ready.command(part.name, threads);
            match step(console, &label, &mut command, LIMIT) {
                Ok(finished) => rows.extend(row::parse(&finished.stdout)?),
                Err(error) => {
                    console.say(&format!("{error:#}"));
                    refuse(&format!("{}, {threads} threads", part.name), &first_line(&error));
                }
            }
        }
    }
    if rows.is_empty() {
        bail!("no part of it ran");
    }
    Ok(Library::of_this_machine(peer.title(), &ready.version, busy, rows))
}

/// Runs our benchmark on one core and on all.
fn our_rows(console: &Console, names: &[String], quick: bool) -> Result<Vec<Row>> {
    let all = std::thread::available_parallelism()?.get();
    let counts = if quick || all == 1 { vec![all] } else { vec![1, all] };
    let file = target_directory().join("bench.json");
    let mut rows = Vec::new();
    for threads in counts {
        let mut command = host_cargo(&root());
        command.args(["bench", "--quiet", "--locked", "--package", "host-runner"]);
        command.args(["--bench", "engine", "--", "--json"]).arg(&file);
        command.args(quick.then_some("--quick")).args(names);
        command.env("RAYON_NUM_THREADS", threads.to_string());
        let finished = step(console, &format!("ours, {threads} threads"), &mut command, LIMIT)?;
        println!("{}", finished.stdout.join("\n"));
        rows.extend(row::read(&file)?);
    }
    Ok(rows)
}

/// Writes our rows where they were asked for.
fn keep_ours(arguments: &Arguments, rows: &[Row]) -> Result<()> {
    let Some(file) = &arguments.json else { return Ok(()) };
    write(file, &(serde_json::to_string_pretty(rows)? + "\n"))
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
