//! Which series are asked for: by target, metric and labels, by equality and by pattern.
//!
//! For: matching written keys without building them. Not for: what a series is (`catalogue`). Read
//! [`Selector`] first.
//!
//! Matchers see a series as its [`Series::labels`]: [`NAME`] is the metric, and [`TARGET`] the name
//! of the target. Targets of which the name begins with [`PUSHED`] are made by those who send us
//! samples; their series say by themselves where they come from, and have no label more.
//!
//! Series are listed by metric, so that a question about one looks at no others, and a condition on
//! the metric is tried once for each metric rather than for each series.

use std::collections::BTreeMap;
use std::fmt;

use regex::{Regex, RegexBuilder};

use super::catalogue::Series;
use super::codec::Reader;
use crate::model::series::{Compare, Labels};

/// The label that stands for the metric.
pub const NAME: &str = "__name__";
/// The label that stands for the target.
pub const TARGET: &str = "target";
/// Names of targets that begin so are not told.
pub const PUSHED: &str = "push:";
/// Bytes that a compiled pattern may take.
const PATTERN_BYTES: usize = 1 << 20;

/// Which series are asked for; the default asks for all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selector {
    /// Only of this target.
    pub target: Option<String>,
    /// Only of this metric.
    pub metric: Option<String>,
    /// Only with all of these labels.
    pub labels: Labels,
    /// Only where all of these hold, of the labels that [`Series::labels`] gives.
    pub matchers: Vec<Matcher>,
}

impl Selector {
    /// Asks for one metric of all targets.
    pub fn metric(name: impl Into<String>) -> Self {
        Self {
            metric: Some(name.into()),
            ..Self::default()
        }
    }

    /// The same question, of one target.
    #[must_use]
    pub fn of(self, target: impl Into<String>) -> Self {
        Self {
            target: Some(target.into()),
            ..self
        }
    }

    /// The same question, with `label="value"`.
    #[must_use]
    pub fn with(self, label: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            labels: self.labels.with(label.into(), value),
            ..self
        }
    }

    /// Asks for all series of which all of `matchers` hold.
    pub fn matching(matchers: Vec<Matcher>) -> Self {
        Self {
            matchers,
            ..Self::default()
        }
    }
}

/// A pattern that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the pattern {pattern:?} cannot be used: {reason}")]
pub struct BadPattern {
    /// The pattern.
    pub pattern: String,
    /// Why not.
    pub reason: String,
}

/// One condition on a label; a label that is not there is empty.
#[derive(Clone)]
pub struct Matcher {
    label: String,
    compare: Compare,
    value: String,
    test: Test,
}

#[derive(Clone)]
enum Test {
    Is,
    /// Any text; with `true`, any but the empty one.
    Any(bool),
    OneOf(Vec<String>),
    Pattern(Regex),
}

impl Matcher {
    /// A condition; `value` is a text or a pattern.
    ///
    /// # Errors
    /// [`BadPattern`] if it is no pattern, or one that takes more than a megabyte.
    pub fn new(
        label: impl Into<String>,
        compare: Compare,
        value: impl Into<String>,
    ) -> std::result::Result<Self, BadPattern> {
        let value = value.into();
        let test = match compare {
            Compare::Equal | Compare::NotEqual => Test::Is,
            Compare::Matches | Compare::MatchesNot => Test::of(&value)?,
        };
        Ok(Self {
            label: label.into(),
            compare,
            value,
            test,
        })
    }

    /// Whether the condition holds for a text.
    pub fn holds(&self, text: &str) -> bool {
        let is_so = match &self.test {
            Test::Is => self.value == text,
            Test::Any(some) => (!some || !text.is_empty()) && !text.contains('\n'),
            Test::OneOf(texts) => texts.iter().any(|one| one == text),
            Test::Pattern(pattern) => pattern.is_match(text),
        };
        is_so == matches!(self.compare, Compare::Equal | Compare::Matches)
    }
}

impl Test {
    /// The quickest test that says what the pattern says.
    fn of(pattern: &str) -> std::result::Result<Self, BadPattern> {
        match pattern {
            ".*" => return Ok(Self::Any(false)),
            ".+" => return Ok(Self::Any(true)),
            _ => {}
        }
        let plain = |c: char| c.is_alphanumeric() || "_-:/ ,".contains(c);
        if pattern.chars().all(|c| c == '|' || plain(c)) {
            return Ok(Self::OneOf(pattern.split('|').map(str::to_owned).collect()));
        }
        let refused = |why: regex::Error| BadPattern {
            pattern: pattern.to_owned(),
            reason: match why {
                regex::Error::CompiledTooBig(_) => "it is too large; write a simpler one".into(),
                other => other.to_string(),
            },
        };
        let build = |text: &str| {
            RegexBuilder::new(text)
                .size_limit(PATTERN_BYTES)
                .dfa_size_limit(PATTERN_BYTES)
                .build()
                .map_err(refused)
        };
        // By itself first: `a)|(b` is a pattern only between the brackets of the anchors.
        build(pattern)?;
        build(&format!("^(?:{pattern})$")).map(Self::Pattern)
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        // The test follows from these.
        (&self.label, self.compare, &self.value) == (&other.label, other.compare, &other.value)
    }
}

