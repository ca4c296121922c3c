//! Runs what was asked for, prints it, and keeps the rows.

use core::hint::black_box;
use core::time::Duration;
use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use rayon::prelude::*;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// Bytes of each buffer that the speed of a copy is measured on: more than any cache holds.
const COPIED: usize = 1 << 28;

/// One operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case<'a> {
    /// What it is.
    pub name: &'a str,
    /// The level of its operands.
    pub level: usize,
    /// `log2` of the ring's degree and of the operands' modulus.
    pub size: (u32, f64),
    /// Bytes of operands, keys and results, each once.
    pub bytes: usize,
    /// How often it runs; the least time counts.
    pub runs: u32,
    /// How many results one run has; times are of one.
    pub results: u32,
}

/// How near results are to the plain ones: `−log2` of the error relative to the range of values.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Precision {
    /// Of the largest error.
    pub worst_bits: f64,
    /// Of the root mean square.
    pub rms_bits: f64,
}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    level: usize,
    log_n: u32,
    log_q: f64,
    threads: usize,
    seconds: f64,
    cpu_seconds: f64,
    peak_bytes: u64,
    bytes: usize,
    reference: &'static str,
    reference_seconds: f64,
    ratio: f64,
    #[serde(flatten)]
    precision: Option<Precision>,
}

/// Runs, prints and keeps.
#[derive(Debug)]
pub(crate) struct Runner {
    names: Vec<String>,
    copy_seconds_per_byte: f64,
    rows: Vec<Row>,
}

impl Runner {
    /// Runs operations whose names contain one of `names`, or all.
    pub(crate) fn new(names: Vec<String>) -> Self {
        println!(
            "{:<46} {:>10} {:>10} {:>8} {:>8} {:>8} {:>5}",
            "", "wall ms", "CPU ms", "/ copy", "peak MB", "bits", "runs"
        );
        Self { names, copy_seconds_per_byte: copy_seconds_per_byte(), rows: Vec::new() }
    }

    /// Whether an operation of this name was asked for.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|wanted| name.contains(wanted.as_str()))
    }

    /// Whether one of these, or something that goes on from one of them, was asked for.
    pub(crate) fn wants_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.wants(name) || self.names.iter().any(|n| n.contains(name)))
    }

    /// Times `f` and gives its last result to `check`.
    pub(crate) fn run<T>(
        &mut self,
        case: &Case<'_>,
        mut f: impl FnMut() -> Result<T>,
        check: impl FnOnce(&T) -> Result<Option<Precision>>,
    ) -> Result<()> {
        let name = format!("{}, level {}", case.name, case.level);
        if !self.wants(&name) {
            return Ok(());
        }
        let mut last = black_box(f()?);
        he_memory::reset_peak();
        let before = he_memory::stats().map_or(0, |stats| stats.in_use);
        let (mut wall, mut cpu) = (Duration::MAX, Duration::MAX);
        for _ in 0..case.runs {
            let (start, start_cpu) = (Instant::now(), processor_time()?);
            let result = black_box(f()?);
            wall = wall.min(start.elapsed());
            cpu = cpu.min(processor_time()? - start_cpu);
            last = result;
        }
        let peak = he_memory::stats().map_or(0, |stats| stats.peak.saturating_sub(before));
        let [wall, cpu] = [wall, cpu].map(|time| time.as_secs_f64() / f64::from(case.results));
        self.keep(case, [wall, cpu], u64::try_from(peak)?, check(&last)?);
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "bytes of a computer's memory")]
    fn keep(&mut self, case: &Case<'_>, times: [f64; 2], peak: u64, check: Option<Precision>) {
        let reference_seconds = self.copy_seconds_per_byte * case.bytes as f64;
        let [seconds, cpu_seconds] = times;
        let row = Row {
            name: case.name.to_owned(),
            level: case.level,
            log_n: case.size.0,
            log_q: case.size.1,
            threads: rayon::current_num_threads(),
            seconds,
            cpu_seconds,
            peak_bytes: peak,
            bytes: case.bytes,
            reference: "streaming copy of the same bytes",
            reference_seconds,
            ratio: seconds / reference_seconds,
            precision: check,
        };
        println!(
            "{:<46} {:>10.2} {:>10.2} {:>8.1} {:>8} {:>8} {:>5}",
            format!("{}, level {}", case.name, case.level),
            1e3 * seconds,
            1e3 * cpu_seconds,
            row.ratio,
            peak / 1_000_000,
            check.map_or("-".to_owned(), |p| format!("{:.1}", p.worst_bits)),
            case.runs
        );
        self.rows.push(row);
    }

    /// Writes the rows.
    pub(crate) fn finish(self, file: Option<&Path>) -> Result<()> {
        let Some(file) = file else { return Ok(()) };
        let text = serde_json::to_string_pretty(&self.rows)? + "\n";
        fs::write(file, text).with_context(|| format!("writing {}", file.display()))
    }
}

/// Seconds that all threads together take for each byte that a copy reads or writes.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn copy_seconds_per_byte() -> f64 {
    let (from, mut to) = (vec![1u8; COPIED], vec![0u8; COPIED]);
    let part = COPIED / rayon::current_num_threads();
    let mut copy = || {
        let start = Instant::now();
        to.par_chunks_mut(part)
            .zip(from.par_chunks(part))
            .for_each(|(to, from)| to.copy_from_slice(black_box(from)));
        start.elapsed().as_secs_f64()
    };
    let fastest = (0..5).map(|_| copy()).fold(f64::MAX, f64::min);
    fastest / (2 * COPIED) as f64
}

/// The time that all threads of this process have run.
fn processor_time() -> Result<Duration> {
    Ok(Duration::try_from(clock_gettime(ClockId::ProcessCPUTime))?)
}
