//! Changes and seasons in words.
//!
//! For: captions and descriptions, beside charts that draw the same. Not for: finding them
//! (`forecast`).

use std::fmt::Write as _;

use super::words;
use crate::model::capacity::{Change, ChangeKind, Forecast, Season, Unit};

/// One change: `jumped by +6 GB on 22 Mar 2026`.
pub(crate) fn change(change: &Change, unit: Unit) -> String {
    let (size, day) = (
        words::change(change.size, unit),
        words::long_date(change.at),
    );
    match change.kind {
        ChangeKind::Step => format!("jumped by {size} on {day}"),
        ChangeKind::Slope => format!("changed its growth by {size} a day on {day}"),
    }
}

/// One season: `week (swing 1.4 GB)`.
pub(crate) fn season(season: &Season, unit: Unit) -> String {
    let name = words::one_line(&season.name, 40);
    format!("{name} (swing {})", words::quantity(season.swing(), unit))
}

/// Sentences on all of them, each with a space before it; empty where nothing was found.
pub(crate) fn sentences(forecast: &Forecast, unit: Unit) -> String {
    let mut text = String::new();
    if !forecast.seasons.is_empty() {
        let seasons = forecast.seasons.iter().map(|found| season(found, unit));
        let _ = write!(
            text,
            " Repeats by: {}.",
            seasons.collect::<Vec<_>>().join(", ")
        );
    }
    if !forecast.changes.is_empty() {
        let changes = forecast.changes.iter().map(|found| change(found, unit));
        let _ = write!(text, " It {}.", changes.collect::<Vec<_>>().join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn what_was_found_is_said_with_date_size_and_swing() {
        let input = fixture::rich();
        let storage = &input.targets[0].projections[2];
        let mut forecast = storage.forecast().unwrap().clone();
        let text = sentences(&forecast, Unit::Bytes);
        assert!(text.contains("Repeats by: week (swing "), "{text}");
        assert!(
            text.contains("It jumped by +4 GB on 26 Feb 2026."),
            "{text}"
        );
        forecast.changes[0].kind = ChangeKind::Slope;
        forecast.seasons.clear();
        let text = sentences(&forecast, Unit::Bytes);
        assert_eq!(
            text,
            " It changed its growth by +4 GB a day on 26 Feb 2026."
        );
        forecast.changes.clear();
        assert_eq!(sentences(&forecast, Unit::Bytes), "");
    }
}