impl Eq for Matcher {}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.compare {
            Compare::Equal => "=",
            Compare::NotEqual => "!=",
            Compare::Matches => "=~",
            Compare::MatchesNot => "!~",
        };
        write!(f, "{}{sign}{:?}", self.label, self.value)
    }
}

impl Series {
    /// All labels: those of the key, the metric as [`NAME`], and the target as [`TARGET`] unless
    /// its name begins with [`PUSHED`].
    pub fn labels(self) -> Labels {
        let labels = self.key.labels.with(NAME, self.key.metric.into_owned());
        if self.target.starts_with(PUSHED) {
            labels
        } else {
            labels.with(TARGET, self.target)
        }
    }
}

/// A selector, its conditions sorted by what they are about.
#[derive(Debug)]
pub(super) struct Ask<'s> {
    selector: &'s Selector,
    /// On the metric.
    names: Vec<&'s Matcher>,
    /// On the target's name, for targets that tell it.
    targets: Vec<&'s Matcher>,
    /// On labels of the key.
    labels: Vec<&'s Matcher>,
}

impl<'s> Ask<'s> {
    /// Sorts the conditions of a selector.
    pub(super) fn of(selector: &'s Selector) -> Self {
        let about = |label: &str| {
            let all = selector.matchers.iter();
            all.filter(|matcher| matcher.label == label).collect()
        };
        let others = selector.matchers.iter();
        Self {
            selector,
            names: about(NAME),
            targets: about(TARGET),
            labels: others
                .filter(|matcher| matcher.label != NAME && matcher.label != TARGET)
                .collect(),
        }
    }

    /// Whether series of a metric may match.
    fn metric(&self, name: &str) -> bool {
        let wanted = self.selector.metric.as_deref();
        wanted.is_none_or(|wanted| wanted == name) && self.names.iter().all(|m| m.holds(name))
    }

    /// Whether series of a target may match; those that do not tell it are asked one by one.
    pub(super) fn target(&self, name: &str) -> bool {
        let wanted = self.selector.target.as_deref();
        let is_told = !name.starts_with(PUSHED);
        wanted.is_none_or(|wanted| wanted == name)
            && (!is_told || self.targets.iter().all(|m| m.holds(name)))
    }

    /// Whether the labels of a written key match; its metric and target do.
    pub(super) fn labels(&self, key: &[u8], target: &str) -> bool {
        let own = if target.starts_with(PUSHED) {
            &self.targets[..]
        } else {
            &[]
        };
        let has = |matcher: &Matcher| matcher.holds(value(key, &matcher.label));
        self.selector
            .labels
            .iter()
            .all(|(name, wanted)| value(key, name) == wanted)
            && self.labels.iter().chain(own).all(|matcher| has(matcher))
    }
}

/// The value of a label in a written key; empty where it has none.
fn value<'k>(key: &'k [u8], label: &str) -> &'k str {
    let mut from = Reader::new(key);
    // The metric.
    if from.text().is_err() {
        return "";
    }
    while let (Ok(name), Ok(value)) = (from.text(), from.text()) {
        if name == label {
            return value;
        }
    }
    ""
}

/// Numbers of series by metric.
#[derive(Debug, Default)]
pub(super) struct ByMetric(BTreeMap<Box<str>, Vec<u32>>);

impl ByMetric {
    /// Takes a series with its written key.
    pub(super) fn add(&mut self, key: &[u8], id: u32) {
        let Ok(metric) = Reader::new(key).text() else {
            return;
        };
        let Some(known) = self.0.get_mut(metric) else {
            self.0.insert(metric.into(), vec![id]);
            return;
        };
        // Nearly always the last.
        let at = known.partition_point(|before| *before < id);
        known.insert(at, id);
    }

    /// Each metric with its first series, in order of name.
    pub(super) fn firsts(&self) -> impl Iterator<Item = (&str, u32)> {
        let lists = self.0.iter();
        lists.filter_map(|(name, list)| Some((&**name, *list.first()?)))
    }

