//! Targets: connection strings with their names, never printed with their passwords.

use std::collections::BTreeMap;
use std::fmt;

use super::{Environment, Origin};
use crate::model::capacity::{Limit, Resource};
use crate::model::maintenance::WriteClass;

/// Text that must not reach a log or a screen.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` from being printed.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for whoever has to use it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// One Postgres server and database to watch.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// How it is called everywhere; unique.
    pub name: String,
    /// URL or key=value form, as given; `postgres::libpq` resolves it.
    pub url: Secret,
    /// The admin console of a pooler in front, as a connection string.
    pub pooler: Option<Secret>,
    /// What may be written to it, and by whom; `None` where nothing may.
    pub writes: Option<Writes>,
    /// Limits that override measured ones.
    pub limits: BTreeMap<Resource, Limit>,
    /// Where it was named.
    pub origin: Origin,
}

/// What may be written to a target.
#[derive(Debug, Clone, PartialEq)]
pub struct Writes {
    /// The kinds; never empty.
    pub classes: Vec<WriteClass>,
    /// Connection string of the role that writes.
    pub writer: Secret,
}

/// Splits `[NAME=]URL`; a key=value string such as `host=db dbname=app` is all URL.
pub(super) fn split_name(text: &str) -> (Option<&str>, &str) {
    match text.split_once('=') {
        Some((name, url)) if is_url(url) && !name.is_empty() && !name.contains([':', '/', ' ']) => {
            (Some(name), url)
        }
        _ => (None, text),
    }
}

fn is_url(text: &str) -> bool {
    text.starts_with("postgres://") || text.starts_with("postgresql://")
}

/// A name for a target that was given none: `host:port/database`, as libpq would fill them in.
pub(super) fn default_name(url: &str, environment: &Environment) -> String {
    let parts = if is_url(url) {
        url_parts(url)
    } else {
        pair_parts(url)
    };
    if let Some(service) = parts.service {
        return service;
    }
    let from = |name: &str| environment.get(name).map(str::to_owned);
    let host = parts
        .host
        .or_else(|| from("PGHOST"))
        .unwrap_or_else(|| "localhost".to_owned());
    let port = parts
        .port
        .or_else(|| from("PGPORT"))
        .unwrap_or_else(|| "5432".to_owned());
    let database = parts
        .database
        .or_else(|| from("PGDATABASE"))
        .or(parts.user)
        .or_else(|| from("PGUSER"))
        .or_else(|| environment.user());
    match database {
        Some(database) => format!("{host}:{port}/{database}"),
        None => format!("{host}:{port}"),
    }
}

#[derive(Debug, Default)]
struct Parts {
    host: Option<String>,
    port: Option<String>,
    database: Option<String>,
    user: Option<String>,
    service: Option<String>,
}

impl Parts {
    fn set(&mut self, key: &str, value: &str) {
        let value = (!value.is_empty()).then(|| value.to_owned());
        match key {
            "host" | "hostaddr" => self.host = value,
            "port" => self.port = value,
            "dbname" => self.database = value,
            "user" => self.user = value,
            "service" => self.service = value,
            _ => {}
        }
    }
}

fn url_parts(url: &str) -> Parts {
    let mut parts = Parts::default();
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    parts.set("user", login.split(':').next().unwrap_or(""));
    parts.set("dbname", database);
    // Of several hosts the first names the target; an IPv6 address keeps its brackets.
    let first = hosts.split(',').next().unwrap_or("");
    match first.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => {
            parts.set("host", host);
            parts.set("port", port);
        }
        _ => parts.set("host", first),
    }
    for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        parts.set(key, &value.replace("%2F", "/").replace("%2f", "/"));
    }
    parts
}

fn pair_parts(text: &str) -> Parts {
    let mut parts = Parts::default();
    for (key, value, _) in pairs(text) {
        parts.set(key, value.trim_matches('\''));
    }
    parts
}

/// `key=value` pairs with the byte range of each value; quotes stay on the value.
fn pairs(text: &str) -> Vec<(&str, &str, std::ops::Range<usize>)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(equals) = text
        .get(at..)
        .and_then(|rest| rest.find('='))
        .map(|i| at + i)
    {
        let key = text.get(at..equals).unwrap_or("").trim();
        let after = text.get(equals + 1..).unwrap_or("");
        let start = equals + 1 + (after.len() - after.trim_start().len());
        let value = text.get(start..).unwrap_or("");
        let end = start + value_length(value);
        found.push((key, text.get(start..end).unwrap_or(""), start..end));
        at = end;
    }
    found
}

