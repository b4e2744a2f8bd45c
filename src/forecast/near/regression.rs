//! Which regressions on its own past a series is given.
//!
//! For: choosing steps back, windows and pulls by the cycle that was found. Not for: fitting them
//! (`lagged`). Three kinds: on the last steps and the neighbourhood of each cycle back, which feed
//! themselves step by step; direct ones, on nothing nearer than a cycle but its one neighbour, so that
//! what is a cycle ahead is learnt from what was a cycle ahead; and those of differences, where no long
//! cycle was found. Source of the two strategies: Ben Taieb, Bontempi, Atiya and Sorjamaa 2012, "A
//! review and comparison of strategies for multi-step ahead time series forecasting"; the steps are our
//! choice.

use super::cycle::Cycle;
use super::lagged::Lagged;
use super::{Origin, Past, Told, of_logs};
use crate::forecast::settings::settings;

/// More cycles back add lags and no knowledge.
const CYCLES: usize = 8;

/// One regression at every origin.
fn told(name: &'static str, lagged: &Lagged, past: &Past, origins: &[Origin]) -> Told {
    Told {
        name,
        by_cycle: false,
        forecasts: lagged.forecasts(&past.values, &past.present, origins),
    }
}

/// The same on logarithms, where there are such.
fn told_of_logs(
    name: &'static str,
    lagged: &Lagged,
    past: &Past,
    origins: &[Origin],
) -> Option<Told> {
    let logs = past.logs.as_deref()?;
    Some(Told {
        name,
        by_cycle: false,
        forecasts: of_logs(lagged.forecasts(logs, &past.present, origins)),
    })
}

/// Regressions on the neighbourhood of each cycle back.
pub(super) fn by_cycle(past: &Past, origins: &[Origin], all: &mut Vec<Told>) {
    let set = &settings().near;
    let Cycle { steps, long } = past.cycle;
    let reach = long.max(2 * steps);
    let n = past.values.len();
    if !past.cycle.is_some() || n <= reach + 2 * steps {
        return;
    }
    let narrow = Lagged {
        lags: recursive(steps, reach, false),
        home: Some(steps),
        ridge: set.cycle_ridge,
        window: (56 * steps).max(8 * reach),
        level: Some(4 * steps),
        doubt: None,
    };
    let wide = Lagged {
        lags: recursive(steps, reach, true),
        ridge: set.wide_ridge,
        ..narrow.clone()
    };
    let direct = Lagged {
        lags: around_cycles(steps, reach, false),
        ridge: set.direct_ridge,
        ..narrow.clone()
    };
    let mut found = vec![told("lags", &narrow, past, origins)];
    found.extend(told_of_logs("lags-log", &narrow, past, origins));
    found.extend(told_of_logs("lags-wide-log", &wide, past, origins));
    if past.logs.is_none() {
        found.push(told("lags-wide", &wide, past, origins));
    }
    found.push(told("direct", &direct, past, origins));
    found.extend(told_of_logs("direct-log", &direct, past, origins));
    if long > steps {
        // As many cycles of cycles back as leave two to learn from.
        let cycles = (n / long).saturating_sub(2).clamp(1, set.direct_cycles);
        // The first origin has as much to learn from as the farthest step back is long.
        let back = origins.first().map_or(0, |origin| n - origin.at);
        let far = Lagged {
            window: direct.window.max(2 * (cycles * long + 1) + back),
            lags: around_cycles(long, cycles * long, false),
            home: Some(long),
            level: Some(long),
            ..direct
        };
        found.push(told("direct-long", &far, past, origins));
        found.extend(told_of_logs("direct-long-log", &far, past, origins));
    }
    all.extend(found.into_iter().map(|told| Told {
        by_cycle: true,
        ..told
    }));
}

/// Regressions of differences, and of levels, on a year of weeks back.
pub(super) fn by_walk(past: &Past, origins: &[Origin], all: &mut Vec<Told>) {
    let set = &settings().near;
    if past.cycle.steps > set.walk_cycle {
        return;
    }
    let walk = Lagged {
        lags: set.walk_lags.clone(),
        home: None,
        ridge: set.walk_ridge,
        window: set.walk_window,
        level: None,
        doubt: Some(set.walk_doubt),
    };
    let long = Lagged {
        ridge: set.long_ridge,
        window: set.long_window,
        ..walk.clone()
    };
    let level = Lagged {
        home: Some(1),
        ridge: set.level_ridge,
        level: Some(set.level_steps),
        doubt: None,
        ..walk.clone()
    };
    let short = Lagged {
        lags: set.short_lags.clone(),
        ridge: set.long_ridge,
        doubt: Some(set.short_doubt),
        ..walk.clone()
    };
    if past.values.len() >= set.walk_least {
        all.push(told("walk", &walk, past, origins));
        all.extend(told_of_logs("walk-log", &walk, past, origins));
        all.push(told("walk-long", &long, past, origins));
        all.push(told("level", &level, past, origins));
    }
    all.push(told("walk-short", &short, past, origins));
    all.extend(told_of_logs("walk-short-log", &short, past, origins));
}

/// The last steps, and the neighbourhood of each cycle back to `reach`.
fn recursive(steps: usize, reach: usize, wide: bool) -> Vec<usize> {
    let mut lags = around_cycles(steps, reach, wide);
    lags.extend([1, 2, 3]);
    lags.sort_unstable();
    lags.dedup();
    lags
}

/// The neighbourhood of the first cycle back, of every one where it is wide, and of `reach`.
fn around_cycles(steps: usize, reach: usize, wide: bool) -> Vec<usize> {
    let mut lags = Vec::new();
    for k in 1..=(reach / steps).min(CYCLES) {
        if wide || k == 1 {
            lags.extend([steps * k - 1, steps * k + 1]);
        }
        lags.push(steps * k);
    }
    lags.extend([reach - 1, reach, reach + 1]);
    lags.retain(|lag| *lag > 0);
    lags.sort_unstable();
    lags.dedup();
    lags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn direct_ones_look_no_nearer_than_the_neighbourhood_of_a_cycle() {
        assert_eq!(around_cycles(24, 48, false), [23, 24, 25, 47, 48, 49]);
        assert_eq!(around_cycles(12, 36, false), [11, 12, 13, 24, 35, 36, 37]);
        assert_eq!(
            around_cycles(12, 36, true),
            [11, 12, 13, 23, 24, 25, 35, 36, 37]
        );
        assert_eq!(around_cycles(168, 168, false), [167, 168, 169]);
    }

    #[test]
    fn recursive_ones_see_the_last_steps_once() {
        assert_eq!(recursive(24, 48, false), [1, 2, 3, 23, 24, 25, 47, 48, 49]);
        assert_eq!(recursive(2, 4, false), [1, 2, 3, 4, 5]);
    }
}
