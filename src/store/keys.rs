//! Where things lie: key layout, tree names and database names. Encode and decode in pairs.
//!
//! For: every key in every database. Not for: values (`codec`, `chunk`, `rollup`). All integers
//! are big-endian, so that the order of bytes is the order of values.
//!
//! A **span** is a length of time with a number, counted from 1970: two hours for raw samples and
//! 5 min buckets ([`SPAN`]), a day for 1 h buckets ([`DAY_SPAN`]). A **group** is 16 series of one
//! target; series `id` is member `id mod 16` of group `id div 16`.
//!
//! | database | tree | key | value |
//! |---|---|---|---|
//! | `raw-YYYYMMDD` | `data` | span u32, group u32, log u32 | 16 columns (`chunk`) |
//! | | | span u32, `0xFFFF0000` + target u32, log u32 | time column (`chunk`) |
//! | `r5m-YYYYMM` | `data` | span u32, group u32 | 5 min buckets (`buckets`) |
//! | | `s5m` | step of 5 min u32, target, metric and labels | latencies (`sketches`) |
//! | `r1h-YYYY` | `data` | day u32, group u32 | 1 h buckets (`buckets`) |
//! | | `s1h` | hour u32, target, metric and labels | latencies (`sketches`) |
//! | `control` | `catalogue` | `t`, target u32 | name |
//! | | | `s`, series u32 | definition (`catalogue`) |
//! | | `last` | block of 256 series u32 | last values (`catalogue`) |
//! | | `tally` | day YYYYMMDD u32, log u32 | samples u64 little-endian |
//! | | `synthetic` | target u32 | from and until, i64 little-endian |
//! | | `records` | kind, 0, id, 0, part u16 | part of a sealed JSON document |
//! | | `meta` | `sealed` | last log that was sealed, u32 |
//! | | | `unfolded` | varint days whose hours are behind their five minutes |
//! | `jobs` | `rows` | as the queue says | a sealed value |
//!
//! Groups from `0xFFFFFFF0` on are fences: keys without a value (see `seal`).
//!
//! `log` is the number of the write-ahead file that the samples came from: sealing the same file
//! twice writes the same keys, and late samples of a sealed span get a key of their own.

use crate::model::units::{Millis, Timestamp};

/// Length of a span of raw samples and 5 min buckets.
pub(super) const SPAN: Millis = Millis(2 * Millis::HOUR.0);
/// Length of a span of 1 h buckets.
pub(super) const DAY_SPAN: Millis = Millis::DAY;
/// Series in a group.
pub(super) const GROUP: u32 = 16;
/// Groups from here on are time columns of targets.
const TIMES: u32 = 0xFFFF_0000;
/// The most targets a store may know; the groups above are fences.
pub(super) const TARGETS_MAX: u32 = 0xFFF0;
/// Keys without values that end a span, one more than a leaf of sled's tree takes before it splits.
const FENCES: std::ops::RangeInclusive<u32> = 0xFFFF_FFF0..=0xFFFF_FFFF;
/// Spans of two hours in a day.
pub(super) const SPANS_A_DAY: u32 = 12;
/// First instant after the times that can be kept: the year 9999, the last that has no next one in
/// the calendar.
pub(super) const TIME_END: i64 = 253_370_764_800_000;

pub(super) const CATALOGUE: &str = "catalogue";
pub(super) const LAST: &str = "last";
pub(super) const TALLY: &str = "tally";
pub(super) const SYNTHETIC: &str = "synthetic";
pub(super) const RECORDS: &str = "records";
pub(super) const META: &str = "meta";
/// The tree of the jobs.
pub(super) const ROWS: &str = "rows";
pub(super) const SEALED: &[u8] = b"sealed";
pub(super) const UNFOLDED: &[u8] = b"unfolded";
/// Number of the log that an import writes into the databases, past any log.
pub(super) const BULK: &[u8] = b"bulk";
/// The tree of a part that every part has.
pub(super) const DATA: &str = "data";
/// Trees of latencies, beside the buckets of the same tier.
pub(super) const SKETCHES_5M: &str = "s5m";
pub(super) const SKETCHES_1H: &str = "s1h";

/// Number of the span of length `len` that holds `at`; `None` outside 1970 to 9998.
pub(super) fn span_of(at: Timestamp, len: Millis) -> Option<u32> {
    let ms = at.as_millis();
    if !(0..TIME_END).contains(&ms) {
        return None;
    }
    u32::try_from(ms.cast_unsigned() / len.0.max(1)).ok()
}

/// First instant of span `span`.
pub(super) fn span_start(span: u32, len: Millis) -> Timestamp {
    let ms = u64::from(span).saturating_mul(len.0);
    Timestamp::from_millis(i64::try_from(ms).unwrap_or(i64::MAX))
}

/// Calendar date (UTC) of an instant: year, month, day.
pub(super) fn date(at: Timestamp) -> (i16, i8, i8) {
    let date = jiff::Timestamp::from_millisecond(at.as_millis())
        .unwrap_or_default()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date();
    (date.year(), date.month(), date.day())
}

