//! Durations and sizes as people write them: `10s`, `1h30m`, `2y`, `64kB`, `1.5GB`.

use crate::model::units::{Bytes, Millis};

/// Unit and its length in ms. A year is 365 days: retention needs no leap days.
const DURATIONS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Unit and its size; as in Postgres, 1 kB is 1024 bytes.
const SIZES: [(&str, u64); 5] = [
    ("TB", 1 << 40),
    ("GB", 1 << 30),
    ("MB", 1 << 20),
    ("kB", 1 << 10),
    ("B", 1),
];

/// Reads a duration: one or more of a number and a unit out of ms, s, m, h, d, w, y.
///
/// # Errors
/// What is wrong with the text, and what to write.
pub fn duration(text: &str) -> Result<Millis, String> {
    let cure = || format!("{text:?} is no duration; write one such as 10s, 500ms, 1h30m or 30d");
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(cure());
    }
    let mut total = 0_u64;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.len() - tail.trim_start_matches(char::is_alphabetic).len();
        let (unit, tail) = tail.split_at(letters);
        let number: u64 = number.parse().map_err(|_| cure())?;
        let (_, length) = DURATIONS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(cure)?;
        total = number
            .checked_mul(*length)
            .and_then(|part| total.checked_add(part))
            .ok_or_else(|| format!("{text:?} is longer than can be counted"))?;
        rest = tail.trim_start();
    }
    Ok(Millis(total))
}

/// Reads a size: a number, with a fraction or without, and a unit out of B, kB, MB, GB, TB.
///
/// # Errors
/// What is wrong with the text, and what to write.
pub fn size(text: &str) -> Result<Bytes, String> {
    let cure =
        || format!("{text:?} is no size; write one such as 512MB, 1.5GB or a count of bytes");
    let text_ = text.trim().trim_end_matches("/s").trim_end();
    let split = text_
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text_.len());
    let (number, unit) = text_.split_at(split);
    let unit = unit.trim_start().trim_end_matches("iB");
    let unit = unit.trim_end_matches(['B', 'b']);
    let scale = SIZES
        .iter()
        .find(|(name, _)| name.trim_end_matches('B').eq_ignore_ascii_case(unit))
        .map(|(_, scale)| *scale)
        .ok_or_else(cure)?;
    if let Ok(whole) = number.parse::<u64>() {
        return whole
            .checked_mul(scale)
            .map(Bytes)
            .ok_or_else(|| format!("{text:?} is more than can be counted"));
    }
    let number: f64 = number.parse().map_err(|_| cure())?;
    let bytes = (number * scale as f64).round();
    // 2^53 is the last whole number that the fraction's type holds exactly; 8 PB is beyond us.
    if !(0.0..=9_007_199_254_740_992.0).contains(&bytes) {
        return Err(format!("{text:?} is more than can be counted"));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to lie in 0..=2^53"
    )]
    Ok(Bytes(bytes as u64))
}

/// Writes a duration so that [`duration`] reads it back: the largest unit that divides it, but no
/// weeks, which nobody counts retention in.
pub(super) fn show_duration(value: Millis) -> String {
    let (unit, length) = DURATIONS
        .iter()
        .find(|(unit, length)| *unit != "w" && value.0 > 0 && value.0.is_multiple_of(*length))
        .unwrap_or(&("s", 1_000));
    format!("{}{unit}", value.0 / length)
}

/// Writes a size so that [`size`] reads it back: the largest unit that divides it.
pub(super) fn show_size(value: Bytes) -> String {
    let (unit, scale) = SIZES
        .iter()
        .find(|(_, scale)| value.0 > 0 && value.0.is_multiple_of(*scale))
        .unwrap_or(&("B", 1));
    format!("{}{unit}", value.0 / scale)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_as_written_by_people() {
        assert_eq!(duration("10s"), Ok(Millis(10_000)));
        assert_eq!(duration("1h30m"), Ok(Millis(5_400_000)));
        assert_eq!(duration(" 1h 30m "), Ok(Millis(5_400_000)));
        assert_eq!(duration("100ms"), Ok(Millis(100)));
        assert_eq!(duration("2y"), Ok(Millis(730 * 86_400_000)));
        for bad in [
            "",
            "10",
            "s",
            "-1s",
            "1.5h",
            "10 parsecs",
            "99999999999999999y",
        ] {
            assert!(duration(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn sizes_are_counted_in_1024_as_postgres_does() {
        assert_eq!(size("64kB"), Ok(Bytes(65_536)));
        assert_eq!(size("1.5 GB"), Ok(Bytes(1_610_612_736)));
        assert_eq!(size("125MB/s"), Ok(Bytes(131_072_000)));
        assert_eq!(size("4096"), Ok(Bytes(4_096)));
        assert_eq!(size("4 GiB"), Ok(Bytes(1 << 32)));
        for bad in ["", "B", "-5MB", "1.2.3GB", "5 apples", "99999999999TB"] {
            assert!(size(bad).is_err(), "{bad:?} was taken");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(n in 0_u64..1 << 50) {
            prop_assert_eq!(duration(&show_duration(Millis(n * 1_000))), Ok(Millis(n * 1_000)));
            prop_assert_eq!(size(&show_size(Bytes(n))), Ok(Bytes(n)));
        }

        #[test]
        fn no_text_makes_the_readers_panic(text in "\\PC{0,24}") {
            let _ = duration(&text);
            let _ = size(&text);
        }
    }
}
