//! The Prometheus API's JSON: an envelope, and values as `[seconds, "text"]`.
//!
//! For: writing large answers into one buffer, number by number. Not for: our own API, whose JSON
//! comes from types (`wire`). Source: the Prometheus manual, "HTTP API", version 2.42.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use serde_json::json;

use super::body::Answer;
use crate::model::series::{Kind, Labels};
use crate::model::units::Timestamp;
use crate::work::query::{Described, Raw, Row, Value, is_absent};

const JSON: &str = "application/json";
/// Bytes that a value with its instant takes, about.
const POINT: usize = 34;
/// Bytes that a label set takes, about.
const LABELS: usize = 160;
/// Series that are written at the same time.
const ROWS: usize = 256;

/// One answer as it is written.
struct Text {
    out: Vec<u8>,
    whole: itoa::Buffer,
    real: ryu::Buffer,
}

impl Text {
    /// Nothing yet, with room for so many bytes.
    fn with_room(room: usize) -> Self {
        Self {
            out: Vec::with_capacity(room),
            whole: itoa::Buffer::new(),
            real: ryu::Buffer::new(),
        }
    }

    /// Begins an answer of a kind, up to its result.
    fn of(kind: &str, room: usize) -> Self {
        let mut text = Self::with_room(room + 128);
        text.put("{\"status\":\"success\",\"data\":{\"resultType\":\"");
        text.put(kind);
        text.put("\",\"result\":");
        text
    }

    fn done(mut self) -> Answer {
        self.put("}}");
        Answer::of(JSON, self.out).fleeting()
    }

    fn put(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    /// A text in quotes.
    fn quoted(&mut self, text: &str) {
        let simple = |byte: &u8| *byte >= b' ' && *byte != b'"' && *byte != b'\\';
        if text.as_bytes().iter().all(simple) {
            self.out.push(b'"');
            self.put(text);
            self.out.push(b'"');
        } else {
            self.put(&serde_json::Value::from(text).to_string());
        }
    }

    fn labels(&mut self, labels: &Labels) {
        self.out.push(b'{');
        for (i, (name, value)) in labels.iter().enumerate() {
            if i > 0 {
                self.out.push(b',');
            }
            self.quoted(name);
            self.out.push(b':');
            self.quoted(value);
        }
        self.out.push(b'}');
    }

    /// `[seconds,"value"]`.
    fn point(&mut self, ms: i64, value: f64) {
        self.open(ms);
        self.closed(value);
    }

    /// A point up to its value.
    fn open(&mut self, ms: i64) {
        self.out.push(b'[');
        self.seconds(ms);
        self.put(",\"");
    }

    /// A value and the end of its point.
    fn closed(&mut self, value: f64) {
        self.number(value);
        self.put("\"]");
    }

    /// Milliseconds as seconds with three digits, or none.
    fn seconds(&mut self, ms: i64) {
        if ms < 0 {
            self.out.push(b'-');
        }
        let ms = ms.unsigned_abs();
        let seconds = self.whole.format(ms / 1_000);
        self.out.extend_from_slice(seconds.as_bytes());
        let rest = ms % 1_000;
        if rest > 0 {
            self.out.push(b'.');
            for unit in [100, 10, 1] {
                let digit = u8::try_from(rest / unit % 10).unwrap_or(0);
                self.out.push(b'0' + digit);
            }
        }
    }

    /// The shortest digits that give the number back, never with an exponent.
    #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
    #[expect(clippy::float_cmp, reason = "whether it is whole is what is asked")]
    fn number(&mut self, value: f64) {
        if value.is_nan() {
            return self.put("NaN");
        }
        if value.is_infinite() {
            return self.put(if value > 0.0 { "+Inf" } else { "-Inf" });
        }
        if value.abs() < 9e15 && value.trunc() == value {
            if value == 0.0 && value.is_sign_negative() {
                return self.put("-0");
            }
            let digits = self.whole.format(value as i64);
            self.out.extend_from_slice(digits.as_bytes());
            return;
        }
        let digits = self.real.format_finite(value);
        if digits.contains('e') {
            let digits = value.to_string();
            self.put(&digits);
        } else {
            let digits = digits.strip_suffix(".0").unwrap_or(digits);
            self.out.extend_from_slice(digits.as_bytes());
        }
    }

    /// A list, each of its items written by `write`.
    fn list<T>(&mut self, items: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut Self, T)) {
        self.out.push(b'[');
        for (i, item) in items.into_iter().enumerate() {
            if i > 0 {
                self.out.push(b',');
            }
            write(self, item);
        }
        self.out.push(b']');
    }

    /// A series with all its values.
    fn series<P>(
        &mut self,
        labels: &Labels,
        points: impl Iterator<Item = P>,
        point: impl FnMut(&mut Self, P),
    ) {
        self.put("{\"metric\":");
        self.labels(labels);
        self.put(",\"values\":");
        self.list(points, point);
        self.out.push(b'}');
    }
}

