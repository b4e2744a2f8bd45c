//! What a forecast says of a series: points with bands, crossings, growth, seasons, changes.
//!
//! For: engines that make it, and everything that shows it. Not for: how it is computed (the engine
//! of the same name), nor for limits and targets (`capacity`, which names all of these, too). Read
//! [`Forecast`] first.

use serde::{Deserialize, Serialize};

use super::units::{Level, Millis, Timestamp};

/// A band around a value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Interval {
    /// Probability mass between `lo` and `hi`.
    pub level: Level,
    /// Lower end.
    pub lo: f64,
    /// Upper end, never below `lo`.
    pub hi: f64,
}

/// A value with an 80 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Estimate {
    /// Most likely value.
    pub value: f64,
    /// Lower end of the 80 % interval.
    pub lo: f64,
    /// Upper end of the 80 % interval.
    pub hi: f64,
}

/// One step of a forecast.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ForecastPoint {
    /// Start of the step.
    pub at: Timestamp,
    /// Expected value, in the series' own unit.
    pub mean: f64,
    /// One band a level asked for, narrowest first; they nest.
    pub bands: Vec<Interval>,
}

/// How a method did on this very series, by forecasting pasts that are known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Backtest {
    /// How many origins were forecast from.
    pub origins: usize,
    /// Steps ahead that were scored.
    pub horizon: usize,
    /// Mean absolute error, in the series' unit.
    pub mae: f64,
    /// Mean absolute error over that of the seasonal naive forecast; below 1 is better than it.
    pub relative_mae: f64,
    /// Share of actual values that fell into the 80 % band.
    pub coverage_p80: f64,
    /// Share of actual values that fell into the 95 % band.
    pub coverage_p95: f64,
}

/// When a series reaches a value, if it does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Crossing {
    /// `warn`, `critical` or `limit`, or a name the caller gave.
    pub name: String,
    /// The value, in the series' unit.
    pub threshold: f64,
    /// Probability of reaching it within the horizon.
    pub probability: f64,
    /// Time by which 10 % of simulated paths have reached it; `None` is beyond the horizon.
    pub p10: Option<Timestamp>,
    /// Median time; `None` is beyond the horizon.
    pub p50: Option<Timestamp>,
    /// Time by which 90 % of simulated paths have reached it; `None` is beyond the horizon.
    pub p90: Option<Timestamp>,
    /// The series is already at or over it.
    pub crossed: bool,
}

impl Crossing {
    /// The date by which to act: the early end (10 %) less `lead`, how long a remedy takes, but not
    /// before `now`; `None` where no date is in sight.
    pub fn act_by(&self, now: Timestamp, lead: Millis) -> Option<Timestamp> {
        if self.crossed {
            return Some(now);
        }
        Some(self.p10?.minus(lead.as_duration()).max(now))
    }
}

/// What kind of change a series made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// It jumped and stayed, as after a migration.
    Step,
    /// It began to grow faster or slower.
    Slope,
}

/// A point at which a series changed for good.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Start of the first step that was different.
    pub at: Timestamp,
    /// What changed.
    pub kind: ChangeKind,
    /// By how much: in the series' unit for a step, in the unit per day for a slope.
    pub size: f64,
}

/// A point at which a series changed for good, by its place instead of its date.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Turn {
    /// Index of the first value that was different.
    pub at: usize,
    /// What changed.
    pub kind: ChangeKind,
    /// By how much: in the series' unit for a step, in the unit per day for a slope, or per step
    /// where the length of a step is not known.
    pub size: f64,
}

/// A pattern that comes again and again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Season {
    /// Its length in steps.
    pub period: usize,
    /// `day`, `week`, `month`, …, or `sawtooth` for a ramp that falls back.
    pub name: String,
    /// Deviation from the level, one a step over one period, in the series' unit; the first is of
    /// the forecast's first point.
    pub profile: Vec<f64>,
    /// Share of the variance around the trend that it explains, 0 to 1.
    pub strength: f64,
}

impl Season {
    /// Its part in the point at `ahead` steps after the forecast's first.
    pub fn at(&self, ahead: usize) -> f64 {
        let phase = ahead.checked_rem(self.profile.len()).unwrap_or(0);
        self.profile.get(phase).copied().unwrap_or(0.0)
    }

    /// From its lowest to its highest step.
    pub fn swing(&self) -> f64 {
        let (lo, hi) = self
            .profile
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), v| {
                (lo.min(*v), hi.max(*v))
            });
        if hi >= lo { hi - lo } else { 0.0 }
    }
}

/// A confidence in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trust {
    /// Take the date as a hint.
    Low,
    /// Plan with the interval, not with the date.
    Medium,
    /// Plan with it.
    High,
}

impl Trust {
    /// The word for tables.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// How far a forecast may be trusted, from how it did on this series' own past.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Confidence {
    /// 0 (none) to 1.
    pub value: f64,
    /// The same in a word.
    pub word: Trust,
}

impl Confidence {
    /// From this value on the word is `high`: better than seasonal naive, and tested well.
    pub const HIGH: f64 = 0.45;
    /// From this value on the word is `medium`: about as good as seasonal naive.
    pub const MEDIUM: f64 = 0.25;

