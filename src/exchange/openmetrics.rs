//! Samples as OpenMetrics text 1.0, each with its time.
//!
//! For: files that `promtool tsdb create-blocks-from openmetrics` takes, and such files from
//! elsewhere. Not for: `/metrics` (`http`), where times are left out. Read [`Lines`] first.
//!
//! Source: OpenMetrics 1.0 (ABNF, sections "Overall Structure", "Timestamps"). Instants are seconds
//! with a decimal part; more than three digits of it are rounded to milliseconds. Exemplars and what
//! `# HELP`, `# TYPE` and `# UNIT` say are stepped over. A label `target` is the series' target.

use std::io::BufRead;

use super::name::{self, IMPORT, Named};
use super::{Error, Result, Row, Rows, labels, value};
use crate::model::series::{Kind, Labels, SeriesKey};

/// The last line.
pub const END: &str = "# EOF\n";
/// The label under which a series' target is written.
pub const TARGET: &str = "target";
/// A longer line is none of ours.
const LINE_MAX: usize = 64 << 10;

/// The samples of a file, line by line.
#[derive(Debug)]
pub struct Lines<R> {
    from: R,
    text: Vec<u8>,
    line: u64,
    is_over: bool,
}

impl<R: BufRead> Lines<R> {
    /// Begins at the first line.
    pub fn new(from: R) -> Self {
        Self {
            from,
            text: Vec::new(),
            line: 0,
            is_over: false,
        }
    }

    /// Reads a line into `text`, without its end; `false` at the end of the file.
    fn fill(&mut self) -> Result<bool> {
        self.text.clear();
        let limit = LINE_MAX as u64 + 1;
        let mut limited = std::io::Read::take(&mut self.from, limit);
        let read = limited.read_until(b'\n', &mut self.text)?;
        self.line += 1;
        if read > LINE_MAX {
            let what = format!("is longer than {LINE_MAX} bytes");
            return Err(Error::line(self.line, what));
        }
        if self.text.last() == Some(&b'\n') {
            self.text.pop();
        }
        Ok(read > 0)
    }
}

impl<R: BufRead> Rows for Lines<R> {
    fn next(&mut self) -> Result<Option<Row<'_>>> {
        loop {
            let is_there = self.fill()?;
            if self.is_over {
                return if is_there {
                    Err(Error::line(self.line, "stands behind # EOF"))
                } else {
                    Ok(None)
                };
            }
            if !is_there {
                let what = "is missing: the file must end with # EOF; it may be cut off";
                return Err(Error::line(self.line, what));
            }
            if self.text == b"# EOF" {
                self.is_over = true;
            } else if !self.text.starts_with(b"#") && !self.text.is_empty() {
                break;
            }
        }
        let line = self.line;
        sample(&self.text)
            .map(Some)
            .map_err(|what| Error::line(line, what))
    }

    fn line(&self) -> u64 {
        self.line
    }

    fn name(&self, series: &[u8]) -> std::result::Result<Named, String> {
        let text = std::str::from_utf8(series)
            .map_err(|_| "names a series that is not UTF-8".to_owned())?;
        if text.len() > name::TEXT_MAX {
            let limit = name::TEXT_MAX;
            return Err(format!("names a series in more than {limit} bytes"));
        }
        let (metric, inner) = match text.split_once('{') {
            Some((metric, rest)) => (metric, rest.strip_suffix('}')),
            None => (text, Some("")),
        };
        let all = inner
            .map(|inner| inner.strip_suffix(',').unwrap_or(inner))
            .and_then(name::read_labels)
            .filter(|all| all.iter().all(|(name, _)| labels::is_label(name)));
        let Some(all) = all.filter(|_| labels::is_metric(metric)) else {
            return Err("names no series; write metric{label=\"value\"}".to_owned());
        };
        let target = all.get(TARGET).unwrap_or(IMPORT).to_owned();
        Ok(Named {
            target,
            key: SeriesKey {
                metric: metric.to_owned().into(),
                labels: all.with(TARGET, ""),
            },
        })
    }
}

