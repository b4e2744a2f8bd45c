//! The process environment, read once and handed on as plain values.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// The variables of the process, for the modules that follow other programs' conventions.
///
/// `postgres` reads `PG…` from it, `demo` the search path. An empty variable counts as unset.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// Name to value; variables that are not UTF-8 are left out.
    pub vars: BTreeMap<String, String>,
}

impl Environment {
    /// Reads the environment of this process.
    pub fn of_process() -> Self {
        let vars = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self { vars }
    }

    /// The value of `name`; `None` when unset or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.vars
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// The home folder: `HOME`, else what `/etc/passwd` says of the effective user.
    pub fn home(&self) -> Option<PathBuf> {
        self.get("HOME")
            .map(PathBuf::from)
            .or_else(|| passwd_field(5).map(PathBuf::from))
    }

    /// The operating system's name of the effective user, as libpq takes it.
    pub fn user(&self) -> Option<String> {
        passwd_field(0).or_else(|| {
            ["USER", "LOGNAME"]
                .into_iter()
                .find_map(|name| self.get(name))
                .map(str::to_owned)
        })
    }

    /// The folders of `PATH`, in order.
    pub fn search_path(&self) -> Vec<PathBuf> {
        self.get("PATH")
            .map(|path| std::env::split_paths(path).collect())
            .unwrap_or_default()
    }

    /// The first folder of a list that systemd gives, such as `STATE_DIRECTORY`.
    pub(super) fn first_folder(&self, name: &str) -> Option<PathBuf> {
        let list = self.get(name)?;
        list.split(':').find(|p| !p.is_empty()).map(PathBuf::from)
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let vars = pairs
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        Self { vars }
    }
}

impl fmt::Debug for Environment {
    /// Names alone: values such as `PGPASSWORD` must not reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.vars.keys()).finish()
    }
}

/// A field of the effective user's line in `/etc/passwd` (0 is the name, 5 the home folder).
fn passwd_field(index: usize) -> Option<String> {
    let uid = rustix::process::geteuid().as_raw().to_string();
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.get(2) == Some(&uid.as_str()))
        .and_then(|fields| fields.get(index).map(|field| (*field).to_owned()))
        .filter(|field| !field.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_counts_as_unset() {
        let environment: Environment = [("A", ""), ("B", "x")].into_iter().collect();
        assert_eq!(environment.get("A"), None);
        assert_eq!(environment.get("B"), Some("x"));
    }

    #[test]
    fn values_stay_out_of_debug_output() {
        let environment: Environment = [("PGPASSWORD", "hunter2")].into_iter().collect();
        let text = format!("{environment:?}");
        assert!(text.contains("PGPASSWORD") && !text.contains("hunter2"));
    }

    #[test]
    fn the_first_of_several_state_folders_is_taken() {
        let environment: Environment = [("STATE_DIRECTORY", "/a:/b")].into_iter().collect();
        assert_eq!(
            environment.first_folder("STATE_DIRECTORY"),
            Some(PathBuf::from("/a"))
        );
    }
}