    /// Reads it off a back-test: skill × coverage × origins, each 0 to 1.
    ///
    /// - skill: `1 − r/2`, where r is the mean absolute error over that of the seasonal naive
    ///   forecast: 1 is without error, ½ as good as naive, 0 twice as bad or worse;
    /// - coverage: `1 − g`, where g is the mean over the 80 and the 95 % band of how far the share
    ///   of values inside is from what was promised; what is missing counts twice, since a band
    ///   that is too narrow misleads more than one that is too wide;
    /// - origins: `n / (n + 1)`, for n pasts that were forecast from.
    ///
    /// A figure that is not finite counts as the worst. The formula is our own.
    pub fn of(backtest: &Backtest) -> Self {
        let share = |v: f64| {
            if v.is_finite() {
                v.clamp(0.0, 1.0)
            } else {
                0.0
            }
        };
        let gap = |seen: f64, promised: f64| {
            let gap = share(seen) - promised;
            if gap < 0.0 { -2.0 * gap } else { gap }
        };
        let skill = share(1.0 - backtest.relative_mae / 2.0);
        let gaps = gap(backtest.coverage_p80, 0.80) + gap(backtest.coverage_p95, 0.95);
        let tested = backtest.origins as f64 / (backtest.origins as f64 + 1.0);
        Self::from_value(skill * share(1.0 - gaps / 2.0) * tested)
    }

    /// A value, cut to 0 and 1, with its word.
    pub fn from_value(value: f64) -> Self {
        let value = if value.is_finite() {
            value.clamp(0.0, 1.0)
        } else {
            0.0
        };
        let word = match value {
            value if value >= Self::HIGH => Trust::High,
            value if value >= Self::MEDIUM => Trust::Medium,
            _ => Trust::Low,
        };
        Self { value, word }
    }
}

/// What the simulated paths behind the crossings rested on, so that they can be drawn again.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Simulated {
    /// Standard deviation of the paths over the upper half of the 80 % band.
    pub spread: f64,
    /// How far the busiest part of a step stands above its value, in the series' unit.
    pub swing: f64,
    /// Where the series stands now, in its unit: what lies at or below `present + swing` is
    /// reached.
    pub present: f64,
}

/// A forecast of one series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Forecast {
    /// The last value that it rests on, smoothed over the last season.
    pub level: f64,
    /// Distance between points.
    pub step: Millis,
    /// One a step, oldest first.
    pub points: Vec<ForecastPoint>,
    /// Change per day in the series' unit.
    pub growth_per_day: Estimate,
    /// Change per 30.44 days as a share of the level; `None` when the level is not positive.
    pub growth_per_month: Option<Estimate>,
    /// Seasons found, in steps, strongest first.
    pub periods: Vec<usize>,
    /// The method chosen, such as `trend+season`.
    pub method: String,
    /// How that method did on this series.
    pub backtest: Backtest,
    /// One a threshold asked for, in the order asked.
    pub crossings: Vec<Crossing>,
    /// Where the past changed for good, oldest first.
    #[serde(default)]
    pub changes: Vec<Change>,
    /// What comes again and again, strongest first.
    #[serde(default)]
    pub seasons: Vec<Season>,
    /// How far it may be trusted; `None` in records of earlier versions, see [`Self::confidence`].
    #[serde(default)]
    pub confidence: Option<Confidence>,
    /// What the crossings were simulated with; `None` in records of earlier versions.
    #[serde(default)]
    pub simulated: Option<Simulated>,
}

impl Forecast {
    /// How far it may be trusted: as recorded, else read off its back-test.
    pub fn confidence(&self) -> Confidence {
        self.confidence
            .unwrap_or_else(|| Confidence::of(&self.backtest))
    }

    /// The crossing of this name.
    pub fn crossing(&self, name: &str) -> Option<&Crossing> {
        self.crossings.iter().find(|crossing| crossing.name == name)
    }
}

/// What can be said of a series' future.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "outlook")]
pub enum Outlook {
    /// A forecast.
    Forecast(Box<Forecast>),
    /// Too little history; honest silence.
    #[serde(rename_all = "camelCase")]
    NotEnoughData {
        /// Days of history that hold values.
        have_days: f64,
        /// Days needed before the first forecast.
        need_days: f64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backtest(origins: usize, relative_mae: f64, p80: f64, p95: f64) -> Backtest {
        Backtest {
            origins,
            horizon: 30,
            mae: 1.0,
            relative_mae,
            coverage_p80: p80,
            coverage_p95: p95,
        }
    }

    #[test]
    fn confidence_is_skill_times_coverage_times_origins() {
        // By hand: (1 − 0.62/2)·(1 − (2·0.01 + 2·0.01)/2)·8/9 = 0.69·0.98·0.8889.
        let good = Confidence::of(&backtest(8, 0.62, 0.79, 0.94));
        assert!((good.value - 0.601_066_7).abs() < 1e-6, "{good:?}");
        assert_eq!(good.word, Trust::High);
        // As good as naive, bands of everything: 0.5·(1 − (0.2 + 0.05)/2)·6/7 = 0.375.
        let naive = Confidence::of(&backtest(6, 1.0, 1.0, 1.0));
        assert!((naive.value - 0.375).abs() < 1e-9, "{naive:?}");
        assert_eq!(naive.word, Trust::Medium);
        for bad in [
            backtest(0, 0.1, 0.8, 0.95),
            backtest(6, 2.5, 0.8, 0.95),
            backtest(6, f64::NAN, 0.8, 0.95),
            backtest(6, 0.5, f64::NAN, f64::NAN),
        ] {
            let low = Confidence::of(&bad);
            assert_eq!((low.value, low.word), (0.0, Trust::Low), "{bad:?}");
        }
    }

    #[test]
    fn a_season_repeats_and_an_empty_one_is_nothing() {
        let season = Season {
            period: 3,
            name: "week".into(),
            profile: vec![-1.0, 0.0, 2.0],
            strength: 0.5,
        };
        assert_eq!((season.at(5), season.swing()), (2.0, 3.0));
        let empty = Season {
            profile: Vec::new(),
            ..season
        };
        assert_eq!((empty.at(5), empty.swing()), (0.0, 0.0));
    }
}
