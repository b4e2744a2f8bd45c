//! `[[query]]`: read queries by name, whose results are kept (`cache`).
//!
//! For: what one such section may hold, each value checked alone. Not for: whether its SQL is one
//! statement and its target is watched; whoever runs it knows that (`work::cache`).

use std::collections::BTreeMap;
use std::path::Path;

use super::file::{self, File, FileQuery, Located};
use super::keys::nearest;
use super::load::Settings;
use super::value::{Shape, Value};
use super::{Error, Origin, Problem, Result};
use crate::model::cached::{Priority, Rule};
use crate::model::units::{Bytes, Millis};

/// The longest name of a query, in characters.
const KEY_MAX: usize = 200;
/// The most queries: each is a name that an operator wrote.
const QUERIES_MAX: usize = 1_000;
/// The most rows that a query may ask to keep.
const ROWS_MAX: u64 = 1_000_000;
/// The longest that a result is kept.
const KEPT_MAX: Millis = Millis(30 * Millis::DAY.0);

/// What a `[[query]]` may hold, in the order of the documentation.
const FIELDS: [(&str, Shape); 9] = [
    ("key", Shape::Text),
    ("target", Shape::Text),
    ("sql", Shape::Text),
    ("ttl", Shape::Duration(Millis::SECOND, KEPT_MAX)),
    ("stale", Shape::Duration(Millis(0), KEPT_MAX)),
    ("priority", Shape::Choice(&Priority::NAMES)),
    ("tags", Shape::List),
    ("events", Shape::List),
    ("max_rows", Shape::Count(1, ROWS_MAX)),
];

/// Age at which a result is loaded anew unless the file says otherwise.
const TTL: Millis = Millis::MINUTE;
/// Rows that are kept unless the file says otherwise.
const ROWS: u64 = 10_000;

/// Bounds of what is kept of named queries' results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cache {
    /// Memory that all results together may take.
    pub max_bytes: Bytes,
    /// Bound of running one query.
    pub query_timeout: Millis,
}

impl Cache {
    /// As it is set.
    pub(super) fn of(settings: &Settings) -> Self {
        Self {
            max_bytes: settings.size("cache.max_bytes").unwrap_or_default(),
            query_timeout: settings.length("cache.query_timeout"),
        }
    }
}

/// A read query by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Its name, and how its result is kept.
    pub rule: Rule,
    /// Where it runs; `None` where there is only one target.
    pub target: Option<String>,
    /// One statement.
    pub sql: String,
    /// The most rows that are kept; more are an error.
    pub max_rows: u64,
    /// Where it stands.
    pub origin: Origin,
}

/// Reads a text that holds nothing but `[[query]]` sections, such as one that is compiled in; `name` stands
/// for a file in complaints.
///
/// # Errors
/// [`Error::Syntax`] and [`Error::Invalid`].
pub fn queries(name: &str, text: &str) -> Result<Vec<Query>> {
    let mut file = file::parse(Path::new(name), text)?;
    let mut problems = std::mem::take(&mut file.problems);
    let queries = read(&file, &mut problems);
    if problems.is_empty() {
        Ok(queries)
    } else {
        Err(Error::Invalid(problems))
    }
}

/// The field of this name, or what was probably meant.
pub(super) fn field(name: &str) -> std::result::Result<(&'static str, Shape), String> {
    let found = FIELDS.iter().find(|(known, _)| *known == name);
    found.copied().ok_or_else(|| {
        let hint = nearest(name, FIELDS.map(|(known, _)| known)).map_or_else(
            || format!("; it has {}", FIELDS.map(|(known, _)| known).join(", ")),
            |near| format!("; did you mean {near}?"),
        );
        format!("query.{name} is no setting{hint}")
    })
}

