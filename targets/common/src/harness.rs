//! A test harness for machines that have none: named functions, one JSON line per test.
//!
//! Lines, in order: `{"start": NAME}` before a test, `{"test": NAME, "ok": BOOL, …}` after it, and
//! one `{"passed": N, "failed": N, "ram_bytes": N}` at the end. A start without its end is a test
//! that took the machine down.

use crate::machine::Machine;
use crate::report::Quoted;
use heapless::Vec;

/// What a test found wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// The condition that did not hold.
    pub what: &'static str,
    /// Source file of the check.
    pub file: &'static str,
    /// Line of the check.
    pub line: u32,
}

/// Returns a [`Failure`] from the test unless the condition holds.
#[macro_export]
macro_rules! check {
    ($condition:expr) => {
        $crate::check!($condition, stringify!($condition))
    };
    ($condition:expr, $what:expr) => {
        if !$condition {
            return Err($crate::harness::Failure { what: $what, file: file!(), line: line!() });
        }
    };
}

/// A test: a sentence, and what shows that it is true.
#[derive(Debug)]
pub struct Case<M> {
    /// The sentence, in words joined by underscores.
    pub name: &'static str,
    /// The body.
    pub run: fn(&mut Bench<'_, M>) -> Result<(), Failure>,
}

/// What a test runs on: the machine, and room for the figures it measures.
#[derive(Debug)]
pub struct Bench<'a, M> {
    machine: &'a mut M,
    figures: Vec<(&'static str, u64), 8>,
}

impl<M: Machine> Bench<'_, M> {
    /// Runs `work`, and reports the instructions it took as figure `name`. At most eight a test.
    pub fn measure<T>(&mut self, name: &'static str, work: impl FnOnce() -> T) -> T {
        let (value, count) = self.count(work);
        self.report(name, count);
        value
    }

    /// Runs `work` and returns what it returned with the instructions it took.
    pub fn count<T>(&mut self, work: impl FnOnce() -> T) -> (T, u64) {
        crate::machine::counted(self.machine, work)
    }

    /// Whether the most and the fewest instructions are as many, as far as the counter tells.
    #[must_use]
    pub fn is_constant(&self, counts: &[u64]) -> bool {
        let (least, most) = (counts.iter().min(), counts.iter().max());
        least.zip(most).is_some_and(|(least, most)| most - least <= self.machine.resolution())
    }

    /// Runs `work` and tells the most bytes of stack that it took; zero on machines that cannot tell.
    pub fn stack_of(&mut self, mut work: impl FnMut()) -> usize {
        self.machine.stack_of(&mut work)
    }

    /// Reports `value` as figure `name`. The ninth figure of a test, and later ones, are dropped.
    pub fn report(&mut self, name: &'static str, value: u64) {
        defmt::info!("{=str} = {=u64}", name, value);
        self.figures.push((name, value)).ok();
    }
}

/// Runs the cases whose name contains `filter` and returns how many failed.
pub fn run_all<M: Machine>(
    machine: &mut M,
    cases: impl IntoIterator<Item = Case<M>>,
    filter: &str,
) -> u32 {
    let (mut passed, mut failed) = (0u32, 0u32);
    for case in cases.into_iter().filter(|case| case.name.contains(filter)) {
        machine.print(format_args!("{{\"start\": {}}}", Quoted(case.name)));
        defmt::info!("{=str}", case.name);
        let mut bench = Bench { machine, figures: Vec::new() };
        let outcome = (case.run)(&mut bench);
        let figures = bench.figures;
        match outcome {
            Ok(()) => {
                passed += 1;
                let name = Quoted(case.name);
                let figures = Figures(&figures);
                machine.print(format_args!(
                    "{{\"test\": {name}, \"ok\": true, \"figures\": {{{figures}}}}}"
                ));
            }
            Err(Failure { what, file, line }) => {
                failed += 1;
                defmt::warn!("{=str} does not hold, {=str}:{=u32}", what, file, line);
                machine.print(format_args!(
                    "{{\"test\": {}, \"ok\": false, \"what\": {}, \"file\": {}, \"line\": {line}, \
                     \"figures\": {{{}}}}}",
                    Quoted(case.name),
                    Quoted(what),
                    Quoted(file),
                    Figures(&figures),
                ));
            }
        }
    }
    let ram = machine.ram_high_water();
    machine.print(format_args!(
        "{{\"passed\": {passed}, \"failed\": {failed}, \"ram_bytes\": {ram}}}"
    ));
    failed
}

/// Figures as the inside of a JSON object.
struct Figures<'a>(&'a [(&'static str, u64)]);

impl core::fmt::Display for Figures<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (i, (name, value)) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{}: {value}", Quoted(name))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    extern crate alloc;
    use super::*;
    use alloc::string::{String, ToString};
    use alloc::vec::Vec as List;
    use core::fmt::Arguments;

    #[derive(Default)]
    struct Recorder {
        lines: List<String>,
        clock: u64,
    }

    impl Machine for Recorder {
        fn instructions(&mut self) -> u64 {
            self.clock += 7;
            self.clock
        }
        fn ram_high_water(&self) -> usize {
            99
        }
        fn print(&mut self, line: Arguments<'_>) {
            self.lines.push(line.to_string());
        }
    }

    const CASES: [Case<Recorder>; 2] = [
        Case {
            name: "good",
            run: |bench| {
                check!(bench.measure("two", || 1 + 1) == 2);
                Ok(())
            },
        },
        Case {
            name: "bad",
            run: |_| {
                check!(1 > 2);
                Ok(())
            },
        },
    ];

    #[test]
    fn every_test_leaves_its_line_and_the_last_line_counts_them() {
        let mut machine = Recorder::default();
        assert_eq!(run_all(&mut machine, CASES, ""), 1);
        assert_eq!(machine.lines[1], r#"{"test": "good", "ok": true, "figures": {"two": 7}}"#);
        assert!(machine.lines[3].starts_with(r#"{"test": "bad", "ok": false, "what": "1 > 2""#));
        assert_eq!(machine.lines[4], r#"{"passed": 1, "failed": 1, "ram_bytes": 99}"#);
    }

    #[test]
    fn a_filter_selects_by_name() {
        let mut machine = Recorder::default();
        assert_eq!(run_all(&mut machine, CASES, "goo"), 0);
        assert_eq!(machine.lines.len(), 3);
    }
}