/// `metric{labels} value time`, and what may follow it.
fn sample(line: &[u8]) -> std::result::Result<Row<'_>, &'static str> {
    const FEW: &str = "is no sample; write metric{label=\"value\"} value seconds";
    let end = series_len(line).ok_or(FEW)?;
    let (series, rest) = line.split_at_checked(end).ok_or(FEW)?;
    let mut words = rest.split(|b| *b == b' ').filter(|word| !word.is_empty());
    let value = words.next().and_then(value::read).ok_or(FEW)?;
    let at = words.next().filter(|word| *word != b"#");
    let at_ms = at.ok_or("has no time; a history needs one for each sample")?;
    let at_ms = seconds(at_ms).ok_or("has a time that is no number of seconds")?;
    match words.next() {
        None | Some(b"#") => Ok(Row {
            series,
            at_ms,
            value,
        }),
        Some(_) => Err(FEW),
    }
}

/// Length of metric and labels.
fn series_len(line: &[u8]) -> Option<usize> {
    let end = memchr::memchr2(b' ', b'{', line)?;
    if line.get(end) == Some(&b' ') {
        return Some(end);
    }
    let (mut is_quoted, mut at) = (false, end);
    loop {
        match line.get(at)? {
            b'\\' if is_quoted => at += 1,
            b'"' => is_quoted = !is_quoted,
            b'}' if !is_quoted => return Some(at + 1),
            _ => {}
        }
        at += 1;
    }
}

/// Decimal seconds as milliseconds, rounded.
fn seconds(text: &[u8]) -> Option<i64> {
    let whole = memchr::memchr(b'.', text);
    let (seconds, part) = text.split_at(whole.unwrap_or(text.len()));
    let digits = part.get(1..).unwrap_or_default();
    let has_sign = seconds.first() == Some(&b'-');
    let plain = value::read_ms(seconds).filter(|_| digits.iter().all(u8::is_ascii_digit));
    let Some(seconds) = plain else {
        // An exponent: rare, and a double is exact to a millisecond for some hundred thousand years.
        let seconds = value::read(text)?;
        let ms = (seconds * 1000.0).round();
        let fits = ms.abs() < 9e15;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "checked on the line before"
        )]
        return fits.then_some(ms as i64);
    };
    let digit = |at: usize| {
        digits
            .get(at)
            .map_or(0, |digit: &u8| i64::from(*digit - b'0'))
    };
    let mut ms = digit(0) * 100 + digit(1) * 10 + digit(2);
    ms += i64::from(digit(3) >= 5);
    let ms = if has_sign { -ms } else { ms };
    seconds.checked_mul(1000)?.checked_add(ms)
}

/// The series as it is written; `None` if OpenMetrics cannot name it.
pub fn written(target: &str, key: &SeriesKey) -> Option<SeriesKey> {
    let has_target = key.labels.get(TARGET).is_some();
    let is_told = target == IMPORT || target == labels::pushed_target(key) || has_target;
    let all: Labels = if is_told {
        key.labels.clone()
    } else {
        key.labels.clone().with(TARGET, target)
    };
    let fits = labels::is_metric(&key.metric) && all.iter().all(|(name, _)| labels::is_label(name));
    fits.then(|| SeriesKey {
        metric: key.metric.clone(),
        labels: all,
    })
}

/// Appends the line that a family of this metric begins with.
pub fn put_family(out: &mut Vec<u8>, metric: &str, kind: Kind) {
    let (family, kind) = match (kind, metric.strip_suffix("_total")) {
        (Kind::Counter, Some(family)) if !family.is_empty() => (family, "counter"),
        (Kind::Gauge, None) => (metric, "gauge"),
        _ => (metric, "unknown"),
    };
    out.extend_from_slice(format!("# TYPE {family} {kind}\n").as_bytes());
}

