//! What a person sees of a run.

use std::time::Instant;

use crate::finetune::exchange::Status;
use crate::finetune::follow::{Event, Seen};
use crate::memory;
use crate::plan::training::TrainingReport;
use crate::progress::Progress;

/// What an encrypted run is expected to take.
pub(super) struct Expected<'a>(pub(super) &'a TrainingReport, pub(super) u32);

impl core::fmt::Display for Expected<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self(plan, iterations) = self;
        let batch = u32::try_from(plan.batch).unwrap_or(u32::MAX);
        let iteration = f64::from(batch) * plan.example_seconds + plan.step_seconds;
        writeln!(
            f,
            "an encrypted run: {:.1} bootstraps and {:.0} s of processor time an example ({:.1} times a \
             forward pass), {:.0} s an optimizer step; {:.1} processor hours in all",
            f64::from(u32::try_from(plan.bootstraps - plan.step_bootstraps).unwrap_or(u32::MAX))
                / f64::from(batch),
            plan.example_seconds,
            plan.example_seconds / plan.forward_seconds,
            plan.step_seconds,
            f64::from(*iterations) * iteration / 3600.0,
        )?;
        writeln!(
            f,
            "{} keys, {} on disk; {} of memory",
            plan.keys.count,
            memory::bytes(plan.keys.wire_bytes),
            memory::bytes(plan.memory_bytes)
        )
    }
}

/// What a person sees of an encrypted run.
pub(super) struct Shown {
    begun: Instant,
    total: u32,
    batch: usize,
    upload: Option<Progress>,
    last: Option<(u32, Option<usize>)>,
    /// Iterations seen since, and the seconds that they took.
    seen: (u32, f64),
}

impl Shown {
    pub(super) fn new(total: u32, batch: usize, examples: usize) -> Self {
        let upload = Some(Progress::new("examples", examples));
        Self { begun: Instant::now(), total, batch, upload, last: None, seen: (0, 0.0) }
    }

    pub(super) fn show(&mut self, event: Event<'_>) {
        match event {
            Event::Sent(_) => {
                if let Some(upload) = &mut self.upload {
                    upload.step("sent");
                }
            }
            Event::Status(status) => self.show_status(status),
            Event::Good(seen) => self.show_good(seen),
            Event::Damaged(number) => {
                eprintln!(
                    "warning: the result of iteration {number} is damaged; it is computed again"
                );
            }
        }
    }

    fn show_status(&mut self, status: &Status) {
        if let Some(upload) = self.upload.take() {
            let _ = upload.finish();
            eprintln!("{} of {} iterations are done", status.done, self.total);
        }
        let now = (status.done, status.example);
        if self.last == Some(now) {
            return;
        }
        self.last = Some(now);
        let (number, seconds) = (status.done + 1, self.begun.elapsed().as_secs_f64());
        let Some(example) = status.example.filter(|_| number <= status.permission.until) else {
            return;
        };
        let stage = match example {
            0 => "begun".to_owned(),
            _ => format!("example {example}/{}", self.batch),
        };
        eprintln!("iteration {number}/{}: {stage} ({seconds:.0} s)", self.total);
    }

    fn show_good(&mut self, Seen { loss, iteration }: &Seen) {
        let (count, seconds) = (self.seen.0 + 1, self.seen.1 + iteration.seconds);
        self.seen = (count, seconds);
        let left = f64::from(self.total - iteration.number) * seconds / f64::from(count);
        eprintln!(
            "iteration {}/{}: loss {loss:.3}; {:.0} s, of which the optimizer {:.0} s; {:.0} min left",
            iteration.number,
            self.total,
            iteration.seconds,
            iteration.optimizer_seconds,
            left / 60.0
        );
    }
}
