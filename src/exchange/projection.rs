//! What comes after series, as CSV: `series,step,mean,lo80,hi80,…`, and when thresholds are met.
//!
//! For: writing what `plimsoll forecast --input` answers. Not for: reading series
//! ([`sequence`](super::sequence)) or thresholds ([`thresholds`](super::thresholds)). Read
//! [`Projection`] first.

use std::fmt::Write as _;

use super::csv::put_field;
use super::sequence::{Axis, End};
use super::value;
use crate::model::units::Level;

/// Heading of a file of crossings.
pub const CROSSINGS: &str = "series,threshold,p_cross,days_p10,days_p50,days_p90\n";

/// A level as people write it, in percent: what columns are named by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Percent {
    percent: f64,
    level: Level,
}

impl Percent {
    /// Reads a level such as `95` or `99.5`.
    ///
    /// # Errors
    /// What is wrong, and what to write.
    pub fn read(text: &str) -> std::result::Result<Self, String> {
        let cure =
            || format!("{text:?} is no level; write percents above 0 and below 100, such as 80,95");
        let percent: f64 = text.trim().parse().map_err(|_| cure())?;
        let level = Level::new(percent / 100.0).map_err(|_| cure())?;
        Ok(Self { percent, level })
    }

    /// As a share of 1.
    pub fn level(self) -> Level {
        self.level
    }
}

impl std::fmt::Display for Percent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.percent.fmt(f)
    }
}

/// What comes after one series.
#[derive(Debug, Clone)]
pub struct Projection<'a> {
    /// Its name.
    pub series: &'a str,
    /// Where it ends.
    pub end: End,
    /// Expected values, one a step.
    pub mean: &'a [f64],
    /// Lower and upper ends, one a step; one band a level of the heading.
    pub bands: Vec<(&'a [f64], &'a [f64])>,
}

/// The heading of a file of projections.
pub fn heading(axis: Axis, levels: &[Percent]) -> String {
    let mut heading = format!("series,{},mean", axis.name());
    for percent in levels {
        // Writing to a String cannot fail.
        let _ = write!(heading, ",lo{percent},hi{percent}");
    }
    heading + "\n"
}

/// Appends a line a step.
pub fn put_rows(out: &mut Vec<u8>, projection: &Projection<'_>) {
    /// A line may be longer than the first by this part of it.
    const ROOM: usize = 8;
    let mut name = Vec::new();
    put_field(&mut name, projection.series);
    let from = out.len();
    for (ahead, mean) in projection.mean.iter().enumerate() {
        out.extend_from_slice(&name);
        out.push(b',');
        projection.end.put_ahead(out, ahead + 1);
        put_number(out, Some(*mean));
        for (lo, hi) in &projection.bands {
            put_number(out, lo.get(ahead).copied());
            put_number(out, hi.get(ahead).copied());
        }
        out.push(b'\n');
        if ahead == 0 {
            // All lines are about as long as the first; room made bit by bit is copied each time.
            let line = out.len() - from;
            out.reserve(
                line.saturating_add(line / ROOM)
                    .saturating_mul(projection.mean.len()),
            );
        }
    }
}

/// When a series meets a threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Meeting {
    /// The threshold, in the series' unit.
    pub threshold: f64,
    /// That it is met within the horizon.
    pub probability: f64,
    /// Days after the last value by which 10, 50 and 90 % of the futures have met it; steps where
    /// the length of a step is not known; `None` beyond the horizon.
    pub quantiles: [Option<f64>; 3],
    /// It is met already.
    pub crossed: bool,
}

/// Appends a line a threshold.
pub fn put_meetings(out: &mut Vec<u8>, series: &str, meetings: &[Meeting]) {
    for meeting in meetings {
        put_field(out, series);
        put_number(out, Some(meeting.threshold));
        put_number(out, Some(meeting.probability));
        for quantile in meeting.quantiles {
            put_number(out, quantile);
        }
        out.push(b'\n');
    }
}

fn put_number(out: &mut Vec<u8>, number: Option<f64>) {
    out.push(b',');
    if let Some(number) = number {
        value::put(out, number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::units::Timestamp;

    #[test]
    fn levels_are_percents_strictly_between_0_and_100() {
        for (text, shown) in [
            ("80", "80"),
            ("99.5", "99.5"),
            (" 57 ", "57"),
            ("9.50", "9.5"),
        ] {
            assert_eq!(Percent::read(text).unwrap().to_string(), shown);
        }
        for wrong in [
            "0",
            "100",
            "-5",
            "NaN",
            "inf",
            "",
            "eighty",
            "99.9999999999999999",
        ] {
            assert!(Percent::read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rows_go_on_from_the_last_step_with_the_shortest_numbers() {
        let levels = ["80", "95"].map(|text| Percent::read(text).unwrap());
        assert_eq!(
            heading(Axis::Steps, &levels),
            "series,step,mean,lo80,hi80,lo95,hi95\n"
        );
        let mut out = Vec::new();
        let (lo, hi) = ([0.5, 1e-9], [2.0, 1e300]);
        let projection = Projection {
            series: "a,\"b\"",
            end: End::at_step(-2),
            mean: &[0.1, 3.0],
            bands: vec![(&lo, &hi)],
        };
        put_rows(&mut out, &projection);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\"a,\"\"b\"\"\",-1,0.1,0.5,2\n\"a,\"\"b\"\"\",0,3,1e-9,1e300\n"
        );
    }

    #[test]
    fn rows_of_times_go_on_in_rfc_3339() {
        let ahead = |end: End, steps: usize| {
            let mut out = Vec::new();
            end.put_ahead(&mut out, steps);
            String::from_utf8(out).unwrap()
        };
        let at = |text| Timestamp::parse(text).unwrap();
        let hours = End::Time {
            last: at("2026-02-28T23:30:00Z"),
            step_ms: 3.6e6,
            months: None,
        };
        assert_eq!(ahead(hours, 1), "2026-03-01T00:30:00Z");
        let months = End::Time {
            last: at("2026-02-28T06:00:00Z"),
            step_ms: 2.6e9,
            months: Some((1, 31)),
        };
        let next = [1, 2, 12].map(|steps| ahead(months, steps));
        let wanted = ["2026-03-31", "2026-04-30", "2027-02-28"];
        assert_eq!(next, wanted.map(|day| format!("{day}T06:00:00Z")));
        let far = End::Time {
            last: at("9999-01-01T00:00:00Z"),
            step_ms: 3e10,
            months: None,
        };
        assert!(ahead(far, 100_000).bytes().all(|b| b.is_ascii_digit()));
    }

    #[test]
    fn what_lies_beyond_the_horizon_stays_empty() {
        let mut out = Vec::new();
        let meeting = Meeting {
            threshold: 100.0,
            probability: 0.25,
            quantiles: [Some(1.5), None, None],
            crossed: false,
        };
        put_meetings(&mut out, "s", &[meeting]);
        assert_eq!(out, b"s,100,0.25,1.5,,\n");
        assert_eq!(CROSSINGS.matches(',').count(), 5);
    }
}
