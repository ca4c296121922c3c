//! Files of labelled sentences: tab-separated, under one line of headings.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::files;

/// No file of sentences is larger.
const LIMIT: u64 = 1 << 30;

/// A sentence and the class that people gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// The text.
    pub sentence: String,
    /// The class.
    pub label: usize,
}

/// Reads at most `limit` examples with labels below `classes`.
///
/// # Errors
/// If the file cannot be read, lacks the columns `sentence` and `label`, or a line does not fit;
/// the message names the line.
pub fn read(path: &Path, classes: usize, limit: Option<usize>) -> Result<Vec<Example>> {
    let text = String::from_utf8(files::read(path, LIMIT)?);
    let text = text.with_context(|| format!("{} is not text", path.display()))?;
    let examples =
        parse(&text, classes, limit).with_context(|| format!("in {}", path.display()))?;
    ensure!(!examples.is_empty(), "{} has no sentences", path.display());
    Ok(examples)
}

fn parse(text: &str, classes: usize, limit: Option<usize>) -> Result<Vec<Example>> {
    let mut lines = text.lines().zip(1..);
    let Some((headings, _)) = lines.next() else { bail!("the file is empty") };
    let column = |name| headings.split('\t').position(|heading| heading.trim() == name);
    let (Some(sentence), Some(label)) = (column("sentence"), column("label")) else {
        bail!("line 1 must name the columns 'sentence' and 'label'");
    };
    let lines = lines.filter(|(line, _)| !line.trim().is_empty()).take(limit.unwrap_or(usize::MAX));
    let read = |(line, number): (&str, usize)| {
        let field = |place| line.split('\t').nth(place).map(str::trim);
        let (Some(sentence), Some(label)) = (field(sentence), field(label)) else {
            bail!("line {number} has too few columns");
        };
        match label.parse() {
            Ok(label) if label < classes => Ok(Example { sentence: sentence.to_owned(), label }),
            _ => bail!("line {number} has the label '{label}'; it is one of 0..{classes}"),
        }
    };
    lines.map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_their_headings() {
        let text = "label\tid\tsentence\n1\t7\ta fine film . \n\n0\t8\tdull\n";
        let examples = parse(text, 2, None).unwrap();
        assert_eq!(examples.len(), 2);
        assert_eq!(examples[0], Example { sentence: "a fine film .".into(), label: 1 });
        assert_eq!(parse(text, 2, Some(1)).unwrap().len(), 1);
    }

    #[test]
    fn a_bad_line_is_named() {
        for (text, part) in [
            ("", "empty"),
            ("text\tlabel\nx\t1\n", "'sentence'"),
            ("sentence\tlabel\nx\t1\ny\t2\n", "line 3"),
            ("sentence\tlabel\nx\n", "line 2"),
            ("sentence\tlabel\nx\tyes\n", "'yes'"),
        ] {
            let error = parse(text, 2, None).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
