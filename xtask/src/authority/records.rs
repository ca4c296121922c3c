//! The records that a machine sends, and the files that they become. The format is that of
//! `targets/key-authority/src/record.rs`.

use crate::console::Step;
use anyhow::{Context, Result, bail, ensure};
use core::time::Duration;
use serde_json::Value;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::time::Instant;

/// No record is longer.
const LONGEST: u32 = 2 << 20;
/// How often progress is told.
const NEWS: Duration = Duration::from_secs(10);

/// Everything that came.
#[derive(Debug)]
pub(super) struct Received {
    /// The files, in their order, with their lengths.
    pub files: Vec<(String, u64)>,
    /// Bytes of all of them.
    pub bytes: u64,
    /// What the images counted.
    pub figures: Value,
}

/// Writes the files that come below `folder`; only those that are `allowed`, each once.
///
/// # Errors
/// If something else comes, too little or too much, or the machine gives up.
pub(super) fn receive(
    input: impl Read,
    folder: &Path,
    allowed: &[String],
    step: &Step,
) -> Result<Received> {
    let mut input = BufReader::with_capacity(1 << 20, input);
    let mut received = Received { files: Vec::new(), bytes: 0, figures: Value::Null };
    let (mut planned, mut file) = (0, None::<BufWriter<File>>);
    let (started, mut told) = (Instant::now(), Instant::now());
    loop {
        let (tag, body) = record(&mut input)?;
        match &tag {
            b"PLAN" => planned = u64::from_le_bytes(body.as_slice().try_into()?),
            b"FILE" => {
                let name = String::from_utf8(body)?;
                let is_new = received.files.iter().all(|(other, _)| *other != name);
                ensure!(is_new && allowed.contains(&name), "a file that nobody ordered: {name:?}");
                finish(file.take())?;
                let path = folder.join(&name);
                let made = File::create(&path);
                let made = made.with_context(|| format!("making {}", path.display()))?;
                file = Some(BufWriter::new(made));
                received.files.push((name, 0));
            }
            b"DATA" => {
                let (Some(file), Some((_, length))) = (&mut file, received.files.last_mut()) else {
                    bail!("data that belong to no file")
                };
                file.write_all(&body).context("writing keys")?;
                *length += body.len() as u64;
                received.bytes += body.len() as u64;
                if told.elapsed() > NEWS {
                    told = Instant::now();
                    step.say(&news(received.bytes, planned, started.elapsed()));
                }
                step.show(&news(received.bytes, planned, started.elapsed()));
            }
            b"DONE" => {
                finish(file.take())?;
                ensure!(received.bytes == planned, "{} of {planned} bytes came", received.bytes);
                ensure!(received.files.len() == allowed.len(), "keys are missing");
                received.figures = serde_json::from_slice(&body)?;
                return Ok(received);
            }
            b"FAIL" => bail!("the machine: {}", String::from_utf8_lossy(&body)),
            other => bail!("not a record: {other:?}"),
        }
    }
}

fn record(input: &mut impl Read) -> Result<([u8; 4], Vec<u8>)> {
    let (mut tag, mut length) = ([0; 4], [0; 4]);
    input.read_exact(&mut tag).context("the machine ended")?;
    input.read_exact(&mut length).context("the machine ended")?;
    let length = u32::from_le_bytes(length);
    ensure!(length <= LONGEST, "a record of {length} bytes");
    let mut body = vec![0; usize::try_from(length)?];
    input.read_exact(&mut body).context("the machine ended")?;
    Ok((tag, body))
}

fn finish(file: Option<BufWriter<File>>) -> Result<()> {
    let Some(file) = file else { return Ok(()) };
    file.into_inner().context("writing keys")?.sync_all().context("writing keys")
}

/// How far it is, and how long the rest takes if it goes on as it did.
fn news(done: u64, planned: u64, elapsed: Duration) -> String {
    let percent = 100 * done / planned.max(1);
    let left = elapsed.as_secs() * planned.saturating_sub(done) / done.max(1);
    format!("  {percent} % of {} MB, {}:{:02} min left", planned >> 20, left / 60, left % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::Console;
    use std::{env, fs};

    fn stream(records: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
        let record = |(tag, body): &(&[u8; 4], &[u8])| {
            let length = u32::try_from(body.len()).unwrap().to_le_bytes();
            [&tag[..], &length, body].concat()
        };
        records.iter().flat_map(record).collect()
    }

    fn received(name: &str, records: &[(&[u8; 4], &[u8])]) -> Result<Received> {
        let folder = env::temp_dir().join(format!("xtask-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let step = Console::new().step("test");
        let allowed = ["a.key".to_owned()];
        let result = receive(stream(records).as_slice(), &folder, &allowed, &step);
        fs::remove_dir_all(&folder)?;
        result
    }

    const PLAN: (&[u8; 4], &[u8]) = (b"PLAN", &[5, 0, 0, 0, 0, 0, 0, 0]);
    const FILE: (&[u8; 4], &[u8]) = (b"FILE", b"a.key");
    const DONE: (&[u8; 4], &[u8]) = (b"DONE", b"{}");

    #[test]
    fn what_was_ordered_is_taken() {
        let records = [PLAN, FILE, (b"DATA", b"one"), (b"DATA", b"23"), DONE];
        let received = received("good", &records).unwrap();
        assert_eq!((received.files, received.bytes), (vec![("a.key".to_owned(), 5)], 5));
    }

    #[test]
    fn what_was_not_ordered_is_refused() {
        let data: (&[u8; 4], &[u8]) = (b"DATA", b"12345");
        let bad: [&[(&[u8; 4], &[u8])]; 8] = [
            &[PLAN, (b"FILE", b"../a.key"), data, DONE],
            &[PLAN, (b"FILE", b"b.key"), data, DONE],
            &[PLAN, FILE, data, FILE, DONE],
            &[PLAN, data, DONE],
            &[PLAN, FILE, (b"DATA", b"1234"), DONE],
            &[PLAN, FILE, data],
            &[PLAN, FILE, data, (b"FAIL", b"why")],
            &[(b"what", b"")],
        ];
        for (i, records) in bad.iter().enumerate() {
            assert!(received(&format!("bad-{i}"), records).is_err(), "{i}");
        }
    }
}
