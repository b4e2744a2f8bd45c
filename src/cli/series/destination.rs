//! Where answers go: a file that gets its name when all is written, or a stream that hears nothing
//! before.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// What waits for a stream stays in memory up to this size, then goes to a nameless file.
const IN_MEMORY: usize = 8 << 20;
/// Bytes written to a file at once.
const BUFFER: usize = 256 << 10;

/// Takes bytes, and shows them when all are there.
#[derive(Debug)]
pub(super) enum Destination {
    /// A file under another name.
    Named {
        file: BufWriter<File>,
        draft: Draft,
        path: PathBuf,
    },
    /// Standard output, or what is no plain file.
    Stream { waiting: Waiting, to: Option<File> },
}

/// A file that goes when it is dropped, unless it was given its name.
#[derive(Debug)]
pub(super) struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        // After a rename it is no longer there.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Bytes that wait.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    memory: Vec<u8>,
    file: Option<File>,
}

impl Destination {
    /// `None` or `-` is standard output.
    pub(super) fn open(path: Option<&Path>) -> io::Result<Self> {
        let stream = |to| Self::Stream {
            waiting: Waiting::default(),
            to,
        };
        let Some(path) = path.filter(|path| path.as_os_str() != "-") else {
            return Ok(stream(None));
        };
        if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            // A device or a pipe must not be replaced.
            return Ok(stream(Some(OpenOptions::new().write(true).open(path)?)));
        }
        let mut name = path.as_os_str().to_owned();
        name.push(".new");
        let draft = PathBuf::from(name);
        let file = BufWriter::with_capacity(BUFFER, File::create(&draft)?);
        Ok(Self::Named {
            file,
            draft: Draft(draft),
            path: path.to_owned(),
        })
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Named { file, .. } => file.write_all(bytes),
            Self::Stream { waiting, .. } => waiting.put(bytes),
        }
    }

    /// Brings everything to the disk, so that only the name is missing.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        match self {
            Self::Named { file, .. } => {
                file.flush()?;
                file.get_ref().sync_all()
            }
            Self::Stream { .. } => Ok(()),
        }
    }

    /// Shows everything.
    pub(super) fn finish(self) -> io::Result<()> {
        match self {
            Self::Named { draft, path, .. } => std::fs::rename(&draft.0, path),
            Self::Stream { waiting, to } => {
                let shown = match to {
                    Some(mut to) => waiting.copy(&mut to),
                    None => waiting.copy(&mut io::stdout().lock()),
                };
                match shown {
                    // A reader that has seen enough (`| head`) is no failure.
                    Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
                    other => other,
                }
            }
        }
    }
}

impl Waiting {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.memory.extend_from_slice(bytes);
        if self.memory.len() > IN_MEMORY {
            if self.file.is_none() {
                self.file = Some(nameless()?);
            }
            if let Some(file) = &mut self.file {
                file.write_all(&self.memory)?;
                self.memory.clear();
            }
        }
        Ok(())
    }

    fn copy(self, to: &mut impl Write) -> io::Result<()> {
        if let Some(mut file) = self.file {
            file.seek(SeekFrom::Start(0))?;
            io::copy(&mut file, to)?;
        }
        to.write_all(&self.memory)?;
        to.flush()
    }
}

/// A file in the system's folder for such that nobody else can open, and that goes with the process.
fn nameless() -> io::Result<File> {
    let folder = std::env::temp_dir();
    for attempt in 0.. {
        let name = format!("plimsoll-{}-{attempt}.spool", std::process::id());
        let path = folder.join(name);
        let mut new = OpenOptions::new();
        match new.read(true).write(true).create_new(true).open(&path) {
            Ok(file) => {
                std::fs::remove_file(path)?;
                return Ok(file);
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_there_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.csv");
        std::fs::write(&path, "old").unwrap();
        let mut to = Destination::open(Some(&path)).unwrap();
        to.put(b"new").unwrap();
        drop(to);
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        let mut to = Destination::open(Some(&path)).unwrap();
        to.put(b"new").unwrap();
        to.sync().unwrap();
        to.finish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        assert!(Destination::open(Some(&folder.path().join("no/out.csv"))).is_err());
    }

    #[test]
    fn a_device_is_written_to_and_not_replaced() {
        let mut to = Destination::open(Some(Path::new("/dev/null"))).unwrap();
        to.put(b"x").unwrap();
        to.finish().unwrap();
        assert!(!std::fs::metadata("/dev/null").unwrap().is_file());
    }

    #[test]
    fn what_waits_comes_in_order_from_memory_and_disk() {
        for pieces in [1_usize, 3_000] {
            let mut waiting = Waiting::default();
            let mut wanted = Vec::new();
            for piece in 0..pieces {
                let bytes = format!("{piece} ").repeat(1_000).into_bytes();
                waiting.put(&bytes).unwrap();
                wanted.extend(bytes);
            }
            assert_eq!(waiting.file.is_some(), pieces > 1);
            let mut shown = Vec::new();
            waiting.copy(&mut shown).unwrap();
            assert!(shown == wanted);
        }
    }
}
