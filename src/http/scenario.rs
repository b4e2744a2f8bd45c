//! Scenarios as people and programs write them: `archive=20%@2027-03-01`, or JSON.
//!
//! For: the query of `GET …/what-if`, its JSON body, and the command line, which checks its terms
//! before it sends them. Not for: applying them (`work::what_if`).
//!
//! | term | means |
//! |---|---|
//! | `growth=2` | growth on top of the present level, twice |
//! | `load=10` | all of the load, ten times |
//! | `season=2` or `season=2@DATE` | seasons swing twice as far (from DATE on) |
//! | `event=3@FROM..TO` | three times the load between two dates |
//! | `migration=50GB` or `migration=-50GB@DATE` | comes, or goes with a minus, for good |
//! | `archive=20%` or `archive=20%@DATE` | that share of the level is freed |
//! | `limit=2TB` | another limit |
//!
//! A date is `2027-03-01` or RFC 3339. `event`, `migration` and `archive` may come several times, with
//! commas between them.

mod json;

use super::error::Refusal;
use crate::config::parse_size;
use crate::model::scenario::{Archive, Event, Migration, Scenario, SeasonFactor, Unfit};
use crate::model::units::Timestamp;

pub(super) use json::from_json;

/// Names of the terms.
pub const TERMS: [&str; 7] = [
    "growth",
    "load",
    "season",
    "event",
    "migration",
    "archive",
    "limit",
];

/// A term or field that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {text:?}; write {wanted}")]
pub struct Wrong {
    /// Which term or field.
    pub field: &'static str,
    /// What was given.
    pub text: String,
    /// What would be taken.
    pub wanted: String,
}

impl Wrong {
    fn new(field: &'static str, text: impl Into<String>, wanted: impl Into<String>) -> Self {
        Self {
            field,
            text: text.into(),
            wanted: wanted.into(),
        }
    }
}

impl From<Unfit> for Wrong {
    fn from(unfit: Unfit) -> Self {
        Self::new(unfit.field, unfit.given, unfit.wanted)
    }
}

impl From<Wrong> for Refusal {
    fn from(wrong: Wrong) -> Self {
        Self::Parameter {
            name: wrong.field,
            text: wrong.text,
            wanted: wrong.wanted,
        }
    }
}

const FACTOR: &str = "a factor from 0 to 1000, such as 2";
pub(super) const DATE: &str = "a date such as 2027-03-01 or 2027-03-01T12:00:00Z";
const AMOUNT: &str = "an amount such as 50GB or 12";

/// A day (its midnight in UTC) or an instant; nothing for any other text.
pub fn date(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let day = text
        .parse::<jiff::civil::Date>()
        .ok()
        .filter(|_| text.len() == 10);
    match day.map(|day| day.to_zoned(jiff::tz::TimeZone::UTC)) {
        Some(midnight) => {
            let ms = midnight.ok()?.timestamp().as_millisecond();
            Some(Timestamp::from_millis(ms))
        }
        None => Timestamp::parse(text).ok(),
    }
}

/// Reads terms, each by its name, into a checked scenario.
///
/// # Errors
/// [`Wrong`] names the first that cannot be read.
pub fn read<'t>(terms: impl IntoIterator<Item = (&'t str, &'t str)>) -> Result<Scenario, Wrong> {
    let mut scenario = Scenario::default();
    for (name, text) in terms {
        term(&mut scenario, name, text)?;
    }
    scenario.check()?;
    Ok(scenario)
}

fn term(scenario: &mut Scenario, name: &str, text: &str) -> Result<(), Wrong> {
    let each = || text.split(',').map(str::trim);
    match name {
        "growth" => scenario.growth = factor("growth", text)?,
        "load" => scenario.load = factor("load", text)?,
        "season" => {
            let (value, at) = dated("season", text)?;
            let factor = factor("season", value)?;
            scenario.season = Some(SeasonFactor { factor, from: at });
        }
        "event" => {
            for one in each() {
                scenario.events.push(event(one)?);
            }
        }
        "migration" => {
            for one in each() {
                let (value, at) = dated("migration", one)?;
                let amount = amount("migration", value)?;
                scenario.migrations.push(Migration { at, amount });
            }
        }
        "archive" => {
            for one in each() {
                let (value, at) = dated("archive", one)?;
                let share = percent(value)?;
                scenario.archives.push(Archive { at, share });
            }
        }
        "limit" => scenario.limit = Some(amount("limit", text)?),
        other => {
            let wanted = format!("one of {}", TERMS.join(", "));
            return Err(Wrong::new("what-if", other, wanted));
        }
    }
    Ok(())
}

fn factor(field: &'static str, text: &str) -> Result<f64, Wrong> {
    let digits = text.trim().trim_end_matches(['x', '×']);
    let number = digits
        .parse()
        .map_err(|_| Wrong::new(field, text, FACTOR))?;
    Ok(number)
}

fn event(text: &str) -> Result<Event, Wrong> {
    let wrong = || {
        Wrong::new(
            "event",
            text,
            "FACTOR@FROM..TO, such as 3@2026-11-20..2026-12-01",
        )
    };
    let (value, span) = text.split_once('@').ok_or_else(wrong)?;
    let (from, to) = span.split_once("..").ok_or_else(wrong)?;
    Ok(Event {
        factor: factor("event", value)?,
        from: date(from).ok_or_else(wrong)?,
        to: date(to).ok_or_else(wrong)?,
    })
}