/// All queries of a file; what is wrong becomes a problem.
pub(super) fn read(file: &File, problems: &mut Vec<Problem>) -> Vec<Query> {
    let mut queries: Vec<Query> = Vec::new();
    let mut first: BTreeMap<String, Origin> = BTreeMap::new();
    for written in &file.queries {
        let query = match one(file, written) {
            Ok(query) => query,
            Err(mut wrong) => {
                problems.append(&mut wrong);
                continue;
            }
        };
        let key = query.rule.key.clone();
        if let Some(before) = first.get(&key) {
            problems.push(Problem {
                origin: query.origin,
                message: format!("query.key: {key:?} is the key of another query ({before}), too"),
            });
            continue;
        }
        first.insert(key, query.origin.clone());
        queries.push(query);
    }
    if let Some(over) = queries.get(QUERIES_MAX) {
        problems.push(Problem {
            origin: over.origin.clone(),
            message: format!("there are more than {QUERIES_MAX} queries; leave some out"),
        });
    }
    queries
}

fn one(file: &File, written: &FileQuery) -> std::result::Result<Query, Vec<Problem>> {
    let at = |line| Origin::File {
        path: file.path.clone(),
        line,
    };
    let mut problems = Vec::new();
    let mut values: BTreeMap<&str, Value> = BTreeMap::new();
    for (name, Located { text, line }) in &written.entries {
        let Ok((name, shape)) = field(name) else {
            continue;
        };
        match shape.read(text).and_then(|value| checked(name, value)) {
            Ok(value) => {
                values.insert(name, value);
            }
            Err(message) => problems.push(Problem {
                origin: at(*line),
                message: format!("query.{name}: {message}"),
            }),
        }
    }
    for (name, example) in [("key", "\"agents:active\""), ("sql", "\"SELECT … FROM …\"")] {
        if !written.entries.iter().any(|(known, _)| *known == name) {
            problems.push(Problem {
                origin: at(written.line),
                message: format!("query.{name} is missing; write one such as {example}"),
            });
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(assembled(values, at(written.line)))
}

fn assembled(mut values: BTreeMap<&str, Value>, origin: Origin) -> Query {
    let mut take = |name: &str| values.remove(name);
    let text = |value| match value {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    };
    let length = |value, default| match value {
        Some(Value::Duration(length)) => length,
        _ => default,
    };
    let words = |value| match value {
        Some(Value::List(words)) => words,
        _ => Vec::new(),
    };
    Query {
        rule: Rule {
            key: text(take("key")).unwrap_or_default(),
            ttl: length(take("ttl"), TTL),
            stale: length(take("stale"), Millis(0)),
            priority: text(take("priority"))
                .and_then(|name| name.parse().ok())
                .unwrap_or_default(),
            tags: words(take("tags")),
            events: words(take("events")),
        },
        target: text(take("target")),
        sql: text(take("sql")).unwrap_or_default(),
        max_rows: match take("max_rows") {
            Some(Value::Count(rows)) => rows,
            _ => ROWS,
        },
        origin,
    }
}

/// What a shape alone does not say.
fn checked(name: &str, value: Value) -> std::result::Result<Value, String> {
    match (name, &value) {
        ("key", Value::Text(key)) => is_name(key, "a key")?,
        ("sql", Value::Text(sql)) if sql.trim().is_empty() => {
            return Err("there is no statement; write one such as \"SELECT … FROM …\"".to_owned());
        }
        ("tags", Value::List(words)) => words.iter().try_for_each(|word| is_name(word, "a tag"))?,
        ("events", Value::List(words)) => {
            words
                .iter()
                .try_for_each(|word| is_name(word, "an event"))?;
        }
        _ => {}
    }
    Ok(value)
}

fn is_name(text: &str, what: &str) -> std::result::Result<(), String> {
    let count = text.chars().count();
    if text.trim().is_empty() || count > KEY_MAX || text.chars().any(char::is_control) {
        return Err(format!("{what} has 1 to {KEY_MAX} printable characters"));
    }
    if text.contains(['*', '?']) {
        return Err(format!(
            "{what} has no * or ?; these stand for others in a pattern"
        ));
    }
    Ok(())
}
