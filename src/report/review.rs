//! Forecast against actual in words: what the page and Markdown share.
//!
//! For: the cells and the sentence. Not for: scoring (`forecast::outcome`).

use super::words;
use crate::model::capacity::Unit;
use crate::model::outcome::{LeadScore, Review};
use crate::model::units::counted;

/// Heads of the columns that [`cells`] fills.
pub(super) const HEADS: [&str; 9] = [
    "Days ahead",
    "Scored",
    "Mean error",
    "Of usage",
    "Bias",
    "In 80 % band",
    "In 95 % band",
    "To naive",
    "Bands",
];

/// Reviews of which something has come due.
pub(super) fn due(reviews: &[Review]) -> Vec<&Review> {
    let due = reviews.iter().filter(|review| !review.leads.is_empty());
    due.collect()
}

/// One lead, a cell a head.
pub(super) fn cells(lead: &LeadScore, unit: Unit) -> [String; 9] {
    let inside = |count: usize| format!("{count} of {}", lead.scored);
    let none = || "–".to_owned();
    let naive = lead.relative_to_naive;
    [
        lead.lead.to_string(),
        lead.scored.to_string(),
        words::quantity(lead.mae, unit),
        lead.mae_share.map_or_else(none, words::percent),
        words::change(lead.bias, unit),
        inside(lead.inside80),
        inside(lead.inside95),
        naive.map_or_else(none, |naive| format!("{naive:.2}")),
        lead.verdict.words(lead.independent),
    ]
}

/// What the whole comes to, and what the next forecast makes of it.
pub(super) fn sentence(review: &Review) -> String {
    let since = review.since.map_or_else(String::new, |since| {
        format!(" since {}", words::long_date(since))
    });
    let made_up = review.synthetic.map_or("", |_| ", from made-up history");
    let learnt = review.experience.as_ref();
    let learnt = learnt.map_or_else(String::new, |learnt| {
        let many = counted(learnt.outcomes, "independent outcome");
        format!(" The next bands are × {:.2}, from {many}.", learnt.band())
    });
    format!(
        "{}. {} kept{since}{made_up}.{learnt}",
        capital(&review.verdict.words(review.independent)),
        counted(review.promises, "forecast")
    )
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn few_outcomes_are_said_to_be_few() {
        let input = fixture::rich();
        let reviews = due(&input.targets[0].reviews);
        let said: Vec<String> = reviews.iter().map(|review| sentence(review)).collect();
        assert_eq!(
            said,
            [
                "Too sure. 43 forecasts kept since 20 Mar 2026. The next bands are × 1.44, from 42 \
                 independent outcomes.",
                "Too few outcomes yet: 3 of at least 5. 4 forecasts kept since 28 Apr 2026, from \
                 made-up history. The next bands are × 0.98, from 3 independent outcomes.",
            ]
        );
    }
}
