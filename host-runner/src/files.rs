//! Files that are either whole or absent: written beside their place, synced, then renamed.

use core::sync::atomic::{AtomicU64, Ordering};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Files that this process has begun.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody (mode 0644).
    Public,
    /// The owner alone (mode 0600): anything that holds a secret.
    Private,
}

impl Access {
    const fn mode(self) -> u32 {
        match self {
            Self::Public => 0o644,
            Self::Private => 0o600,
        }
    }
}

/// A file under way; it takes its place in [`Self::commit`] and leaves no trace if dropped before.
#[derive(Debug)]
pub struct AtomicFile {
    file: Option<BufWriter<File>>,
    beside: PathBuf,
    place: PathBuf,
}

impl AtomicFile {
    /// Begins a file that will be at `place`.
    ///
    /// # Errors
    /// If the directory cannot be written.
    pub fn create(place: &Path, access: Access) -> Result<Self> {
        let mut name = place.file_name().context("a file needs a name")?.to_owned();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        name.push(format!(".{}-{count}.part", std::process::id()));
        let beside = place.with_file_name(name);
        // Left over from a run that was killed; nobody else has this process's number and this count.
        match fs::remove_file(&beside) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(e).with_context(|| format!("cannot replace {}", beside.display()));
            }
            _ => {}
        }
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(access.mode())
            .open(&beside)
            .with_context(|| format!("cannot write {}", beside.display()))?;
        Ok(Self {
            file: Some(BufWriter::with_capacity(1 << 20, file)),
            beside,
            place: place.to_owned(),
        })
    }

    /// Makes the file durable and moves it to its place.
    ///
    /// # Errors
    /// If the disk is full or fails; the place then keeps what it had.
    pub fn commit(mut self) -> Result<()> {
        let name = self.place.display().to_string();
        let Some(writer) = self.file.take() else { bail!("{name} is committed twice") };
        let file = writer
            .into_inner()
            .map_err(io::IntoInnerError::into_error)
            .with_context(|| format!("cannot write {name}"))?;
        file.sync_all().with_context(|| format!("cannot sync {name}"))?;
        fs::rename(&self.beside, &self.place).with_context(|| format!("cannot place {name}"))?;
        let directory = self.place.parent().filter(|p| !p.as_os_str().is_empty());
        let directory = directory.unwrap_or_else(|| Path::new("."));
        let synced = File::open(directory).and_then(|directory| directory.sync_all());
        synced.with_context(|| format!("cannot sync {}", directory.display()))
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.as_mut().map_or_else(|| Err(io::ErrorKind::BrokenPipe.into()), |f| f.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or_else(|| Err(io::ErrorKind::BrokenPipe.into()), Write::flush)
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        // After a commit there is nothing at this path; before it, removing is all one can do.
        let _ = fs::remove_file(&self.beside);
    }
}

/// Writes `bytes` to `place`, whole or not at all.
///
/// # Errors
/// If the directory cannot be written or the disk is full.
pub fn write(place: &Path, access: Access, bytes: &[u8]) -> Result<()> {
    let mut file = AtomicFile::create(place, access)?;
    file.write_all(bytes).with_context(|| format!("cannot write {}", place.display()))?;
    file.commit()
}

/// The bytes that a file has.
///
/// # Errors
/// If it is missing.
pub fn length(path: &Path) -> Result<u64> {
    Ok(fs::metadata(path).with_context(|| missing(path))?.len())
}

/// Reads a whole file of at most `limit` bytes.
///
/// # Errors
/// If it is missing, cannot be read or is larger.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let length = length(path)?;
    if length > limit {
        bail!("{} is {length} bytes long; at most {limit} are expected", path.display());
    }
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn missing(path: &Path) -> String {
    format!("cannot open {}", path.display())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("host-runner-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn an_uncommitted_file_leaves_the_old_one_and_no_trace() {
        let directory = scratch("uncommitted");
        let place = directory.join("a.key");
        write(&place, Access::Private, b"old").unwrap();
        let mut file = AtomicFile::create(&place, Access::Private).unwrap();
        file.write_all(b"new").unwrap();
        drop(file);
        assert_eq!(fs::read(&place).unwrap(), b"old");
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_private_file_is_the_owners_alone() {
        let directory = scratch("private");
        let place = directory.join("edge.secret");
        write(&place, Access::Private, b"x").unwrap();
        assert_eq!(fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o600);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn an_oversized_file_is_not_read() {
        let directory = scratch("oversized");
        let place = directory.join("big");
        write(&place, Access::Public, &[0; 100]).unwrap();
        assert!(read(&place, 99).is_err());
        assert_eq!(read(&place, 100).unwrap().len(), 100);
        assert!(read(&directory.join("none"), 10).unwrap_err().to_string().contains("none"));
        fs::remove_dir_all(directory).unwrap();
    }
}
