//! The results as a page of Markdown.

use super::row::{Library, Row};
use core::fmt::Write as _;

/// The same operation by two names: for people, of ours, of the peers'.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operation {
    /// For people.
    pub title: &'static str,
    ours: &'static str,
    theirs: &'static str,
}

impl Operation {
    const fn same(title: &'static str, name: &'static str) -> Self {
        Self { title, ours: name, theirs: name }
    }

    /// The row of this operation in `libraries[index]`, the first of which is ours.
    pub(crate) fn row(self, libraries: &[Library], index: usize, threads: usize) -> Option<&Row> {
        libraries[index].find(if index == 0 { self.ours } else { self.theirs }, threads)
    }
}

/// What everybody is measured at.
pub(crate) const OPERATIONS: [Operation; 11] = [
    Operation::same("add", "add"),
    Operation::same("rotate", "rotate"),
    Operation::same("8 hoisted rotations", "rotate 8, hoisted"),
    Operation::same("multiply, relinearise, rescale", "multiply, relinearise, rescale"),
    Operation::same("encode and encrypt", "encode and encrypt, public key"),
    Operation::same("decrypt and decode", "decrypt and decode"),
    Operation::same("make a rotation key", "rotation key"),
    Operation::same("128 x 768 by 768 x 768", "linear layer 128 x 768 by 768 x 768"),
    Operation {
        title: "the same, real slots",
        ours: "linear layer 128 x 768 by 768 x 768",
        theirs: "linear layer 128 x 768 by 768 x 768, real slots",
    },
    Operation {
        title: "bootstrap 1024 reals",
        ours: "few_rows_to_slots, 16 rows",
        theirs: "bootstrap, 1024 reals",
    },
    Operation::same("bootstrap 65,536 reals", "bootstrap, slots to slots"),
];

const METHOD: &str = "\
`cargo xtask bench --peers` wrote this page. Every library ran on the machine named below; ours in the run that
wrote the page, each peer on the day beside its version. Times are the least of some runs. On one core they are processor
time, which other work on the machine disturbs least; on more cores they are wall-clock time, and left out
if the machine was busy.
In brackets: bits of the largest error of the decrypted result, relative to the range of the values, so that a row without
them was not decrypted.

Arithmetic is at `N = 2^16` with a modulus of 1160 bits: ours at the highest level of its chain, the
peers with 23 primes (60 and 22 x 50 bits; Poulpy, which has no primes, by bits). Hybrid key switching has three digits; SEAL knows
only one special prime and hence one digit a prime. A bootstrap goes from slots to slots: ours is `slots_to_rows`, a product by one
and `rows_to_slots` of both halves, and leaves eleven levels of 40 bits; that of 1024 reals starts at rows. OpenFHE's leaves nine
levels of 50 bits; Poulpy's is its preset for inputs of scale 2^35 and leaves 595 bits; both have complex slots.

The linear layer is ours from edge ciphertexts to packed rows (expansion of the uploads, integer product, packing); OpenFHE's is the
method of diagonals at its lowest level, baby steps hoisted, the diagonals encoded beforehand: at `N = 2^15` with two tokens in
a complex slot, which is its fastest, and at `N = 2^16` with one token in a slot.
";

/// The whole page; `libraries[0]` is ours.
pub(crate) fn markdown(libraries: &[Library], left_out: &[String]) -> String {
    let mut page = format!("# Beside its peers\n\n{METHOD}\n![times on one core](peers.svg)\n");
    let mut counts: Vec<usize> = libraries[0].rows.iter().map(|row| row.threads).collect();
    counts.sort_unstable();
    counts.dedup();
    let busy = libraries.iter().map(|library| library.load).fold(0.0, f64::max);
    for threads in counts {
        if threads > 1 && busy > 0.25 {
            write!(
                page,
                "\nTimes on {threads} cores are left out: other work shared the machine ({busy:.1} processors of it), and\n\
                 they are wall-clock times.\n"
            )
            .ok();
            continue;
        }
        let kind = if threads == 1 { "processor time" } else { "wall-clock time" };
        let noun = if threads == 1 { "core" } else { "cores" };
        write!(page, "\n## {threads} {noun}, {kind}\n\n{}", operations(libraries, threads)).ok();
    }
    write!(page, "\n## Transforms of one limb, one core\n\n{}", transforms(libraries)).ok();
    page += "\n## Libraries\n\n";
    for library in libraries {
        let Library { title, version, machine, day, .. } = library;
        writeln!(page, "- {title}: {version}; {machine}; {day}").ok();
    }
    for reason in left_out {
        writeln!(page, "- left out in this run: {reason}").ok();
    }
    page += "\nNot measured: Lattigo (its modules come from the Go module proxy, which not every machine reaches), TenSEAL\n\
             (SEAL 4.1 behind checks that end at `N = 2^15`), DESILO FHE (its licence is non-commercial).\n";
    page
}

