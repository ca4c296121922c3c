//! Rows of results, and a library's rows kept in a file.

use anyhow::{Context, Result};
use core::time::Duration;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::process::output_of;

/// One operation of one library.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    /// What it is; the same name means the same operation.
    pub name: String,
    /// `log2` of the ring's degree.
    pub log_n: u32,
    /// `log2` of the operands' modulus.
    pub log_q: f64,
    /// How many threads it had.
    pub threads: usize,
    /// The least wall-clock time of some runs.
    pub seconds: f64,
    /// The least processor time of some runs, all threads together.
    pub cpu_seconds: f64,
    /// The level of the operands, for ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<usize>,
    /// Memory in flight, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_bytes: Option<u64>,
    /// Operands, keys and results, each once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// What the time is compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// How long that takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference_seconds: Option<f64>,
    /// The time in those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
    /// `−log2` of the largest error of the decrypted result, relative to the range of values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worst_bits: Option<f64>,
    /// `−log2` of the root mean square of the errors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rms_bits: Option<f64>,
    /// What else one has to know.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// A library and what it was measured to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Library {
    /// Its name.
    pub title: String,
    /// Its version and how it was had.
    pub version: String,
    /// The machine.
    pub machine: String,
    /// The day.
    pub day: String,
    /// How many processors other programs kept busy before its parts ran, at most.
    pub load: f64,
    /// The rows.
    pub rows: Vec<Row>,
}

impl Library {
    /// Rows that were just measured here.
    pub(crate) fn of_this_machine(title: &str, version: &str, load: f64, rows: Vec<Row>) -> Self {
        let text = |mut command: Command| output_of(&mut command).unwrap_or_default();
        let mut date = Command::new("date");
        date.args(["-u", "+%Y-%m-%d"]);
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model =
            cpu.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let machine = format!("{}, {cores} cores", model.unwrap_or("unknown processor"));
        let (title, version) = (title.to_owned(), version.to_owned());
        Self { title, version, machine, day: text(date), load, rows }
    }

    /// The row of an operation on so many threads; of several levels, the highest.
    pub(crate) fn find(&self, name: &str, threads: usize) -> Option<&Row> {
        let rows = self.rows.iter().filter(|row| row.name == name && row.threads == threads);
        rows.max_by_key(|row| row.level)
    }

    /// Adds the rows of an earlier run that this one has not measured again.
    pub(crate) fn complete(&mut self, earlier: Self) {
        let is_missing = |old: &Row| !self.rows.iter().any(|row| row.is_renewal_of(old));
        let missing: Vec<_> = earlier.rows.into_iter().filter(is_missing).collect();
        self.rows.extend(missing);
        self.load = self.load.max(earlier.load);
    }
}

impl Row {
    /// Whether both are the same operation at the same size.
    fn is_renewal_of(&self, old: &Self) -> bool {
        let key = |row: &Self| (row.name.clone(), row.log_n, row.threads, row.level);
        // Sizes of a modulus differ by less than a bit where primes were chosen anew.
        key(self) == key(old) && (self.log_q - old.log_q).abs() < 1.0
    }
}

/// How many processors are busy with other programs, over a second.
pub(crate) fn busy() -> f64 {
    let Some(before) = processor_ticks() else { return 0.0 };
    std::thread::sleep(Duration::from_secs(1));
    let Some(after) = processor_ticks() else { return 0.0 };
    let [idle, all] = [0, 1].map(|i| after[i].saturating_sub(before[i]).max(1) as f64);
    let processors = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    processors * (1.0 - idle / all).max(0.0)
}

/// Idle ticks of all processors since the machine began, and all ticks.
fn processor_ticks() -> Option<[u64; 2]> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let fields = text.lines().next()?.split_whitespace().skip(1);
    let ticks: Vec<u64> = fields.map(|field| field.parse().ok()).collect::<Option<_>>()?;
    // User, nice, system, idle, waiting for disks, interrupts (2), stolen; guests are counted as users.
    Some([ticks.get(3)? + ticks.get(4)?, ticks.iter().take(8).sum()])
}

/// The rows of a file.
///
/// # Errors
/// If a field is missing.
pub(crate) fn read(file: &Path) -> Result<Vec<Row>> {
    let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("the rows of {}", file.display()))
}

/// The rows that a peer printed, one a line.
///
/// # Errors
/// If a line that begins like a row is none.
pub(crate) fn parse(lines: &[String]) -> Result<Vec<Row>> {
    let rows = lines.iter().filter(|line| line.starts_with('{'));
    rows.map(|line| serde_json::from_str(line).with_context(|| line.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"name": "rotate", "log_n": 16, "log_q": 1160, "threads": 1,
        "seconds": 0.5, "cpu_seconds": 0.4, "worst_bits": 25.5}"#;

    #[test]
    fn a_row_survives_its_file_and_other_lines_are_passed_over() {
        let lines = ["a warning".to_owned(), LINE.replace('\n', "")];
        let rows = parse(&lines).unwrap();
        assert_eq!(rows.len(), 1);
        let again: Row = serde_json::from_str(&serde_json::to_string(&rows[0]).unwrap()).unwrap();
        assert_eq!(again, rows[0]);
    }

    #[test]
    fn a_row_without_a_time_is_refused() {
        let lines = [LINE.replace("\"seconds\": 0.5, ", "").replace('\n', "")];
        assert!(parse(&lines).is_err());
    }

    #[test]
    fn of_several_levels_the_highest_is_found() {
        let at = |level| Row { level: Some(level), ..serde_json::from_str::<Row>(LINE).unwrap() };
        let library = Library::of_this_machine("a", "1", 0.0, vec![at(3), at(9), at(5)]);
        assert_eq!(library.find("rotate", 1).unwrap().level, Some(9));
        assert!(library.find("rotate", 2).is_none());
    }

    #[test]
    fn rows_that_were_not_measured_again_stay() {
        let row = |name: &str, threads, seconds| Row {
            name: name.to_owned(),
            threads,
            seconds,
            ..serde_json::from_str::<Row>(LINE).unwrap()
        };
        let earlier = vec![row("add", 1, 1.0), row("add", 2, 1.0), row("rotate", 1, 1.0)];
        let mut library = Library::of_this_machine("a", "2", 0.0, vec![row("add", 1, 2.0)]);
        library.complete(Library::of_this_machine("a", "1", 0.5, earlier));
        let found = |name, threads| library.find(name, threads).map(|row| row.seconds);
        assert_eq!(found("add", 1), Some(2.0));
        assert_eq!([found("add", 2), found("rotate", 1)], [Some(1.0); 2]);
        assert_eq!((library.rows.len(), library.load), (3, 0.5));
    }
}
