//! What both parties do with files.

use std::fs;
use std::path::{Path, PathBuf};

use he_core::wire::{Kind, Link, Pair, RingShape, TransportKey};
use rand_chacha::ChaCha20Rng;
use rand_core::Rng;

use crate::Outcome;

/// The variance of rounding a coefficient to an integer.
pub(crate) const ROUNDING: f64 = 1.0 / 12.0;

/// What the other library has to know.
pub(crate) struct Facts<'a> {
    /// `log2(N)`.
    pub log_degree: u32,
    /// The primes of ciphertexts, and those of key switching.
    pub primes: [&'a [u32]; 2],
    /// The digest of the parameters that stands in frames.
    pub digest: u64,
    /// Whether slots are `real` or `complex`.
    pub slots: &'static str,
    /// For each level: how many primes it has, and between which powers of two scales are.
    pub levels: &'static [[u32; 3]],
}

impl Facts<'_> {
    /// Writes `ring.txt`.
    pub(crate) fn write(&self, directory: &Path) -> Outcome<()> {
        let list =
            |numbers: &[u32]| numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
        let mut text = format!("log_degree {}\n", self.log_degree);
        text += &format!("chain {}\nspecial {}\n", list(self.primes[0]), list(self.primes[1]));
        text += &format!("digest {}\nslots {}\n", self.digest, self.slots);
        for level in self.levels {
            text += &format!("level {}\n", list(level));
        }
        Ok(fs::write(directory.join("ring.txt"), text)?)
    }
}

/// The ciphertexts of a directory, in order.
pub(crate) fn ciphertexts(directory: &Path) -> Outcome<Vec<PathBuf>> {
    let entries = fs::read_dir(directory)?.map(|entry| Ok(entry?.path()));
    let mut paths = entries.collect::<Result<Vec<_>, std::io::Error>>()?;
    paths.retain(|path| path.extension().is_some_and(|e| e == "frame") && kind(path).is_some());
    paths.sort();
    Ok(paths)
}

/// What stands after the number in the name of a ciphertext's file.
pub(crate) fn kind(path: &Path) -> Option<&str> {
    Some(path.file_stem()?.to_str()?.split_once('-')?.1)
}

/// Writes a message beside its ciphertext.
pub(crate) fn write_message(
    path: &Path,
    variance: f64,
    parts: impl Iterator<Item = f64>,
) -> Outcome<()> {
    let doubles = [variance].into_iter().chain(parts);
    let bytes: Vec<u8> = doubles.flat_map(f64::to_le_bytes).collect();
    Ok(fs::write(path.with_extension("slots"), bytes)?)
}

/// The message of a ciphertext: the predicted variance of a coefficient, and the slots.
pub(crate) fn message(path: &Path) -> Outcome<(f64, Vec<f64>)> {
    let bytes = fs::read(path.with_extension("slots"))?;
    let doubles: Vec<f64> =
        bytes.as_chunks().0.iter().map(|&chunk| f64::from_le_bytes(chunk)).collect();
    let (&variance, parts) = doubles.split_first().ok_or("no message")?;
    Ok((variance, parts.to_vec()))
}

/// Uniform in `[−1, 1]`.
pub(crate) fn uniform(rng: &mut ChaCha20Rng) -> f64 {
    f64::from(rng.next_u32().cast_signed()) / f64::from(1u32 << 31)
}

/// Prints a row: how far slots are from a message, and how far they should be. The errors of slots have
/// `parts` parts: a complex slot two, a real one one.
pub(crate) fn print_row(path: &Path, parts: u32, predicted: f64, errors: &[f64]) {
    let worst = errors.iter().copied().fold(0.0, f64::max);
    let slots = errors.iter().map(|_| 1.0).sum::<f64>();
    let rms = (errors.iter().map(|e| e * e).sum::<f64>() / slots).sqrt();
    let kind = kind(path).unwrap_or_default();
    println!(
        "{{\"kind\":\"{kind}\",\"slots\":{slots},\"parts\":{parts},\"predicted\":{predicted:e},\
         \"rms\":{rms:e},\"worst\":{worst:e}}}"
    );
}

/// Writes a pair as a frame.
pub(crate) fn put(
    path: &Path,
    (kind, digest): (Kind, u64),
    shape: &RingShape<'_>,
    pair: &Pair,
) -> Outcome<()> {
    let (checksum, mut bytes) = (TransportKey::checksum(), Vec::new());
    let mut link = Link::new(&checksum, digest, 0);
    pair.write(&mut link, kind, shape, |piece| append(&mut bytes, piece))?;
    Ok(fs::write(path, bytes)?)
}

/// Reads a ciphertext from a frame.
pub(crate) fn take(path: &Path, digest: u64, shape: &RingShape<'_>) -> Outcome<Pair> {
    let bytes = fs::read(path)?;
    let mut rest = &bytes[..];
    let checksum = TransportKey::checksum();
    let mut link = Link::new(&checksum, digest, 0);
    let take = |piece: &mut [u8]| -> Outcome<()> {
        let (head, tail) = rest.split_at_checked(piece.len()).ok_or("a file that is cut")?;
        piece.copy_from_slice(head);
        rest = tail;
        Ok(())
    };
    Pair::read(link.reader(Pair::limit(shape), take)?, Kind::Ciphertext, shape)
}

/// Adds a piece to bytes.
pub(crate) fn append(bytes: &mut Vec<u8>, piece: &[u8]) -> Outcome<()> {
    bytes.extend_from_slice(piece);
    Ok(())
}
