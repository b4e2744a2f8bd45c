//! How a series is written as text: `[target|]metric[{label="value",…}]`.
//!
//! For: columns and flags that name a series. Not for: what a target or a label means. Read
//! [`read`] first; [`write()`] is its inverse for every text, so that a file comes back as it was.
//!
//! Without a target it is that of imports, [`IMPORT`]. A text that would be written otherwise than
//! it was given (labels out of order, spaces, names that Prometheus would not take) is kept whole as
//! the metric's name of [`IMPORT`].

use crate::model::series::{Labels, SeriesKey};

/// The target of series that name none.
pub const IMPORT: &str = "import";
/// Bytes that a series' text may have.
pub const TEXT_MAX: usize = 16 << 10;

/// A series and the target that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// The target's name.
    pub target: String,
    /// Metric and labels.
    pub key: SeriesKey,
}

/// Which series a text asks for: all that have what it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Only of this target.
    pub target: Option<String>,
    /// Only of this metric.
    pub metric: Option<String>,
    /// Only with these labels.
    pub labels: Labels,
    text: String,
}

/// Reads a series; every text that is short enough, not empty and without a zero byte names one.
///
/// # Errors
/// Text for people, to be put after the number of the line.
pub fn read(text: &str) -> Result<Named, String> {
    if text.is_empty() {
        return Err("names no series".to_owned());
    }
    if text.len() > TEXT_MAX {
        return Err(format!("names a series in more than {TEXT_MAX} bytes"));
    }
    if text.contains('\0') {
        return Err("names a series with a zero byte in it".to_owned());
    }
    let parts = parts(text).map(|(target, metric, labels)| Named {
        target: target.unwrap_or(IMPORT).to_owned(),
        key: SeriesKey {
            metric: metric.to_owned().into(),
            labels,
        },
    });
    let named = parts.filter(|named| write(&named.target, &named.key) == text);
    Ok(named.unwrap_or_else(|| Named {
        target: IMPORT.to_owned(),
        key: SeriesKey::bare(text.to_owned()),
    }))
}

/// Writes a series as [`read`] takes it.
pub fn write(target: &str, key: &SeriesKey) -> String {
    if target == IMPORT {
        key.to_string()
    } else {
        format!("{target}|{key}")
    }
}

impl Wanted {
    /// Reads what is asked for: a series' text, of which each part may be left out.
    ///
    /// # Errors
    /// Text for people, where braces and quotes do not match.
    pub fn read(text: &str) -> Result<Self, String> {
        let Some((target, metric, labels)) = parts(text) else {
            return Err(format!(
                "{text:?} names no series; write [target|]metric{{label=\"value\"}}, such as \
                 db1|pg_up or {{job=\"node\"}}"
            ));
        };
        Ok(Self {
            target: target.map(str::to_owned),
            metric: Some(metric.to_owned()).filter(|metric| !metric.is_empty()),
            labels,
            text: text.to_owned(),
        })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it asks for a series.
    pub fn has(&self, target: &str, key: &SeriesKey) -> bool {
        let is_of = |wanted: &Option<String>, name: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == name)
        };
        let labels = || {
            let mut wanted = self.labels.iter();
            wanted.all(|(name, value)| key.labels.get(name) == Some(value))
        };
        (is_of(&self.target, target) && is_of(&self.metric, &key.metric) && labels())
            || write(target, key) == self.text
    }
}

/// Target, metric and labels; `None` where quotes and braces do not match.
fn parts(text: &str) -> Option<(Option<&str>, &str, Labels)> {
    let (head, labels) = match text.split_once('{') {
        Some((head, rest)) => (head, read_labels(rest.strip_suffix('}')?)?),
        None => (text, Labels::none()),
    };
    let (target, metric) = match head.split_once('|') {
        Some((target, metric)) => (Some(target), metric),
        None => (None, head),
    };
    Some((target, metric, labels))
}

