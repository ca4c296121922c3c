//! What a test image says: one JSON object a line, as `targets/common/src/harness.rs` writes it.

use super::RAM;
use crate::process::Finished;
use serde_json::Value;

/// What the test images of a board reported.
#[derive(Debug, Default)]
pub(crate) struct TestReport {
    /// Names of tests that held.
    pub passed: Vec<String>,
    /// Names of tests that did not, with what went wrong.
    pub failed: Vec<String>,
    /// Figures that the tests measured: name and value.
    pub figures: Vec<(String, u64)>,
    /// The decoded log.
    pub log: Vec<String>,
    /// The test that has begun and not ended.
    pub under_way: Option<String>,
    /// Whether the last line has come.
    pub is_complete: bool,
}

impl TestReport {
    /// Takes one line of output; those that are no report are ignored. Returns the name of a test that
    /// begins.
    pub(super) fn line(&mut self, text: &str) -> Option<&str> {
        let value = serde_json::from_str::<Value>(text).ok()?;
        if let Some(name) = value["start"].as_str() {
            self.under_way = Some(name.to_owned());
            return self.under_way.as_deref();
        }
        if let Some(name) = value["test"].as_str() {
            self.under_way = None;
            self.take(name, &value);
        } else if value["failed"].is_u64() {
            self.is_complete = true;
            self.take_figure(RAM, &value[RAM]);
        }
        None
    }

    /// Takes the end of the run, which was good if the emulator's status was `good`. A test under way
    /// and a run without its last line have failed.
    pub(super) fn end(&mut self, finished: &Finished, good: i32) {
        let Finished { status, code, .. } = finished;
        if let Some(name) = self.under_way.take() {
            self.failed.push(format!("{name}: {status}\n{}", finished.tail(5)));
        } else if !self.is_complete {
            self.failed.push(format!("{status}\n{}", finished.tail(20)));
        } else if self.failed.is_empty() && *code != Some(good) {
            self.failed.push(format!("all tests passed, but then: {status}"));
        }
    }

    /// Adds what another run of the same board reported. Of a figure that both have, the larger stays.
    pub(super) fn join(&mut self, other: Self) {
        self.passed.extend(other.passed);
        self.failed.extend(other.failed);
        self.log.extend(other.log);
        for (name, value) in other.figures {
            match self.figures.iter_mut().find(|(n, _)| *n == name) {
                Some((_, ours)) => *ours = value.max(*ours),
                None => self.figures.push((name, value)),
            }
        }
    }

    /// The figure called `name`, if a test measured it.
    pub(crate) fn figure(&self, name: &str) -> Option<u64> {
        self.figures.iter().find(|(n, _)| n == name).map(|(_, value)| *value)
    }

    fn take(&mut self, name: &str, value: &Value) {
        if value["ok"] == Value::Bool(true) {
            self.passed.push(name.to_owned());
        } else {
            let (what, file, line) = (&value["what"], &value["file"], &value["line"]);
            self.failed.push(format!("{name}: {what} ({file}:{line})"));
        }
        for (name, figure) in value["figures"].as_object().into_iter().flatten() {
            self.take_figure(name, figure);
        }
    }

    fn take_figure(&mut self, name: &str, figure: &Value) {
        if let Some(figure) = figure.as_u64() {
            self.figures.push((name.to_owned(), figure));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_keeps_verdicts_and_figures_and_knows_what_did_not_end() {
        let mut report = TestReport::default();
        assert_eq!(report.line(r#"{"start": "a"}"#), Some("a"));
        report.line(r#"{"test": "a", "ok": true, "figures": {"x_instructions": 7}}"#);
        report.line("not JSON");
        report.line(r#"{"test": "b", "ok": false, "what": "1 > 2", "file": "f.rs", "line": 3}"#);
        report.line(r#"{"start": "c"}"#);
        assert_eq!((&report.under_way, report.is_complete), (&Some("c".to_owned()), false));
        report.line(r#"{"passed": 1, "failed": 1, "ram_bytes": 9}"#);
        assert!(report.is_complete);
        assert_eq!(report.passed, ["a"]);
        assert_eq!(report.failed, [r#"b: "1 > 2" ("f.rs":3)"#]);
        assert_eq!(
            (report.figure("x_instructions"), report.figure("ram_bytes")),
            (Some(7), Some(9))
        );
    }

    #[test]
    fn a_run_that_stops_early_or_ends_badly_has_failed() {
        let ended = |lines: &[&str], code| {
            let mut report = TestReport::default();
            for line in lines {
                report.line(line);
            }
            report.end(&Finished { code, status: "status".into(), ..Finished::default() }, 33);
            report.failed.len()
        };
        let last = r#"{"passed": 1, "failed": 0, "ram_bytes": 9}"#;
        assert_eq!(ended(&[last], Some(33)), 0);
        assert_eq!(ended(&[last], Some(0)), 1);
        assert_eq!(ended(&[last], None), 1);
        assert_eq!(ended(&[], Some(33)), 1);
        assert_eq!(ended(&[r#"{"start": "a"}"#, last], Some(33)), 1);
    }

    #[test]
    fn of_two_runs_the_larger_figure_stays() {
        let report =
            |ram| TestReport { figures: vec![("ram_bytes".into(), ram)], ..TestReport::default() };
        let mut both = report(5);
        both.join(report(8));
        both.join(report(6));
        assert_eq!(both.figures, [("ram_bytes".to_owned(), 8)]);
    }
}
