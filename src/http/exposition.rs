//! Prometheus's text formats: families grouped and declared once.
//!
//! Source: Prometheus exposition formats (text 0.0.4); OpenMetrics 1.0 (`# EOF`, `_total` belongs
//! to the sample, not to the family's name).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::model::series::{Labels, SeriesKey};

/// Which of the two formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// `text/plain; version=0.0.4`.
    Text,
    /// `application/openmetrics-text; version=1.0.0`.
    OpenMetrics,
}

/// A family's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
    Summary,
}

#[derive(Debug)]
struct Family {
    kind: Kind,
    help: String,
    /// Suffix, labels and value, in the order given: buckets must stay together.
    samples: Vec<(&'static str, String, f64)>,
    seen: BTreeSet<String>,
}

/// Families in order of name.
#[derive(Debug, Default)]
pub(super) struct Exposition(BTreeMap<String, Family>);

impl Exposition {
    /// Declares a family; the first declaration stands.
    pub(super) fn declare(&mut self, name: &str, kind: Kind, help: &str) {
        if !self.0.contains_key(name) {
            let family = Family {
                kind,
                help: help.to_owned(),
                samples: Vec::new(),
                seen: BTreeSet::new(),
            };
            self.0.insert(name.to_owned(), family);
        }
    }

    /// Adds a sample to a declared family; of two with the same labels, the first stands.
    pub(super) fn sample(&mut self, name: &str, suffix: &'static str, labels: &Labels, value: f64) {
        let Some(family) = self.0.get_mut(name) else {
            return;
        };
        let key = SeriesKey {
            metric: "".into(),
            labels: labels.clone(),
        };
        let labels = key.to_string();
        if family.seen.insert(format!("{suffix}{labels}")) {
            family.samples.push((suffix, labels, value));
        }
    }

    /// Writes all families that have samples.
    pub(super) fn write(&self, format: Format) -> String {
        let mut text = String::new();
        for (name, family) in self
            .0
            .iter()
            .filter(|(_, family)| !family.samples.is_empty())
        {
            let (shown, kind) = self.heading(name, family.kind, format);
            let help = escaped(&family.help, format);
            let _ = writeln!(text, "# HELP {shown} {help}\n# TYPE {shown} {kind}");
            for (suffix, labels, value) in &family.samples {
                // OpenMetrics has no counter that is not a number.
                let counted = family.kind == Kind::Counter && format == Format::OpenMetrics;
                if counted && !(value.is_finite() && *value >= 0.0) {
                    continue;
                }
                let _ = writeln!(text, "{name}{suffix}{labels} {}", number(*value));
            }
        }
        if format == Format::OpenMetrics {
            text.push_str("# EOF\n");
        }
        text
    }

    /// Name and type of a family as the format wants them.
    fn heading<'n>(&self, name: &'n str, kind: Kind, format: Format) -> (&'n str, &'static str) {
        match (kind, format) {
            (Kind::Gauge, _) => (name, "gauge"),
            (Kind::Histogram, _) => (name, "histogram"),
            (Kind::Summary, _) => (name, "summary"),
            // An older exporter's name of a counter is not one that the lint takes for one.
            (Kind::Counter, Format::Text) if !name.ends_with("_total") => (name, "untyped"),
            (Kind::Counter, Format::Text) => (name, "counter"),
            (Kind::Counter, Format::OpenMetrics) => match name.strip_suffix("_total") {
                Some(short) if !self.0.contains_key(short) => (short, "counter"),
                // A counter of an older exporter's name cannot be one here.
                _ => (name, "unknown"),
            },
        }
    }
}

fn escaped(help: &str, format: Format) -> String {
    let text = help.replace('\\', "\\\\").replace('\n', "\\n");
    match format {
        Format::Text => text,
        Format::OpenMetrics => text.replace('"', "\\\""),
    }
}

fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Exposition {
        let mut exposition = Exposition::default();
        exposition.declare("b_total", Kind::Counter, "B \"quoted\"\nsecond line");
        exposition.declare("a", Kind::Gauge, "A.");
        let labels = Labels::none().with("t", "x\"y");
        exposition.sample("b_total", "", &labels, 3.0);
        exposition.sample("b_total", "", &labels, 4.0);
        exposition.sample("b_total", "", &Labels::none(), f64::NAN);
        exposition.sample("a", "", &Labels::none(), f64::INFINITY);
        exposition
    }

    #[test]
    fn text_declares_each_family_once_and_keeps_the_first_of_twins() {
        assert_eq!(
            two().write(Format::Text),
            "# HELP a A.\n# TYPE a gauge\na +Inf\n\
             # HELP b_total B \"quoted\"\\nsecond line\n# TYPE b_total counter\n\
             b_total{t=\"x\\\"y\"} 3\nb_total NaN\n"
        );
    }

    #[test]
    fn open_metrics_cuts_the_suffix_and_ends_with_eof() {
        assert_eq!(
            two().write(Format::OpenMetrics),
            "# HELP a A.\n# TYPE a gauge\na +Inf\n\
             # HELP b B \\\"quoted\\\"\\nsecond line\n# TYPE b counter\n\
             b_total{t=\"x\\\"y\"} 3\n# EOF\n"
        );
    }

    #[test]
    fn a_family_without_samples_is_not_written() {
        let mut exposition = Exposition::default();
        exposition.declare("a", Kind::Gauge, "A.");
        assert_eq!(exposition.write(Format::Text), "");
    }
}