fn value_length(value: &str) -> usize {
    let quoted = value.starts_with('\'');
    let mut escaped = false;
    for (i, c) in value.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '\'' if quoted && i > 0 => return i + 1,
            c if c.is_whitespace() && !quoted => return i,
            _ => {}
        }
    }
    value.len()
}

/// The connection string with its password replaced, for showing.
pub(super) fn masked(url: &str) -> String {
    const MASK: &str = "****";
    if !is_url(url) {
        let mut text = url.to_owned();
        for (key, _, range) in pairs(url).into_iter().rev() {
            if is_secret(key) {
                text.replace_range(range, MASK);
            }
        }
        return text;
    }
    let (head, query) = url.split_once('?').unwrap_or((url, ""));
    let mut text = match head.rsplit_once('@') {
        Some((login, rest)) => match login.split_once("://") {
            Some((scheme, login)) => match login.split_once(':') {
                Some((user, _)) => format!("{scheme}://{user}:{MASK}@{rest}"),
                None => head.to_owned(),
            },
            None => head.to_owned(),
        },
        None => head.to_owned(),
    };
    if !query.is_empty() {
        let shown: Vec<String> = query
            .split('&')
            .map(|pair| match pair.split_once('=') {
                Some((key, _)) if is_secret(key) => format!("{key}={MASK}"),
                _ => pair.to_owned(),
            })
            .collect();
        text = format!("{text}?{}", shown.join("&"));
    }
    text
}

fn is_secret(key: &str) -> bool {
    matches!(key, "password" | "sslpassword")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(url: &str) -> String {
        default_name(url, &[("PGUSER", "carol")].into_iter().collect())
    }

    #[test]
    fn a_target_is_named_after_where_it_is() {
        assert_eq!(
            name("postgres://u:p@db.example:6432/app?sslmode=require"),
            "db.example:6432/app"
        );
        assert_eq!(
            name("postgresql:///app?host=%2Frun%2Fpg"),
            "/run/pg:5432/app"
        );
        assert_eq!(name("postgres://[::1]:5433/app"), "[::1]:5433/app");
        assert_eq!(
            name("host=db port = 6432 dbname='my app'"),
            "db:6432/my app"
        );
        assert_eq!(name("service=billing"), "billing");
        assert_eq!(name("postgres://"), "localhost:5432/carol");
    }

    #[test]
    fn a_name_before_a_url_is_taken_and_a_pair_is_not() {
        assert_eq!(
            split_name("main=postgres://db/x"),
            (Some("main"), "postgres://db/x")
        );
        assert_eq!(split_name("host=db dbname=x"), (None, "host=db dbname=x"));
        assert_eq!(split_name("postgres://db/x?a=postgres://y").0, None);
    }

    #[test]
    fn passwords_are_masked_in_every_form() {
        assert_eq!(masked("postgres://u:p@ss@db/x"), "postgres://u:****@db/x");
        assert_eq!(
            masked("postgres://db/x?user=u&password=p"),
            "postgres://db/x?user=u&password=****"
        );
        assert_eq!(
            masked("host=db password='a b' user=u"),
            "host=db password=**** user=u"
        );
        assert_eq!(masked("password = secret"), "password = ****");
        assert_eq!(masked("postgres://db/x"), "postgres://db/x");
    }

    proptest! {
        #[test]
        fn no_password_survives_masking(password in "[A-Z0-9]{6,12}") {
            for url in [
                format!("postgres://u:{password}@h/d"),
                format!("postgres://h/d?password={password}"),
                format!("host=h password={password}"),
                format!("password='{password}' host=h"),
            ] {
                prop_assert!(!masked(&url).contains(&password));
                let debug = format!("{:?}", Secret::new(url));
                prop_assert!(!debug.contains(&password));
            }
        }

        #[test]
        fn no_text_makes_the_readers_panic(text in "\\PC{0,40}") {
            let _ = masked(&text);
            let _ = default_name(&text, &Environment::default());
            let _ = split_name(&text);
        }
    }
}
