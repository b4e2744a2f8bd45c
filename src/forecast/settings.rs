//! The settings of `models/methods.toml`, compiled in and read once.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;

const TEXT: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/models/methods.toml"));

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    pub(super) version: u32,
    pub(super) history: History,
    pub(super) clean: Clean,
    pub(super) season: Season,
    pub(super) shift: Shift,
    pub(super) bend: Bend,
    pub(super) piecewise: Piecewise,
    pub(super) smoothing: Smoothing,
    pub(super) backtest: Backtest,
    pub(super) interval: Interval,
    pub(super) crossing: Crossing,
    pub(super) saturating: Saturating,
    pub(super) outcome: Outcome,
    pub(super) prior: BTreeMap<String, f64>,
    pub(super) cycle: Cycle,
    pub(super) near: Near,
    pub(super) near_prior: BTreeMap<String, f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct History {
    pub(super) least: usize,
    pub(super) most: usize,
    pub(super) most_near: usize,
    pub(super) level: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Clean {
    pub(super) window: usize,
    pub(super) spike_sd: f64,
    pub(super) spike_q95: f64,
    pub(super) spike_run: usize,
    pub(super) spike_share: f64,
    pub(super) day_share: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Season {
    pub(super) day_periods: Vec<usize>,
    pub(super) week_periods: Vec<usize>,
    pub(super) min_cycles: f64,
    pub(super) min_f: f64,
    pub(super) min_share: f64,
    pub(super) max_seasons: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shift {
    pub(super) window: usize,
    pub(super) sd: f64,
    pub(super) max: usize,
    pub(super) told: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bend {
    pub(super) least: usize,
    pub(super) places: usize,
    pub(super) max: usize,
    pub(super) criterion: f64,
    pub(super) share: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Piecewise {
    pub(super) max_bends: usize,
    pub(super) steps_per_bend: usize,
    pub(super) first: f64,
    pub(super) last: f64,
    pub(super) penalties: Vec<f64>,
    pub(super) l1_ratio: f64,
    pub(super) criterion: f64,
    pub(super) huber: f64,
    pub(super) rounds: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Smoothing {
    pub(super) alpha: Vec<f64>,
    pub(super) beta: Vec<f64>,
    pub(super) far: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Backtest {
    pub(super) origins: usize,
    pub(super) first: f64,
    pub(super) last: f64,
    pub(super) power: f64,
    pub(super) drop: f64,
    pub(super) shrink: f64,
    pub(super) decay: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Interval {
    pub(super) gamma_prior: f64,
    pub(super) gamma_weight: f64,
    pub(super) gamma_min: f64,
    pub(super) gamma_max: f64,
    pub(super) factor_min: f64,
    pub(super) factor_max: f64,
    pub(super) stretch: f64,
    pub(super) stretch_95: f64,
    pub(super) path_stretch: f64,
    pub(super) jump_share: f64,
    pub(super) floor_share: f64,
    pub(super) floor_steps: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Crossing {
    pub(super) paths: usize,
    pub(super) knots: usize,
    pub(super) memory: f64,
    pub(super) memory_min: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Saturating {
    pub(super) evidence: f64,
    pub(super) slack: f64,
    pub(super) latest: f64,
    pub(super) narrowest: f64,
    pub(super) most: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Outcome {
    pub(super) prior: f64,
    pub(super) lead_most: usize,
    pub(super) doubt: f64,
    pub(super) ratio_most: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cycle {
    pub(super) candidates: Vec<usize>,
    pub(super) days: Vec<usize>,
    pub(super) weeks: Vec<usize>,
    pub(super) window: usize,
    pub(super) f: f64,
    pub(super) many: usize,
    pub(super) share_many: f64,
    pub(super) share_few: f64,
    pub(super) clearly: f64,
    pub(super) part: f64,
    pub(super) short: usize,
    pub(super) yearly: usize,
    pub(super) yearly_f: f64,
    pub(super) correlation: f64,
    pub(super) correlation_least: usize,
    pub(super) correlation_window: usize,
    pub(super) correlation_farthest: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Near {
    pub(super) share: f64,
    pub(super) fold_days: usize,
    pub(super) origins: usize,
    pub(super) strides: usize,
    pub(super) span: usize,
    pub(super) cycle_ridge: f64,
    pub(super) wide_ridge: f64,
    pub(super) direct_ridge: f64,
    pub(super) direct_cycles: usize,
    pub(super) walk_cycle: usize,
    pub(super) walk_least: usize,
    pub(super) walk_lags: Vec<usize>,
    pub(super) walk_ridge: f64,
    pub(super) walk_window: usize,
    pub(super) walk_doubt: f64,
    pub(super) long_ridge: f64,
    pub(super) long_window: usize,
    pub(super) level_ridge: f64,
    pub(super) level_steps: usize,
    pub(super) short_lags: Vec<usize>,
    pub(super) short_doubt: f64,
    pub(super) smooth_window: usize,
    pub(super) many_cycles: usize,
    pub(super) many_factor: f64,
    pub(super) even: f64,
    pub(super) drop: f64,
    pub(super) power: f64,
    pub(super) shrink: f64,
    pub(super) trim: f64,
    pub(super) own_size: f64,
    pub(super) alone: f64,
    pub(super) few: f64,
    pub(super) clip: f64,
    pub(super) reach50: [f64; 2],
    pub(super) reach80: [f64; 2],
    pub(super) reach95: [f64; 2],
}

/// The settings this program was built with.
pub(super) fn settings() -> &'static Settings {
    static SETTINGS: OnceLock<Settings> = OnceLock::new();
    SETTINGS.get_or_init(|| {
        #[expect(
            clippy::expect_used,
            reason = "the text is compiled in and a test reads it"
        )]
        toml::from_str(TEXT).expect("models/methods.toml is whole")
    })
}

#[cfg(test)]
mod tests {
    use super::settings;
    use crate::forecast::member;

    #[test]
    fn the_compiled_in_settings_are_whole() {
        let settings = settings();
        assert!(settings.version >= 1);
        assert!(settings.history.least >= 14);
        for name in member::names() {
            assert!(settings.prior.contains_key(name), "{name} has no prior");
        }
        for name in settings.prior.keys() {
            assert!(member::names().any(|n| n == name), "{name} is no member");
        }
    }
}
