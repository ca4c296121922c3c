//! Where the time of a forward pass goes: every operation with its level, limbs, bytes, seconds, thread
//! and two floors, nested as they ran, in the format that Chrome's and Perfetto's viewers open.
//!
//! Spans are the sentence, its stages, the steps of a bootstrap, and operations; only operations have
//! work of their own, and a span around them has the sum of theirs. What an operation could not be
//! faster than, [`floors`] says; [`table`] sums a trace up.

pub mod floors;
pub mod table;

use core::time::Duration;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Instant;

use alloc::borrow::Cow;
use alloc::sync::Arc;

use anyhow::{Context, Result};
use he_core::cpu::{Observer, Operation};
use he_core::params::Params;
use he_core::ring::Ring;
use he_nn::stage;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use self::floors::{Floors, Speeds};
use crate::files::{self, Access};
use crate::threads;

/// What is in a trace that says more than `name` and times of a span.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Details {
    /// The level it computes at; 0 for rows.
    pub level: usize,
    /// Limbs of a polynomial that it computes with.
    pub limbs: usize,
    /// How often it does so: see [`Operation::count`].
    pub count: usize,
    /// Operands, keys and results, each once.
    pub bytes: f64,
    /// Microseconds outside of the spans within it on its thread.
    pub own_us: f64,
    /// Microseconds of processor time of the whole process.
    pub processor_us: f64,
    /// Microseconds of processor time of its thread that others could not help with.
    #[serde(default)]
    pub serial_us: f64,
    /// Microseconds that its arithmetic takes at least.
    pub arithmetic_us: f64,
    /// Microseconds that moving its bytes takes at least.
    pub memory_us: f64,
}

/// A finished span: one complete event of the format.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Span {
    /// What it did.
    pub name: Cow<'static, str>,
    /// What it is.
    #[serde(rename = "cat")]
    pub category: Category,
    ph: Cow<'static, str>,
    pid: u32,
    /// The number of its thread, in order of appearance.
    #[serde(rename = "tid")]
    pub thread: usize,
    /// When it began, in microseconds from the beginning of the trace.
    #[serde(rename = "ts")]
    pub begin_us: f64,
    /// How long it took, in microseconds.
    #[serde(rename = "dur")]
    pub duration_us: f64,
    /// The rest.
    #[serde(rename = "args")]
    pub details: Details,
}

/// What a span is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    /// A whole forward pass.
    Sentence,
    /// One of its stages.
    Stage,
    /// Operations that belong together.
    Step,
    /// Work.
    Operation,
}

/// A trace as it is in a file.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Trace {
    /// The machine.
    #[serde(rename = "otherData")]
    pub speeds: Speeds,
    /// In order of their ends.
    #[serde(rename = "traceEvents")]
    pub spans: Vec<Span>,
}

/// Records what an evaluator does.
#[derive(Debug)]
pub struct Recorder {
    begun: Instant,
    floors: Floors,
    state: Mutex<State>,
}

/// An evaluator's observer that shares a recorder.
#[derive(Clone, Debug)]
pub struct Shared(pub Arc<Recorder>);

#[derive(Debug, Default)]
struct State {
    /// By thread: its number and what has begun on it.
    threads: HashMap<ThreadId, (usize, Vec<Open>)>,
    finished: Vec<Span>,
}

/// A span that has begun.
#[derive(Debug)]
struct Open {
    name: &'static str,
    category: Category,
    details: Details,
    begin: Instant,
    processor: Duration,
    alone: Duration,
    /// Spent in spans within it.
    nested: Duration,
}

impl Recorder {
    /// A recorder for an evaluator over `ring`; it measures the machine first, for a second.
    #[must_use]
    pub fn new(ring: &Ring, params: &Params) -> Self {
        let floors = Floors::new(params, Speeds::measure(ring, params));
        Self { begun: Instant::now(), floors, state: Mutex::default() }
    }

    /// Runs a forward pass on this thread. What an earlier one that failed left open is forgotten.
    pub fn sentence<T>(&self, run: impl FnOnce() -> T) -> T {
        let keep = |depth| {
            if let Some((_, open)) = self.state().threads.get_mut(&thread::current().id()) {
                open.truncate(depth);
            }
        };
        keep(0);
        self.open("sentence", Category::Sentence, Details::default());
        let result = run();
        keep(1);
        self.close(|_| {});
        result
    }

    /// A stage begins or ends on this thread.
    pub fn stage(&self, event: stage::Event) {
        match event {
            stage::Event::Begin(stage) => {
                self.open(stage.name(), Category::Stage, Details::default());
            }
            stage::Event::End { level, .. } => self.close(|details| details.level = level),
        }
    }

