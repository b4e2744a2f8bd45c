//! Settings that are right alone and wrong together.

use super::load::Settings;
use super::{Problem, origins};

/// Every pair of settings that cannot both be meant.
pub(super) fn find(settings: &Settings) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut ordered = |lesser: &'static str, greater: &'static str, holds: bool| {
        if !holds {
            problems.push(settings.problem(greater, &format!("must not be less than {lesser}")));
        }
    };
    let (scrape, catalog) = (
        settings.length("collect.scrape"),
        settings.length("collect.catalog"),
    );
    ordered("collect.scrape", "collect.catalog", scrape <= catalog);
    let activity = settings.length("collect.activity");
    ordered("collect.activity", "collect.scrape", activity <= scrape);
    let (raw, five, hour) = (
        settings.length("history.raw"),
        settings.length("history.rollup_5m"),
        settings.length("history.rollup_1h"),
    );
    ordered("history.raw", "history.rollup_5m", raw <= five);
    ordered("history.rollup_5m", "history.rollup_1h", five <= hour);
    let (warn, critical) = (
        settings.ratio("thresholds.warn"),
        settings.ratio("thresholds.critical"),
    );
    ordered("thresholds.warn", "thresholds.critical", warn < critical);
    problems.extend(origins::check(settings));
    problems
}
