//! Whether two JSON texts say the same, without turning what they say into numbers that are near it.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// Levels that are compared by value; what lies deeper is compared by its text without spaces.
const DEPTH: usize = 64;

/// Whether two texts, each one JSON value, say the same.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    is_same_within(one, other, DEPTH)
}

fn is_same_within(one: &str, other: &str, depth: usize) -> bool {
    if one == other {
        return true;
    }
    let Some(depth) = depth.checked_sub(1) else {
        return dense(one).eq(dense(other));
    };
    // What does not read (half a surrogate, for one) is the same only if its text is.
    let same = match (one.as_bytes().first(), other.as_bytes().first()) {
        (Some(b'{'), Some(b'{')) => is_same_object(one, other, depth),
        (Some(b'['), Some(b'[')) => is_same_array(one, other, depth),
        (Some(b'"'), Some(b'"')) => both(read::<String>, one, other).map(|(a, b)| a == b),
        _ => both(Number::read, one, other).map(|(a, b)| a == b),
    };
    same.unwrap_or_else(|| dense(one).eq(dense(other)))
}

fn both<'t, T>(
    read: impl Fn(&'t str) -> Option<T>,
    one: &'t str,
    other: &'t str,
) -> Option<(T, T)> {
    Some((read(one)?, read(other)?))
}

fn read<'t, T: serde::Deserialize<'t>>(text: &'t str) -> Option<T> {
    serde_json::from_str(text).ok()
}

fn is_same_object(one: &str, other: &str, depth: usize) -> Option<bool> {
    let (one, other) = both(read::<BTreeMap<String, &RawValue>>, one, other)?;
    let mut fields = one.iter().zip(&other);
    Some(
        one.len() == other.len()
            && fields.all(|((name, a), (named, b))| {
                name == named && is_same_within(a.get(), b.get(), depth)
            }),
    )
}

fn is_same_array(one: &str, other: &str, depth: usize) -> Option<bool> {
    let (one, other) = both(read::<Vec<&RawValue>>, one, other)?;
    let mut items = one.iter().zip(&other);
    Some(one.len() == other.len() && items.all(|(a, b)| is_same_within(a.get(), b.get(), depth)))
}

/// The bytes of a text but for spaces between its values.
fn dense(text: &str) -> impl Iterator<Item = u8> {
    let (mut is_text, mut is_escaped) = (false, false);
    text.bytes().filter(move |byte| {
        let was_text = is_text;
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => is_text = !is_text,
            _ => {}
        }
        was_text || !byte.is_ascii_whitespace()
    })
}

/// A number as its digits: 1.50 and 15e-1 are the same, and no two that differ are.
#[derive(PartialEq)]
struct Number {
    is_negative: bool,
    /// Without zeros at either end.
    digits: String,
    /// The power of ten of its last digit.
    power: i64,
}

impl Number {
    fn read(text: &str) -> Option<Self> {
        let (is_negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, power) = match rest.split_once(['e', 'E']) {
            Some((mantissa, power)) => (mantissa, power.parse::<i64>().ok()?),
            None => (rest, 0),
        };
        let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{part}");
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let short = digits.trim_end_matches('0');
        let zeros = i64::try_from(digits.len() - short.len()).ok()?;
        let power = power
            .checked_sub(i64::try_from(part.len()).ok()?)?
            .checked_add(zeros)?;
        let digits = short.trim_start_matches('0').to_owned();
        let is_zero = digits.is_empty();
        Some(Self {
            is_negative: is_negative && !is_zero,
            digits,
            power: if is_zero { 0 } else { power },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_the_same_in_other_words_is_the_same() {
        for (one, other) in [
            (r#"{"a":1,"b":[1,2]}"#, r#"{ "b": [1, 2], "a": 1 }"#),
            (r#""\u00e9""#, r#""é""#),
            ("1.50", "15e-1"),
            ("-0", "0.0"),
            ("1e400", "10E+399"),
            (r#"["\ud800", 1]"#, r#"["\ud800",1]"#),
        ] {
            assert!(is_same(one, other), "{one} {other}");
        }
        let deep = |space: &str| format!("{}{space}{}", "[".repeat(9_000), "]".repeat(9_000));
        assert!(is_same(&deep(" "), &deep("")));
    }

    #[test]
    fn what_differs_in_a_digit_or_is_out_of_range_differs() {
        for (one, other) in [
            ("1e999", "[1e999]"),
            ("1e999", "2e999"),
            ("1e999", "null"),
            ("36893488147419103232", "36893488147419103233"),
            ("0.1", "0.10000000000000000001"),
            (r#"{"a":1}"#, r#"{"a":1,"b":1}"#),
            ("[1]", "[1,1]"),
            (r#""a b""#, r#""ab""#),
            (r#"["\ud800 "]"#, r#"["\ud800"]"#),
            ("true", "false"),
            ("1", "\"1\""),
        ] {
            assert!(!is_same(one, other), "{one} {other}");
        }
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(!is_same(&deep(200), &deep(201)));
    }
}
