//! Builds the libraries for every bare-metal target: without a heap, and with one.

use crate::compiler::{Compiler, TARGETS, root};
use crate::console::Console;
use crate::process::step;
use anyhow::Result;
use core::time::Duration;

const LIMIT: Duration = Duration::from_secs(1200);

/// A set of crates and features that must build everywhere.
struct Configuration {
    name: &'static str,
    arguments: &'static [&'static str],
}

const CONFIGURATIONS: [Configuration; 2] = [
    Configuration {
        name: "he-core, he-nn without a heap",
        arguments: &["-p", "he-core", "-p", "he-nn"],
    },
    Configuration {
        name: "he-core, he-nn, he-lora with alloc",
        arguments: &[
            "-p",
            "he-core",
            "-p",
            "he-nn",
            "-p",
            "he-lora",
            "--features",
            "he-core/alloc,he-nn/alloc",
        ],
    },
];

/// One build's name and what went wrong, if anything did.
pub(crate) type Outcome = (String, Option<String>);

/// Builds everything and says how many builds worked.
///
/// # Errors
/// None of its own; a build that fails is counted.
pub(crate) fn all(console: &Console, compiler: &Compiler) -> Result<bool> {
    let outcomes = outcomes(console, compiler, "");
    let failed = outcomes.iter().filter(|(_, error)| error.is_some()).count();
    for (name, error) in &outcomes {
        if let Some(error) = error {
            eprintln!("{name}: {error}");
        }
    }
    println!("{} passed, {failed} failed", outcomes.len() - failed);
    Ok(failed == 0)
}

/// Builds what has `filter` in its name.
pub(crate) fn outcomes(console: &Console, compiler: &Compiler, filter: &str) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for target in TARGETS {
        for configuration in &CONFIGURATIONS {
            let name = format!("{target}: {}", configuration.name);
            if !name.contains(filter) {
                continue;
            }
            let mut command = compiler.cargo("build", target, &root(), "bare-metal");
            command.arg("--locked").args(configuration.arguments);
            let result = step(console, &name, &mut command, LIMIT);
            outcomes.push((name, result.err().map(|error| format!("{error:#}"))));
        }
    }
    outcomes
}
