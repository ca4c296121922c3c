//! The rules of CONTRIBUTING.md that a machine can check and no other tool does.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// Longest a source file may be, in lines. Tests are not counted.
const FILE_LINES: usize = 600;
/// Directories that hold no sources of ours.
const SKIPPED: [&str; 3] = ["target", ".git", "node_modules"];
/// Crates whose root must forbid `unsafe`.
const SAFE: [&str; 3] = ["he-core/src/lib.rs", "he-nn/src/lib.rs", "he-lora/src/lib.rs"];
/// What must not appear in a source file, assembled so that this file passes.
const FORBIDDEN: [(&str, &str); 4] =
    [("TO", "DO"), ("FIX", "ME"), ("todo", "!("), ("unimplemented", "!(")];

/// Every breach of a rule under `root`, one line each.
///
/// # Errors
/// If a file cannot be read.
pub(crate) fn problems(root: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for path in sources(root)? {
        let text =
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        problems.extend(of_file(&name, &text));
    }
    Ok(problems)
}

/// The Rust files under `root`, sorted.
///
/// # Errors
/// If a directory cannot be read.
pub(crate) fn sources(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut waiting = vec![root.to_path_buf()];
    while let Some(directory) = waiting.pop() {
        let entries =
            fs::read_dir(&directory).with_context(|| format!("reading {}", directory.display()))?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type()?.is_dir() {
                if !SKIPPED.contains(&name.as_str()) {
                    waiting.push(entry.path());
                }
            } else if Path::new(&name).extension().is_some_and(|e| e == "rs") {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The part of a source file before its tests.
pub(crate) fn without_tests(text: &str) -> &str {
    text.find("\n#[cfg(test)]").map_or(text, |end| &text[..=end])
}

fn of_file(name: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let mut report = |what: &str| problems.push(format!("{name}: {what}"));
    let is_test =
        name.contains("/tests/") || name.ends_with("/tests.rs") || name.contains("/benches/");
    let lines = without_tests(text).lines().count();
    if lines > FILE_LINES && !is_test {
        report(&format!("{lines} lines, more than {FILE_LINES}"));
    }
    if !text.starts_with("//!") && !is_test {
        report("does not open with a module comment");
    }
    if name.ends_with("/mod.rs") {
        report("is a mod.rs; name the file after its module");
    }
    if SAFE.contains(&name) && !text.contains("#![forbid(unsafe_code)]") {
        report("does not forbid unsafe code");
    }
    for (first, second) in FORBIDDEN {
        if text.contains(&format!("{first}{second}")) {
            report(&format!("contains {first}{second}"));
        }
    }
    if !text.ends_with('\n') || text.ends_with("\n\n") {
        report("does not end with exactly one line feed");
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_file_passes_and_each_breach_is_named() {
        let good = "//! A module.\n\nfn f() {}\n";
        assert!(of_file("a/src/b.rs", good).is_empty());
        assert_eq!(of_file("a/src/mod.rs", good).len(), 1);
        assert_eq!(of_file("he-nn/src/lib.rs", good).len(), 1);
        assert_eq!(of_file("a/src/b.rs", "fn f() {}\n").len(), 1);
        assert_eq!(of_file("a/src/b.rs", "//! A module.").len(), 1);
        let long = format!("//! A module.\n{}", "\n".repeat(FILE_LINES) + "x\n");
        assert_eq!(of_file("a/src/b.rs", &long).len(), 1);
        assert!(of_file("a/src/tests.rs", &long).is_empty());
    }
}
