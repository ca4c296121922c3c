//! How a part of the tests went.

use crate::boards::{Board, TestReport};
use crate::console::Console;
use crate::process::Finished;
use crate::{build, interop};
use anyhow::Result;
use serde::Serialize;
use serde_json::{Map, Value};

/// Ends the names of figures that are counts of instructions.
const INSTRUCTIONS: &str = "_instructions";
/// How much of the log of a board is shown when a test fails.
const LOG_LINES: usize = 40;

/// How a part went.
#[derive(Debug, Default, Serialize)]
pub(super) struct Outcome {
    /// Tests that held.
    pub passed: usize,
    /// Tests that did not.
    pub failed: usize,
    /// What they said.
    pub failures: Vec<String>,
    /// Figures of a board by name, such as what its images take of flash and RAM.
    #[serde(flatten)]
    pub figures: Map<String, Value>,
    /// Counts by what was done.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub instructions: Map<String, Value>,
}

impl Outcome {
    /// Counts the lines with which nextest and the standard harness end a run.
    pub(super) fn of_cargo(finished: &Finished) -> Self {
        let mut outcome = Self::default();
        for line in &finished.both {
            if line.contains("test result:") || line.trim_start().starts_with("Summary [") {
                outcome.passed += count_before(line, "passed");
                outcome.failed += count_before(line, "failed");
            } else if line.ends_with("... FAILED") || line.trim_start().starts_with("FAIL [") {
                outcome.failures.push(line.trim().to_owned());
            }
        }
        if !finished.success {
            outcome.failed = outcome.failed.max(1);
            outcome.failures.push(format!("{}\n{}", finished.status, finished.tail(60)));
        }
        outcome
    }

    pub(super) fn of_builds(builds: Vec<build::Outcome>) -> Self {
        let mut outcome = Self::default();
        for (name, error) in builds {
            match error {
                None => outcome.passed += 1,
                Some(error) => outcome.failures.push(format!("{name}: {error}")),
            }
        }
        outcome.failed = outcome.failures.len();
        outcome
    }

    /// A test for each group of exchanges, named by what was decrypted; none with a library that cannot
    /// be had.
    pub(super) fn of_exchanges(console: &Console, found: Vec<(&str, interop::Verdict)>) -> Self {
        let mut outcome = Self::default();
        for (title, verdict) in found {
            match verdict {
                interop::Verdict::Unavailable(why) => {
                    console.say(&format!("{title} cannot be installed: {why}"));
                }
                interop::Verdict::Exchanged(groups) => {
                    for group in groups {
                        if group.failed == 0 {
                            outcome.passed += 1;
                        } else {
                            outcome.failures.push(format!("{group:?}"));
                        }
                    }
                }
            }
        }
        outcome.failed = outcome.failures.len();
        outcome
    }

    /// What could not even be run.
    pub(super) fn of_error(error: &anyhow::Error) -> Self {
        Self { failed: 1, failures: vec![format!("{error:#}")], ..Self::default() }
    }

    /// A test for each of the image's and for each budget.
    pub(super) fn of_board(board: &Board, report: TestReport) -> Self {
        let mut outcome = Self { passed: report.passed.len(), ..Self::default() };
        for &(name, budget) in board.budgets {
            match report.figure(name) {
                Some(figure) if figure > budget => {
                    let what = format!("{name} is {figure}, over its budget of {budget}");
                    outcome.failures.push(what);
                }
                Some(_) => outcome.passed += 1,
                None => {}
            }
        }
        for (name, figure) in &report.figures {
            println!("  {name:<40} {figure:>12}");
            match name.strip_suffix(INSTRUCTIONS) {
                Some(_) if !board.is_counted => None,
                Some(name) => outcome.instructions.insert(name.to_owned(), (*figure).into()),
                None => outcome.figures.insert(name.clone(), (*figure).into()),
            };
        }
        outcome.failures.extend(report.failed.iter().cloned());
        outcome.failed = outcome.failures.len();
        if let (Some(last), false) = (outcome.failures.last_mut(), report.failed.is_empty()) {
            let log = &report.log[report.log.len().saturating_sub(LOG_LINES)..];
            *last += &log.iter().map(|line| format!("\n  log: {line}")).collect::<String>();
        }
        outcome
    }

    /// Adds a test for the table of counts, which holds if there are no differences.
    pub(super) fn compare(&mut self, differences: Result<Vec<String>>) {
        let differences = differences.unwrap_or_else(|error| vec![format!("{error:#}")]);
        if differences.is_empty() {
            self.passed += 1;
            return;
        }
        self.failed += 1;
        let again = "`cargo xtask test --counted` counts again";
        self.failures.push(format!("{}; {again}", differences.join("; ")));
    }

    /// The figure called `name`; for counts of instructions without the end of their names.
    pub(super) fn figure(&self, name: &str) -> Option<u64> {
        self.instructions.get(name).or_else(|| self.figures.get(name))?.as_u64()
    }
}

/// The number that stands before `word` in `line`; 0 if none does.
fn count_before(line: &str, word: &str) -> usize {
    let words: Vec<_> = line.split([' ', ',', ';']).filter(|w| !w.is_empty()).collect();
    let at = words.iter().position(|w| *w == word);
    at.and_then(|i| words.get(i.checked_sub(1)?)?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boards::MPS2_AN386;

    fn finished(success: bool, text: &str) -> Finished {
        let both = text.lines().map(str::to_owned).collect();
        Finished { success, status: "status".to_owned(), both, ..Finished::default() }
    }

    #[test]
    fn the_closing_lines_of_both_harnesses_are_counted() {
        let libtest = "test result: ok. 6 passed; 0 failed; 0 ignored\n\
                       test a::b ... FAILED\ntest result: FAILED. 1 passed; 2 failed; 0 ignored";
        let outcome = Outcome::of_cargo(&finished(true, libtest));
        assert_eq!((outcome.passed, outcome.failed), (7, 2));
        assert_eq!(outcome.failures, ["test a::b ... FAILED"]);
        let nextest =
            "     Summary [   0.034s] 12 tests run: 10 passed (1 slow), 2 failed, 3 skipped";
        let outcome = Outcome::of_cargo(&finished(true, nextest));
        assert_eq!((outcome.passed, outcome.failed), (10, 2));
    }

    #[test]
    fn a_run_that_dies_without_counting_is_a_failure() {
        assert_eq!(Outcome::of_cargo(&finished(false, "error: no such crate")).failed, 1);
    }

    #[test]
    fn a_figure_over_its_budget_is_a_failure() {
        let &(name, budget) = MPS2_AN386.budgets.first().unwrap();
        let with = |figure| TestReport {
            passed: vec!["a".to_owned()],
            figures: vec![(name.to_owned(), figure)],
            ..TestReport::default()
        };
        assert_eq!(Outcome::of_board(&MPS2_AN386, with(budget)).failed, 0);
        assert_eq!(Outcome::of_board(&MPS2_AN386, with(budget + 1)).failed, 1);
    }
}
