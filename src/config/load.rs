//! Four sources into one: flags over environment over file over defaults.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::file::{self, File, Located};
use super::keys::{self, KEYS, LIMITS};
use super::query::{self, Query};
use super::target::{self, Secret, Target, Writes};
use super::value::Value;
use super::{Environment, Error, Origin, Problem, Result, Shown};
use crate::model::capacity::{Limit, LimitOrigin, Resource};
use crate::model::maintenance::WriteClass;

const PREFIX: &str = "PLIMSOLL_";
/// The file's own path; it cannot stand in the file.
const FILE_VARIABLE: &str = "PLIMSOLL_CONFIG";
/// Targets, one a line, each `[NAME=]URL`: connection strings may hold commas and blanks.
const TARGET_VARIABLE: &str = "PLIMSOLL_TARGET";

/// What the command line says about settings.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--config`: the file to read; it must be there.
    pub config: Option<PathBuf>,
    /// `--target`, each `[NAME=]URL`; when given, targets of other sources are left out.
    pub targets: Vec<String>,
    /// Other settings.
    pub set: Vec<Flag>,
}

/// One setting given on the command line.
#[derive(Debug, Clone)]
pub struct Flag {
    /// The flag as written, such as `--listen`.
    pub flag: String,
    /// The setting, such as `listen`.
    pub key: String,
    /// The value, not yet checked.
    pub text: String,
}

/// A value and where it comes from.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// All values, checked one by one but not yet against each other.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) values: BTreeMap<&'static str, Setting>,
    pub(super) targets: Vec<Target>,
    pub(super) queries: Vec<Query>,
    pub(super) limits: BTreeMap<Resource, Limit>,
    pub(super) file: Option<PathBuf>,
}

/// Reads and merges all sources.
pub(super) fn merge(flags: &Flags, environment: &Environment) -> Result<Settings> {
    let file = match find_file(flags, environment) {
        Some(path) => Some(file::read(&path)?),
        None => None,
    };
    let mut merger = Merger {
        environment,
        values: BTreeMap::new(),
        problems: Vec::new(),
    };
    if let Some(file) = &file {
        merger.problems.extend(file.problems.iter().cloned());
    }
    merger.unknown_names(flags);
    for key in KEYS {
        merger.pick(key, flags, file.as_ref());
    }
    merger.default_data_dir();
    let targets = merger.targets(flags, file.as_ref());
    let queries = match &file {
        Some(file) => query::read(file, &mut merger.problems),
        None => Vec::new(),
    };
    if merger.problems.is_empty() {
        Ok(Settings {
            limits: merger.shared_limits(),
            values: merger.values,
            targets,
            queries,
            file: file.map(|file| file.path),
        })
    } else {
        Err(Error::Invalid(merger.problems))
    }
}

/// The file that was named, else the first that exists in the usual places.
fn find_file(flags: &Flags, environment: &Environment) -> Option<PathBuf> {
    let named = flags
        .config
        .clone()
        .or_else(|| environment.get(FILE_VARIABLE).map(PathBuf::from));
    if named.is_some() {
        return named;
    }
    let personal = environment
        .get("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| environment.home().map(|home| home.join(".config")));
    [
        environment.first_folder("CONFIGURATION_DIRECTORY"),
        Some(PathBuf::from("/etc/plimsoll")),
        personal.map(|folder| folder.join("plimsoll")),
    ]
    .into_iter()
    .flatten()
    .map(|folder| folder.join("plimsoll.toml"))
    .find(|path| path.exists())
}

struct Merger<'e> {
    environment: &'e Environment,
    values: BTreeMap<&'static str, Setting>,
    problems: Vec<Problem>,
}

