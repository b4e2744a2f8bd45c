use proptest::prelude::*;

use super::*;
use crate::model::capacity::ChangeKind;

/// Evenly spread, repeatable, no period: good enough to stand for noise.
fn noise(i: usize) -> f64 {
    let mut z = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((z >> 11) as f64 / (1_u64 << 53) as f64 - 0.5) * 3.4
}

fn wave(i: usize, steps: usize) -> f64 {
    (std::f64::consts::TAU * i as f64 / steps as f64).sin()
}

fn series(n: usize, f: impl Fn(usize) -> f64) -> Vec<f64> {
    (0..n).map(f).collect()
}

const LEVELS: [Level; 3] = [Level::P50, Level::P80, Level::P95];

fn ahead(values: &[f64], horizon: usize, step: Option<Millis>, thresholds: &[f64]) -> Extension {
    let series = Series {
        values,
        step,
        periods: &[],
    };
    let ask = Ask {
        horizon,
        levels: &LEVELS,
        thresholds,
        floor: None,
        ceiling: None,
        seed: 7,
        detail: Detail::Past,
    };
    extend(&series, &ask).unwrap()
}

fn assert_sound(extension: &Extension, horizon: usize) {
    assert_eq!(extension.mean.len(), horizon);
    assert!(extension.mean.iter().all(|v| v.is_finite()));
    for band in &extension.bands {
        assert_eq!((band.lo.len(), band.hi.len()), (horizon, horizon));
        for ((lo, hi), mean) in band.lo.iter().zip(&band.hi).zip(&extension.mean) {
            assert!(lo.is_finite() && hi.is_finite() && lo <= mean && mean <= hi);
        }
    }
    for pair in extension.bands.windows(2) {
        let nested = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| a <= b);
        assert!(nested(&pair[1].lo, &pair[0].lo) && nested(&pair[0].hi, &pair[1].hi));
    }
    if let Some(backtest) = &extension.backtest {
        let shares = [backtest.coverage_p80, backtest.coverage_p95];
        assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)));
        assert!(backtest.mae.is_finite() && backtest.relative_mae.is_finite());
    }
    for reached in &extension.reached {
        assert!((0.0..=1.0).contains(&reached.probability));
        let order = [reached.p10, reached.p50, reached.p90].map(|t| t.unwrap_or(f64::INFINITY));
        assert!(order[0] <= order[1] && order[1] <= order[2]);
    }
}

#[test]
fn a_day_of_hours_goes_on_near_and_far() {
    let hours = series(24 * 60, |i| 100.0 + 20.0 * wave(i, 24) + noise(i));
    for (horizon, step) in [
        (48, None),
        (48, Some(Millis::HOUR)),
        (24 * 40, Some(Millis::HOUR)),
        (24 * 40, None),
    ] {
        let extension = ahead(&hours, horizon, step, &[]);
        assert_sound(&extension, horizon);
        assert_eq!(extension.periods.first(), Some(&24), "{horizon} {step:?}");
        for (j, v) in extension.mean.iter().enumerate() {
            let want = 100.0 + 20.0 * wave(24 * 60 + j, 24);
            assert!((v - want).abs() < 6.0, "{horizon} {step:?} {j}: {v} {want}");
        }
        let band = &extension.bands[1];
        let came = series(horizon, |j| {
            100.0 + 20.0 * wave(24 * 60 + j, 24) + noise(24 * 60 + j)
        });
        let inside = came.iter().zip(band.lo.iter().zip(&band.hi));
        let inside = inside
            .filter(|(v, (lo, hi))| *lo <= *v && *v <= *hi)
            .count();
        assert!(
            inside as f64 > 0.6 * horizon as f64,
            "{horizon} {step:?}: {inside}"
        );
    }
}