/// A value and, behind an `@`, its date.
fn dated<'t>(field: &'static str, text: &'t str) -> Result<(&'t str, Option<Timestamp>), Wrong> {
    match text.split_once('@') {
        None => Ok((text, None)),
        Some((value, at)) => match date(at) {
            Some(at) => Ok((value, Some(at))),
            None => Err(Wrong::new(field, at, DATE)),
        },
    }
}

/// A number, or a size with its unit; a minus takes away.
fn amount(field: &'static str, text: &str) -> Result<f64, Wrong> {
    let plain = text.trim().trim_start_matches('+');
    if let Ok(number) = plain.parse() {
        return Ok(number);
    }
    let (sign, size) = match plain.strip_prefix('-') {
        Some(size) => (-1.0, size),
        None => (1.0, plain),
    };
    match parse_size(size) {
        Ok(bytes) => Ok(sign * bytes.0 as f64),
        Err(_) => Err(Wrong::new(field, text, AMOUNT)),
    }
}

fn percent(text: &str) -> Result<f64, Wrong> {
    let wrong = || Wrong::new("archive", text, "a percentage from 0 to 100, such as 20%");
    let number: f64 = text
        .trim()
        .trim_end_matches('%')
        .trim()
        .parse()
        .map_err(|_| wrong())?;
    if (0.0..=100.0).contains(&number) {
        Ok(number / 100.0)
    } else {
        Err(wrong())
    }
}

/// A scenario in words, each part by itself; `quantity` writes an amount of the resource.
pub(super) fn words(scenario: &Scenario, quantity: &dyn Fn(f64) -> String) -> Vec<String> {
    let mut words = Vec::new();
    let on = |at: Option<Timestamp>| {
        at.map_or_else(|| "at once".to_owned(), |at| format!("on {}", day(at)))
    };
    if (scenario.growth - 1.0).abs() > 0.0 {
        words.push(format!("growth × {}", scenario.growth));
    }
    if (scenario.load - 1.0).abs() > 0.0 {
        words.push(format!("load × {}", scenario.load));
    }
    if let Some(season) = &scenario.season {
        let from = season
            .from
            .map_or_else(String::new, |at| format!(" from {}", day(at)));
        words.push(format!("seasons × {}{from}", season.factor));
    }
    for event in &scenario.events {
        let (from, to) = (day(event.from), day(event.to));
        words.push(format!("load × {} from {from} to {to}", event.factor));
    }
    for migration in &scenario.migrations {
        let verb = if migration.amount < 0.0 {
            "leave"
        } else {
            "come"
        };
        words.push(format!(
            "{} {verb} {}",
            quantity(migration.amount.abs()),
            on(migration.at)
        ));
    }
    for archive in &scenario.archives {
        let share = archive.share * 100.0;
        words.push(format!("{share:.3} % freed {}", on(archive.at)).replace(".000", ""));
    }
    if let Some(limit) = scenario.limit {
        words.push(format!("a limit of {}", quantity(limit)));
    }
    words
}

fn day(at: Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MARCH: Timestamp = Timestamp::from_millis(1_803_859_200_000);

    #[test]
    fn terms_are_read_as_people_write_them() {
        let scenario = read([
            ("growth", "2"),
            ("load", "10x"),
            ("season", "1.5@2027-03-01"),
            ("event", "3@2026-11-20..2026-12-01"),
            ("migration", "+50GB@2027-03-01T00:00:00Z, -1kB"),
            ("archive", "20%@2027-03-01"),
            ("limit", "2TB"),
        ])
        .unwrap();
        assert_eq!((scenario.growth, scenario.load), (2.0, 10.0));
        assert_eq!(scenario.season.unwrap().from, Some(MARCH));
        assert_eq!(
            scenario.events[0].from.to_string(),
            "2026-11-20T00:00:00.000Z"
        );
        assert_eq!(scenario.migrations[0].at, Some(MARCH));
        assert_eq!(
            (scenario.migrations[1].at, scenario.migrations[1].amount),
            (None, -1024.0)
        );
        assert_eq!(
            scenario.archives,
            [Archive {
                at: Some(MARCH),
                share: 0.2
            }]
        );
        assert_eq!(scenario.limit, Some(2_199_023_255_552.0));
        let words = words(&scenario, &|v| format!("{v}"));
        assert_eq!(words[0], "growth × 2");
        assert_eq!(words[6], "20 % freed on 2027-03-01");
        assert_eq!(words.len(), 8);
    }

    #[test]
    fn what_cannot_be_read_is_named_with_what_would_be() {
        for (name, text, field) in [
            ("growth", "fast", "growth"),
            ("growth", "-1", "growth"),
            ("growth", "NaN", "growth"),
            ("load", "1e308", "load"),
            ("load", "inf", "load"),
            ("season", "2@soon", "season"),
            ("event", "3", "event"),
            ("event", "3@2027-01-02..2027-01-01", "events.to"),
            ("migration", "lots", "migration"),
            ("archive", "120%", "archive"),
            ("archive", "NaN", "archive"),
            ("limit", "0", "limit"),
            ("limit", "-5GB", "limit"),
            ("magic", "1", "what-if"),
        ] {
            let wrong = read([(name, text)]).unwrap_err();
            assert_eq!(wrong.field, field, "{name}={text}: {wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(name in 0..7_usize, text in "\\PC{0,40}") {
            if let Ok(scenario) = read([(TERMS[name], text.as_str())]) {
                prop_assert_eq!(scenario.check(), Ok(()));
            }
        }
    }
}
