//! What continuous integration runs: every check, each to its end, failures collected.

use crate::compiler::Choice;
use crate::console::Console;
use crate::{bench, demo, lint, size, test};
use anyhow::Result;

type Part<'a> = (&'static str, Box<dyn Fn() -> Result<bool> + 'a>);

/// Runs lint, tests, sizes, a small benchmark and the demonstration; false if any of them failed.
pub(crate) fn run(console: &Console, choice: Choice) -> bool {
    let parts: [Part<'_>; 5] = [
        ("lint", Box::new(|| lint::run(console, choice, lint::Arguments::default()))),
        ("test", Box::new(|| test::run(console, choice, &test::Arguments::everything()))),
        ("size", Box::new(|| size::run(console, choice))),
        ("bench", Box::new(|| bench::run(console, &bench::Arguments::quick()))),
        ("demo", Box::new(|| demo::run(console, choice, &demo::Arguments::for_ci()))),
    ];
    let mut failed = Vec::new();
    for (name, part) in &parts {
        println!("== {name}");
        match part() {
            Ok(true) => {}
            Ok(false) => failed.push(*name),
            Err(error) => {
                eprintln!("error: {error:#}");
                failed.push(*name);
            }
        }
    }
    if failed.is_empty() {
        println!("all good");
    } else {
        println!("failed: {}", failed.join(", "));
    }
    failed.is_empty()
}
