//! What a field holds: a value, a step, an instant.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use crate::exchange::value::{read_ms, short};
use crate::model::units::Timestamp;

/// Characters of a field that an error shows.
const SHOWN: usize = 60;
/// Counts of this size and above are milliseconds: as seconds they lie after the year 5138, as
/// milliseconds from 1973 on.
const MILLIS_FROM: f64 = 1e11;

/// A field for a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell {
    /// A finite one.
    Number(f64),
    /// Empty, or a word for it: `NaN`, `NA`, `null`, in any case of letters.
    Missing,
    /// Written so, or too large for a double.
    Infinite,
    /// Something else.
    Other,
}

/// Reads a field that holds a number or nothing.
pub fn value(field: &[u8]) -> Cell {
    let field = field.trim_ascii();
    if let Some(short) = short(field) {
        return Cell::Number(short);
    }
    let missing: [&[u8]; 4] = [b"", b"nan", b"na", b"null"];
    if missing.iter().any(|word| field.eq_ignore_ascii_case(word)) {
        return Cell::Missing;
    }
    match number(field) {
        Some(y) if y.is_nan() => Cell::Missing,
        Some(y) if y.is_finite() => Cell::Number(y),
        Some(_) => Cell::Infinite,
        None => Cell::Other,
    }
}

/// Reads a decimal; what is too large for a double is infinite.
fn number(field: &[u8]) -> Option<f64> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

/// Reads a step.
pub(super) fn step(field: &[u8]) -> Option<i64> {
    let field = field.trim_ascii();
    read_ms(field).or_else(|| std::str::from_utf8(field).ok()?.parse().ok())
}

/// Reads an instant: RFC 3339, a date, a date and a time of day in UTC, or a count since 1970.
pub(super) fn instant(field: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(field.trim_ascii()).ok()?;
    let is_count = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    if text.bytes().skip(1).all(is_count) {
        return count(text.parse().ok()?);
    }
    let zoned = text.parse::<jiff::Timestamp>().ok();
    let civil = || {
        let whole = text.parse::<DateTime>().ok();
        let civil = whole.or_else(|| Some(text.parse::<Date>().ok()?.at(0, 0, 0, 0)))?;
        Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
    };
    let at = zoned.or_else(civil)?;
    Some(Timestamp::from_millis(at.as_millisecond()))
}

fn count(number: f64) -> Option<Timestamp> {
    let ms = if number.abs() >= MILLIS_FROM {
        number
    } else {
        number * 1e3
    };
    #[expect(clippy::cast_possible_truncation, reason = "checked by the calendar")]
    let ms = ms.round() as i64;
    // What the calendar does not reach cannot be written, either.
    let at = jiff::Timestamp::from_millisecond(ms).ok()?;
    Some(Timestamp::from_millis(at.as_millisecond()))
}

/// A field as an error shows it.
pub(super) fn shown(field: &[u8]) -> String {
    let text = String::from_utf8_lossy(field);
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_words_for_nothing_and_all_else_are_told_apart() {
        for (text, wanted) in [
            ("7", Cell::Number(7.0)),
            (" -1.5e3 ", Cell::Number(-1500.0)),
            ("1e308", Cell::Number(1e308)),
            ("", Cell::Missing),
            ("  ", Cell::Missing),
            ("NaN", Cell::Missing),
            ("-nan", Cell::Missing),
            ("NA", Cell::Missing),
            ("Null", Cell::Missing),
            ("inf", Cell::Infinite),
            ("-Infinity", Cell::Infinite),
            ("1e999", Cell::Infinite),
            ("twelve", Cell::Other),
            ("1,5", Cell::Other),
            ("0x10", Cell::Other),
        ] {
            assert_eq!(value(text.as_bytes()), wanted, "{text}");
        }
    }

    #[test]
    fn instants_are_read_as_people_and_programs_write_them() {
        let noon = Timestamp::parse("2026-03-01T12:00:00Z").unwrap();
        for text in [
            "2026-03-01T12:00:00Z",
            "2026-03-01T13:00:00+01:00",
            "2026-03-01 12:00",
            "2026-03-01 12:00:00",
            "2026-03-01T12:00:00",
            "1772366400",
            "1772366400.0",
            "1772366400000",
        ] {
            assert_eq!(instant(text.as_bytes()), Some(noon), "{text}");
        }
        let day = instant(b"2026-03-01").unwrap();
        assert_eq!(noon.since(day).as_secs(), 12 * 3600);
        let before = Timestamp::from_millis(-1_500);
        assert_eq!(instant(b"-1.5"), Some(before));
        for wrong in [
            "",
            "-",
            "noon",
            "2026-13-01",
            "1e9",
            "99999999999999999",
            "1.2.3",
        ] {
            assert_eq!(instant(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn an_error_shows_no_more_than_a_glance() {
        assert_eq!(shown(b"abc"), "abc");
        assert_eq!(shown(&[b'x'; 500]).chars().count(), SHOWN + 1);
    }
}
