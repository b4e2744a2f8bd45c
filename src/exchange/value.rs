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
            out.extend_from_slice(ryu::Buffer::new().format_finite(value).as_bytes());
        }
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
    } else if value.to_bits() == f64::NAN.to_bits() {
        out.extend_from_slice(b"NaN");
    } else {
        out.extend_from_slice(format!("bits:{:016x}", value.to_bits()).as_bytes());
    }
}

/// Reads a value: what [`put`] writes, and every other decimal, `nan` and `inf` in any case.
pub fn read(text: &[u8]) -> Option<f64> {
    if let Some(whole) = whole(text) {
        return Some(whole);
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

/// Up to fifteen digits alone: the common case, without a search for the nearest double.
fn whole(text: &[u8]) -> Option<f64> {
    if text.is_empty() || text.len() > 15 {
        return None;
    }
    let mut number = 0i64;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number * 10 + i64::from(digit);
    }
    Some(number as f64)
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
    }
}
