//! The published vectors against their definitions in Python, which share no code with ours.
//!
//! Each script in `targets/common` prints digests, which are in a file of its name, and writes vectors
//! with `--vectors`. Each file in `targets/common/vectors` must be written by one of them.

use crate::build::Outcome;
use crate::compiler::{root, target_directory};
use crate::console::Console;
use crate::process::{output_of, step};
use anyhow::{Context, Result, bail};
use core::time::Duration;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const PYTHON: &str = "python3";
const LIMIT: Duration = Duration::from_secs(300);

/// One outcome for each script's digests and for each vector; none where there is no Python.
///
/// # Errors
/// If a script fails, or there is none.
pub(crate) fn outcomes(console: &Console) -> Result<Vec<Outcome>> {
    if output_of(Command::new(PYTHON).arg("--version")).is_none() {
        console.say("there is no python3: the published vectors are not made again");
        return Ok(Vec::new());
    }
    let folder = root().join("targets/common");
    let made = target_directory().join("vectors");
    if made.exists() {
        fs::remove_dir_all(&made)?;
    }
    fs::create_dir_all(&made)?;
    let mut outcomes = Vec::new();
    for script in files(&folder)?.into_iter().filter(|path| is_script(path)) {
        outcomes.push(digests(console, &script)?);
        let mut command = Command::new(PYTHON);
        command.arg(&script).arg("--vectors").arg(&made);
        step(console, &format!("vectors of {}", script.display()), &mut command, LIMIT)?;
    }
    if outcomes.is_empty() {
        bail!("no script in {}", folder.display());
    }
    outcomes.extend(compare(&contents(&folder.join("vectors"))?, &contents(&made)?));
    Ok(outcomes)
}

fn is_script(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "py")
}

fn digests(console: &Console, script: &Path) -> Result<Outcome> {
    let label = format!("digests of {}", script.display());
    let finished = step(console, &label, Command::new(PYTHON).arg(script), LIMIT)?;
    let published = script.with_extension("txt");
    let text = fs::read_to_string(&published)
        .with_context(|| format!("reading {}", published.display()))?;
    let is_equal = text.lines().eq(finished.stdout.iter().map(String::as_str));
    Ok((
        name_of(&published),
        (!is_equal).then(|| format!("the definition gives\n{}", finished.tail(60))),
    ))
}

/// Each published or made file, and whether it is both.
fn compare(published: &[Named<Vec<u8>>], made: &[Named<Vec<u8>>]) -> Vec<Outcome> {
    let of = |set: &[Named<Vec<u8>>], wanted: &str| {
        set.iter().find(|(name, _)| name == wanted).map(|(_, bytes)| bytes.clone())
    };
    let verdict = |name: &str| match (of(published, name), of(made, name)) {
        (Some(published), Some(made)) if published == made => None,
        (Some(_), Some(_)) => Some("not what the definition gives".to_owned()),
        (Some(_), None) => Some("made by no definition".to_owned()),
        _ => Some("not published".to_owned()),
    };
    let added = made.iter().filter(|(name, _)| of(published, name).is_none());
    published.iter().chain(added).map(|(name, _)| (name.clone(), verdict(name))).collect()
}

/// Something with the name of its file.
type Named<T> = (String, T);

/// The files of a folder, sorted.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.retain(|path| path.is_file());
    paths.sort();
    Ok(paths)
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The contents of the files of a folder.
fn contents(folder: &Path) -> Result<Vec<Named<Vec<u8>>>> {
    files(folder)?.iter().map(|path| Ok((name_of(path), fs::read(path)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_that_differs_or_is_missing_on_either_side_fails() {
        let set = |entries: &[(&str, u8)]| -> Vec<Named<Vec<u8>>> {
            entries.iter().map(|&(name, byte)| (name.to_owned(), vec![byte])).collect()
        };
        let published = set(&[("both", 1), ("differs", 1), ("lost", 1)]);
        let made = set(&[("both", 1), ("differs", 2), ("new", 1)]);
        let failed: Vec<_> = compare(&published, &made)
            .into_iter()
            .filter_map(|(name, error)| error.map(|_| name))
            .collect();
        assert_eq!(failed, ["differs", "lost", "new"]);
    }
}
