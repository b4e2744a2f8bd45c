//! How quantities, dates and lengths of time are written for people.
//!
//! For: the one way that every page, table and chart says a number. Not for: sentences (each
//! output has its own) and not for parsing. All dates are UTC and all of them say the year.

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::model::capacity::{Resource, Unit};
use crate::model::units::{Millis, Timestamp};

const BYTE_UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];

/// A resource as a heading writes it.
pub(crate) const fn resource(resource: Resource) -> &'static str {
    match resource {
        Resource::Cpu => "CPU",
        Resource::Memory => "Memory",
        Resource::Storage => "Storage",
        Resource::Bandwidth => "Bandwidth",
        Resource::Database => "Database size",
        Resource::Connections => "Connections",
    }
}

/// A quantity with its unit: `312 GB` (1 kB = 1024 bytes, as Postgres has it), `3.4 cores`, `57`.
pub(crate) fn quantity(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Cores => match digits(value).as_str() {
            "1" => "1 core".to_owned(),
            digits => format!("{digits} cores"),
        },
        Unit::Bytes => bytes(value),
        Unit::BytesPerSecond => format!("{}/s", bytes(value)),
        Unit::Connections => format!("{value:.0}"),
    }
}

/// A change of a quantity, with its sign.
pub(crate) fn change(value: f64, unit: Unit) -> String {
    let sign = if value < 0.0 { "−" } else { "+" };
    let size = match unit {
        Unit::Connections => digits(value.abs()),
        unit => quantity(value.abs(), unit),
    };
    format!("{sign}{size}")
}

/// The name of the byte unit that suits `top`, and how many bytes one of it is.
pub(crate) fn byte_scale(top: f64) -> (&'static str, f64) {
    let mut scale = 1.0;
    for unit in BYTE_UNITS {
        if top.abs() < scale * 1024.0 {
            return (unit, scale);
        }
        scale *= 1024.0;
    }
    ("PB", scale / 1024.0)
}

fn bytes(value: f64) -> String {
    let (unit, scale) = byte_scale(value);
    if unit == "B" {
        format!("{value:.0} B")
    } else {
        format!("{} {unit}", digits(value / scale))
    }
}