/// A date as the number `YYYYMMDD`.
pub(super) fn day_number(at: Timestamp) -> u32 {
    let (year, month, day) = date(at);
    let number = i32::from(year) * 10_000 + i32::from(month) * 100 + i32::from(day);
    u32::try_from(number).unwrap_or(0)
}

/// First instants of what a part covers and of what comes after; `None` for other names.
///
/// A part is a database of its own: `raw-YYYYMMDD`, `r5m-YYYYMM` or `r1h-YYYY`.
pub(super) fn part_bounds(name: &str) -> Option<(Timestamp, Timestamp)> {
    let (prefix, digits) = name.split_once('-')?;
    match prefix {
        "raw" => day_bounds(digits),
        "r5m" => month_bounds(digits),
        "r1h" => year_bounds(digits),
        _ => None,
    }
}

fn day_bounds(digits: &str) -> Option<(Timestamp, Timestamp)> {
    let digits = Some(digits).filter(|d| d.len() == 8)?;
    let (year, rest) = digits.split_at_checked(4)?;
    let (month, day) = rest.split_at_checked(2)?;
    let first =
        jiff::civil::Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()?;
    Some((start_of(first)?, start_of(first.tomorrow().ok()?)?))
}

fn month_bounds(digits: &str) -> Option<(Timestamp, Timestamp)> {
    let (year, month) = Some(digits).filter(|d| d.len() == 6)?.split_at_checked(4)?;
    let first = jiff::civil::Date::new(year.parse().ok()?, month.parse().ok()?, 1).ok()?;
    let next = first.checked_add(jiff::Span::new().months(1)).ok()?;
    Some((start_of(first)?, start_of(next)?))
}

fn year_bounds(digits: &str) -> Option<(Timestamp, Timestamp)> {
    let year: i16 = Some(digits).filter(|d| d.len() == 4)?.parse().ok()?;
    let first = jiff::civil::Date::new(year, 1, 1).ok()?;
    let next = jiff::civil::Date::new(year.checked_add(1)?, 1, 1).ok()?;
    Some((start_of(first)?, start_of(next)?))
}

fn start_of(day: jiff::civil::Date) -> Option<Timestamp> {
    let at = day.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    Some(Timestamp::from_millis(at.as_millisecond()))
}

/// Part that holds the raw samples of an instant.
pub(super) fn raw_part(at: Timestamp) -> String {
    format!("raw-{:08}", day_number(at))
}

/// Part that holds the 5 min buckets of an instant.
pub(super) fn minutes_part(at: Timestamp) -> String {
    let (year, month, _) = date(at);
    format!("r5m-{year:04}{month:02}")
}

/// Part that holds the 1 h buckets of an instant.
pub(super) fn hours_part(at: Timestamp) -> String {
    format!("r1h-{:04}", date(at).0)
}

/// Group number under which a target's time columns lie.
pub(super) fn times_group(target: u32) -> u32 {
    TIMES | (target & !TIMES)
}

/// The target whose time columns lie under a group number.
pub(super) fn target_of_times(group: u32) -> u32 {
    group & !TIMES
}

/// Whether a group number is that of a fence.
pub(super) fn is_fence(group: u32) -> bool {
    FENCES.contains(&group)
}

/// Key of a sketch; `name` is target, metric and labels, each with its length before it.
pub(super) fn sketch_key(step: u32, name: &[u8]) -> Vec<u8> {
    [&step.to_be_bytes()[..], name].concat()
}

/// Step and name of a sketch's key.
pub(super) fn read_sketch_key(key: &[u8]) -> Option<(u32, &[u8])> {
    let (step, name) = key.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*step), name))
}

/// Groups that are never filled; see `seal`.
pub(super) fn fences() -> impl Iterator<Item = u32> {
    FENCES
}

/// Whether a group number is that of time columns.
pub(super) fn is_times(group: u32) -> bool {
    group >= TIMES
}

/// Key of a raw chunk or time column.
pub(super) fn raw_key(span: u32, group: u32, log: u32) -> [u8; 12] {
    let mut key = [0; 12];
    for (to, part) in key.chunks_exact_mut(4).zip([span, group, log]) {
        to.copy_from_slice(&part.to_be_bytes());
    }
    key
}

/// Span, group and log of a raw key.
pub(super) fn read_raw_key(key: &[u8]) -> Option<(u32, u32, u32)> {
    match words(key)?[..] {
        [span, group, log] => Some((span, group, log)),
        _ => None,
    }
}

/// Key of a chunk of buckets; also the prefix of the raw keys of a span and group.
pub(super) fn group_key(span: u32, group: u32) -> [u8; 8] {
    let mut key = [0; 8];
    for (to, part) in key.chunks_exact_mut(4).zip([span, group]) {
        to.copy_from_slice(&part.to_be_bytes());
    }
    key
}

