//! Time zones by their IANA names.

use jiff::tz::TimeZone;

use super::{Error, Result};

/// Names that are offered for one that is not known.
const OFFERED: usize = 5;

/// A zone and its name as the database spells it. It comes from the system's database, and where
/// there is none from the one that is built in.
///
/// # Errors
/// [`Error::Zone`] with names that look like it.
pub(super) fn zone(name: &str) -> Result<(TimeZone, String)> {
    // Copies with leap seconds, and of the same zones, that some systems have beside the others.
    let is_copy = name.starts_with("posix/") || name.starts_with("right/");
    match TimeZone::get(name) {
        Ok(zone) if !is_copy && !name.is_empty() => {
            let spelt = zone.iana_name().unwrap_or(name).to_owned();
            Ok((zone, spelt))
        }
        _ => Err(Error::Zone {
            name: name.chars().take(80).collect(),
            near: near(name),
        }),
    }
}

/// Names that whoever wrote this one may have meant, the likeliest first.
fn near(name: &str) -> Vec<String> {
    let plain = |name: &str| {
        let letters = name.chars().take(64).filter(|c| c.is_alphanumeric());
        letters.flat_map(char::to_lowercase).collect::<String>()
    };
    let city = |name: &str| plain(name.rsplit('/').next().unwrap_or(name));
    let (wanted, wanted_city) = (plain(name), city(name));
    if wanted_city.is_empty() {
        return Vec::new();
    }
    let mut found: Vec<(usize, String)> = Vec::new();
    for known in jiff::tz::db().available() {
        let known = known.to_string();
        if !known.starts_with(|c: char| c.is_ascii_uppercase()) {
            continue;
        }
        let (whole, last) = (plain(&known), city(&known));
        let far = distance(&wanted, &whole).min(distance(&wanted_city, &last));
        let is_part = wanted_city.len() > 3 && whole.contains(&wanted_city);
        let far = if is_part { far.min(1) } else { far };
        if far <= (wanted_city.chars().count() / 3).min(3) {
            found.push((far, known));
        }
    }
    found.sort();
    found.dedup();
    found
        .into_iter()
        .take(OFFERED)
        .map(|(_, name)| name)
        .collect()
}

/// How many letters must be put in, taken out or changed to make one of the other (V. Levenshtein,
/// 1966).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (nth, c) in from.chars().enumerate() {
        let mut corner = nth;
        let mut left = nth + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (known, above) in to.iter().zip(row.iter_mut().skip(1)) {
            let changed = corner + usize::from(*known != c);
            corner = *above;
            left = changed.min(left + 1).min(corner + 1);
            *above = left;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_go_by_their_names_however_they_are_spelt() {
        for (given, spelt) in [
            ("Europe/Berlin", "Europe/Berlin"),
            ("america/new_york", "America/New_York"),
            ("UTC", "UTC"),
        ] {
            assert_eq!(zone(given).unwrap().1, spelt);
        }
    }

    #[test]
    fn a_name_that_is_not_known_is_answered_with_those_that_look_like_it() {
        for (given, offered) in [
            ("Europe/Belin", "Europe/Berlin"),
            ("Berlin", "Europe/Berlin"),
            ("America/NewYork", "America/New_York"),
            ("Asia/Calcuta", "Asia/Calcutta"),
            ("Europe/Lisabon", "Europe/Lisbon"),
        ] {
            let told = zone(given).unwrap_err().to_string();
            assert!(told.contains(offered), "{given}: {told}");
        }
        for nothing in [
            "",
            "Mars/Olympus_Mons",
            "+02:00",
            "right/UTC",
            "../../etc/passwd",
            "\0",
        ] {
            assert!(zone(nothing).is_err(), "{nothing:?}");
        }
    }

    #[test]
    fn distances_are_counted_in_letters() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("é", "e"), 1);
    }

    #[test]
    fn a_host_without_zones_has_those_that_are_built_in() {
        let built_in = jiff::tz::TimeZoneDatabase::bundled();
        assert!(built_in.get("America/Sao_Paulo").is_ok());
    }
}
