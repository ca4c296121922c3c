//! Keys and ciphertexts exchanged with other libraries, in both directions, against predicted errors.
//!
//! `he-core/examples/exchange` writes ours and decrypts theirs, as a host and as a device; the scripts in `peers/interop` convert them,
//! decrypt ours and write theirs. Who encrypts predicts the variance of the error, who decrypts measures it.

use crate::compiler::{host_cargo, root, target_directory};
use crate::console::Console;
use crate::process::{Finished, run_with, step};
use crate::python::{OPENFHE, SEAL, Wheel};
use anyhow::{Context, Result, bail};
use core::time::Duration;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const BUILD: Duration = Duration::from_secs(900);
const ROUND: Duration = Duration::from_secs(600);

/// Exchanges that share their keys.
const PER_ROUND: u32 = 50;

/// With whom, and the script that converts for them.
const PEERS: [(Wheel, &str); 2] = [(SEAL, "with_seal.py"), (OPENFHE, "with_openfhe.py")];

/// How many exchanges.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Exchanges of our host and of our device in each direction with each library.
    #[arg(long, default_value_t = 1000)]
    exchanges: u32,
    /// Write the figures to this file as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Our parties: what the example calls them, and who they are.
const PARTIES: [(&str, &str); 2] = [("host", "our host"), ("device", "our device")];

/// What was found with one library.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// The exchanges, by direction and kind.
    Exchanged(Vec<Group>),
    /// The library cannot be had here.
    Unavailable(String),
}

/// Exchanges of one kind in one direction.
#[derive(Debug, Serialize)]
pub(crate) struct Group {
    /// Who decrypted, from whom, and what.
    pub name: String,
    exchanges: usize,
    /// Measured over predicted root mean square errors: the least, the mean, the largest.
    ratio_least: f64,
    ratio_mean: f64,
    ratio_most: f64,
    /// The largest error of a slot over the predicted root mean square.
    worst_slot: f64,
    /// Exchanges outside of the bounds.
    pub failed: usize,
}

/// A decrypted ciphertext, as the programs print it.
#[derive(Debug, Deserialize)]
struct Row {
    kind: String,
    slots: u32,
    /// Two of a complex slot, one of a real one.
    parts: u32,
    predicted: f64,
    rms: f64,
    worst: f64,
}

/// Exchanges with every library that can be had; false if an error was not as predicted or there was
/// no library.
///
/// # Errors
/// If a program does not run to its end.
pub(crate) fn run(console: &Console, arguments: &Arguments) -> Result<bool> {
    let mut groups = Vec::new();
    for (title, verdict) in exchange(console, arguments.exchanges)? {
        match verdict {
            Verdict::Exchanged(found) => groups.extend(found),
            Verdict::Unavailable(why) => console.say(&format!("{title} left out: {why}")),
        }
    }
    println!("{}", table(&groups));
    if let Some(file) = &arguments.json {
        let text = serde_json::to_string_pretty(&groups)? + "\n";
        fs::write(file, text).with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(!groups.is_empty() && groups.iter().all(|group| group.failed == 0))
}

/// So many exchanges in each direction with each library, by its name.
///
/// # Errors
/// If a program does not run to its end.
pub(crate) fn exchange(console: &Console, count: u32) -> Result<Vec<(&'static str, Verdict)>> {
    let ours = our_program(console)?;
    let with = |&(wheel, script): &(Wheel, &'static str)| {
        let verdict = match wheel.install(console) {
            Ok(python) => Verdict::Exchanged(
                Peer { wheel, python, script, ours: &ours }.exchange(console, count)?,
            ),
            Err(error) => Verdict::Unavailable(format!("{error:#}")),
        };
        Ok((wheel.title, verdict))
    };
    PEERS.iter().map(with).collect()
}

fn our_program(console: &Console) -> Result<PathBuf> {
    let mut command = host_cargo(&root());
    command.args(["build", "--release", "--locked", "-p", "he-core", "--example", "exchange"]);
    step(console, "build our side of the exchanges", &mut command, BUILD)?;
    Ok(target_directory().join("release/examples/exchange"))
}

/// A library that can be started.
struct Peer<'a> {
    wheel: Wheel,
    python: PathBuf,
    script: &'static str,
    ours: &'a Path,
}

impl Peer<'_> {
    fn exchange(&self, console: &Console, count: u32) -> Result<Vec<Group>> {
        let title = self.wheel.title;
        let mut groups = Vec::new();
        for (party, name) in PARTIES {
            let step = console.step(&format!("{count} exchanges each way, {name} and {title}"));
            let mut rows: [Vec<Row>; 2] = Default::default();
            for first in (0..count).step_by(usize::try_from(PER_ROUND)?) {
                step.show(&format!("{first}"));
                let count = PER_ROUND.min(count - first);
                for (all, new) in rows.iter_mut().zip(self.round(party, count, first)?) {
                    all.extend(new);
                }
            }
            step.pass();
            let [by_them, by_us] = rows;
            groups.extend(grouped(&format!("{title}, from {name}"), &by_them));
            groups.extend(grouped(&format!("{name}, from {title}"), &by_us));
        }
        Ok(groups)
    }

    /// Exchanges under fresh keys: what they decrypted, and what we did.
    fn round(&self, party: &str, count: u32, seed: u32) -> Result<[Vec<Row>; 2]> {
        let folder = target_directory().join("interop").join(self.wheel.title.to_lowercase());
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        let [ours, theirs] = ["ours", "theirs"].map(|name| folder.join(name));
        fs::create_dir_all(&ours)?;
        let numbers = [count, seed].map(|number| number.to_string());
        finished(Command::new(self.ours).args([party, "write"]).arg(&ours).args(numbers))?;
        let script = root().join("peers/interop").join(self.script);
        let by_them = finished(Command::new(&self.python).arg(script).arg(&folder))?;
        let read =
            |folder: &Path| finished(Command::new(self.ours).args([party, "read"]).arg(folder));
        let mut by_us = rows(&read(&theirs)?, count)?;
        let returned = folder.join("returned");
        if returned.exists() {
            by_us.extend(rows(&read(&returned)?, 1)?);
        }
        Ok([rows(&by_them, count)?, by_us])
    }
}

