//! Finds the programs of a PostgreSQL server on this machine.
//!
//! For: the distribution's packages, other packagings by path, and relocatable builds. Not for:
//! choosing a version: the first usable folder in the order searched is taken.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Error, Result};

/// Oldest major version that is supported.
const OLDEST_MAJOR: u32 = 13;

/// Where packagers put servers side by side, by major version.
const VERSIONED: [(&str, &str); 2] = [("/usr/lib/postgresql", ""), ("/usr", "pgsql-")];

/// The programs of one server version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    bin: PathBuf,
    major: u32,
}

impl Binaries {
    /// Takes the server in `bin`, if both its programs are there and it is not too old.
    ///
    /// # Errors
    /// [`Error::NoBinaries`] if `postgres` or `initdb` is missing or does not run,
    /// [`Error::TooOld`] below version 13.
    pub fn in_folder(bin: &Path) -> Result<Self> {
        let bin = &real_folder(bin);
        if !bin.join("initdb").is_file() {
            return Err(Error::NoBinaries);
        }
        let major = major_version(&bin.join("postgres")).ok_or(Error::NoBinaries)?;
        if major < OLDEST_MAJOR {
            return Err(Error::TooOld {
                path: bin.to_owned(),
                major,
            });
        }
        Ok(Self {
            bin: bin.to_owned(),
            major,
        })
    }

    /// The folder that holds `postgres` and `initdb`.
    pub fn folder(&self) -> &Path {
        &self.bin
    }

    /// The major version, such as 15.
    pub fn major(&self) -> u32 {
        self.major
    }

    /// The full path of one of the programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// The folder of shared libraries beside a relocatable build.
    pub(super) fn libraries(&self) -> Option<PathBuf> {
        let lib = self.bin.parent()?.join("lib");
        lib.is_dir().then_some(lib)
    }

    /// Whether the loadable library `name` is installed with this server.
    ///
    /// Preloading a library that is missing would keep the server from starting.
    pub(super) fn has_library(&self, name: &str) -> bool {
        let file = format!("{name}.so");
        let Some(root) = self.bin.parent() else {
            return false;
        };
        ["lib", "lib/postgresql", "lib/pgsql", "lib64/pgsql", "lib64"]
            .iter()
            .any(|folder| root.join(folder).join(&file).is_file())
    }
}

/// Searches `extra` in order, then the versioned folders of the distributions, newest first.
///
/// `extra` is where the caller looks first: the entries of `PATH`, or a folder of its own.
///
/// # Errors
/// [`Error::NoBinaries`] with the package to install, or [`Error::TooOld`] if only old ones are
/// there.
pub fn find_binaries(extra: &[PathBuf]) -> Result<Binaries> {
    let mut too_old = None;
    for folder in extra.iter().cloned().chain(versioned_folders()) {
        match Binaries::in_folder(&folder) {
            Ok(found) => return Ok(found),
            Err(error @ Error::TooOld { .. }) => too_old = too_old.or(Some(error)),
            Err(_) => {}
        }
    }
    Err(too_old.unwrap_or(Error::NoBinaries))
}

/// Where `postgres` really lies: on `PATH` it is often a link, with no libraries beside it.
fn real_folder(bin: &Path) -> PathBuf {
    let real = bin.join("postgres").canonicalize().ok();
    real.and_then(|program| program.parent().map(Path::to_owned))
        .filter(|folder| folder.join("initdb").is_file())
        .unwrap_or_else(|| bin.to_owned())
}

fn versioned_folders() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for (root, prefix) in VERSIONED {
        for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(version) = name.strip_prefix(prefix) else {
                continue;
            };
            if let Ok(version) = version.parse::<u32>() {
                found.push((version, entry.path().join("bin")));
            }
        }
    }
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, folder)| folder).collect()
}

/// Reads `postgres (PostgreSQL) 15.14 (Debian …)`; a development build says `18devel` or `18beta1`.
fn major_version(postgres: &Path) -> Option<u32> {
    let output = Command::new(postgres)
        .arg("--version")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    parse_version(&String::from_utf8_lossy(&output.stdout))
}

fn parse_version(text: &str) -> Option<u32> {
    let version = text.split("(PostgreSQL)").nth(1)?.trim_start();
    let digits = version.chars().take_while(char::is_ascii_digit);
    digits.collect::<String>().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_releases_and_of_development_builds_are_read() {
        assert_eq!(
            parse_version("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)"),
            Some(15)
        );
        assert_eq!(parse_version("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(parse_version("postgres (SomethingElse) 15.1"), None);
    }

    #[test]
    fn links_are_followed_to_where_the_libraries_are() {
        let root = tempfile::tempdir().unwrap();
        let (real, path) = (root.path().join("real/bin"), root.path().join("path"));
        std::fs::create_dir_all(&real).unwrap();
        std::fs::create_dir(&path).unwrap();
        for name in ["initdb", "postgres"] {
            std::fs::write(real.join(name), "").unwrap();
            std::os::unix::fs::symlink(real.join(name), path.join(name)).unwrap();
        }
        assert_eq!(real_folder(&path), real.canonicalize().unwrap());
    }

    #[test]
    fn a_folder_without_a_server_is_passed_over_and_named_with_a_cure() {
        let error = Binaries::in_folder(Path::new("/nonexistent")).unwrap_err();
        assert!(matches!(error, Error::NoBinaries));
        assert!(error.to_string().contains("apt install postgresql"));
    }
}
