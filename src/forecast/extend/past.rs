//! What a series' past was like: its seasons and its changes, in its own steps.
//!
//! For: telling them of any series, as is done of resources. Not for: the future, whose periods are
//! taken as found ([`extend`](super::extend())). Where steps are parts of a day, days are what is looked
//! at, and the day itself is one of the seasons.

use crate::forecast::calendar::Calendar;
use crate::forecast::pattern::{Found, SAWTOOTH};
use crate::forecast::settings::settings;
use crate::forecast::unfold::DayShape;
use crate::forecast::{Fold, clean, near, period};
use crate::model::capacity::{ChangeKind, Season, Turn};
use crate::model::series::Window;
use crate::model::units::{Millis, Timestamp};

use super::{Extension, Series};

/// Seasons and changes of a series.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Past {
    /// What comes again and again, the day first, then strongest first; periods and profiles are in
    /// steps, a profile begins at the first step of the future.
    pub seasons: Vec<Season>,
    /// Where it changed for good, oldest first.
    pub changes: Vec<Turn>,
}

impl Past {
    /// Of values scaled to 1 that end with a present one, and the future they were given.
    pub(super) fn of(scaled: &[f64], scale: f64, series: &Series<'_>, told: &Extension) -> Self {
        let per = steps_of_day(series.step, &told.periods);
        let past = if per > 1 && scaled.len() >= settings().history.least * per {
            Self::by_days(scaled, scale, (series, told), per)
        } else {
            Self::by_steps(scaled, scale, series, told)
        };
        match series.step {
            Some(_) => past,
            None => past.unnamed(),
        }
    }

    /// The same of a series that had so many values before, and whose future begins `silent` steps
    /// after the last one.
    pub(super) fn within(mut self, before: usize, silent: usize) -> Self {
        for change in &mut self.changes {
            change.at += before;
        }
        for season in &mut self.seasons {
            season.profile.rotate_left(silent % season.period.max(1));
        }
        self
    }

    fn by_steps(scaled: &[f64], scale: f64, series: &Series<'_>, told: &Extension) -> Self {
        let before = scaled.len().saturating_sub(settings().history.most);
        let mut recent = scaled.get(before..).unwrap_or_default().to_vec();
        clean::mask_faults(&mut recent);
        let seasons = period::find(&recent, &candidates(&told.periods));
        let flat = seasons.remove(&recent);
        let found = Found {
            seasons: &seasons,
            flat: &flat,
            step: series.step.unwrap_or(Millis::DAY),
            scale,
        };
        Self {
            seasons: found.seasons(told.level / scale, recent.len()),
            changes: found.turns(),
        }
        .within(before, 0)
    }

    fn by_days(
        scaled: &[f64],
        scale: f64,
        (series, told): (&Series<'_>, &Extension),
        per: usize,
    ) -> Self {
        let window = Window {
            start: Timestamp::from_millis(0),
            step: Millis(Millis::DAY.0 / per as u64),
            values: scaled.to_vec(),
        };
        let days = clean::steps(&window, Fold::Mean);
        let longer = candidates(&Calendar::folded(&told.periods, per));
        let seasons = period::find(&days.values, &longer);
        let flat = seasons.remove(&days.values);
        let found = Found {
            seasons: &seasons,
            flat: &flat,
            step: Millis::DAY,
            scale,
        };
        // Days are counted back from the end.
        let end = days.values.len() + days.silent;
        let level = told.level / scale;
        let mut readings = scaled.to_vec();
        clean::mask_faults(&mut readings);
        let day = of_day(&DayShape::of(&readings, per), level, scale);
        let longer = found.seasons(level, end).into_iter().map(|season| Season {
            period: season.period * per,
            profile: in_steps(&season.profile, per),
            ..season
        });
        // A day of unknown length: growth is told a step.
        let steps = if series.step.is_some() {
            1.0
        } else {
            per as f64
        };
        let changes = found.turns().into_iter().map(|turn| Turn {
            at: scaled.len().saturating_sub((end - turn.at) * per),
            size: match turn.kind {
                ChangeKind::Step => turn.size,
                ChangeKind::Slope => turn.size / steps,
            },
            ..turn
        });
        Self {
            seasons: day.into_iter().chain(longer).collect(),
            changes: changes.collect(),
        }
    }

    /// Seasons by their number of steps: what a step is, nobody knows.
    fn unnamed(mut self) -> Self {
        for season in self.seasons.iter_mut().filter(|s| s.name != SAWTOOTH) {
            season.name = format!("{} steps", season.period);
        }
        self
    }
}

/// Each day's value once for each of its steps.
fn in_steps(days: &[f64], per: usize) -> Vec<f64> {
    let each = days.iter().flat_map(|v| std::iter::repeat_n(*v, per));
    each.collect()
}

/// The day as a season; its strength is the share of its shape in the variance of shape and noise.
fn of_day(shape: &DayShape, level: f64, scale: f64) -> Option<Season> {
    let profile = shape.profile(level)?;
    let squares: f64 = profile.iter().map(|v| v * v).sum();
    let own = squares / profile.len().max(1) as f64;
    let noise = shape.noise(level).powi(2);
    let profile: Vec<f64> = profile.into_iter().map(|v| v * scale).collect();
    // Readings near the end of the number range can overflow: then nothing is said.
    let is_sound = own > 0.0 && profile.iter().all(|v| v.is_finite());
    is_sound.then(|| Season {
        period: profile.len(),
        name: "day".to_owned(),
        strength: own / (own + noise),
        profile,
    })
}

/// Steps of a day, where that is a period or none was found; 1 where steps stay as they are.
fn steps_of_day(step: Option<Millis>, periods: &[usize]) -> usize {
    let day = Millis::DAY.0;
    let per = match step {
        Some(step) if (1..day).contains(&step.0) && day.is_multiple_of(step.0) => {
            usize::try_from(day / step.0).unwrap_or(1)
        }
        Some(_) => 1,
        None => near::day_among(periods),
    };
    if periods.is_empty() || periods.contains(&per) {
        per
    } else {
        1
    }
}

/// The periods of the future, rising.
fn candidates(periods: &[usize]) -> Vec<usize> {
    let mut candidates: Vec<usize> = periods.iter().copied().filter(|p| *p > 1).collect();
    candidates.sort_unstable();
    candidates
}
