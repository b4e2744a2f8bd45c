//! The last part of the report: how it was made, what it cannot say, what its words mean.

use super::each;

/// Method and limits.
pub(super) fn method() -> String {
    "<section class=\"part\"><h2>Method and limits</h2>\
     <p><b>Usage</b> is what the host and the server report. Counters are stored raw and read as \
     rates; resets are recognised. Charts show a value a day, which is what is forecast: the 95 % \
     quantile of the hours for cpu and bandwidth, the highest reading for memory and connections, \
     the mean of all else; a gap in the line is a time without readings, and nothing is filled in.</p>\
     <p><b>Limits</b> are measured (processors, memory, the size of the file system, \
     <code>max_connections</code>) or set in the configuration. Each row says which.</p>\
     <p><b>Forecasts</b> are chosen by rolling origins: every method forecasts pasts that are \
     known, and the one that did best at this distance is used. Bands come from the errors it \
     made there. A date is when half of the simulated paths have crossed; its 80 % interval \
     runs from one path in ten to nine in ten. Long forecasts are drawn as weekly means.</p>\
     <p><b>Act by</b> is the early end of that interval, less the time that a remedy takes \
     (<code>forecast.lead_time</code>, 30 days unless set). A date within 30 days is a warning; one \
     that has passed is critical.</p>\
     <p><b>Confidence</b> is read off the back-test: skill × coverage × origins, each from 0 to 1. \
     Skill is 1 − r/2, with r the error over that of the seasonal naive forecast. Coverage is 1 less \
     the mean distance of what fell into the 80 and 95 % bands from 80 and 95 %, where too few count \
     twice. Origins is n/(n + 1). From 0.45 it is high, from 0.25 medium, else low; made-up history \
     is always low.</p>\
     <p><b>Forecast against actual</b>: each day's forecast is kept and, when its days have come, \
     scored. Outcomes whose spans overlap err together, so only those that do not overlap count as \
     independent; below five nothing is said. Bands are too sure or too careful when chance alone \
     would give so few or so many inside the 80 % band in fewer than one case in ten. The next \
     forecast multiplies its bands by 0.8 to 2 and its members’ weights by 0.5 to 2; the fewer \
     independent outcomes there are, the nearer to 1.</p>\
     <p><b>What if</b> changes a stored forecast and fits nothing anew. Growth × scales what comes \
     on top of the present level; load × scales everything that comes and goes, and how fast storage \
     and databases fill. Bands and simulated paths are changed in the same way.</p>\
     <p><b>Not known here</b>: what the platform is going to do. A launch, a migration or a new \
     customer is not in the past and so not in the forecast. Look at the interval first and at \
     the date second.</p></section>"
        .to_owned()
}

/// The words of the report.
pub(super) fn glossary() -> String {
    let words = [
        (
            "80 % interval",
            "Holds the true value four times in five, if the past is a guide.",
        ),
        (
            "Back-test",
            "Forecasting days that are already known, to see how wrong the method is.",
        ),
        (
            "Blind spot",
            "Something that could not be read, why, and the cure.",
        ),
        (
            "Bottleneck",
            "Where the platform is held up, ranked by its share of the time.",
        ),
        (
            "Coverage",
            "Share of hours between the first and the last reading that hold a value.",
        ),
        (
            "Finding",
            "Something to mend in the server, with its evidence and its cure.",
        ),
        ("Headroom", "What is left between usage and limit."),
        (
            "Limit",
            "The most that a resource can give, measured or configured.",
        ),
        (
            "Seasonal naive",
            "The forecast that says: as it was a season ago. The one to beat.",
        ),
        (
            "Strongest lock",
            "The lock a statement takes, as the PostgreSQL manual names it.",
        ),
        ("Synthetic", "Made up for the demonstration, not recorded."),
        (
            "Target",
            "One PostgreSQL server and database that is watched.",
        ),
    ];
    let items = each(words.iter(), |(word, meaning)| {
        format!("<div><dt>{word}</dt><dd>{meaning}</dd></div>")
    });
    format!(
        "<section class=\"part\"><h2>Glossary</h2><dl class=\"glossary\">{items}</dl></section>"
    )
}
