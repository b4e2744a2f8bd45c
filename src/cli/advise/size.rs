//! Sizes on disk as disks are sold: 1 MB is 10⁶ bytes, 1 MiB is 2²⁰.

/// Unit and its bytes.
const UNITS: [(&str, f64); 9] = [
    ("TiB", 1_099_511_627_776.0),
    ("GiB", 1_073_741_824.0),
    ("MiB", 1_048_576.0),
    ("KiB", 1_024.0),
    ("TB", 1e12),
    ("GB", 1e9),
    ("MB", 1e6),
    ("kB", 1e3),
    ("B", 1.0),
];

/// Reads a size such as `500MB` or `1.5 GiB`; a bare number is bytes.
pub(super) fn read(text: &str) -> Result<u64, String> {
    let cure = || format!("{text:?} is no size; write one such as 500MB (10⁶ bytes), 2GB or 1GiB");
    let trimmed = text.trim();
    let split = trimmed
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(split);
    let unit = unit.trim();
    let scale = if unit.is_empty() {
        1.0
    } else {
        let found = UNITS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit));
        found.map(|(_, scale)| *scale).ok_or_else(cure)?
    };
    let bytes = number.parse::<f64>().map_err(|_| cure())? * scale;
    // 2^53 is the last whole number that the fraction's type holds exactly; 8 PB is beyond us.
    if !(1.0..=9_007_199_254_740_992.0).contains(&bytes) {
        return Err(cure());
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to lie in 1..=2^53"
    )]
    Ok(bytes.round() as u64)
}

/// A size in the largest decimal unit that leaves a whole part: `43.5 MB`.
pub(super) fn show(bytes: u64) -> String {
    let value = bytes as f64;
    let decimal = UNITS.iter().filter(|(name, _)| !name.contains('i'));
    let (unit, scale) = decimal
        .copied()
        .find(|(_, scale)| value >= *scale)
        .unwrap_or(("B", 1.0));
    if scale > 1.0 {
        format!("{:.1} {unit}", value / scale)
    } else {
        format!("{bytes} B")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_read_in_decimal_units() {
        assert_eq!(read("500MB"), Ok(500_000_000));
        assert_eq!(read(" 1.5 gb "), Ok(1_500_000_000));
        assert_eq!(read("1GiB"), Ok(1 << 30));
        assert_eq!(read("4096"), Ok(4_096));
        for bad in ["", "MB", "-5MB", "5 apples", "1e3MB", "0", "99999999TB"] {
            assert!(read(bad).is_err(), "{bad:?} was taken");
        }
        assert_eq!(show(43_500_000), "43.5 MB");
        assert_eq!(show(12), "12 B");
    }
}
