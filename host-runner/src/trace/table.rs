//! A trace summed up: stages, steps and kinds of operations beside their floors.

use alloc::collections::BTreeMap;
use core::fmt;

use super::{Category, Span, Trace};

/// Times of spans of one name, for people to read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Line {
    /// The name that they share.
    pub name: String,
    /// How many there are.
    pub spans: usize,
    /// How often they did what they do.
    pub count: usize,
    /// Wall-clock seconds; of operations, without the operations within them.
    pub seconds: f64,
    /// Processor time of the whole process, all threads together.
    pub processor: f64,
    /// Of it, what is on one thread and more threads would not make less.
    pub serial: f64,
    /// Seconds that the arithmetic takes at least.
    pub arithmetic: f64,
    /// Seconds that moving the bytes takes at least.
    pub memory: f64,
    /// The sum of the larger floors.
    pub floor: f64,
}

/// Tables of one trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Tables {
    /// What was measured first.
    pub machine: String,
    /// How many threads there were.
    pub threads: f64,
    /// Sentences, stages, steps and operations; the first two in order of time, the others with the
    /// most time first.
    pub lines: BTreeMap<Category, Vec<Line>>,
}

impl Tables {
    /// Sums a trace up.
    #[must_use]
    pub fn new(trace: &Trace) -> Self {
        let speeds = &trace.speeds;
        let machine = format!(
            "{} threads together: {:.2} G butterflies/s, {:.2} G multiply-adds/s in key products and \
             {:.2} G in base conversions, {:.1} GB/s copied (read and written)",
            speeds.threads,
            speeds.butterflies / 1e9,
            speeds.products / 1e9,
            speeds.combinations / 1e9,
            speeds.bytes / 1e9
        );
        let works: Vec<_> =
            trace.spans.iter().filter(|span| span.category == Category::Operation).collect();
        let mut lines: BTreeMap<_, Vec<Line>> = BTreeMap::new();
        for category in [Category::Sentence, Category::Stage, Category::Step, Category::Operation] {
            let mut spans: Vec<_> =
                trace.spans.iter().filter(|span| span.category == category).collect();
            spans.sort_by(|a, b| a.begin_us.total_cmp(&b.begin_us));
            let table = lines.entry(category).or_default();
            for span in spans {
                let at = table.iter().position(|line| line.name == span.name);
                let at = at.unwrap_or_else(|| {
                    table.push(Line { name: span.name.to_string(), ..Line::default() });
                    table.len() - 1
                });
                table[at].add(span, &works);
            }
            if category >= Category::Step {
                table.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
            }
        }
        Self { machine, threads: speeds.threads.into(), lines }
    }
}

impl Line {
    fn add(&mut self, span: &Span, works: &[&Span]) {
        let details = &span.details;
        let is_work = span.category == Category::Operation;
        self.spans += 1;
        self.count += details.count;
        self.seconds += 1e-6 * if is_work { details.own_us } else { span.duration_us };
        self.processor += 1e-6 * details.processor_us;
        self.serial += 1e-6 * details.serial_us;
        self.arithmetic += 1e-6 * details.arithmetic_us;
        self.memory += 1e-6 * details.memory_us;
        let larger = |work: &Span| 1e-6 * work.details.arithmetic_us.max(work.details.memory_us);
        self.floor += if is_work {
            larger(span)
        } else {
            works.iter().filter(|work| span.contains(work)).map(|work| larger(work)).sum()
        };
    }

    /// The time over the floor; infinite where there is no floor.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.seconds / self.floor
    }

    /// The processor time of each of so many threads over the floor: what [`Self::ratio`] would be
    /// with no other program on the machine and no thread idle.
    #[must_use]
    pub fn work(&self, threads: f64) -> f64 {
        self.processor / threads / self.floor
    }
}

impl fmt::Display for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.machine)?;
        for (category, lines) in &self.lines {
            let title = match category {
                Category::Sentence => "sentence",
                Category::Stage => "stage",
                Category::Step => "step, with what is within it",
                Category::Operation => "operation",
            };
            write!(f, "\n{title:<31} {:>6} {:>7} {:>8}", "spans", "count", "seconds")?;
            write!(f, " {:>9} {:>7} {:>10} {:>7}", "processor", "serial", "arithmetic", "memory")?;
            writeln!(f, " {:>7} {:>6} {:>6}", "floor", "ratio", "work")?;
            for line in lines {
                let Line { name, spans, count, seconds, processor, .. } = line;
                write!(f, "{name:<31} {spans:>6} {count:>7} {seconds:>8.3} {processor:>9.3}")?;
                let Line { serial, arithmetic, memory, floor, .. } = line;
                write!(f, " {serial:>7.3} {arithmetic:>10.3} {memory:>7.3} {floor:>7.3}")?;
                writeln!(f, " {:>6.1} {:>6.1}", line.ratio(), line.work(self.threads))?;
            }
        }
        Ok(())
    }
}