#[test]
fn a_perfect_line_gives_its_line_and_its_step() {
    for (n, horizon) in [(200, 40), (200, 150)] {
        let line = series(n, |i| 10.0 + 2.0 * i as f64);
        let extension = ahead(&line, horizon, None, &[10.0 + 2.0 * (n + 20) as f64]);
        for (j, v) in extension.mean.iter().enumerate() {
            let want = 10.0 + 2.0 * (n + j) as f64;
            assert!(
                (v - want).abs() < 0.02 * want,
                "{n} {horizon} {j}: {v} {want}"
            );
        }
        let p50 = extension.reached[0].p50.unwrap();
        assert!((p50 - 21.0).abs() <= 3.0, "{horizon}: {p50}");
    }
}

#[test]
fn growth_that_bends_back_is_not_drawn_out_for_ever() {
    let filled = |i: usize| 1.0 / (1.0 + (-(i as f64 - 130.0) / 25.0).exp());
    let values = series(180, |i| 1_000.0 + 800.0 * filled(i) + noise(i));
    let extension = ahead(&values, 270, Some(Millis::DAY), &[]);
    let last = extension.mean[269];
    assert!(
        (1_760.0..1_860.0).contains(&last),
        "{last} {}",
        extension.method
    );
}

#[test]
fn a_crossed_series_is_told_as_crossed() {
    for n in [3, 100] {
        let values = series(n, |i| 95.0 + 0.01 * noise(i));
        let extension = ahead(&values, 20, None, &[90.0, 1e6]);
        assert!(extension.reached[0].crossed && !extension.reached[1].crossed);
        assert_eq!(extension.reached[0].p90, Some(0.0));
    }
}

#[test]
fn a_constant_lifts_the_level_and_nothing_else() {
    let base = series(300, |i| 50.0 + 10.0 * wave(i, 12) + noise(i));
    let lifted: Vec<f64> = base.iter().map(|v| v + 1_000.0).collect();
    let (a, b) = (ahead(&base, 24, None, &[]), ahead(&lifted, 24, None, &[]));
    for (x, y) in a.mean.iter().zip(&b.mean) {
        assert!((x + 1_000.0 - y).abs() < 2.0, "{x} {y}");
    }
}

#[test]
fn more_noise_never_narrows_the_band() {
    for horizon in [30, 150] {
        let width = |size: f64| {
            let values = series(300, |i| 100.0 + 0.3 * i as f64 + size * noise(i));
            let extension = ahead(&values, horizon, None, &[]);
            extension.bands[1].hi[horizon - 1] - extension.bands[1].lo[horizon - 1]
        };
        let widths = [0.5, 1.0, 2.0, 4.0, 8.0].map(width);
        assert!(
            widths.windows(2).all(|w| w[0] <= w[1]),
            "{horizon} {widths:?}"
        );
    }
}

/// What comes with periods told.
fn told(values: &[f64], horizon: usize, step: Option<Millis>, periods: &[usize]) -> Extension {
    let series = Series {
        values,
        step,
        periods,
    };
    let ask = Ask {
        horizon,
        levels: &LEVELS,
        thresholds: &[],
        floor: None,
        ceiling: None,
        seed: 0,
        detail: Detail::None,
    };
    let extension = extend(&series, &ask).unwrap();
    assert_sound(&extension, horizon);
    extension
}

#[test]
fn told_periods_are_believed_near_and_far() {
    let values = series(400, |i| 10.0 + 5.0 * wave(i, 10) + 0.2 * noise(i));
    for horizon in [20, 300] {
        let extension = told(&values, horizon, None, &[10]);
        assert_eq!(extension.periods, [10], "{horizon}");
        for (j, v) in extension.mean.iter().enumerate() {
            assert!(
                (v - 10.0 - 5.0 * wave(400 + j, 10)).abs() < 1.5,
                "{horizon} {j} {v}"
            );
        }
    }
}

#[test]
fn a_period_of_one_is_none_near_and_far() {
    let week = series(400, |i| 50.0 + 10.0 * wave(i, 7) + noise(i));
    for horizon in [20, 300] {
        let found = told(&week, horizon, Some(Millis::DAY), &[]);
        assert_eq!(found.periods.first(), Some(&7), "{horizon}");
        assert!(
            told(&week, horizon, Some(Millis::DAY), &[1])
                .periods
                .is_empty(),
            "{horizon}"
        );
    }
    let day = series(24 * 60, |i| 100.0 + 20.0 * wave(i, 24) + noise(i));
    for step in [None, Some(Millis::HOUR)] {
        assert!(told(&day, 24 * 40, step, &[1]).periods.is_empty());
    }
}