/// Three figures at most, none of them an idle zero.
fn digits(value: f64) -> String {
    let places = match value.abs() {
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        _ => 2,
    };
    let text = format!("{value:.places$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// A share as a percentage: `62 %`, with a decimal below 10 %.
pub(crate) fn percent(share: f64) -> String {
    let value = share * 100.0;
    if value.abs() < 9.95 && (value - value.round()).abs() >= 0.05 {
        format!("{value:.1} %")
    } else {
        format!("{value:.0} %")
    }
}

/// The calendar day of an instant, in UTC; `None` beyond the calendar.
pub(crate) fn day(at: Timestamp) -> Option<Date> {
    jiff::Timestamp::from_millisecond(at.as_millis())
        .ok()
        .map(|at| at.to_zoned(TimeZone::UTC).date())
}

/// `1 May 2026`.
pub(crate) fn long_date(at: Timestamp) -> String {
    day(at).map_or_else(
        || at.to_string(),
        |day| day.strftime("%-d %b %Y").to_string(),
    )
}

/// `9 Jun – 1 Jul 2026`, or with both years where they differ; the dates themselves do not wrap.
pub(crate) fn date_range(from: Timestamp, until: Timestamp) -> String {
    let joined = |text: String| text.replace(' ', "\u{a0}");
    let early = match (day(from), day(until)) {
        (Some(a), Some(b)) if a.year() == b.year() => a.strftime("%-d %b").to_string(),
        _ => long_date(from),
    };
    format!("{} – {}", joined(early), joined(long_date(until)))
}

/// `2026-05-01 12:30 UTC`.
pub(crate) fn instant(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.as_millis()).map_or_else(
        |_| at.to_string(),
        |at| at.strftime("%Y-%m-%d %H:%M UTC").to_string(),
    )
}

/// Days from `from` to `to`, negative when `to` is earlier.
pub(crate) fn days_between(from: Timestamp, to: Timestamp) -> f64 {
    (to.as_secs_f64() - from.as_secs_f64()) / 86_400.0
}

/// A length of time in one unit: `8 s`, `12 min`, `3 h`, `47 d`.
pub(crate) fn length(length: Millis) -> String {
    let seconds = length.0 / 1_000;
    match seconds {
        0..=99 => format!("{seconds} s"),
        100..=5_999 => format!("{} min", seconds / 60),
        6_000..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// The time from `earlier` to `later` as [`length`] writes it; zero when they are the wrong way.
pub(crate) fn age(earlier: Timestamp, later: Timestamp) -> String {
    let ms = later.since(earlier).as_millis();
    length(Millis(u64::try_from(ms).unwrap_or(u64::MAX)))
}

/// Days as `47 d`, longer than two years as `2.4 years`.
pub(crate) fn days(days: f64) -> String {
    if days.abs() > 730.0 {
        format!("{:.1} years", days / 365.25)
    } else {
        format!("{:.0} d", days.max(0.0))
    }
}

/// Milliseconds of execution: `0.42 ms`, `1.3 s`, `2.1 h`.
pub(crate) fn millis(ms: f64) -> String {
    match ms {
        ms if ms < 1e3 => format!("{} ms", digits(ms)),
        ms if ms < 120e3 => format!("{} s", digits(ms / 1e3)),
        ms if ms < 7.2e6 => format!("{} min", digits(ms / 60e3)),
        ms => format!("{} h", digits(ms / 3.6e6)),
    }
}

/// A whole number with thin groups: `1,204,330`.
pub(crate) fn count(value: u64) -> String {
    let plain = value.to_string();
    let mut text = String::with_capacity(plain.len() + plain.len() / 3);
    for (i, digit) in plain.chars().enumerate() {
        if i > 0 && (plain.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Text from outside on one line: control characters, which could drive a terminal or break a
/// table, become a replacement mark; runs of white space become one space; cut at `limit` letters.
pub(crate) fn one_line(text: &str, limit: usize) -> String {
    let mut line = String::new();
    let mut letters = 0;
    for word in text.split_whitespace() {
        if letters > 0 {
            line.push(' ');
            letters += 1;
        }
        for c in word.chars() {
            if letters >= limit {
                line.push('…');
                return line;
            }
            line.push(if is_unsafe(c) { '\u{fffd}' } else { c });
            letters += 1;
        }
    }
    line
}

/// Control characters and those that turn the direction of writing.
pub(crate) fn is_unsafe(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_have_at_most_three_figures() {
        const GB: f64 = 1_073_741_824.0;
        assert_eq!(quantity(312.4 * GB, Unit::Bytes), "312 GB");
        assert_eq!(quantity(1.5 * GB, Unit::BytesPerSecond), "1.5 GB/s");
        assert_eq!(quantity(1.0, Unit::Cores), "1 core");
        assert_eq!(quantity(2.0, Unit::Cores), "2 cores");
        assert_eq!(quantity(3.456, Unit::Cores), "3.46 cores");
        assert_eq!(quantity(57.2, Unit::Connections), "57");
        assert_eq!(quantity(0.0, Unit::Bytes), "0 B");
        assert_eq!(change(-1.5 * GB, Unit::Bytes), "−1.5 GB");
    }

    #[test]
    fn lengths_keep_one_unit() {
        assert_eq!(length(Millis(8_400)), "8 s");
        assert_eq!(length(Millis(720_000)), "12 min");
        assert_eq!(length(Millis(10_800_000)), "3 h");
        assert_eq!(days(47.2), "47 d");
        assert_eq!(days(900.0), "2.5 years");
        assert_eq!(
            age(Timestamp::from_millis(9), Timestamp::from_millis(3)),
            "0 s"
        );
    }

    #[test]
    fn a_range_within_a_year_says_the_year_once() {
        let at = |text| Timestamp::parse(text).unwrap();
        let range = |a, b| date_range(at(a), at(b)).replace('\u{a0}', " ");
        let (june, july) = ("2026-06-09T00:00:00Z", "2026-07-01T00:00:00Z");
        assert_eq!(range(june, july), "9 Jun – 1 Jul 2026");
        let next = "2027-02-03T00:00:00Z";
        assert_eq!(range(june, next), "9 Jun 2026 – 3 Feb 2027");
    }

    #[test]
    fn counts_are_grouped() {
        assert_eq!(count(1_204_330), "1,204,330");
        assert_eq!(count(999), "999");
        assert_eq!(percent(0.052), "5.2 %");
        assert_eq!(percent(0.62), "62 %");
    }

    #[test]
    fn text_from_outside_cannot_drive_a_terminal() {
        let line = one_line("a\u{1b}[31m\n b\u{202e}c", 99);
        assert_eq!(line, "a\u{fffd}[31m b\u{fffd}c");
        assert_eq!(one_line("abcdef", 3), "abc…");
    }

    #[test]
    fn an_instant_beyond_the_calendar_is_still_written() {}
}