/// The answer of an instant query.
pub(super) fn instant(value: &Value, at: Timestamp) -> Answer {
    let at = at.as_millis();
    match value {
        Value::Scalar(values) => {
            let mut text = Text::of("scalar", POINT);
            text.point(at, values.first().copied().unwrap_or(f64::NAN));
            text.done()
        }
        Value::Text(given) => {
            let mut text = Text::of("string", given.len());
            text.out.push(b'[');
            text.seconds(at);
            text.out.push(b',');
            text.quoted(given);
            text.out.push(b']');
            text.done()
        }
        Value::Vector(rows) => {
            let mut text = Text::of("vector", rows.len() * (LABELS + POINT));
            let values = rows
                .iter()
                .filter_map(|row| Some((&row.labels, *row.values.first()?)));
            text.list(values, |text, (labels, value)| {
                text.put("{\"metric\":");
                text.labels(labels);
                text.put(",\"value\":");
                text.point(at, value);
                text.out.push(b'}');
            });
            text.done()
        }
        Value::Matrix(rows) => {
            let points: usize = rows.iter().map(|row| row.samples.len()).sum();
            let mut text = Text::of("matrix", rows.len() * LABELS + points * POINT);
            text.list(rows, |text, Raw { labels, samples }| {
                let points = samples.iter().copied();
                text.series(labels, points, |text, (ms, value)| text.point(ms, value));
            });
            text.done()
        }
    }
}

/// A point up to its value.
fn opened(ms: i64) -> Vec<u8> {
    let mut text = Text::with_room(16);
    text.open(ms);
    text.out
}

/// The answer of a range query over these instants.
pub(super) fn range(value: &Value, instants: &[i64]) -> Answer {
    let scalar;
    let rows = match value {
        Value::Vector(rows) => rows,
        Value::Scalar(values) => {
            let (labels, values) = (Labels::none(), values.clone());
            scalar = vec![Row { labels, values }];
            &scalar
        }
        // The engine gives neither for a range.
        Value::Text(_) | Value::Matrix(_) => &Vec::new(),
    };
    // All rows have the same instants: each is written once and copied.
    let times: Vec<Vec<u8>> = instants.iter().map(|ms| opened(*ms)).collect();
    let write = |row: &Row| {
        let mut text = Text::with_room(LABELS + times.len() * POINT);
        let points = times.iter().zip(row.values.iter().copied());
        let points = points.filter(|(_, value)| !is_absent(*value));
        text.series(&row.labels, points, |text, (time, value)| {
            text.out.extend_from_slice(time);
            text.closed(value);
        });
        text.out
    };
    let room = rows.len() * (LABELS + instants.len() * POINT);
    let mut text = Text::of("matrix", room.min(64 << 20));
    // Some rows at a time, so that an answer is not held twice.
    let parts = rows.chunks(ROWS).flat_map(|rows| {
        let parts: Vec<Vec<u8>> = rows.par_iter().map(write).collect();
        parts
    });
    text.list(parts, |text, part| text.out.extend_from_slice(&part));
    text.done()
}

/// An answer that is no value: small, or made of texts.
fn success(data: &serde_json::Value) -> Answer {
    Answer::of(JSON, json!({"status": "success", "data": data}).to_string())
}

/// A sorted list of texts.
pub(super) fn texts<'t>(texts: impl IntoIterator<Item = &'t str>) -> Answer {
    success(&texts.into_iter().collect())
}

/// A list of label sets.
pub(super) fn label_sets(sets: &BTreeSet<Labels>) -> Answer {
    let sets = sets.iter().map(|labels| labels.iter().collect());
    success(&json!(sets.collect::<Vec<BTreeMap<&str, &str>>>()))
}

/// What is known of metrics.
pub(super) fn metadata(metrics: &[Described]) -> Answer {
    let metrics = metrics.iter().map(|known| {
        let kind = match known.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let about = json!([{"type": kind, "help": known.help, "unit": ""}]);
        (known.metric.clone(), about)
    });
    success(&serde_json::Value::Object(metrics.collect()))
}

/// Which Prometheus we answer like, and who we are.
pub(super) fn build(followed: &str) -> Answer {
    success(&json!({
        "version": followed,
        "revision": format!("plimsoll-{}", env!("CARGO_PKG_VERSION")),
        "branch": "", "buildUser": "", "buildDate": "", "goVersion": "",
    }))
}

/// The body of a refusal.
pub(super) fn refusal(kind: &str, error: &str) -> String {
    json!({"status": "error", "errorType": kind, "error": error}).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl FnOnce(&mut Text)) -> String {
        let mut text = Text::of("", 0);
        let head = text.out.len();
        write(&mut text);
        String::from_utf8(text.out.split_off(head)).unwrap()
    }

    #[test]
    fn numbers_are_short_and_have_no_exponent() {
        for (value, shown) in [
            (1.0, "1"),
            (-0.0, "-0"),
            (0.1, "0.1"),
            (1e20, "100000000000000000000"),
            (1e-7, "0.0000001"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (123_456.789, "123456.789"),
        ] {
            assert_eq!(written(|text| text.number(value)), shown);
        }
    }

    #[test]
    fn instants_have_three_digits_or_none() {
        for (ms, shown) in [
            (1_000, "1"),
            (1_001, "1.001"),
            (1_020, "1.020"),
            (-1_500, "-1.500"),
            (-5, "-0.005"),
            (0, "0"),
        ] {
            assert_eq!(written(|text| text.seconds(ms)), shown);
        }
    }

    proptest! {
        #[test]
        fn every_number_comes_back(bits: u64) {
            let value = f64::from_bits(bits);
            let shown = written(|text| text.number(value));
            let back: f64 = shown.parse().unwrap();
            prop_assert!(value.is_nan() && back.is_nan() || back.to_bits() == bits);
            prop_assert!(!shown.contains('e'));
        }

        #[test]
        fn every_label_is_json(name: String, value: String) {
            let labels = Labels::none().with(name, value);
            let shown = written(|text| text.labels(&labels));
            let back: std::collections::BTreeMap<String, String> =
                serde_json::from_str(&shown).unwrap();
            let pairs = back.iter().map(|(n, v)| (n.as_str(), v.as_str()));
            prop_assert!(pairs.eq(labels.iter()));
        }
    }
}