    /// Numbers of all series of which the metric matches, ascending.
    pub(super) fn numbers(&self, ask: &Ask<'_>) -> impl Iterator<Item = u32> + use<> {
        let one = match (&ask.selector.metric, &ask.names[..]) {
            (Some(name), _) => Some(name.as_str()),
            (None, [one]) if one.compare == Compare::Equal => Some(one.value.as_str()),
            _ => None,
        };
        let lists: Vec<&Vec<u32>> = match one {
            Some(name) if ask.metric(name) => self.0.get(name).into_iter().collect(),
            Some(_) => Vec::new(),
            None => {
                let all = self.0.iter().filter(|(name, _)| ask.metric(name));
                all.map(|(_, list)| list).collect()
            }
        };
        let mut numbers: Vec<u32> = lists.iter().copied().flatten().copied().collect();
        if lists.len() > 1 {
            numbers.sort_unstable();
        }
        numbers.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::series::SeriesKey;
    use crate::store::definition::put_key;

    fn matcher(label: &str, compare: Compare, value: &str) -> Matcher {
        Matcher::new(label, compare, value).unwrap()
    }

    #[test]
    fn patterns_are_anchored_and_shortcuts_agree_with_them() {
        for (pattern, yes, no) in [
            ("a|b", &["a", "b"][..], &["ab", "", "c"][..]),
            ("a.*", &["a", "abc"], &["ba", ""]),
            (".*", &["", "x"], &["x\ny"]),
            (".+", &["x"], &["", "x\ny"]),
            ("|a", &["", "a"], &["aa"]),
            ("(?i)A", &["a", "A"], &["b"]),
        ] {
            let matches = matcher("l", Compare::Matches, pattern);
            let matches_not = matcher("l", Compare::MatchesNot, pattern);
            for text in yes {
                assert!(matches.holds(text), "{pattern} {text}");
                assert!(!matches_not.holds(text), "{pattern} {text}");
            }
            for text in no {
                assert!(!matches.holds(text), "{pattern} {text}");
                assert!(matches_not.holds(text), "{pattern} {text}");
            }
            let plain = Regex::new(&format!("^(?:{pattern})$")).unwrap();
            assert!(yes.iter().all(|text| plain.is_match(text)), "{pattern}");
            assert!(!no.iter().any(|text| plain.is_match(text)), "{pattern}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_told_with_its_text() {
        for bad in ["(", "a)|(b", "(x{1000}){1000}", r"(\w{100}){100}"] {
            let error = Matcher::new("l", Compare::Matches, bad).unwrap_err();
            assert_eq!(error.pattern, bad);
            assert!(!error.reason.is_empty());
        }
    }

    #[test]
    fn a_label_that_is_not_there_is_empty() {
        let labels = Labels::none().with("a", "1");
        let key = SeriesKey {
            metric: "m".into(),
            labels,
        };
        let mut written = Vec::new();
        put_key(&mut written, &key);
        for (condition, holds) in [
            (matcher("b", Compare::Equal, ""), true),
            (matcher("b", Compare::NotEqual, "x"), true),
            (matcher("b", Compare::Matches, ".+"), false),
            (matcher("a", Compare::Matches, "[12]"), true),
            (matcher("a", Compare::MatchesNot, "1"), false),
        ] {
            let selector = Selector::matching(vec![condition.clone()]);
            let ask = Ask::of(&selector);
            assert_eq!(ask.labels(&written, "t"), holds, "{condition:?}");
        }
    }

    #[test]
    fn targets_that_were_made_up_by_a_push_are_not_told() {
        let selector = Selector::matching(vec![matcher(TARGET, Compare::Equal, "main")]);
        let ask = Ask::of(&selector);
        assert!(ask.target("main") && !ask.target("other"));
        let mut written = Vec::new();
        put_key(&mut written, &SeriesKey::bare("m"));
        assert!(ask.target("push:1") && !ask.labels(&written, "push:1"));
        let mut told = Vec::new();
        let key = SeriesKey {
            metric: "m".into(),
            labels: Labels::none().with(TARGET, "main"),
        };
        put_key(&mut told, &key);
        assert!(ask.labels(&told, "push:1"));
    }

    #[test]
    fn metrics_are_asked_before_their_series() {
        let mut by_metric = ByMetric::default();
        for (id, name) in [(5, "a"), (1, "b"), (3, "a"), (9, "c")] {
            let mut written = Vec::new();
            put_key(&mut written, &SeriesKey::bare(name));
            by_metric.add(&written, id);
        }
        let ask = |matchers| {
            let selector = Selector::matching(matchers);
            by_metric.numbers(&Ask::of(&selector)).collect::<Vec<_>>()
        };
        assert_eq!(ask(vec![matcher(NAME, Compare::Equal, "a")]), [3, 5]);
        assert_eq!(ask(vec![matcher(NAME, Compare::Matches, "a|b")]), [1, 3, 5]);
        assert_eq!(ask(vec![matcher(NAME, Compare::NotEqual, "a")]), [1, 9]);
        assert_eq!(ask(vec![]), [1, 3, 5, 9]);
        assert!(ask(vec![matcher(NAME, Compare::Equal, "d")]).is_empty());
    }
}