fn finished(command: &mut Command) -> Result<Finished> {
    let finished = run_with(command, ROUND, |_| {})?;
    if !finished.success {
        bail!("{command:?}: {}\n{}", finished.status, finished.tail(30));
    }
    Ok(finished)
}

/// The rows that a program printed, at least `count`.
fn rows(finished: &Finished, count: u32) -> Result<Vec<Row>> {
    let parse = |line: &String| serde_json::from_str(line).with_context(|| line.clone());
    let rows: Vec<Row> = finished.stdout.iter().map(parse).collect::<Result<_>>()?;
    if rows.len() < usize::try_from(count)? {
        bail!("{} rows of {count}", rows.len());
    }
    Ok(rows)
}

impl Row {
    fn ratio(&self) -> f64 {
        self.rms / self.predicted
    }

    /// Whether both errors are what noise of the predicted variance gives but once in some 10^9 runs of a
    /// thousand exchanges. The root of the mean square over 4096 complex slots is 0.8 % off at one standard
    /// deviation if slots are normal; products of two normal numbers are off by more and have longer
    /// tails.
    fn is_as_predicted(&self) -> bool {
        let pairs = f64::from(self.slots * self.parts) / 2.0;
        let (deviations, worst) = if self.kind == "secret" { (6.5, 6.5) } else { (13.0, 20.0) };
        let (off, worst) =
            (deviations / 2.0 / pairs.sqrt(), worst * (2.0 / f64::from(self.parts)).sqrt());
        (self.ratio() - 1.0).abs() <= off && self.worst <= worst * self.predicted
    }
}

/// The rows by kind, in the order in which kinds come first.
fn grouped(direction: &str, rows: &[Row]) -> Vec<Group> {
    let mut kinds: Vec<&str> = Vec::new();
    for row in rows {
        if !kinds.contains(&row.kind.as_str()) {
            kinds.push(&row.kind);
        }
    }
    let of_kind = |kind| {
        let rows: Vec<&Row> = rows.iter().filter(|row| row.kind == kind).collect();
        let ratios = rows.iter().map(|row| row.ratio());
        Group {
            name: format!("{direction}, {kind}"),
            exchanges: rows.len(),
            ratio_least: ratios.clone().fold(f64::INFINITY, f64::min),
            ratio_mean: ratios.clone().sum::<f64>() / rows.iter().map(|_| 1.0).sum::<f64>(),
            ratio_most: ratios.fold(0.0, f64::max),
            worst_slot: rows.iter().map(|row| row.worst / row.predicted).fold(0.0, f64::max),
            failed: rows.iter().filter(|row| !row.is_as_predicted()).count(),
        }
    };
    kinds.into_iter().map(of_kind).collect()
}

/// The groups as Markdown.
fn table(groups: &[Group]) -> String {
    let head = "| decrypted by | exchanges | rms error, measured over predicted: mean (least to most) | \
                worst slot, over predicted rms | not as predicted |\n|---|---|---|---|---|";
    let line = |group: &Group| {
        let Group { name, exchanges, ratio_least, ratio_mean, ratio_most, worst_slot, failed } =
            group;
        format!(
            "\n| {name} | {exchanges} | {ratio_mean:.3} ({ratio_least:.3} to {ratio_most:.3}) | \
             {worst_slot:.1} | {failed} |"
        )
    };
    groups.iter().fold(head.to_owned(), |text, group| text + &line(group))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(kind: &str, rms: f64, worst: f64) -> Row {
        Row { kind: kind.to_owned(), slots: 4096, parts: 2, predicted: 1.0, rms, worst }
    }

    #[test]
    fn too_much_noise_and_too_little_are_both_refused() {
        let verdicts = [(1.0, 3.0), (1.06, 3.0), (0.94, 3.0), (1.0, 6.6)]
            .map(|(rms, worst)| row("secret", rms, worst).is_as_predicted());
        assert_eq!(verdicts, [true, false, false, false]);
        assert!(row("public", 1.06, 10.0).is_as_predicted());
        assert!(!row("public", f64::NAN, 10.0).is_as_predicted());
        // Half as many slots with one part each are four times as few numbers.
        assert!(Row { slots: 2048, parts: 1, ..row("secret", 1.09, 9.0) }.is_as_predicted());
    }

    #[test]
    fn groups_count_what_failed_and_keep_the_extremes() {
        let rows = [row("secret", 1.0, 3.0), row("public", 1.2, 3.0), row("secret", 0.98, 4.0)];
        let groups = grouped("there", &rows);
        let names: Vec<_> = groups.iter().map(|group| group.name.as_str()).collect();
        assert_eq!(names, ["there, secret", "there, public"]);
        assert_eq!((groups[0].exchanges, groups[0].failed, groups[1].failed), (2, 0, 1));
        assert!((groups[0].ratio_mean - 0.99).abs() < 1e-9 && groups[0].worst_slot == 4.0);
        assert!(
            table(&groups).ends_with("| there, public | 1 | 1.200 (1.200 to 1.200) | 3.0 | 1 |")
        );
    }
}