    /// What has been recorded since the last call.
    #[must_use]
    pub fn take(&self) -> Trace {
        let mut spans = core::mem::take(&mut self.state().finished);
        let works: Vec<_> =
            spans.iter().filter(|span| span.category == Category::Operation).cloned().collect();
        for around in spans.iter_mut().filter(|span| span.category != Category::Operation) {
            let sum = |part: fn(&Details) -> f64| {
                let within = works.iter().filter(|work| around.contains(work));
                rounded(within.map(|work| part(&work.details)).fold(0.0, |sum, x| sum + x))
            };
            let (bytes, arithmetic_us) = (sum(|work| work.bytes), sum(|work| work.arithmetic_us));
            let memory_us = sum(|work| work.memory_us);
            around.details = Details { bytes, arithmetic_us, memory_us, ..around.details };
        }
        Trace { speeds: *self.floors.speeds(), spans }
    }

    fn open(&self, name: &'static str, category: Category, details: Details) {
        let (processor, alone) = (processor_time(), threads::alone());
        let mut state = self.state();
        let number = state.threads.len();
        let (_, open) =
            state.threads.entry(thread::current().id()).or_insert_with(|| (number, Vec::new()));
        let begin = Instant::now();
        open.push(Open {
            name,
            category,
            details,
            begin,
            processor,
            alone,
            nested: Duration::ZERO,
        });
    }

    fn close(&self, complete: impl FnOnce(&mut Details)) {
        let (end, processor, alone) = (Instant::now(), processor_time(), threads::alone());
        let mut state = self.state();
        let Some((number, open)) = state.threads.get_mut(&thread::current().id()) else { return };
        let Some(span) = open.pop() else { return };
        let duration = end - span.begin;
        if let Some(around) = open.last_mut() {
            around.nested += duration;
        }
        let mut details = Details {
            own_us: microseconds(duration.saturating_sub(span.nested)),
            processor_us: microseconds(processor.saturating_sub(span.processor)),
            serial_us: microseconds(alone.saturating_sub(span.alone)),
            ..span.details
        };
        complete(&mut details);
        let finished = Span {
            name: Cow::Borrowed(span.name),
            category: span.category,
            ph: Cow::Borrowed("X"),
            pid: 1,
            thread: *number,
            begin_us: microseconds(span.begin - self.begun),
            duration_us: microseconds(duration),
            details,
        };
        state.finished.push(finished);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Shared {
    fn begin(&self, operation: Operation) {
        let Operation { name, level, from, count, .. } = operation;
        let limbs = from.len();
        let details = Details { level, limbs, count, ..Details::default() };
        let Some(work) = self.0.floors.work(&operation) else {
            return self.0.open(name, Category::Step, details);
        };
        let (arithmetic, memory) = self.0.floors.seconds(&work);
        let (arithmetic_us, memory_us) = (rounded(1e6 * arithmetic), rounded(1e6 * memory));
        let details = Details { bytes: work.bytes, arithmetic_us, memory_us, ..details };
        self.0.open(name, Category::Operation, details);
    }

    fn end(&self) {
        self.0.close(|_| {});
    }
}

impl Span {
    /// The end, in microseconds from the beginning of the trace.
    #[must_use]
    pub fn end_us(&self) -> f64 {
        self.begin_us + self.duration_us
    }

    /// Whether `other` ran within this span, on whatever thread.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        self.begin_us <= other.begin_us && other.end_us() <= self.end_us()
    }
}

impl Trace {
    /// Reads a file that [`Self::write`] wrote.
    ///
    /// # Errors
    /// If the file is missing or is not such a trace.
    pub fn read(path: &Path) -> Result<Self> {
        let text = files::read(path, files::length(path)?)?;
        serde_json::from_slice(&text)
            .with_context(|| format!("{} is not a trace of `host-runner`", path.display()))
    }

    /// Writes a file for `host-runner trace`, `chrome://tracing` and Perfetto.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        files::write(path, Access::Public, &serde_json::to_vec(self)?)
    }
}

/// The processor time of all threads of this process.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    // The clock starts at zero and never goes back.
    Duration::try_from(time).unwrap_or_default()
}

fn microseconds(duration: Duration) -> f64 {
    rounded(1e6 * duration.as_secs_f64())
}

/// To the nanosecond: more says nothing.
fn rounded(microseconds: f64) -> f64 {
    (1e3 * microseconds).round() / 1e3
}
