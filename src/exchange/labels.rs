//! Labels as others send them: checked, sorted, and what they say about a series.
//!
//! For: turning pairs of bytes into a series of a target. Not for: how a series is written as text
//! (`name`). Read [`checked`] first.
//!
//! Rules are those of Prometheus (Data model; and `Labels` of the remote-write specification): a
//! metric name is `[a-zA-Z_:][a-zA-Z0-9_:]*`, a label name `[a-zA-Z_][a-zA-Z0-9_]*`, no name comes
//! twice, and an empty value is no label.

use crate::model::series::{Kind, Labels, SeriesKey};

/// The label that holds the metric's name.
pub const NAME: &str = "__name__";
/// Labels that one series may have.
pub const COUNT_MAX: usize = 64;
/// Bytes that a name or a value may have.
pub const TEXT_MAX: usize = 4 << 10;
/// Bytes that all names and values of a series may have: each live series is kept in memory.
pub const SERIES_MAX: usize = 16 << 10;

/// Why labels do not name a series.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Invalid {
    /// There is no metric name.
    #[error("a series has no {NAME} label")]
    NoName,
    /// The metric name breaks the rules.
    #[error("{0:?} is no metric name; letters, digits, _ and : make one")]
    Metric(String),
    /// A label name breaks the rules.
    #[error("{0:?} is no label name; letters, digits and _ make one")]
    Label(String),
    /// A name comes twice.
    #[error("the label {0:?} comes twice")]
    Twice(String),
    /// A name or value is not UTF-8.
    #[error("a label is not UTF-8")]
    NotText,
    /// There is too much.
    #[error(
        "a series may have {COUNT_MAX} labels of up to {TEXT_MAX} bytes each and {SERIES_MAX} in all"
    )]
    TooLong,
}

/// Whether Prometheus takes it for a metric name.
pub fn is_metric(name: &str) -> bool {
    let mut bytes = name.bytes();
    let is_first = |b: u8| b.is_ascii_alphabetic() || b == b'_' || b == b':';
    bytes.next().is_some_and(is_first) && bytes.all(|b| is_first(b) || b.is_ascii_digit())
}

/// Whether Prometheus takes it for a label name.
pub fn is_label(name: &str) -> bool {
    is_metric(name) && !name.contains(':')
}

/// The series that labels name, in any order.
///
/// # Errors
/// [`Invalid`] names the first rule that is broken.
pub fn checked<'a>(
    pairs: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
) -> Result<SeriesKey, Invalid> {
    let mut all: Vec<(&str, &str)> = Vec::new();
    let mut bytes = 0;
    for (name, value) in pairs {
        bytes += name.len() + value.len();
        let is_long = name.len() > TEXT_MAX || value.len() > TEXT_MAX;
        if is_long || bytes > SERIES_MAX || all.len() == COUNT_MAX {
            return Err(Invalid::TooLong);
        }
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| Invalid::NotText);
        all.push((text(name)?, text(value)?));
    }
    all.sort_unstable_by_key(|(name, _)| *name);
    for pair in all.windows(2) {
        if let [(name, _), (next, _)] = pair
            && name == next
        {
            return Err(Invalid::Twice((*name).to_owned()));
        }
    }
    let mut metric = None;
    let mut labels = Labels::none();
    for (name, value) in all {
        if name == NAME {
            metric = Some(value);
        } else if is_label(name) {
            labels = labels.with(name.to_owned(), value);
        } else {
            return Err(Invalid::Label(name.to_owned()));
        }
    }
    let metric = metric.filter(|metric| !metric.is_empty());
    let metric = metric.ok_or(Invalid::NoName)?;
    if !is_metric(metric) {
        return Err(Invalid::Metric(metric.to_owned()));
    }
    Ok(SeriesKey {
        metric: metric.to_owned().into(),
        labels,
    })
}

/// The target that a pushed series belongs to: `push:JOB@INSTANCE`, as far as it says them.
pub fn pushed_target(key: &SeriesKey) -> String {
    let mut target = "push:".to_owned();
    target.push_str(key.labels.get("job").unwrap_or_default());
    if let Some(instance) = key.labels.get("instance") {
        target.push('@');
        target.push_str(instance);
    }
    target
}

/// Counter or gauge, as the ends of names say it by convention.
pub fn kind_of(metric: &str) -> Kind {
    let ends = ["_total", "_count", "_sum", "_bucket"];
    if ends.iter().any(|end| metric.ends_with(end)) {
        Kind::Counter
    } else {
        Kind::Gauge
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pairs: &[(&str, &str)]) -> Result<SeriesKey, Invalid> {
        checked(pairs.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())))
    }

    #[test]
    fn labels_in_any_order_name_the_same_series_of_the_same_target() {
        let one = check(&[("job", "a"), (NAME, "up"), ("instance", "h:1"), ("x", "")]).unwrap();
        let other = check(&[("instance", "h:1"), (NAME, "up"), ("job", "a")]).unwrap();
        assert_eq!(one, other);
        assert_eq!(one.to_string(), r#"up{instance="h:1",job="a"}"#);
        assert_eq!(pushed_target(&one), "push:a@h:1");
        assert_eq!(pushed_target(&SeriesKey::bare("up")), "push:");
    }

    #[test]
    fn what_names_no_series_says_why() {
        let long = "x".repeat(TEXT_MAX + 1);
        let many: Vec<String> = (0..=COUNT_MAX).map(|i| format!("l{i}")).collect();
        let many: Vec<_> = many.iter().map(|name| (name.as_str(), "v")).collect();
        let most = "x".repeat(TEXT_MAX);
        let names = ["a", "b", "c", "d"].map(|name| (name, most.as_str()));
        assert_eq!(check(&[]), Err(Invalid::NoName));
        assert_eq!(check(&[(NAME, "")]), Err(Invalid::NoName));
        assert_eq!(check(&[(NAME, "9")]), Err(Invalid::Metric("9".into())));
        assert_eq!(
            check(&[(NAME, "a"), ("b:c", "d")]),
            Err(Invalid::Label("b:c".into()))
        );
        assert_eq!(
            check(&[(NAME, "a"), ("", "d")]),
            Err(Invalid::Label(String::new()))
        );
        assert_eq!(
            check(&[("b", "1"), (NAME, "a"), ("b", "1")]),
            Err(Invalid::Twice("b".into()))
        );
        assert_eq!(check(&[(NAME, &long)]), Err(Invalid::TooLong));
        assert_eq!(check(&many), Err(Invalid::TooLong));
        assert_eq!(check(&names), Err(Invalid::TooLong));
        let broken = checked([(NAME.as_bytes(), &[0xff][..])]);
        assert_eq!(broken, Err(Invalid::NotText));
    }

    #[test]
    fn ends_of_names_say_the_kind() {
        assert_eq!(kind_of("http_requests_total"), Kind::Counter);
        assert_eq!(kind_of("latency_seconds_bucket"), Kind::Counter);
        assert_eq!(kind_of("node_load1"), Kind::Gauge);
    }
}
