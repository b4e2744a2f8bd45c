//! Values as text: the shortest that reads back to the same bits.
//!
//! Whole numbers up to 2^53 are written without a point, others as the shortest decimal; `NaN`,
//! `+Inf` and `-Inf` as Prometheus writes them. A NaN that carries other bits than the usual ones
//! (Prometheus' stale marker is one) is `bits:` and sixteen hexadecimal digits, so that none is lost.

/// The largest whole number up to which all are told apart.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// Appends a value.
pub fn put(out: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        // A negative zero is told from zero by its sign alone, which whole numbers do not have.
        if value.abs() < WHOLE_MAX && value.trunc().to_bits() == value.to_bits() && value != 0.0 {
            #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
            let whole = value as i64;
            out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes());
        } else if value == 0.0 {
            let zero: &[u8] = if value.is_sign_negative() {
                b"-0"
            } else {
                b"0"
            };
            out.extend_from_slice(zero);
        } else {
            put_shortest(out, value);
        }
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
    } else if value.to_bits() == f64::NAN.to_bits() {
        out.extend_from_slice(b"NaN");
    } else {
        out.extend_from_slice(format!("bits:{:016x}", value.to_bits()).as_bytes());
    }
}

/// The shortest decimal, large ones as `1e300`: exponents have no plus.
fn put_shortest(out: &mut Vec<u8>, value: f64) {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value);
    let large = (value.abs() >= WHOLE_MAX).then(|| text.split_once("e+"));
    if let Some((digits, exponent)) = large.flatten() {
        out.extend_from_slice(digits.as_bytes());
        out.push(b'e');
        out.extend_from_slice(exponent.as_bytes());
    } else {
        out.extend_from_slice(text.as_bytes());
    }
}

/// Reads a value: what [`put`] writes, and every other decimal, `nan` and `inf` in any case.
pub fn read(text: &[u8]) -> Option<f64> {
    if let Some(short) = short(text) {
        return Some(short);
    }
    let text = std::str::from_utf8(text).ok()?;
    match text.strip_prefix("bits:") {
        Some(digits) if digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_hexdigit()) => {
            u64::from_str_radix(digits, 16).ok().map(f64::from_bits)
        }
        Some(_) => None,
        None => text.parse().ok(),
    }
}

/// Up to fifteen digits, a point among them or not: the common case, without a search for the
/// nearest double. Digits and power of ten are doubles exactly, so that their quotient is the nearest
/// (Clinger 1990, "How to read floating point numbers accurately").
pub(super) fn short(text: &[u8]) -> Option<f64> {
    /// Digits that any double holds.
    const DIGITS: usize = 15;
    const POWERS: [f64; DIGITS + 1] = [
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
    ];
    let (digits, is_negative) = match text.split_first() {
        Some((b'-', rest)) => (rest, true),
        _ => (text, false),
    };
    if digits.len() > DIGITS + 1 {
        return None;
    }
    let (mut number, mut count, mut behind) = (0_i64, 0, None);
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            number = number * 10 + i64::from(digit);
            count += 1;
        } else if *byte == b'.' && behind.is_none() {
            behind = Some(count);
        } else {
            return None;
        }
    }
    if count == 0 || count > DIGITS {
        return None;
    }
    let size = number as f64 / POWERS.get(count - behind.unwrap_or(count))?;
    Some(if is_negative { -size } else { size })
}

/// Reads whole milliseconds, with a sign or without.
pub fn read_ms(text: &[u8]) -> Option<i64> {
    let (digits, is_negative) = match text.split_first() {
        Some((b'-', rest)) => (rest, true),
        _ => (text, false),
    };
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    let mut number = 0i64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        // Downwards, since there is one more negative number than positive ones.
        number = number.checked_mul(10)?.checked_sub(i64::from(digit))?;
    }
    if is_negative {
        Some(number)
    } else {
        number.checked_neg()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(value: f64) -> String {
        let mut out = Vec::new();
        put(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_are_written_as_people_and_prometheus_write_them() {
        for (value, wanted) in [
            (5.0, "5"),
            (-5.0, "-5"),
            (0.0, "0"),
            (-0.0, "-0"),
            (0.1, "0.1"),
            (1e300, "1e300"),
            (9_007_199_254_740_993.0, "9007199254740992.0"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (
                f64::from_bits(0x7ff0_0000_0000_0002),
                "bits:7ff0000000000002",
            ),
        ] {
            assert_eq!(text(value), wanted);
        }
        for (written, value) in [
            ("1e3", 1e3),
            ("+5", 5.0),
            ("inf", f64::INFINITY),
            ("007", 7.0),
        ] {
            assert_eq!(
                read(written.as_bytes()).map(f64::to_bits),
                Some(value.to_bits())
            );
        }
        for wrong in [
            "",
            " 1",
            "1 ",
            "0x10",
            "one",
            "bits:1",
            "bits:+000000000000001",
            "1,5",
        ] {
            assert!(read(wrong.as_bytes()).is_none_or(f64::is_nan), "{wrong}");
        }
    }

    #[test]
    fn instants_run_to_both_ends() {
        for at in [0, -1, 1_795_415_740_805, i64::MAX, i64::MIN] {
            assert_eq!(read_ms(at.to_string().as_bytes()), Some(at));
        }
        for wrong in [
            "",
            "-",
            "1.5",
            "9223372036854775808",
            "-9223372036854775809",
            "+1",
        ] {
            assert_eq!(read_ms(wrong.as_bytes()), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_bits_come_back(bits: u64, whole: i64) {
            for value in [f64::from_bits(bits), whole as f64, (whole >> 20) as f64 / 1e6] {
                let back = read(text(value).as_bytes()).unwrap();
                prop_assert_eq!(back.to_bits(), value.to_bits());
            }
        }

        #[test]
        fn short_decimals_are_the_nearest_doubles(text in "-?[0-9]{0,9}\\.?[0-9]{0,8}") {
            let wanted: Option<f64> = text.parse().ok();
            prop_assert_eq!(read(text.as_bytes()).map(f64::to_bits), wanted.map(f64::to_bits));
        }

        #[test]
        fn decimals_are_the_shortest_that_come_back(bits: u64) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite() && value.fract() != 0.0);
            // The standard library's digits are the shortest, too; it writes small ones in full.
            let wanted = format!("{value:e}").replace('.', "");
            let written = text(value);
            let mantissa = |text: &str| {
                let digits = text.split('e').next().unwrap_or_default();
                let digits: String = digits.chars().filter(char::is_ascii_digit).collect();
                digits.trim_matches('0').to_owned()
            };
            prop_assert_eq!(mantissa(&written), mantissa(&wanted));
        }
    }
}