impl Merger<'_> {
    fn complain(&mut self, origin: Origin, message: String) {
        self.problems.push(Problem { origin, message });
    }

    fn unknown_names(&mut self, flags: &Flags) {
        for flag in &flags.set {
            if keys::find(&flag.key).is_none() {
                self.complain(Origin::Flag(flag.flag.clone()), file::unknown(&flag.key));
            }
        }
        let known: Vec<String> = KEYS
            .iter()
            .map(keys::Key::variable)
            .chain([FILE_VARIABLE, TARGET_VARIABLE].map(str::to_owned))
            .collect();
        for name in self.environment.vars.keys() {
            if name.starts_with(PREFIX) && !known.contains(name) {
                let hint = keys::nearest(name, known.iter().map(String::as_str))
                    .map_or_else(String::new, |name| format!("; did you mean {name}?"));
                let message = format!("no setting has this variable{hint}");
                self.problems.push(Problem {
                    origin: Origin::Variable(name.clone()),
                    message,
                });
            }
        }
    }

    fn pick(&mut self, key: &'static keys::Key, flags: &Flags, file: Option<&File>) {
        let flag = flags.set.iter().rev().find(|flag| flag.key == key.name);
        let variable = key.variable();
        let in_file = file.and_then(|file| {
            let entry = file.entries.iter().find(|(name, _)| *name == key.name);
            entry.map(|(_, located)| (file, located))
        });
        let (text, origin) = if let Some(flag) = flag {
            (flag.text.as_str(), Origin::Flag(flag.flag.clone()))
        } else if let Some(text) = self.environment.get(&variable) {
            (text, Origin::Variable(variable))
        } else if let Some((file, located)) = in_file {
            (located.text.as_str(), origin_in(file, located.line))
        } else if let Some(text) = key.default {
            (text, Origin::Default(None))
        } else {
            return;
        };
        match key.shape.read(text) {
            Ok(value) => {
                self.values.insert(key.name, Setting { value, origin });
            }
            Err(message) => self.complain(origin, format!("{}: {message}", key.name)),
        }
    }

    fn default_data_dir(&mut self) {
        if self.values.contains_key("data_dir")
            || self
                .problems
                .iter()
                .any(|p| p.message.starts_with("data_dir:"))
        {
            return;
        }
        let environment = self.environment;
        let found = environment
            .first_folder("STATE_DIRECTORY")
            .map(|path| (path, "$STATE_DIRECTORY"))
            .or_else(|| {
                let state = PathBuf::from(environment.get("XDG_STATE_HOME")?);
                Some((state.join("plimsoll"), "$XDG_STATE_HOME"))
            })
            .or_else(|| {
                let home = environment.home()?;
                Some((home.join(".local/state/plimsoll"), "the home folder"))
            });
        match found {
            Some((path, why)) => {
                let setting = Setting {
                    value: Value::Path(path),
                    origin: Origin::Default(Some(why)),
                };
                self.values.insert("data_dir", setting);
            }
            None => self.complain(
                Origin::Default(None),
                "data_dir: there is no home folder to put it in; name one with --data-dir".into(),
            ),
        }
    }

    fn targets(&mut self, flags: &Flags, file: Option<&File>) -> Vec<Target> {
        let shared = self.shared_limits();
        let mut targets = Vec::new();
        if !flags.targets.is_empty() {
            for text in &flags.targets {
                targets.extend(self.spec(text, Origin::Flag("--target".to_owned()), &shared));
            }
        } else if let Some(lines) = self.environment.get(TARGET_VARIABLE) {
            for text in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
                let origin = Origin::Variable(TARGET_VARIABLE.to_owned());
                targets.extend(self.spec(text, origin, &shared));
            }
        } else if let Some(file) = file {
            for written in &file.targets {
                targets.extend(self.written(file, written, &shared));
            }
        }
        let mut seen = BTreeSet::new();
        for target in &targets {
            if !seen.insert(target.name.clone()) {
                let message = format!("two targets are called {:?}; give one a name", target.name);
                self.complain(target.origin.clone(), message);
            }
        }
        targets
    }

    fn spec(
        &mut self,
        text: &str,
        origin: Origin,
        shared: &BTreeMap<Resource, Limit>,
    ) -> Option<Target> {
        let (name, url) = target::split_name(text);
        self.target(name, url, origin, shared.clone())
    }

    fn written(
        &mut self,
        file: &File,
        written: &file::FileTarget,
        shared: &BTreeMap<Resource, Limit>,
    ) -> Option<Target> {
        let origin = origin_in(file, written.line);
        let Some(Located { text: url, line }) = &written.url else {
            let message = "target.url is missing; write one such as \"postgres://db/app\"";
            self.complain(origin, message.to_owned());
            return None;
        };
        let mut limits = shared.clone();
        for (resource, located) in &written.limits {
            let origin = origin_in(file, located.line);
            let key = LIMITS.iter().find(|(known, _)| known == resource);
            let key = key.and_then(|(_, part)| keys::find(&format!("limits.{part}")));
            let Some(key) = key else { continue };
            match key.shape.read(&located.text) {
                Ok(value) => limits.extend(limit(*resource, &value, key.name, &origin)),
                Err(message) => self.complain(origin, format!("target.{}: {message}", key.name)),
            }
        }
        let name = written.name.as_ref().map(|name| name.text.as_str());
        let pooler = written
            .pooler
            .as_ref()
            .map(|pooler| Secret::new(&pooler.text));
        let writes = self.writes(file, written);
        let target = self.target(name, url, origin_in(file, *line), limits);
        target.map(|target| Target {
            pooler,
            writes,
            ..target
        })
    }

    /// What may be written to a target; both keys or neither, and nothing that is not known.
    fn writes(&mut self, file: &File, written: &file::FileTarget) -> Option<Writes> {
        let mut classes = Vec::new();
        for Located { text, line } in &written.allow_writes {
            match WriteClass::named(text) {
                Some(class) if classes.contains(&class) => {}
                Some(class) => classes.push(class),
                None => {
                    let known = WriteClass::ALL.map(WriteClass::name).join(", ");
                    let message = format!(
                        "target.allow_writes: {text:?} is no kind of write; one of {known}"
                    );
                    self.complain(origin_in(file, *line), message);
                }
            }
        }
        match (&written.writer, written.allow_writes.first()) {
            (Some(writer), Some(_)) if writer.text.trim().is_empty() => {
                let message = "target.writer: a connection string is missing".to_owned();
                self.complain(origin_in(file, writer.line), message);
                None
            }
            (Some(writer), Some(_)) => Some(Writes {
                classes,
                writer: Secret::new(&writer.text),
            }),
            (None, Some(first)) => {
                let message = "target.allow_writes needs target.writer, the connection string of \
                               the role that writes; the one that reads need not have its rights";
                self.complain(origin_in(file, first.line), message.to_owned());
                None
            }
            (Some(writer), None) => {
                let message = "target.writer has nothing to do; say what it may, such as \
                               allow_writes = [\"vacuum\"]";
                self.complain(origin_in(file, writer.line), message.to_owned());
                None
            }
            (None, None) => None,
        }
    }

    fn target(
        &mut self,
        name: Option<&str>,
        url: &str,
        origin: Origin,
        limits: BTreeMap<Resource, Limit>,
    ) -> Option<Target> {
        let name = name.map_or_else(
            || target::default_name(url, self.environment),
            str::to_owned,
        );
        if name.trim().is_empty() || name.len() > 200 || name.chars().any(char::is_control) {
            self.complain(
                origin,
                "target.name: a name has 1 to 200 printable characters".into(),
            );
            return None;
        }
        if url.trim().is_empty() {
            self.complain(origin, "target.url: a connection string is missing".into());
            return None;
        }
        Some(Target {
            name,
            url: Secret::new(url),
            pooler: None,
            writes: None,
            limits,
            origin,
        })
    }

    /// Limits of the `[limits]` section: they hold for every target.
    fn shared_limits(&self) -> BTreeMap<Resource, Limit> {
        LIMITS
            .iter()
            .filter_map(|(resource, part)| {
                let name = format!("limits.{part}");
                let setting = self.values.get(name.as_str())?;
                limit(*resource, &setting.value, &name, &setting.origin)
            })
            .collect()
    }
}

