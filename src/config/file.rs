//! `plimsoll.toml`: text with its places, so that each complaint can name file and line.

use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{self, KEYS, LIMITS};
use super::value::Shape;
use super::{Error, Origin, Problem, Result, query};
use crate::model::capacity::Resource;

/// What a `[[target]]` may hold.
const TARGET_KEYS: [&str; 6] = ["name", "url", "pooler", "writer", "allow_writes", "limits"];

/// A text and the line that it stands on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Located {
    pub(super) text: String,
    pub(super) line: usize,
}

/// One `[[target]]`.
#[derive(Debug, Default)]
pub(super) struct FileTarget {
    pub(super) line: usize,
    pub(super) name: Option<Located>,
    pub(super) url: Option<Located>,
    pub(super) pooler: Option<Located>,
    pub(super) writer: Option<Located>,
    pub(super) allow_writes: Vec<Located>,
    pub(super) limits: Vec<(Resource, Located)>,
}

/// One `[[query]]`.
#[derive(Debug)]
pub(super) struct FileQuery {
    pub(super) line: usize,
    pub(super) entries: Vec<(&'static str, Located)>,
}

/// What a file says, values not yet checked.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) entries: Vec<(&'static str, Located)>,
    pub(super) targets: Vec<FileTarget>,
    pub(super) queries: Vec<FileQuery>,
    pub(super) problems: Vec<Problem>,
}

/// Reads and parses the file.
///
/// # Errors
/// [`Error::ReadFile`] and [`Error::Syntax`]; what is well-formed but unknown becomes a problem.
pub(super) fn read(path: &Path) -> Result<File> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::ReadFile {
        path: path.to_owned(),
        source,
    })?;
    parse(path, &text)
}

pub(super) fn parse(path: &Path, text: &str) -> Result<File> {
    let root = DeTable::parse(text).map_err(|error| Error::Syntax {
        path: path.to_owned(),
        line: line_of(text, error.span().map_or(0, |span| span.start)),
        message: error.message().to_owned(),
    })?;
    let mut reader = Reader {
        text,
        file: File {
            path: path.to_owned(),
            ..File::default()
        },
    };
    reader.section("", root.get_ref());
    Ok(reader.file)
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|b| *b == b'\n').count()
}

struct Reader<'t> {
    text: &'t str,
    file: File,
}

