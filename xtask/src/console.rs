//! What the commands show: a moving line on a terminal, one plain line a step elsewhere.

use core::time::Duration;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::Instant;

/// Where progress goes.
#[derive(Debug)]
pub(crate) struct Console {
    moving: bool,
}

/// Something under way.
#[derive(Debug)]
pub(crate) struct Step {
    label: String,
    bar: ProgressBar,
    started: Instant,
    done: bool,
}

impl Console {
    /// Moving lines if standard error is a terminal.
    pub(crate) fn new() -> Self {
        Self { moving: std::io::stderr().is_terminal() }
    }

    /// Announces `label`, and shows that it is under way until the step ends.
    pub(crate) fn step(&self, label: &str) -> Step {
        let bar = if self.moving { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        bar.set_style(style());
        bar.set_prefix(label.to_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        Step { label: label.to_owned(), bar, started: Instant::now(), done: false }
    }

    /// A line of its own.
    #[expect(clippy::unused_self, reason = "all output goes through the console")]
    pub(crate) fn say(&self, text: &str) {
        eprintln!("{text}");
    }
}

impl Step {
    /// Shows the latest news of the step, cut to a line; also in the log where nothing moves.
    pub(crate) fn show(&self, news: &str) {
        let news = news.trim();
        if !news.is_empty() {
            self.bar.set_message(news.chars().take(100).collect::<String>());
        }
    }

    /// Prints a line above the moving one.
    pub(crate) fn say(&self, text: &str) {
        if self.bar.is_hidden() {
            eprintln!("{text}");
        } else {
            self.bar.println(text);
        }
    }

    /// Ends the step well.
    pub(crate) fn pass(self) {
        self.finish("ok");
    }

    /// Ends the step badly.
    pub(crate) fn fail(self) {
        self.finish("FAILED");
    }

    /// Ends the step with a word of its own.
    pub(crate) fn finish(mut self, word: &str) {
        self.done = true;
        self.bar.finish_and_clear();
        let seconds = self.started.elapsed().as_secs_f64();
        eprintln!("{:<58} {word} ({seconds:.1} s)", self.label);
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if !self.done {
            self.bar.finish_and_clear();
        }
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {prefix} [{elapsed}] {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}
