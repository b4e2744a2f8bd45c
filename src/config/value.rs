//! One setting's value: its shape, and how text becomes it.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::human;
use crate::model::units::{Bytes, Millis};

/// What a setting may hold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    /// An IP address and a port.
    Address,
    /// A file or folder.
    Path,
    /// Any text.
    Text,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `true` or `false`.
    Flag,
    /// A whole number within these bounds.
    Count(u64, u64),
    /// A number above the first bound, up to the second.
    Number(f64, f64),
    /// A duration within these bounds, such as `10s`.
    Duration(Millis, Millis),
    /// A size within these bounds, such as `512MB`.
    Size(u64, u64),
    /// Several texts; outside of files, separated by commas.
    List,
}

/// A checked value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// See [`Shape::Address`].
    Address(SocketAddr),
    /// See [`Shape::Path`].
    Path(PathBuf),
    /// See [`Shape::Text`] and [`Shape::Choice`].
    Text(String),
    /// See [`Shape::Flag`].
    Flag(bool),
    /// See [`Shape::Count`].
    Count(u64),
    /// See [`Shape::Number`].
    Number(f64),
    /// See [`Shape::Duration`].
    Duration(Millis),
    /// See [`Shape::Size`].
    Size(Bytes),
    /// See [`Shape::List`].
    List(Vec<String>),
}

impl fmt::Display for Value {
    /// As it would stand in a variable.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Path(path) => path.display().fmt(f),
            Self::Text(text) => f.write_str(text),
            Self::Flag(flag) => flag.fmt(f),
            Self::Count(count) => count.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Duration(length) => f.write_str(&human::show_duration(*length)),
            Self::Size(size) => f.write_str(&human::show_size(*size)),
            Self::List(texts) => f.write_str(&texts.join(",")),
        }
    }
}

impl Shape {
    /// Reads `text`, or says what is wrong with it and what to write.
    pub(super) fn read(self, text: &str) -> Result<Value, String> {
        match self {
            Self::Address => text.parse().map(Value::Address).map_err(|_| {
                format!("{text:?} is no address; write one such as 127.0.0.1:3002 or [::1]:3002")
            }),
            Self::Path if text.is_empty() => Err("a path is missing".to_owned()),
            Self::Path => Ok(Value::Path(PathBuf::from(text))),
            Self::Text => Ok(Value::Text(text.to_owned())),
            Self::Choice(words) if words.contains(&text) => Ok(Value::Text(text.to_owned())),
            Self::Choice(words) => Err(format!("{text:?} is not one of {}", words.join(", "))),
            Self::Flag => text
                .parse()
                .map(Value::Flag)
                .map_err(|_| format!("{text:?} is neither true nor false")),
            Self::Count(min, max) => count(text, min, max),
            Self::Number(above, max) => number(text, above, max),
            Self::Duration(min, max) => {
                let value = human::duration(text)?;
                let (lo, hi) = (human::show_duration(min), human::show_duration(max));
                within(value, min, max, text, &lo, &hi).map(Value::Duration)
            }
            Self::Size(min, max) => {
                let value = human::size(text)?;
                let (lo, hi) = (human::show_size(Bytes(min)), human::show_size(Bytes(max)));
                within(value, Bytes(min), Bytes(max), text, &lo, &hi).map(Value::Size)
            }
            Self::List => Ok(Value::List(
                text.split(',')
                    .map(str::trim)
                    .filter(|part| !part.is_empty())
                    .map(str::to_owned)
                    .collect(),
            )),
        }
    }
}

fn count(text: &str, min: u64, max: u64) -> Result<Value, String> {
    let value = text
        .parse()
        .map_err(|_| format!("{text:?} is no whole number from {min} to {max}"))?;
    within(value, min, max, text, &min.to_string(), &max.to_string()).map(Value::Count)
}

fn number(text: &str, above: f64, max: f64) -> Result<Value, String> {
    let value: f64 = text
        .parse()
        .map_err(|_| format!("{text:?} is no number above {above} and up to {max}"))?;
    if value > above && value <= max {
        Ok(Value::Number(value))
    } else {
        Err(format!(
            "{text} is out of range: above {above} and up to {max}"
        ))
    }
}

fn within<T: PartialOrd + Copy>(
    value: T,
    min: T,
    max: T,
    text: &str,
    lo: &str,
    hi: &str,
) -> Result<T, String> {
    if value >= min && value <= max {
        Ok(value)
    } else {
        Err(format!("{text} is out of range: {lo} to {hi}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn out_of_range_says_the_range() {
        let shape = Shape::Duration(Millis::SECOND, Millis::HOUR);
        let error = shape.read("2h").unwrap_err();
        assert_eq!(error, "2h is out of range: 1s to 1h");
        assert!(Shape::Count(1, 9).read("0").is_err());
        assert!(Shape::Number(0.0, 1.0).read("NaN").is_err());
        assert!(Shape::Number(0.0, 1.0).read("0").is_err());
    }

    #[test]
    fn a_choice_lists_its_words() {
        let error = Shape::Choice(&["text", "json"]).read("xml").unwrap_err();
        assert_eq!(error, "\"xml\" is not one of text, json");
    }

    #[test]
    fn a_list_drops_blanks() {
        let value = Shape::List.read("a, b,,").unwrap();
        assert_eq!(value, Value::List(vec!["a".into(), "b".into()]));
        assert_eq!(value.to_string(), "a,b");
    }
}
