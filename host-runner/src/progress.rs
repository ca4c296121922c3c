//! What a person sees while a long job runs: a bar on a terminal, plain lines elsewhere.
//!
//! All of it goes to standard error, so that standard output stays free for results.

use core::time::Duration;
use std::io::IsTerminal;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

/// A job of known length, in steps with names.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    job: &'static str,
    total: u64,
    done: u64,
    begun: Instant,
    last_line: Option<Instant>,
}

impl Progress {
    /// Begins to show `job`, which has `total` steps.
    #[must_use]
    pub fn new(job: &'static str, total: usize) -> Self {
        let total = u64::try_from(total).unwrap_or(u64::MAX);
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total);
            if let Ok(style) =
                ProgressStyle::with_template("{prefix} [{bar:30}] {pos}/{len} {msg} ({elapsed})")
            {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.set_prefix(job);
            bar.enable_steady_tick(Duration::from_millis(500));
            bar
        });
        Self { bar, job, total, done: 0, begun: Instant::now(), last_line: None }
    }

    /// Ends one step and says which; plain lines come at most once in two seconds.
    pub fn step(&mut self, name: &str) {
        self.done += 1;
        if let Some(bar) = &self.bar {
            bar.set_position(self.done);
            bar.set_message(name.to_owned());
            return;
        }
        let quiet = self.last_line.unwrap_or(self.begun).elapsed() < Duration::from_secs(2);
        if quiet && self.done != self.total {
            return;
        }
        self.last_line = Some(Instant::now());
        let seconds = self.begun.elapsed().as_secs_f64();
        eprintln!("{}: {}/{} {name} ({seconds:.1} s)", self.job, self.done, self.total);
    }

    /// Says what is going on within a step, where there is a terminal to show it.
    pub fn note(&self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(what.to_owned());
        }
    }

    /// Runs `print`, which may write lines of its own to the terminal.
    pub fn aside(&self, print: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// Ends a step that has said enough by itself.
    pub fn pass(&mut self) {
        self.done += 1;
        if let Some(bar) = &self.bar {
            bar.set_position(self.done);
        }
    }

    /// Ends the job; returns the seconds it took.
    #[must_use]
    pub fn finish(self) -> f64 {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.begun.elapsed().as_secs_f64()
    }
}