/// Appends a sample; `series` is what [`written`] gives, as text.
pub fn put_sample(out: &mut Vec<u8>, series: &str, at_ms: i64, of: f64) {
    out.extend_from_slice(series.as_bytes());
    out.push(b' ');
    if of.is_nan() {
        out.extend_from_slice(b"NaN");
    } else {
        value::put(out, of);
    }
    let sign = if at_ms < 0 { "-" } else { "" };
    let at = at_ms.unsigned_abs();
    let text = format!(" {sign}{}.{:03}\n", at / 1000, at % 1000);
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(file: &str) -> Result<Vec<(Named, i64, f64)>> {
        let mut lines = Lines::new(file.as_bytes());
        let mut all = Vec::new();
        while let Some(row) = lines.next()? {
            let (series, at, value) = (row.series.to_vec(), row.at_ms, row.value);
            let named = lines
                .name(&series)
                .map_err(|what| Error::line(lines.line(), what))?;
            all.push((named, at, value));
        }
        Ok(all)
    }

    #[test]
    fn a_file_is_read_as_the_standard_has_it() {
        let file = "# TYPE a counter\n# HELP a Text.\na_total{target=\"pg\",x=\"} \\\"1\"} 5 1.0005 # {t=\"1\"} 2\n\
                    b 0.25 -1.5\nc{} +Inf 1.5e9\n# EOF\n";
        let all = read(file).unwrap();
        assert_eq!(all[0].0.target, "pg");
        assert_eq!(all[0].0.key.to_string(), "a_total{x=\"} \\\"1\"}");
        let samples: Vec<_> = all.iter().map(|(_, at, value)| (*at, *value)).collect();
        assert_eq!(
            samples,
            [
                (1001, 5.0),
                (-1500, 0.25),
                (1_500_000_000_000, f64::INFINITY)
            ]
        );
    }

    #[test]
    fn what_does_not_read_names_its_line() {
        for (file, what) in [
            ("", "line 1 is missing"),
            ("a 1 2\n", "line 2 is missing"),
            ("a 1 2\n# EOF\na 1 2\n", "line 3 stands behind"),
            ("a 1\n# EOF\n", "line 1 has no time"),
            ("a 1 x\n# EOF\n", "line 1 has a time that is no number"),
            ("a{b=\"c\" 1 2\n# EOF\n", "line 1 is no sample"),
            ("a 1 2 3\n# EOF\n", "line 1 is no sample"),
            ("9a 1 2\n# EOF\n", "line 1 names no series"),
            ("a{b:c=\"1\"} 1 2\n# EOF\n", "line 1 names no series"),
        ] {
            let told = read(file).unwrap_err().to_string();
            assert!(told.contains(what), "{told}");
        }
        let long = "x".repeat(LINE_MAX + 1);
        assert!(read(&long).unwrap_err().to_string().contains("longer"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(at in -1i64 << 50..1i64 << 50, value: f64, label in "[^\0]{0,20}") {
            let key = SeriesKey {
                metric: "a_total".into(),
                labels: Labels::none().with("x", label),
            };
            let mut file = Vec::new();
            put_family(&mut file, &key.metric, Kind::Counter);
            put_sample(&mut file, &written("pg", &key).unwrap().to_string(), at, value);
            file.extend_from_slice(END.as_bytes());
            let all = read(std::str::from_utf8(&file).unwrap()).unwrap();
            prop_assert_eq!(all.len(), 1);
            prop_assert_eq!((&all[0].0.key, all[0].0.target.as_str(), all[0].1), (&key, "pg", at));
            prop_assert!(all[0].2.to_bits() == value.to_bits() || value.is_nan());
        }

        #[test]
        fn arbitrary_text_never_panics(text in ".{0,60}") {
            let _ = read(&text);
            let _ = seconds(text.as_bytes());
        }
    }
}