/// Span and group of a chunk of buckets.
pub(super) fn read_group_key(key: &[u8]) -> Option<(u32, u32)> {
    match words(key)?[..] {
        [span, group] => Some((span, group)),
        _ => None,
    }
}

fn words(key: &[u8]) -> Option<Vec<u32>> {
    if !key.len().is_multiple_of(4) {
        return None;
    }
    key.chunks_exact(4)
        .map(|part| part.try_into().ok().map(u32::from_be_bytes))
        .collect()
}

/// Key of a target's or series' entry in the catalogue.
pub(super) fn tagged(tag: u8, id: u32) -> [u8; 5] {
    let [a, b, c, d] = id.to_be_bytes();
    [tag, a, b, c, d]
}

/// Tag and number of a catalogue key.
pub(super) fn read_tagged(key: &[u8]) -> Option<(u8, u32)> {
    let (tag, id) = key.split_first()?;
    Some((*tag, u32::from_be_bytes(id.try_into().ok()?)))
}

/// Prefix of all parts of a record; kind and id hold no zero byte.
pub(super) fn record_prefix(kind: &str, id: &str) -> Vec<u8> {
    [kind.as_bytes(), &[0], id.as_bytes(), &[0]].concat()
}

/// Key of one part of a record.
pub(super) fn record_key(kind: &str, id: &str, part: u16) -> Vec<u8> {
    [record_prefix(kind, id).as_slice(), &part.to_be_bytes()].concat()
}

/// Kind, id and part of a record's key.
pub(super) fn read_record_key(key: &[u8]) -> Option<(&str, &str, u16)> {
    let (names, part) = key.split_last_chunk::<2>()?;
    let (kind, id) = std::str::from_utf8(names)
        .ok()?
        .strip_suffix('\0')?
        .split_once('\0')?;
    Some((kind, id, u16::from_be_bytes(*part)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_follow_the_calendar() {
        let at = Timestamp::parse("2026-02-28T23:59:59.999Z").unwrap();
        assert_eq!(raw_part(at), "raw-20260228");
        assert_eq!(minutes_part(at), "r5m-202602");
        assert_eq!(hours_part(at), "r1h-2026");
        let march = Timestamp::parse("2026-03-01T00:00:00Z").unwrap();
        let end = |name| part_bounds(name).map(|(_, end)| end);
        assert_eq!(end("r5m-202602"), Some(march));
        assert_eq!(end("raw-20260228"), Some(march));
        assert_eq!(
            end("r1h-2026"),
            Timestamp::parse("2027-01-01T00:00:00Z").ok()
        );
        for other in [
            "control",
            "r5m-éé",
            "raw-2026022",
            "raw-20260230",
            "r1h-26",
            "x-2026",
        ] {
            assert_eq!(end(other), None, "{other}");
        }
    }

    #[test]
    fn times_outside_the_calendar_have_no_span() {
        for ms in [-1, i64::MIN, i64::MAX, TIME_END] {
            assert_eq!(span_of(Timestamp::from_millis(ms), SPAN), None);
        }
        assert!(span_of(Timestamp::from_millis(TIME_END - 1), SPAN).is_some());
    }

    proptest! {
        #[test]
        fn raw_keys_sort_as_their_values(a: (u32, u32, u32), b: (u32, u32, u32)) {
            let (left, right) = (raw_key(a.0, a.1, a.2), raw_key(b.0, b.1, b.2));
            prop_assert_eq!(left.cmp(&right), a.cmp(&b));
            prop_assert_eq!(read_raw_key(&left), Some(a));
            prop_assert_eq!(read_group_key(&group_key(a.0, a.1)), Some((a.0, a.1)));
            prop_assert_eq!(read_tagged(&tagged(b't', a.0)), Some((b't', a.0)));
            let name = a.1.to_be_bytes();
            let key = sketch_key(a.0, &name);
            prop_assert_eq!(read_sketch_key(&key), Some((a.0, &name[..])));
        }

        #[test]
        fn record_keys_sort_by_kind_id_and_part(
            a in ("[a-z]{0,4}", "[a-zA-Zé ]{0,4}", any::<u16>()),
            b in ("[a-z]{0,4}", "[a-zA-Zé ]{0,4}", any::<u16>()),
        ) {
            let (left, right) = (record_key(&a.0, &a.1, a.2), record_key(&b.0, &b.1, b.2));
            prop_assert_eq!(left.cmp(&right), (a.0.as_bytes(), a.1.as_bytes(), a.2)
                .cmp(&(b.0.as_bytes(), b.1.as_bytes(), b.2)));
            prop_assert_eq!(read_record_key(&left), Some((a.0.as_str(), a.1.as_str(), a.2)));
        }

        #[test]
        fn spans_sort_as_time(a in 0..TIME_END, b in 0..TIME_END) {
            let span = |ms| span_of(Timestamp::from_millis(ms), SPAN).unwrap();
            prop_assert!(a > b || span(a) <= span(b));
            prop_assert!(span_start(span(a), SPAN) <= Timestamp::from_millis(a));
        }
    }
}
