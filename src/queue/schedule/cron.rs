//! A cron pattern, read: which days and which times of day it means, on no particular clock.
//!
//! For: five fields, or six with seconds first; names, ranges, steps, lists, `L`, `W`, `#`, and
//! `@daily` and its like. Not for: instants (`recurrence`). The crate `croner` reads each field and
//! knows which days a month has; the words of an error are ours, so that it names the field.

use croner::parser::{CronParser, Seconds, Year};
use croner::{CronPattern, Weekday};
use jiff::civil::Date;

use super::{Error, Result};
use crate::model::units::counted;

/// Texts longer than this are no pattern.
const LENGTH_MAX: usize = 256;
pub(super) const DAY: i64 = 86_400;

/// A pattern.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    days: CronPattern,
    months: u16,
    hours: u32,
    minutes: u64,
    seconds: u64,
    /// Whether the minute or hour field begins with `*`.
    pub(super) is_wild: bool,
}

/// A field: its name in errors, and what it takes.
struct Field {
    name: &'static str,
    takes: &'static str,
    letters: &'static [&'static str],
}

const MONTHS: &[&str] = &[
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const WEEKDAYS: &[&str] = &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT", "L"];

/// In the order in which they are written.
const FIELDS: [Field; 6] = [
    Field {
        name: "second",
        takes: "0 to 59, such as 0, */15 or 10-20",
        letters: &[],
    },
    Field {
        name: "minute",
        takes: "0 to 59, such as 0, */15 or 10-20",
        letters: &[],
    },
    Field {
        name: "hour",
        takes: "0 to 23, such as 3, */6 or 9-17",
        letters: &[],
    },
    Field {
        name: "day of month",
        takes: "1 to 31, L for the last, LW for the last weekday or 15W for the weekday nearest",
        letters: &["L", "W"],
    },
    Field {
        name: "month",
        takes: "1 to 12 or JAN to DEC",
        letters: MONTHS,
    },
    Field {
        name: "day of week",
        takes: "0 to 7 (0 and 7 are Sunday) or SUN to SAT, 5L for the last Friday, 5#2 for the second",
        letters: WEEKDAYS,
    },
];

/// What stands for a word with `@`.
fn nickname(word: &str) -> Option<&'static str> {
    Some(match word.to_ascii_lowercase().as_str() {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        _ => return None,
    })
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`Error::Pattern`] with the field and its text.
    pub(super) fn read(text: &str) -> Result<Self> {
        let wrong = |why: String| Error::Pattern {
            pattern: text.chars().take(LENGTH_MAX).collect(),
            why,
        };
        let plain = text.trim();
        if plain.len() > LENGTH_MAX {
            return Err(wrong(format!("it is longer than {LENGTH_MAX} bytes")));
        }
        let known = if plain.starts_with('@') {
            nickname(plain).ok_or_else(|| {
                let wanted = "@yearly, @monthly, @weekly, @daily, @midnight or @hourly";
                wrong(format!("{plain:?} is no such word; write {wanted}"))
            })?
        } else {
            plain
        };
        let written: Vec<String> = known.split_whitespace().map(str::to_uppercase).collect();
        let fields: Vec<&str> = match written.len() {
            5 => std::iter::once("0")
                .chain(written.iter().map(String::as_str))
                .collect(),
            6 => written.iter().map(String::as_str).collect(),
            many => {
                let wanted =
                    "5 (minute, hour, day of month, month, day of week), or 6 with seconds first";
                let fields = counted(many, "field");
                return Err(wrong(format!("it has {fields}; write {wanted}")));
            }
        };
        for (nth, (text, field)) in fields.iter().zip(&FIELDS).enumerate() {
            check_field(nth, text, field).map_err(wrong)?;
        }
        let cron = parse(&fields.join(" "))
            .map_err(|error| wrong(format!("it does not read: {error}")))?;
        let values = |component: &croner::CronComponent| {
            let values = component.values().into_iter();
            values.fold(0_u64, |mask, value| mask | 1 << value.min(63))
        };
        let begins = |nth: usize| fields.get(nth).is_some_and(|field| field.starts_with('*'));
        Ok(Self {
            months: u16::try_from(values(&cron.months)).unwrap_or(u16::MAX),
            hours: u32::try_from(values(&cron.hours)).unwrap_or(u32::MAX),
            minutes: values(&cron.minutes),
            seconds: values(&cron.seconds),
            is_wild: begins(1) || begins(2),
            days: cron,
        })
    }

    /// The first time at or after `from` and before `until` on a clock that never changes, in
    /// seconds since 1970 on that clock.
    pub(super) fn first(&self, from: i64, until: i64) -> Option<i64> {
        let (mut day, mut second) = (from.div_euclid(DAY), from.rem_euclid(DAY));
        while day * DAY < until {
            let date = date_of(day)?;
            let number = u32::try_from(date.month()).ok()?;
            if self.months & (1 << number) == 0 {
                // On to the first of the next month.
                day += i64::from(date.days_in_month() - date.day()) + 1;
                second = 0;
                continue;
            }
            if self.is_day(date, day)
                && let Some(time) = self.time(second)
            {
                let found = day * DAY + time;
                return (found < until).then_some(found);
            }
            day += 1;
            second = 0;
        }
        None
    }

    fn is_day(&self, date: Date, day: i64) -> bool {
        // 1970-01-01 was a Thursday.
        let weekday = u32::try_from((day + 4).rem_euclid(7)).unwrap_or(0);
        let weekday = Weekday::from_days_from_sunday(weekday);
        let (month, of_month) = (date.month().unsigned_abs(), date.day().unsigned_abs());
        let year = i32::from(date.year());
        let fits = self
            .days
            .day_match(year, month.into(), of_month.into(), weekday);
        fits.unwrap_or(false)
    }

    /// The first time of day at or after `second`, in seconds.
    fn time(&self, second: i64) -> Option<i64> {
        let (hour, minute) = (second / 3_600, second / 60 % 60);
        let at = |hour: i64, minute: i64, second: i64| hour * 3_600 + minute * 60 + second;
        if has(self.hours.into(), hour) {
            if has(self.minutes, minute)
                && let Some(second) = next(self.seconds, second % 60)
            {
                return Some(at(hour, minute, second));
            }
            if let Some(minute) = next(self.minutes, minute + 1) {
                return Some(at(hour, minute, next(self.seconds, 0)?));
            }
        }
        let hour = next(self.hours.into(), hour + 1)?;
        Some(at(hour, next(self.minutes, 0)?, next(self.seconds, 0)?))
    }
}

