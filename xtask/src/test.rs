//! Every test: on the host, in the documentation, bare-metal builds, and firmware in QEMU.

mod outcome;
mod part;

use crate::boards;
use crate::compiler::{Choice, Compiler};
use crate::console::Console;
use crate::counted::{self, Row};
use crate::setup;
use anyhow::{Context, Result, ensure};
use outcome::Outcome;
use part::Part;
use serde::Serialize;
use serde_json::{Map, to_value};
use std::fs;
use std::path::PathBuf;

/// What to test.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only this part, a board or another; may be given several times.
    #[arg(long, visible_alias = "target", value_parser = Part::parser())]
    part: Vec<Part>,
    /// Only tests whose name contains this.
    #[arg(long, default_value = "")]
    filter: String,
    /// Write the results to this file as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Run the boards, and renew the table of their figures in targets/README.md instead of comparing
    /// with it.
    #[arg(long, conflicts_with = "filter")]
    counted: bool,
}

impl Arguments {
    /// Every part, unfiltered.
    pub(crate) fn everything() -> Self {
        Self { part: Vec::new(), filter: String::new(), json: None, counted: false }
    }

    fn selects(&self, part: Part) -> bool {
        let is_named = self.part.iter().any(|named| named.name() == part.name());
        (self.part.is_empty() || is_named) && (!self.counted || part.is_board())
    }
}

/// All parts together.
#[derive(Debug, Serialize)]
struct Summary {
    targets: Map<String, serde_json::Value>,
    passed: usize,
    failed: usize,
}

/// Runs the tests; false if any failed.
///
/// # Errors
/// If the results cannot be written. A part that cannot run counts as a failed test.
pub(crate) fn run(console: &Console, choice: Choice, arguments: &Arguments) -> Result<bool> {
    let mut summary = Summary { targets: Map::new(), passed: 0, failed: 0 };
    let mut rows = Vec::new();
    for part in Part::all().into_iter().filter(|&part| arguments.selects(part)) {
        let name = part.name();
        let outcome = part.run(console, choice, &arguments.filter);
        let mut outcome = outcome.unwrap_or_else(|error| Outcome::of_error(&error));
        if let Some(row) = row(part, &outcome) {
            if arguments.counted {
                rows.push(row);
            } else if arguments.filter.is_empty() && is_reference(console, choice) {
                outcome.compare(counted::compare(&row));
            }
        }
        for failure in &outcome.failures {
            eprintln!("FAILED {name}: {failure}");
        }
        println!("{name}: {} passed, {} failed", outcome.passed, outcome.failed);
        summary.passed += outcome.passed;
        summary.failed += outcome.failed;
        summary.targets.insert(name.to_owned(), to_value(outcome)?);
    }
    if arguments.counted && summary.failed == 0 {
        ensure!(is_reference(console, choice), "the table's counts are those of rustup's compiler");
        counted::renew(rows, &boards::ALL.map(|board| board.name))?;
    }
    if let Some(file) = &arguments.json {
        let text = serde_json::to_string_pretty(&summary)?;
        fs::write(file, text + "\n").with_context(|| format!("writing {}", file.display()))?;
    }
    println!("{} passed, {} failed", summary.passed, summary.failed);
    Ok(summary.failed == 0)
}

/// Whether the compiler is the one of the table of counts.
fn is_reference(console: &Console, choice: Choice) -> bool {
    matches!(setup::bare_metal(console, choice), Ok(Compiler::Rustup))
}

/// The line of a board, if it came so far.
fn row(part: Part, outcome: &Outcome) -> Option<Row> {
    let Part::Board(board) = part else { return None };
    let has_run = outcome.figure(boards::FLASH).is_some();
    has_run.then(|| Row::new(board.name, board.processor, |name| outcome.figure(name)))
}
