//! The password file and the service file.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::Environment;
use super::conninfo::Secret;
use crate::postgres::{Error, Result};

/// Which entry of the password file is wanted.
pub(super) struct Wanted<'a> {
    /// Host as given, or `localhost` for the default socket folder.
    pub(super) host: &'a str,
    /// Port.
    pub(super) port: u16,
    /// Database.
    pub(super) dbname: &'a str,
    /// Role.
    pub(super) user: &'a str,
}

/// The content of a password file, or why it was left unread.
pub(super) enum PassFile {
    /// Lines to search.
    Text(String),
    /// There is none.
    Missing,
    /// Others may read it, so it is not used, as libpq does.
    Exposed(PathBuf),
}

/// Reads the password file at `path`, unless others could, too.
///
/// # Errors
/// [`Error::File`] for a file that is there and cannot be read.
pub(super) fn read_pass_file(path: &Path) -> Result<PassFile> {
    let file = |source| Error::File {
        path: path.to_owned(),
        source,
    };
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(PassFile::Missing),
        Err(e) => return Err(file(e)),
    };
    if metadata.is_file() && metadata.permissions().mode() & 0o077 != 0 {
        return Ok(PassFile::Exposed(path.to_owned()));
    }
    fs::read_to_string(path).map(PassFile::Text).map_err(file)
}

/// The password of the first line that fits: `host:port:database:user:password`, `*` fits all.
pub(super) fn password(text: &str, wanted: &Wanted<'_>) -> Option<Secret> {
    let port = wanted.port.to_string();
    let want = [wanted.host, port.as_str(), wanted.dbname, wanted.user];
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .find_map(|line| {
            let fields = split(line.trim_end_matches('\r'));
            let (password, keys) = fields.split_last()?;
            let fits = keys.len() == want.len()
                && keys
                    .iter()
                    .zip(want)
                    .all(|(key, want)| (key.text == "*" && !key.escaped) || key.text == want);
            fits.then(|| Secret::new(password.text.clone()))
        })
}

#[derive(Default)]
struct Field {
    text: String,
    escaped: bool,
}

/// Splits at colons that no backslash stands before; the fifth field keeps its colons.
fn split(line: &str) -> Vec<Field> {
    let mut fields = Vec::with_capacity(5);
    let mut field = Field::default();
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                field.escaped = true;
                field.text.extend(chars.next());
            }
            ':' if fields.len() < 4 => fields.push(std::mem::take(&mut field)),
            c => field.text.push(c),
        }
    }
    fields.push(field);
    fields
}

/// The settings of one section of the first service file that has it.
///
/// # Errors
/// [`Error::NoService`] when none has it, [`Error::File`] and [`Error::ServiceLine`] for a file
/// that cannot be read.
pub(super) fn service(name: &str, environment: &Environment) -> Result<Vec<(String, String)>> {
    let mut looked_at = Vec::new();
    let own = environment.vars.get("PGSERVICEFILE").map(PathBuf::from);
    let home = environment
        .home
        .as_ref()
        .map(|h| h.join(".pg_service.conf"));
    let system = environment.vars.get("PGSYSCONFDIR").map(PathBuf::from);
    let system = system.unwrap_or_else(|| PathBuf::from("/etc/postgresql-common"));
    for path in [own.or(home), Some(system.join("pg_service.conf"))]
        .into_iter()
        .flatten()
    {
        match fs::read_to_string(&path) {
            Ok(text) => {
                if let Some(found) = section(&text, name, &path)? {
                    return Ok(found);
                }
            }
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(source) => return Err(Error::File { path, source }),
        }
        looked_at.push(path.display().to_string());
    }
    Err(Error::NoService {
        name: name.to_owned(),
        looked_at: looked_at.join(", "),
    })
}

fn section(text: &str, name: &str, path: &Path) -> Result<Option<Vec<(String, String)>>> {
    let mut found: Option<Vec<(String, String)>> = None;
    let mut inside = false;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(title) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            if found.is_some() {
                break;
            }
            inside = title == name;
            if inside {
                found = Some(Vec::new());
            }
        } else if inside && let Some(pairs) = found.as_mut() {
            let Some((key, value)) = line.split_once('=') else {
                return Err(Error::ServiceLine {
                    path: path.to_owned(),
                    line: number + 1,
                });
            };
            pairs.push((key.trim().to_owned(), value.trim().to_owned()));
        }
    }
    Ok(found)
}