/// A row for each operation, a column for each library that has one.
fn operations(libraries: &[Library], threads: usize) -> String {
    let has =
        |index: &usize| OPERATIONS.iter().any(|o| o.row(libraries, *index, threads).is_some());
    let columns: Vec<usize> = (0..libraries.len()).filter(has).collect();
    let titles: Vec<&str> = columns.iter().map(|&i| libraries[i].title.as_str()).collect();
    let mut text = format!("| operation | log Q of ours | {} |\n", titles.join(" | "));
    writeln!(text, "|---|---|{}", "---|".repeat(columns.len())).ok();
    for operation in OPERATIONS {
        let Some(ours) = operation.row(libraries, 0, threads) else { continue };
        let cell = |&index: &usize| {
            let row = operation.row(libraries, index, threads);
            row.map_or("-".to_owned(), |row| cell(row, time(row) / time(ours), index == 0))
        };
        let cells: Vec<String> = columns.iter().map(cell).collect();
        let size = ours.log_q;
        writeln!(text, "| {} | {size:.0} | {} |", operation.title, cells.join(" | ")).ok();
    }
    text
}

/// `181 ms, **8.1x** (25.1)`.
fn cell(row: &Row, ratio: f64, is_ours: bool) -> String {
    let mut text = duration(time(row));
    if !is_ours {
        write!(text, ", **{ratio:.1}x**").ok();
    }
    if let Some(bits) = row.worst_bits {
        write!(text, " ({bits:.1})").ok();
    }
    text
}

/// Ours and those of the crates that have nothing else.
fn transforms(libraries: &[Library]) -> String {
    let is_transform = |row: &&Row| row.name.starts_with("ntt");
    let all = libraries.iter().flat_map(|library| {
        let rows = library.rows.iter().filter(is_transform).filter(|row| row.threads == 1);
        rows.map(|row| (library.title.as_str(), row))
    });
    let mut text =
        "| transform | log N | bits of the prime | time | ps a butterfly and bit |\n".to_owned();
    text += "|---|---|---|---|---|\n";
    for (title, row) in all {
        let butterflies = f64::from(row.log_n) * f64::from(row.log_n - 1).exp2();
        let rate = 1e12 * row.seconds / butterflies / row.log_q;
        let (name, time) = (row.name.trim_start_matches("ntt: "), duration(row.seconds));
        let (log_n, bits) = (row.log_n, row.log_q);
        writeln!(text, "| {title}: {name} | {log_n} | {bits:.0} | {time} | {rate:.2} |").ok();
    }
    text
}

/// The time that rows are compared by.
pub(crate) fn time(row: &Row) -> f64 {
    if row.threads == 1 { row.cpu_seconds } else { row.seconds }
}

/// Three digits and a unit.
pub(crate) fn duration(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if s >= 1.0 => (s, "s"),
        s if s >= 1e-3 => (1e3 * s, "ms"),
        s => (1e6 * s, "us"),
    };
    let digits =
        if value >= 100.0 { 0 } else { usize::from(value < 100.0) + usize::from(value < 10.0) };
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library(title: &str, cpu_seconds: f64) -> Library {
        let text = format!(
            r#"{{"name": "rotate", "log_n": 16, "log_q": 1160, "threads": 1, "seconds": 9.0,
            "cpu_seconds": {cpu_seconds}}}"#
        );
        Library::of_this_machine(title, "1", 0.0, vec![serde_json::from_str(&text).unwrap()])
    }

    #[test]
    fn a_peer_is_shown_with_its_ratio_to_ours() {
        let page = markdown(&[library("ours", 0.04), library("them", 0.2)], &["x: no".to_owned()]);
        assert!(page.contains("| rotate | 1160 | 40.0 ms | 200 ms, **5.0x** |"), "{page}");
        assert!(page.contains("left out in this run: x: no"));
    }

    #[test]
    fn durations_have_three_digits() {
        let shown = [12.34, 0.1234, 0.01234, 0.001_234, 0.000_001].map(duration);
        assert_eq!(shown, ["12.3 s", "123 ms", "12.3 ms", "1.23 ms", "1.00 us"]);
    }
}