impl Reader<'_> {
    fn line<T>(&self, at: &Spanned<T>) -> usize {
        line_of(self.text, at.span().start)
    }

    fn complain(&mut self, line: usize, message: String) {
        let path = self.file.path.clone();
        let origin = Origin::File { path, line };
        self.file.problems.push(Problem { origin, message });
    }

    fn section(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let line = self.line(name);
            let full = if prefix.is_empty() {
                name.get_ref().to_string()
            } else {
                format!("{prefix}.{}", name.get_ref())
            };
            if full == "target" {
                self.targets(line, value);
            } else if full == "query" {
                self.queries(line, value);
            } else if let Some(key) = keys::find(&full) {
                match text_of(key.shape, value.get_ref()) {
                    Ok(text) => self.file.entries.push((key.name, Located { text, line })),
                    Err(message) => self.complain(line, format!("{full}: {message}")),
                }
            } else if is_section(&full) {
                match value.get_ref().as_table() {
                    Some(inner) => self.section(&full, inner),
                    None => self.complain(line, format!("{full} is a section; write [{full}]")),
                }
            } else {
                self.complain(line, unknown(&full));
            }
        }
    }

    fn targets(&mut self, line: usize, value: &Spanned<DeValue<'_>>) {
        let Some(array) = value.get_ref().as_array() else {
            self.complain(
                line,
                "a target is one of several; write [[target]]".to_owned(),
            );
            return;
        };
        for item in array {
            // The span of a table in a list of tables begins at its header.
            let line = self.line(item);
            match item.get_ref().as_table() {
                Some(table) => self.target(line, table),
                None => self.complain(line, "a target is a section; write [[target]]".to_owned()),
            }
        }
    }

    fn target(&mut self, line: usize, table: &DeTable<'_>) {
        let mut target = FileTarget {
            line,
            ..FileTarget::default()
        };
        for (name, value) in table {
            let line = self.line(name);
            match (name.get_ref().as_ref(), value.get_ref()) {
                ("name", DeValue::String(text)) => {
                    target.name = Some(Located {
                        text: text.to_string(),
                        line,
                    });
                }
                ("url", DeValue::String(text)) => {
                    target.url = Some(Located {
                        text: text.to_string(),
                        line,
                    });
                }
                ("pooler", DeValue::String(text)) => {
                    target.pooler = Some(Located {
                        text: text.to_string(),
                        line,
                    });
                }
                ("writer", DeValue::String(text)) => {
                    target.writer = Some(Located {
                        text: text.to_string(),
                        line,
                    });
                }
                ("allow_writes", value) => target.allow_writes = self.classes(line, value),
                ("limits", DeValue::Table(limits)) => target.limits = self.limits(limits),
                (known @ ("name" | "url" | "pooler" | "writer"), other) => {
                    self.complain(line, mismatch(&format!("target.{known}"), "a text", other));
                }
                ("limits", _) => {
                    self.complain(
                        line,
                        "target.limits is a section; write [target.limits]".into(),
                    );
                }
                (other, _) => {
                    let hint = hint(keys::nearest(other, TARGET_KEYS));
                    self.complain(line, format!("target.{other} is no setting{hint}"));
                }
            }
        }
        self.file.targets.push(target);
    }

    /// Texts; what they may be is checked where the target is made.
    fn classes(&mut self, line: usize, value: &DeValue<'_>) -> Vec<Located> {
        match text_of(Shape::List, value) {
            Ok(text) => text
                .split(',')
                .map(str::trim)
                .filter(|text| !text.is_empty())
                .map(|text| Located {
                    text: text.to_owned(),
                    line,
                })
                .collect(),
            Err(message) => {
                self.complain(line, format!("target.allow_writes: {message}"));
                Vec::new()
            }
        }
    }

    fn queries(&mut self, line: usize, value: &Spanned<DeValue<'_>>) {
        let refused = "a query is one of several; write [[query]]";
        let Some(array) = value.get_ref().as_array() else {
            return self.complain(line, refused.to_owned());
        };
        for item in array {
            let line = self.line(item);
            let Some(table) = item.get_ref().as_table() else {
                self.complain(line, refused.to_owned());
                continue;
            };
            let mut entries = Vec::new();
            for (name, value) in table {
                let line = self.line(name);
                let read = query::field(name.get_ref()).and_then(|(known, shape)| {
                    let text = text_of(shape, value.get_ref());
                    text.map(|text| (known, Located { text, line }))
                        .map_err(|message| format!("query.{known}: {message}"))
                });
                match read {
                    Ok(entry) => entries.push(entry),
                    Err(message) => self.complain(line, message),
                }
            }
            self.file.queries.push(FileQuery { line, entries });
        }
    }

    fn limits(&mut self, table: &DeTable<'_>) -> Vec<(Resource, Located)> {
        let mut limits = Vec::new();
        for (name, value) in table {
            let line = self.line(name);
            let part = name.get_ref().as_ref();
            let full = format!("limits.{part}");
            let known = LIMITS.iter().find(|(_, known)| *known == part);
            let (Some((resource, _)), Some(key)) = (known, keys::find(&full)) else {
                let hint = hint(keys::nearest(part, LIMITS.map(|(_, known)| known)));
                self.complain(line, format!("target.{full} is no setting{hint}"));
                continue;
            };
            match text_of(key.shape, value.get_ref()) {
                Ok(text) => limits.push((*resource, Located { text, line })),
                Err(message) => self.complain(line, format!("target.{full}: {message}")),
            }
        }
        limits
    }
}

fn is_section(name: &str) -> bool {
    KEYS.iter().any(|key| {
        key.name
            .split_once('.')
            .is_some_and(|(section, _)| section == name)
    })
}

/// The complaint about a name that is no setting.
pub(super) fn unknown(name: &str) -> String {
    let sections = KEYS.iter().filter_map(|key| key.name.split_once('.'));
    let known = KEYS
        .iter()
        .map(|key| key.name)
        .chain(sections.map(|(section, _)| section))
        .chain(["target", "query"]);
    format!("{name} is no setting{}", hint(keys::nearest(name, known)))
}

fn hint(nearest: Option<&str>) -> String {
    match nearest {
        Some(name) => format!("; did you mean {name}?"),
        None => "; `plimsoll config check` lists all".to_owned(),
    }
}