#[test]
fn told_periods_last_through_days_that_hours_are_folded_to() {
    let season = |i: usize| 20.0 * wave(i, 24) + 15.0 * wave(i, 24 * 10);
    let hours = series(24 * 120, |i| 100.0 + season(i) + noise(i));
    for (horizon, step) in [
        (24 * 30, Some(Millis::HOUR)),
        (24 * 80, Some(Millis::HOUR)),
        (24 * 30, None),
    ] {
        let extension = told(&hours, horizon, step, &[24, 240]);
        assert_eq!(extension.periods, [24, 240], "{horizon}");
        for (j, v) in extension.mean.iter().enumerate() {
            let want = 100.0 + season(24 * 120 + j);
            assert!((v - want).abs() < 8.0, "{horizon} {step:?} {j}: {v} {want}");
        }
    }
}

#[test]
fn hours_that_make_no_whole_days_are_forecast_as_they_are() {
    // Eight readings a day, as an office has them: no day holds enough to be one.
    let office = |i: usize| {
        if i % 24 < 8 {
            50.0 + noise(i)
        } else {
            f64::NAN
        }
    };
    let values = series(24 * 15 - 16, office);
    for horizon in [24, 168, 24 * 30] {
        let extension = ahead(&values, horizon, Some(Millis::HOUR), &[60.0]);
        assert_sound(&extension, horizon);
        let last = extension.mean[horizon - 1];
        assert!((last - 50.0).abs() < 5.0, "{horizon}: {last}");
        let band = &extension.bands[1];
        assert!(
            band.hi[horizon - 1] - band.lo[horizon - 1] > 0.5,
            "{horizon}"
        );
    }
}

#[test]
fn steps_that_do_not_divide_a_day_are_not_folded_to_days() {
    let seven = Millis(7 * Millis::HOUR.0);
    let values = series(24 * 30, |i| 100.0 + 20.0 * wave(i, 10) + noise(i));
    for horizon in [30, 24 * 20] {
        let extension = ahead(&values, horizon, Some(seven), &[]);
        assert_sound(&extension, horizon);
        assert!(!extension.periods.contains(&3), "{:?}", extension.periods);
    }
    let near = ahead(&values, 30, Some(seven), &[]);
    assert_eq!(near.periods.first(), Some(&10));
}

#[test]
fn hostile_values_never_leave_finite_ground() {
    let shapes: [&dyn Fn(usize) -> f64; 12] = [
        &|_| 5.0,
        &|_| 0.0,
        &|i| if i % 2 == 0 { 1e308 } else { -1e308 },
        &|i| if i == 30 { f64::INFINITY } else { i as f64 },
        &|i| -(i as f64) - noise(i),
        &|i| (0.2 * i as f64).exp(),
        &|i| if i % 3 == 0 { f64::NAN } else { noise(i) },
        &|i| if i < 50 { 0.0 } else { 1e-300 },
        &|i| if i == 0 { 1.0 } else { f64::NAN },
        &|i| if i % 24 == 3 { 1e12 } else { 1e-12 },
        &|i| 10.0_f64.powf(4.0 * (i % 150) as f64 - 300.0),
        &|i| 10.0_f64.powf(300.0 - 4.0 * (i % 150) as f64),
    ];
    for shape in shapes {
        for n in [1, 2, 13, 14, 15, 40, 130, 400] {
            for horizon in [1, 7, 300] {
                for step in [None, Some(Millis::HOUR), Some(Millis::DAY)] {
                    let values = series(n, shape);
                    if values.iter().any(|v| v.is_finite()) {
                        let extension = ahead(&values, horizon, step, &[1e300, -1e300, 6.0]);
                        assert_sound(&extension, horizon);
                    }
                }
            }
        }
    }
}