/// Reads `a="b",c="d"`, escaped as the exposition format has it.
pub(super) fn read_labels(text: &str) -> Option<Labels> {
    let mut labels = Labels::none();
    let mut rest = text;
    let mut count = 0;
    while !rest.is_empty() {
        let (name, after) = rest.split_once("=\"")?;
        let (value, after) = read_value(after)?;
        labels = labels.with(name.to_owned(), value);
        rest = match after.strip_prefix(',') {
            Some(more) => more,
            None if after.is_empty() => after,
            None => return None,
        };
        count += 1;
        // Sorting in costs the square of the count.
        if count > super::labels::COUNT_MAX {
            return None;
        }
    }
    Some(labels)
}

/// Reads up to the closing quote; gives what follows it.
fn read_value(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                escaped @ ('\\' | '"') => value.push(escaped),
                _ => return None,
            },
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts_are_read_as_they_are_meant() {
        let named = read(r#"pg|pg_up{a="x|{}\"\\\n",b="é"}"#).unwrap();
        assert_eq!(named.target, "pg");
        assert_eq!(named.key.metric, "pg_up");
        assert_eq!(named.key.labels.get("a"), Some("x|{}\"\\\n"));
        let named = read(r#"up{job="a|b"}"#).unwrap();
        assert_eq!((named.target.as_str(), &*named.key.metric), (IMPORT, "up"));
        let named = read("s17").unwrap();
        assert_eq!(
            named,
            Named {
                target: IMPORT.into(),
                key: SeriesKey::bare("s17")
            }
        );
        for odd in [
            r#"m{b="1",a="2"}"#,
            "m{}",
            r#"m{a="1",}"#,
            r#"m{a=""}"#,
            r#"m{a="1"} "#,
            "import|m",
            "m{",
            "{",
        ] {
            let named = read(odd).unwrap();
            assert_eq!(named.key, SeriesKey::bare(odd), "{odd}");
        }
        assert!(read("").is_err());
        assert!(read("a\0b").is_err());
        assert!(read(&"x".repeat(TEXT_MAX + 1)).is_err());
    }

    #[test]
    fn what_is_left_out_is_not_asked_for() {
        let named = read(r#"pg|pg_size{db="app",rel="lead"}"#).unwrap();
        for wanted in [
            "pg|pg_size",
            "pg|",
            "pg_size",
            r#"{db="app"}"#,
            r#"pg_size{rel="lead"}"#,
        ] {
            assert!(
                Wanted::read(wanted).unwrap().has(&named.target, &named.key),
                "{wanted}"
            );
        }
        for other in ["pg2|pg_size", "pg_up", r#"{db="app",x="y"}"#] {
            assert!(
                !Wanted::read(other).unwrap().has(&named.target, &named.key),
                "{other}"
            );
        }
        let odd = read(r#"m{b="1",a="2"}"#).unwrap();
        assert!(
            Wanted::read(r#"m{b="1",a="2"}"#)
                .unwrap()
                .has(&odd.target, &odd.key)
        );
        assert!(Wanted::read("m{a").is_err());
    }

    proptest! {
        #[test]
        fn every_text_comes_back(text in r#"[a-c]{0,2}[|]?[a-c{}|"=\\,né ]{0,24}"#) {
            if let Ok(named) = read(&text) {
                prop_assert_eq!(write(&named.target, &named.key), text);
            }
        }

        #[test]
        fn every_series_that_follows_the_rules_comes_back_in_parts(
            target in "[a-z][a-z:@0-9]{0,8}",
            metric in "[a-z_:]{1,8}",
            labels in prop::collection::btree_map("[a-z_]{1,4}", "[^\0]{1,12}", 0..4),
        ) {
            let key = SeriesKey { metric: metric.into(), labels: labels.into_iter().collect() };
            let named = Named { target, key };
            prop_assume!(named.target != IMPORT);
            prop_assert_eq!(read(&write(&named.target, &named.key)), Ok(named));
        }
    }
}