/// A TOML value as the text that [`Shape::read`] takes; a wrong type is refused here, because
/// `scrape = 10` must not be guessed at.
fn text_of(shape: Shape, value: &DeValue<'_>) -> std::result::Result<String, String> {
    match (shape, value) {
        (Shape::Count(..) | Shape::Number(..) | Shape::Size(..), DeValue::Integer(n)) => {
            let digits = n.as_str().replace('_', "");
            let whole = i128::from_str_radix(&digits, n.radix());
            Ok(whole.map_or(digits, |whole| whole.to_string()))
        }
        (Shape::Number(..), DeValue::Float(x)) => Ok(x.as_str().replace('_', "")),
        (Shape::Flag, DeValue::Boolean(flag)) => Ok(flag.to_string()),
        (Shape::List, DeValue::Array(items)) => {
            let texts: Option<Vec<&str>> = items.iter().map(|i| i.get_ref().as_str()).collect();
            texts
                .map(|texts| texts.join(","))
                .ok_or_else(|| "a list holds texts only".to_owned())
        }
        (
            Shape::Address
            | Shape::Path
            | Shape::Text
            | Shape::Choice(_)
            | Shape::Duration(..)
            | Shape::Size(..),
            DeValue::String(text),
        ) => Ok(text.to_string()),
        (shape, other) => Err(format!(
            "expected {}, found {}",
            wanted(shape),
            found(other)
        )),
    }
}

fn mismatch(name: &str, wanted: &str, value: &DeValue<'_>) -> String {
    format!("{name}: expected {wanted}, found {}", found(value))
}

fn wanted(shape: Shape) -> &'static str {
    match shape {
        Shape::Address => "an address in quotes, such as \"127.0.0.1:3002\"",
        Shape::Path => "a path in quotes",
        Shape::Text | Shape::Choice(_) => "a text in quotes",
        Shape::Flag => "true or false",
        Shape::Count(..) => "a whole number",
        Shape::Number(..) => "a number",
        Shape::Duration(..) => "a duration in quotes, such as \"10s\"",
        Shape::Size(..) => "a size in quotes, such as \"512MB\", or a count of bytes",
        Shape::List => "a list of texts, such as [\"a\", \"b\"]",
    }
}

fn found(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the text {text:?}"),
        DeValue::Integer(number) => format!("the number {}", number.as_str()),
        DeValue::Float(number) => format!("the number {}", number.as_str()),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a section".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let file = parse(Path::new("p.toml"), text).unwrap();
        file.problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_its_neighbour() {
        assert_eq!(
            problems("listen = \"127.0.0.1:1\"\n\n[collect]\nscrap = \"10s\"\n"),
            ["p.toml:4: collect.scrap is no setting; did you mean collect.scrape?"]
        );
        assert_eq!(
            problems("[colect]\nscrape = \"10s\"\n"),
            ["p.toml:1: colect is no setting; did you mean collect?"]
        );
        assert_eq!(
            problems("[[target]]\nurl = \"\"\n[target.limits]\nmemry = \"1GB\"\n"),
            ["p.toml:4: target.limits.memry is no setting; did you mean memory?"]
        );
    }

    #[test]
    fn a_wrong_type_says_what_was_expected() {
        assert_eq!(
            problems("[collect]\nscrape = 10"),
            [
                "p.toml:2: collect.scrape: expected a duration in quotes, such as \"10s\", \
              found the number 10"
            ]
        );
        assert_eq!(
            problems("collect = 3"),
            ["p.toml:1: collect is a section; write [collect]"]
        );
        assert_eq!(
            problems("[target]\nurl = \"x\""),
            ["p.toml:1: a target is one of several; write [[target]]"]
        );
    }

    #[test]
    fn a_syntax_error_names_its_line() {
        let error = parse(Path::new("p.toml"), "a = 1\nb = = 2\n").unwrap_err();
        assert!(error.to_string().starts_with("p.toml:2: "), "{error}");
    }

    #[test]
    fn targets_keep_their_order_and_their_limits() {
        let text = "[[target]]\nurl = 'a'\nlimits = { cpu_cores = 8 }\n[[target]]\nurl = 'b'\n";
        let file = parse(Path::new("p.toml"), text).unwrap();
        let urls: Vec<_> = file
            .targets
            .iter()
            .map(|t| t.url.clone().unwrap().text)
            .collect();
        assert_eq!(urls, ["a", "b"]);
        let (resource, limit) = &file.targets[0].limits[0];
        assert_eq!(
            (*resource, limit.text.as_str(), limit.line),
            (Resource::Cpu, "8", 3)
        );
        assert_eq!(file.targets[1].line, 4);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "[\\PC\n]{0,80}") {
            let _ = parse(Path::new("p.toml"), &text);
        }
    }
}