#[test]
fn nothing_is_asked_and_nothing_is_known_are_errors() {
    let ask = |horizon, threshold: &'static [f64]| Ask {
        horizon,
        levels: &LEVELS,
        thresholds: threshold,
        floor: None,
        ceiling: None,
        seed: 0,
        detail: Detail::None,
    };
    let of = |values: &'static [f64]| Series {
        values,
        step: None,
        periods: &[],
    };
    assert_eq!(extend(&of(&[1.0]), &ask(0, &[])), Err(Error::NoStep));
    assert_eq!(extend(&of(&[]), &ask(1, &[])), Err(Error::NoValue));
    assert_eq!(
        extend(&of(&[f64::NAN; 9]), &ask(1, &[])),
        Err(Error::NoValue)
    );
    let unsure = extend(&of(&[1.0]), &ask(1, &[f64::NAN]));
    assert!(matches!(unsure, Err(Error::Threshold { .. })));
}

#[test]
fn silence_at_the_end_widens_the_bands() {
    let mut values = series(200, |i| 10.0 + 0.1 * i as f64 + 0.3 * noise(i));
    let whole = ahead(&values, 20, None, &[]);
    values.extend([f64::NAN; 15]);
    let late = ahead(&values, 20, None, &[]);
    assert_sound(&late, 20);
    let width = |e: &Extension| e.bands[1].hi[0] - e.bands[1].lo[0];
    assert!(width(&late) > width(&whole));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn scaling_the_values_scales_the_forecast(
        scale in 1e-6_f64..1e6,
        slope in -0.2_f64..0.6,
        n in 60_usize..200,
        far in any::<bool>(),
    ) {
        let y = |i: usize| 80.0 + slope * i as f64 + noise(i) + if i % 7 > 4 { 4.0 } else { 0.0 };
        let horizon = if far { n } else { n / 5 };
        let base = ahead(&series(n, y), horizon, None, &[150.0]);
        let scaled = ahead(&series(n, |i| scale * y(i)), horizon, None, &[150.0 * scale]);
        for (a, b) in base.mean.iter().zip(&scaled.mean) {
            prop_assert!((a * scale - b).abs() <= 1e-5 * b.abs());
        }
        let (one, other) = (&base.bands[1], &scaled.bands[1]);
        for (a, b) in one.hi.iter().zip(&other.hi) {
            prop_assert!((a * scale - b).abs() <= 1e-4 * b.abs());
        }
        // A lower end may be near zero, so the band's width is the measure.
        for ((a, b), hi) in one.lo.iter().zip(&other.lo).zip(&other.hi) {
            prop_assert!((a * scale - b).abs() <= 1e-4 * b.abs().max(hi - b));
        }
    }

    #[test]
    fn any_series_gives_a_sound_forecast(
        values in prop::collection::vec(
            prop_oneof![8 => -1e3_f64..1e3, 1 => Just(f64::NAN), 1 => prop::num::f64::ANY],
            1..120,
        ),
        horizon in 1_usize..80,
        hourly in any::<bool>(),
    ) {
        if values.iter().any(|v| v.is_finite()) {
            let step = hourly.then_some(Millis::HOUR);
            assert_sound(&ahead(&values, horizon, step, &[10.0]), horizon);
        }
    }
}

#[test]
fn a_past_is_told_by_its_week_and_its_jump() {
    let week = [0.0, 3.0, 4.0, 3.0, 0.0, -4.0, -6.0];
    let values = series(200, |i| {
        let jump = if i >= 120 { 60.0 } else { 0.0 };
        100.0 + week[i % 7] + 0.3 * noise(i) + jump
    });
    let told = ahead(&values, 30, Some(Millis::DAY), &[]);
    let past = told.past.unwrap();
    let [season] = &past.seasons[..] else {
        panic!("{past:?}")
    };
    assert_eq!((season.name.as_str(), season.period), ("week", 7));
    for (j, v) in season.profile.iter().enumerate() {
        assert!((v - week[(200 + j) % 7]).abs() < 1.5, "{j}: {v}");
    }
    // The jump is in what the moving mean leaves.
    assert!(season.strength > 0.5, "{season:?}");
    let [change] = past.changes[..] else {
        panic!("{past:?}")
    };
    assert_eq!((change.at, change.kind), (120, ChangeKind::Step));
    assert!((change.size - 60.0).abs() < 3.0, "{change:?}");
    assert!((told.level - 160.0).abs() < 2.0, "{}", told.level);
}

