//! The table of counts in `targets/README.md`: written by `cargo xtask test --counted`, compared with
//! what the boards report in every other run.

use crate::compiler::root;
use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;

const BEGIN: &str = "<!-- counted: cargo xtask test --counted -->";
const END: &str = "<!-- /counted -->";
const NONE: &str = "–";
/// Ends a number that was counted at the smaller degree.
const SMALLER: char = '¹';
/// A figure may differ from the table by one part in so many.
const TOLERANCE: u64 = 50;
/// So may the flash, which every new test takes some of.
const FLASH_TOLERANCE: u64 = 10;

/// A column of figures.
struct Column {
    title: &'static str,
    figure: &'static str,
    /// What boards report that only have room for the smaller degree.
    smaller: Option<&'static str>,
    tolerance: u64,
}

const fn column(title: &'static str, figure: &'static str) -> Column {
    Column { title, figure, smaller: None, tolerance: TOLERANCE }
}

const fn or(title: &'static str, figure: &'static str, smaller: &'static str) -> Column {
    Column { title, figure, smaller: Some(smaller), tolerance: TOLERANCE }
}

const COLUMNS: [Column; 13] = [
    Column { tolerance: FLASH_TOLERANCE, ..column("flash", "flash_bytes") },
    column("RAM", "ram_bytes"),
    or("generate key", "generate_key", "generate_small_key"),
    or("encrypt", "encrypt_4096", "encrypt_1024"),
    column("one prime", "encrypt_4096_one_prime"),
    or("decrypt", "decrypt_4096", "decrypt_1024"),
    column("tokenize", "tokenize"),
    column("embed", "embed"),
    column("slots: public key", "slots_keygen"),
    column("encrypt by secret", "slots_encrypt_secret"),
    column("by public key", "slots_encrypt_public"),
    column("decrypt", "slots_decrypt"),
    column("RAM", "slots_ram_bytes"),
];

/// The line of one board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    name: String,
    cells: Vec<String>,
}

impl Row {
    /// The line of the board `name`, whose figures are had by name.
    pub(crate) fn new(name: &str, processor: &str, figure: impl Fn(&str) -> Option<u64>) -> Self {
        let cell = |column: &Column| {
            let smaller = || column.smaller.and_then(&figure);
            match (figure(column.figure), smaller()) {
                (Some(value), _) => grouped(value),
                (None, Some(value)) => format!("{}{SMALLER}", grouped(value)),
                (None, None) => NONE.to_owned(),
            }
        };
        let cells = [processor.to_owned()].into_iter().chain(COLUMNS.iter().map(cell)).collect();
        Self { name: name.to_owned(), cells }
    }

    fn parse(line: &str) -> Option<Self> {
        let mut cells = line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim);
        let name = cells.next()?.strip_prefix('`')?.strip_suffix('`')?.to_owned();
        let cells: Vec<_> = cells.map(str::to_owned).collect();
        (cells.len() == 1 + COLUMNS.len()).then_some(Self { name, cells })
    }

    fn line(&self) -> String {
        format!("| `{}` | {} |\n", self.name, self.cells.join(" | "))
    }

    /// What differs from `other` by more than the tolerance.
    fn differences(&self, other: &Self) -> Vec<String> {
        let cells = COLUMNS.iter().zip(self.cells.iter().zip(&other.cells).skip(1));
        let differs = |(column, (ours, theirs)): &(&Column, (&String, &String))| match (
            number(ours),
            number(theirs),
        ) {
            (Some(a), Some(b)) => a.abs_diff(b) > a / column.tolerance,
            _ => ours != theirs,
        };
        let tell = |(column, (ours, theirs)): (&Column, (&String, &String))| {
            format!("{} is {ours}, and the table in targets/README.md says {theirs}", column.title)
        };
        cells.filter(differs).map(tell).collect()
    }
}

/// What the committed table says otherwise about the board of `row`.
///
/// # Errors
/// If there is no table.
pub(crate) fn compare(row: &Row) -> Result<Vec<String>> {
    let text = fs::read_to_string(path())?;
    let (_, rows, _) = split(&text).with_context(no_table)?;
    Ok(match rows.iter().find(|known| known.name == row.name) {
        Some(known) => row.differences(known),
        None => vec!["the table in targets/README.md does not have it".to_owned()],
    })
}

