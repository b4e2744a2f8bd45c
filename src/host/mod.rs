//! CPU, memory, disk and network readings of this host, from `/proc`, `/sys` and control groups.
//!
//! For: what the machine under the server has, uses and waits for, with the limit that really
//! holds (a container's quota where it is tighter than the machine). Not for: Postgres's own
//! figures (`postgres::collect`), nor for a remote target's host: that one cannot be read here.
//!
//! Every source stands alone: a missing file costs only its own series. Read `metrics` first for
//! what is given, then `control_group` for how limits are found.

mod control_group;
mod disk;
mod filesystem;
mod memory;
pub mod metrics;
mod network;
mod pressure;
mod process;
mod processor;

use std::fs;
use std::path::{Path, PathBuf};

use crate::model::series::{Metric, Sample};
use crate::model::units::{Millis, Timestamp};

use filesystem::Mount;
pub use process::{ProcessUse, process, this_process};

/// Why the host could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not one source gave a value.
    #[error("no host reading under {proc}; is procfs mounted there?", proc = .proc.display())]
    NothingReadable {
        /// The folder that was looked in.
        proc: PathBuf,
    },
}

/// The result of reading the host.
pub type Result<T> = std::result::Result<T, Error>;

/// Where the host is read from; the default is this machine.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where procfs is mounted.
    pub proc: PathBuf,
    /// Where sysfs is mounted; control groups are looked for in `fs/cgroup` below it.
    pub sys: PathBuf,
    /// The control group whose limits hold, such as `/system.slice/postgresql.service`; `None` is
    /// the one that this process runs in.
    pub control_group: Option<String>,
    /// Paths whose file system is reported whatever its type, such as a data directory on tmpfs.
    pub watched: Vec<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            proc: PathBuf::from("/proc"),
            sys: PathBuf::from("/sys"),
            control_group: None,
            watched: Vec::new(),
        }
    }
}

/// How long the list of mounts is trusted: mounts change rarely, and listing them may be long.
const MOUNTS_FRESH_FOR: Millis = Millis::MINUTE;

/// Reads this host.
#[derive(Debug)]
pub struct Host {
    options: Options,
    mounts: Vec<Mount>,
    mounts_read_at: Option<Timestamp>,
}

impl Host {
    /// Prepares reading; nothing is opened yet.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            mounts: Vec::new(),
            mounts_read_at: None,
        }
    }

    /// Reads everything that can be read. `at` is the instant of the scrape.
    ///
    /// # Errors
    /// [`Error::NothingReadable`] if no source gave a value at all.
    pub fn read(&mut self, at: Timestamp) -> Result<Vec<Sample>> {
        self.refresh_mounts(at);
        let roots = Roots {
            proc: &self.options.proc,
            sys: &self.options.sys,
        };
        let group = control_group::read(&roots, self.options.control_group.as_deref());
        let mut samples = Vec::with_capacity(64);
        processor::read(&roots, &group, &mut samples);
        memory::read(&roots, &group, &mut samples);
        pressure::read(&roots, &mut samples);
        disk::read(&roots, &mut samples);
        network::read(&roots, &mut samples);
        filesystem::read(&self.mounts, &mut samples);
        if samples.is_empty() {
            return Err(Error::NothingReadable {
                proc: self.options.proc.clone(),
            });
        }
        Ok(samples)
    }

    /// The mount point, as labelled in the series, of the file system that holds `path`.
    ///
    /// `None` if that file system is not reported, or if `path` does not exist.
    pub fn filesystem_of(&mut self, path: &Path) -> Option<String> {
        if self.mounts_read_at.is_none() {
            self.mounts = filesystem::mounts(&self.options);
        }
        filesystem::holding(&self.options.proc, &self.mounts, path)
    }

    fn refresh_mounts(&mut self, at: Timestamp) {
        // A clock that was stepped back must not freeze the list, so that any distance counts.
        let fresh = self
            .mounts_read_at
            .is_some_and(|then| at >= then && at.since(then) < MOUNTS_FRESH_FOR.as_duration());
        if !fresh {
            self.mounts = filesystem::mounts(&self.options);
            self.mounts_read_at = Some(at);
        }
    }
}

/// Every metric that [`Host::read`] may give.
pub fn metrics() -> Vec<&'static Metric> {
    metrics::ALL.to_vec()
}

/// Where the kernel's file systems are mounted.
struct Roots<'a> {
    proc: &'a Path,
    sys: &'a Path,
}

/// The text of a file, or nothing: an absent source is not an error here.
fn text(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// The number that a one-line file holds.
fn number(path: &Path) -> Option<f64> {
    text(path)?
        .trim()
        .parse()
        .ok()
        .filter(|n: &f64| n.is_finite())
}

/// The value of `key` in lines such as `key value` or `key: value kB`.
fn field(text: &str, key: &str) -> Option<f64> {
    text.lines().find_map(|line| {
        let rest = line.strip_prefix(key)?;
        let rest = rest.strip_prefix(':').unwrap_or(rest);
        if !rest.starts_with(char::is_whitespace) {
            return None;
        }
        rest.split_whitespace().next()?.parse().ok()
    })
}

#[cfg(test)]
mod tests;