fn origin_in(file: &File, line: usize) -> Origin {
    Origin::File {
        path: file.path.clone(),
        line,
    }
}

fn limit(
    resource: Resource,
    value: &Value,
    key: &str,
    origin: &Origin,
) -> Option<(Resource, Limit)> {
    let value = match value {
        Value::Size(size) => size.0 as f64,
        Value::Count(count) => *count as f64,
        Value::Number(number) => *number,
        _ => return None,
    };
    let origin = LimitOrigin::Configured(format!("{key}, {origin}"));
    Some((resource, Limit { value, origin }))
}

/// One row a setting, in the order of the file; then targets, with their secrets masked, and queries.
pub(super) fn shown(settings: &Settings) -> Vec<Shown> {
    let keys = KEYS.iter().map(|key| {
        let setting = settings.values.get(key.name);
        Shown {
            key: key.name.to_owned(),
            value: setting.map(|setting| setting.value.to_string()),
            origin: setting.map_or(Origin::Default(None), |setting| setting.origin.clone()),
            why: key.why,
        }
    });
    let targets = settings.targets.iter().map(|target| Shown {
        key: format!("target.{}", target.name),
        value: Some(target::masked(target.url.expose())),
        origin: target.origin.clone(),
        why: "a server and database to watch",
    });
    let queries = settings.queries.iter().map(|query| Shown {
        key: format!("query.{}", query.rule.key),
        value: Some(query.sql.split_whitespace().collect::<Vec<_>>().join(" ")),
        origin: query.origin.clone(),
        why: "a read query whose result is kept",
    });
    keys.chain(targets).chain(queries).collect()
}
