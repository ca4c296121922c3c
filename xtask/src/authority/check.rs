//! Which files an order stands for, and whether the report vouches for those that came.

use anyhow::{Context, Result, ensure};
use core::fmt;
use hmac::{Hmac, KeyInit, Mac};
use object::{Object, ObjectSegment, ObjectSymbol};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io;
use std::path::Path;

const PUBLIC_KEY: &str = "owner/public.key";
const REPORT: &str = "owner/attestation.report";
const TRANSPORT: &str = "server/transport.key";

/// What `targets/key-authority/src/attest.rs` calls the software root: its label and its key.
const SOFTWARE_ROOT: (&str, &[u8]) =
    ("SOFTWARE ROOT, no hardware evidence", b"a key that is in every copy of the image");

/// What a report says, once it was checked.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    root: String,
    measurement: String,
    keys: String,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "report by: {}", self.root)?;
        writeln!(f, "program:   {}", self.measurement)?;
        write!(f, "keys:      {}", self.keys)
    }
}

/// The files that may come, by the manifest in `folder`.
///
/// # Errors
/// If it cannot be read.
pub(super) fn allowed(folder: &Path) -> Result<Vec<String>> {
    let manifest: Value = serde_json::from_slice(&fs::read(folder.join("server/manifest.json"))?)?;
    let keys = manifest["keys"].as_array().context("a manifest without keys")?;
    let names = keys.iter().map(|key| {
        let (kind, number) = (key["kind"].as_str().unwrap_or(""), &key["number"]);
        match kind {
            "galois" | "pack" => format!("server/{kind}-{number}.key"),
            _ => format!("server/{kind}.key"),
        }
    });
    Ok(names.chain([PUBLIC_KEY, REPORT, TRANSPORT].map(str::to_owned)).collect())
}

/// Checks the report in `folder` against the image that ran, the order, and the files that came.
///
/// # Errors
/// What does not agree.
pub(super) fn report(folder: &Path, image: &Path, files: &[(String, u64)]) -> Result<Report> {
    let report = fs::read(folder.join(REPORT))?;
    ensure!(report.len() == 184 && report[..8] == *b"HEAR\x01\0\0\0", "not a report");
    let (statement, evidence) = report.split_at(152);
    let field = |at: usize, length: usize| &statement[at..at + length];
    let label = String::from_utf8_lossy(field(8, 40)).trim_end_matches('\0').to_owned();
    ensure!(label == SOFTWARE_ROOT.0, "a report by a root that is not known: {label}");
    let mac = Hmac::<Sha256>::new_from_slice(SOFTWARE_ROOT.1)?.chain_update(statement);
    ensure!(mac.verify_slice(evidence).is_ok(), "the report was altered");

    let order = fs::read(folder.join("order.bin"))?;
    ensure!(order.get(8..16) == Some(field(48, 8)), "a report for other parameters");
    ensure!(order.get(24..56) == Some(field(120, 32)), "a report for another order");
    let measurement = measurement(image)?;
    ensure!(field(56, 32) == measurement, "a report of another program");
    let keys = digest(folder, files)?;
    ensure!(field(88, 32) == keys, "a report for other keys");
    Ok(Report { root: label, measurement: hex(&measurement), keys: hex(&keys) })
}

/// SHA-256 of an image's program: what lies between its symbols `__program_start` and `__program_end`.
fn measurement(image: &Path) -> Result<[u8; 32]> {
    let bytes = fs::read(image)?;
    let object = object::File::parse(&*bytes)?;
    let symbol = |name: &str| {
        let found = object.symbols().find(|symbol| symbol.name() == Ok(name));
        found.map(|symbol| symbol.address()).with_context(|| format!("no symbol {name}"))
    };
    let (start, end) = (symbol("__program_start")?, symbol("__program_end")?);
    let segment = object.segments().find(|segment| segment.address() == start);
    let mut program = segment.context("no program in the image")?.data()?.to_vec();
    program.resize(usize::try_from(end - start)?, 0);
    Ok(Sha256::digest(program).into())
}

/// The digest of keys, as `targets/key-authority/src/session.rs` defines it.
fn digest(folder: &Path, files: &[(String, u64)]) -> Result<[u8; 32]> {
    let mut hash = Sha256::new();
    for (name, length) in files {
        let Some((kind, number)) = numbers(name)? else { continue };
        hash.update(kind.to_le_bytes());
        hash.update(number.to_le_bytes());
        hash.update(length.to_le_bytes());
        let mut file = File::open(folder.join(name))?;
        io::copy(&mut file, &mut HashWriter(&mut hash))?;
    }
    Ok(hash.finalize().into())
}

/// The two numbers of a file; `None` if it is not a key.
fn numbers(name: &str) -> Result<Option<(u32, u32)>> {
    if name == PUBLIC_KEY {
        return Ok(Some((17, 0)));
    }
    let stem = name.strip_prefix("server/").and_then(|name| name.strip_suffix(".key"));
    let numbered =
        |stem: &str, prefix: &str| -> Option<u32> { stem.strip_prefix(prefix)?.parse().ok() };
    match stem {
        None | Some("transport") => Ok(None),
        Some("relinearization") => Ok(Some((1, 0))),
        Some("raise") => Ok(Some((3, 0))),
        Some("down") => Ok(Some((5, 0))),
        Some(stem) => {
            let galois = numbered(stem, "galois-").map(|number| (2, number));
            let key = galois.or_else(|| numbered(stem, "pack-").map(|number| (4, number)));
            key.map(Some).with_context(|| format!("not a key: {name}"))
        }
    }
}

/// A hash that can be written to.
struct HashWriter<'a>(&'a mut Sha256);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_numbers_of_the_authority_and_nothing_else_has_any() {
        assert_eq!(numbers("server/galois-131071.key").unwrap(), Some((2, 131_071)));
        assert_eq!(numbers("server/pack-63.key").unwrap(), Some((4, 63)));
        assert_eq!(numbers(PUBLIC_KEY).unwrap(), Some((17, 0)));
        assert_eq!(numbers(TRANSPORT).unwrap(), None);
        assert_eq!(numbers(REPORT).unwrap(), None);
        assert!(numbers("server/secret.key").is_err());
    }
}
