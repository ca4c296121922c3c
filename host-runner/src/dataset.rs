//! Files of labelled sentences: tab-separated, under one line of headings.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::files;
use crate::objective::Objective;

/// No file of sentences is larger.
const LIMIT: u64 = 1 << 30;

/// A sentence and what people said of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// The text.
    pub sentence: String,
    /// What the score of each class should be.
    pub label: Vec<f64>,
}

/// Reads at most `limit` examples with labels of this kind for a model of so many classes.
///
/// # Errors
/// If the file cannot be read, lacks the columns `sentence` and `label`, or a line does not fit;
/// the message names the line.
pub fn read(
    path: &Path,
    (objective, classes): (Objective, usize),
    limit: Option<usize>,
) -> Result<Vec<Example>> {
    let text = String::from_utf8(files::read(path, LIMIT)?);
    let text = text.with_context(|| format!("{} is not text", path.display()))?;
    let examples = parse(&text, (objective, classes), limit)
        .with_context(|| format!("in {}", path.display()))?;
    ensure!(!examples.is_empty(), "{} has no sentences", path.display());
    Ok(examples)
}

fn parse(
    text: &str,
    (objective, classes): (Objective, usize),
    limit: Option<usize>,
) -> Result<Vec<Example>> {
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
        let label = objective.label(label, classes);
        let label = label.map_err(|error| anyhow!("line {number} has {error}"))?;
        Ok(Example { sentence: sentence.to_owned(), label })
    };
    lines.map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASSES: (Objective, usize) = (Objective::CrossEntropy, 2);

    #[test]
    fn columns_are_found_by_their_headings() {
        let text = "label\tid\tsentence\n1\t7\ta fine film . \n\n0\t8\tdull\n";
        let examples = parse(text, CLASSES, None).unwrap();
        assert_eq!(examples.len(), 2);
        assert_eq!(
            examples[0],
            Example { sentence: "a fine film .".into(), label: vec![0.0, 1.0] }
        );
        assert_eq!(parse(text, CLASSES, Some(1)).unwrap().len(), 1);
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
            let error = parse(text, CLASSES, None).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        let real = parse("sentence\tlabel\nx\t0.5\ny\t1.5\n", (Objective::SquaredReal, 2), None);
        let error = real.unwrap_err().to_string();
        assert_eq!(error, "line 3 has the label '1.5'; it is a number in -1 to 1");
    }
}