/// Puts `rows` into the committed table, in the place of those of the same boards, and prints it.
/// Boards that are not in `names`, in whose order the lines are, leave the table.
///
/// # Errors
/// If there is no table, or it cannot be written.
pub(crate) fn renew(rows: Vec<Row>, names: &[&str]) -> Result<()> {
    let path = path();
    let text = fs::read_to_string(&path)?;
    let renewed = renewed(&text, rows, names).with_context(no_table)?;
    let (_, table) = renewed.split_once(BEGIN).unwrap_or_default();
    println!("{}", table.split_once(END).unwrap_or_default().0.trim());
    fs::write(&path, renewed).with_context(|| format!("writing {}", path.display()))
}

fn renewed(text: &str, rows: Vec<Row>, names: &[&str]) -> Option<String> {
    let (before, known, after) = split(text)?;
    let titles: Vec<_> = COLUMNS.iter().map(|column| column.title).collect();
    let mut table = format!("\n| target | processor | {} |\n", titles.join(" | "));
    table += &format!("|---|---|{}\n", "---:|".repeat(COLUMNS.len()));
    for name in names {
        let row = rows.iter().chain(&known).find(|row| row.name == *name);
        table += &row.map_or_else(String::new, Row::line);
    }
    Some(format!("{before}{BEGIN}\n{table}\n{END}{after}"))
}

/// The text before the table, its rows, the text after it.
fn split(text: &str) -> Option<(&str, Vec<Row>, &str)> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (table, after) = rest.split_once(END)?;
    Some((before, table.lines().filter_map(Row::parse).collect(), after))
}

fn path() -> PathBuf {
    root().join("targets/README.md")
}

fn no_table() -> String {
    format!("targets/README.md has no lines `{BEGIN}` and `{END}`")
}

/// With commas between thousands.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn number(cell: &str) -> Option<u64> {
    cell.trim_end_matches(SMALLER).replace(',', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, flash: u64, encrypt: (&str, u64)) -> Row {
        Row::new(name, "Core", |figure| match figure {
            "flash_bytes" => Some(flash),
            _ => (figure == encrypt.0).then_some(encrypt.1),
        })
    }

    #[test]
    fn a_row_survives_its_line_and_marks_the_smaller_degree() {
        let row = row("a", 1_234_567, ("encrypt_1024", 999));
        assert_eq!(
            row.line(),
            "| `a` | Core | 1,234,567 | – | – | 999¹ | – | – | – | – | – | – | – | – | – |\n"
        );
        assert_eq!(Row::parse(row.line().trim()), Some(row));
        assert_eq!(Row::parse("| `a` | Core | 1 |"), None);
    }

    #[test]
    fn two_parts_in_a_hundred_are_let_pass_and_more_are_not() {
        let told = |count| row("a", 100, ("encrypt_4096", count));
        assert!(told(1000).differences(&told(1020)).is_empty());
        assert_eq!(told(1000).differences(&told(1021)).len(), 1);
        assert_eq!(told(1000).differences(&told(979)).len(), 1);
        assert_eq!(told(1000).differences(&row("a", 100, ("x", 0))).len(), 1, "a figure is new");
        let smaller = row("a", 100, ("encrypt_1024", 1000));
        assert!(smaller.differences(&smaller).is_empty());
    }

    #[test]
    fn rows_are_replaced_kept_in_order_and_dropped() {
        let text = format!(
            "before\n{BEGIN}\n{}{}{END}\nafter\n",
            row("b", 1, ("", 0)).line(),
            row("gone", 1, ("", 0)).line()
        );
        let text =
            renewed(&text, vec![row("b", 2, ("", 0)), row("a", 3, ("", 0))], &["a", "b"]).unwrap();
        let (before, rows, after) = split(&text).unwrap();
        assert_eq!((before, after), ("before\n", "\nafter\n"));
        assert_eq!(rows, [row("a", 3, ("", 0)), row("b", 2, ("", 0))]);
        let again = renewed(&text, Vec::new(), &["b", "a"]).unwrap();
        assert_eq!(split(&again).unwrap().1, [row("b", 2, ("", 0)), row("a", 3, ("", 0))]);
    }
}