fn has(mask: u64, value: i64) -> bool {
    next(mask, value) == Some(value)
}

/// The least value of a set that is not under `from`.
fn next(mask: u64, from: i64) -> Option<i64> {
    let from = u32::try_from(from).ok().filter(|from| *from < 64)?;
    let left = mask & (u64::MAX << from);
    (left != 0).then(|| left.trailing_zeros().into())
}

/// The date of a day since 1970.
fn date_of(day: i64) -> Option<Date> {
    let at = jiff::Timestamp::from_second(day.checked_mul(DAY)?).ok()?;
    Some(jiff::tz::TimeZone::UTC.to_datetime(at).date())
}

fn parse(text: &str) -> std::result::Result<CronPattern, String> {
    let parser = CronParser::builder()
        .seconds(Seconds::Required)
        .year(Year::Disallowed)
        // `5/15` is what many write for `5-59/15`.
        .sloppy_ranges(true)
        .build();
    let read = parser.parse(text);
    read.map(|cron| cron.pattern)
        .map_err(|error| error.to_string())
}

/// Looks at one field; the error says which it is, what stands there and what may.
fn check_field(nth: usize, text: &str, field: &Field) -> std::result::Result<(), String> {
    let wrong = || format!("its {} is {text:?}; write {}", field.name, field.takes);
    let mut rest = text.to_owned();
    for letters in field.letters {
        rest = rest.replace(letters, "");
    }
    let parts = text.trim_start_matches('+').split(',');
    let is_odd = |part: &str| part.is_empty() || part.starts_with('/') || (nth == 5 && part == "L");
    if rest.chars().any(char::is_alphabetic) || parts.into_iter().any(is_odd) {
        return Err(wrong());
    }
    let others = ["0", "0", "0", "*", "*", "*"];
    let alone: Vec<&str> = others
        .iter()
        .enumerate()
        .map(|(at, other)| if at == nth { text } else { other })
        .collect();
    parse(&alone.join(" ")).map(|_| ()).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(text: &str) -> i64 {
        let at: jiff::civil::DateTime = text.parse().unwrap();
        at.to_zoned(jiff::tz::TimeZone::UTC)
            .unwrap()
            .timestamp()
            .as_second()
    }

    /// The first times after the beginning of 2024, which was a Monday.
    fn first(pattern: &str, many: usize) -> Vec<String> {
        let pattern = Pattern::read(pattern).unwrap();
        let (mut from, until) = (local("2024-01-01T00:00:00"), local("2100-01-01T00:00:00"));
        let mut found = Vec::new();
        for _ in 0..many {
            let next = pattern.first(from, until).unwrap();
            let at = jiff::Timestamp::from_second(next).unwrap().to_string();
            found.push(at.trim_end_matches(":00Z").replace('T', " "));
            from = next + 1;
        }
        found
    }

    /// Each worked out by hand with a calendar of 2024.
    #[test]
    fn patterns_mean_the_times_that_their_words_say() {
        for (pattern, times) in [
            ("30 2 * * *", vec!["2024-01-01 02:30", "2024-01-02 02:30"]),
            (
                "*/20 9-10 * * MON",
                vec!["2024-01-01 09:00", "2024-01-01 09:20"],
            ),
            (
                "0 0 L * *",
                vec!["2024-01-31 00:00", "2024-02-29 00:00", "2024-03-31 00:00"],
            ),
            (
                "0 0 LW * *",
                vec!["2024-01-31 00:00", "2024-02-29 00:00", "2024-03-29 00:00"],
            ),
            (
                "0 0 15W jun *",
                vec!["2024-06-14 00:00", "2025-06-16 00:00"],
            ),
            ("0 12 * * 5#2", vec!["2024-01-12 12:00", "2024-02-09 12:00"]),
            (
                "0 12 * * FRIL",
                vec!["2024-01-26 12:00", "2024-02-23 12:00"],
            ),
            ("0 0 29 2 *", vec!["2024-02-29 00:00", "2028-02-29 00:00"]),
            (
                "0 0 13 * 5",
                vec!["2024-01-05 00:00", "2024-01-12 00:00", "2024-01-13 00:00"],
            ),
            ("0 0 13 * +5", vec!["2024-09-13 00:00", "2024-12-13 00:00"]),
            ("@weekly", vec!["2024-01-07 00:00", "2024-01-14 00:00"]),
            ("@midnight", vec!["2024-01-01 00:00", "2024-01-02 00:00"]),
            ("@yearly", vec!["2024-01-01 00:00", "2025-01-01 00:00"]),
            ("0 0 * * 7", vec!["2024-01-07 00:00"]),
            (
                "5/25 0 * * ?",
                vec!["2024-01-01 00:05", "2024-01-01 00:30", "2024-01-01 00:55"],
            ),
        ] {
            assert_eq!(first(pattern, times.len()), times, "{pattern}");
        }
        assert_eq!(
            first("*/40 59 23 31 12 *", 3),
            [
                "2024-12-31 23:59",
                "2024-12-31T23:59:40Z".replace('T', " ").as_str(),
                "2025-12-31 23:59"
            ]
        );
    }

    #[test]
    fn what_does_not_read_is_told_with_its_field_and_text() {
        for (pattern, field, given) in [
            ("61 * * * *", "minute", "61"),
            ("* 24 * * *", "hour", "24"),
            ("* * 0 * *", "day of month", "0"),
            ("* * * 13 *", "month", "13"),
            ("* * * * 8", "day of week", "8"),
            ("* * * * MOO", "day of week", "MOO"),
            ("MON * * * *", "minute", "MON"),
            ("60 * * * * *", "second", "60"),
            ("*/0 * * * *", "minute", "*/0"),
            ("/5 * * * *", "minute", "/5"),
            ("1,,2 * * * *", "minute", "1,,2"),
            (", * * * *", "minute", ","),
            ("* 22-2 * * *", "hour", "22-2"),
            ("* * * * FRI-MON", "day of week", "FRI-MON"),
            ("* * * * 5#6", "day of week", "5#6"),
            ("* * * * L", "day of week", "L"),
            ("* L * * *", "hour", "L"),
            ("* * 32W * *", "day of month", "32W"),
            ("1-2-3 * * * *", "minute", "1-2-3"),
            ("99999999999 * * * *", "minute", "99999999999"),
            ("* * ü * *", "day of month", "Ü"),
        ] {
            let told = Pattern::read(pattern).unwrap_err().to_string();
            assert!(
                told.contains(&format!("its {field} is {given:?}; write ")),
                "{pattern}: {told}"
            );
        }
    }

    #[test]
    fn texts_that_are_no_pattern_are_told_so() {
        for (pattern, says) in [
            ("", "0 fields"),
            ("* * * *", "4 fields"),
            ("* * * * * * 2027", "7 fields"),
            ("@reboot", "no such word"),
            ("@every 5m", "no such word"),
            ("@", "no such word"),
            (&"*".repeat(300), "longer"),
        ] {
            let told = Pattern::read(pattern).unwrap_err().to_string();
            assert!(told.contains(says), "{pattern}: {told}");
        }
    }

    #[test]
    fn a_time_is_wild_if_its_minute_or_hour_begins_with_a_star() {
        for (pattern, wild) in [
            ("*/30 2 * * *", true),
            ("30 * * * *", true),
            ("@hourly", true),
            ("30 2 * * *", false),
            ("0-59/5 2 * * *", false),
            ("* 30 2 * * *", false),
            ("@daily", false),
        ] {
            assert_eq!(Pattern::read(pattern).unwrap().is_wild, wild, "{pattern}");
        }
    }
}