#[test]
fn hours_are_told_by_their_day_and_changes_stand_on_days() {
    let values = series(60 * 24, |i| {
        let jump = if i >= 40 * 24 { 50.0 } else { 0.0 };
        100.0 + 10.0 * wave(i, 24) + 0.3 * noise(i) + jump
    });
    // Two readings at the end are missing: the future begins two hours into the day.
    let mut gapped = values.clone();
    gapped.extend([f64::NAN, f64::NAN]);
    for (values, first) in [(&values, 0), (&gapped, 2)] {
        for (step, name) in [(Some(Millis::HOUR), "day"), (None, "24 steps")] {
            let past = ahead(values, 48, step, &[]).past.unwrap();
            let day = &past.seasons[0];
            assert_eq!((day.name.as_str(), day.period), (name, 24), "{past:?}");
            for (j, v) in day.profile.iter().enumerate() {
                let wanted = 10.0 * wave(first + j, 24);
                assert!((v - wanted).abs() < 1.5, "{j}: {v} for {wanted}");
            }
            assert!(day.strength > 0.9, "{day:?}");
            let [change] = past.changes[..] else {
                panic!("{past:?}")
            };
            assert_eq!((change.at, change.kind), (40 * 24, ChangeKind::Step));
            assert!((change.size - 50.0).abs() < 3.0, "{change:?}");
        }
    }
}

#[test]
fn growth_is_told_a_step_and_a_month() {
    let values = series(150, |i| 100.0 + 2.0 * i as f64 + 0.5 * noise(i));
    let told = ahead(&values, 30, Some(Millis(2 * Millis::DAY.0)), &[]);
    let growth = told.growth;
    assert!((growth.value - 2.0).abs() < 0.2, "{growth:?}");
    assert!(growth.lo < growth.value && growth.value < growth.hi);
    let month = told.growth_per_month.unwrap();
    // A step of two days: 1 a day, 30.44 a month.
    assert!((month.value - growth.value / 2.0 * 30.44 / told.level).abs() < 1e-9);
    assert_eq!(ahead(&values, 30, None, &[]).growth_per_month, None);
}

#[test]
fn too_few_values_are_told_as_such() {
    let few = ahead(&[1.0, 2.0, f64::NAN, 3.0], 5, None, &[]);
    assert_eq!(few.lack, Some(Lack { have: 3, need: 14 }));
    assert_eq!(few.past, None);
    let enough = ahead(&series(14, noise), 5, None, &[]);
    assert!(enough.lack.is_none() && enough.past.is_some());
}

#[test]
fn members_are_told_by_themselves() {
    let hours = series(100 * 24, |i| 100.0 + 10.0 * wave(i, 24) + noise(i));
    // Near at its own step; far, in days.
    for (values, horizon) in [(&hours[..720], 48), (&hours[..], 90 * 24)] {
        let series = Series {
            values,
            step: Some(Millis::HOUR),
            periods: &[],
        };
        let ask = Ask {
            horizon,
            levels: &[],
            thresholds: &[],
            floor: None,
            ceiling: None,
            seed: 0,
            detail: Detail::Members,
        };
        let told = extend(&series, &ask).unwrap();
        let weights: f64 = told.members.iter().map(|member| member.weight).sum();
        assert!((weights - 1.0).abs() < 1e-9, "{weights}");
        for member in &told.members {
            assert_eq!(member.mean.len(), horizon, "{}", member.name);
        }
        let naive = told.members.iter().find(|member| member.name == "naive");
        let naive = naive.unwrap();
        // The day is put on: its seventh hour lies above its nineteenth.
        assert!(naive.mean[6] > naive.mean[18] + 10.0, "{:?}", naive.mean);
    }
}
