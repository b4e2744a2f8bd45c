use proptest::prelude::*;

use super::*;

/// Evenly spread, repeatable, no period: good enough to stand for noise.
fn noise(i: usize) -> f64 {
    let mut z = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((z >> 11) as f64 / (1_u64 << 53) as f64 - 0.5) * 3.4
}

fn window(step: Millis, values: Vec<f64>) -> Window {
    Window {
        start: Timestamp::from_millis(1_700_000_000_000),
        step,
        values,
    }
}

fn daily(n: usize, f: impl Fn(usize) -> f64) -> Window {
    window(Millis::DAY, (0..n).map(f).collect())
}

fn plan(days: u64, thresholds: &[(&str, f64)]) -> Plan {
    Plan {
        horizon: Millis(days * Millis::DAY.0),
        thresholds: thresholds
            .iter()
            .map(|(name, value)| Threshold {
                name: (*name).to_owned(),
                value: *value,
            })
            .collect(),
        ..Plan::default()
    }
}

fn of(window: &Window, plan: &Plan) -> Forecast {
    match forecast(window, plan).unwrap() {
        Outlook::Forecast(forecast) => *forecast,
        Outlook::NotEnoughData { .. } => panic!("there is enough data"),
    }
}

fn assert_sound(forecast: &Forecast) {
    let finite = |v: f64| assert!(v.is_finite());
    for point in &forecast.points {
        finite(point.mean);
        let mut last: Option<Interval> = None;
        for band in &point.bands {
            finite(band.lo);
            finite(band.hi);
            assert!(band.lo <= point.mean && point.mean <= band.hi);
            if let Some(inner) = last {
                assert!(band.lo <= inner.lo && band.hi >= inner.hi, "bands nest");
            }
            last = Some(*band);
        }
    }
    for v in [
        forecast.level,
        forecast.growth_per_day.value,
        forecast.growth_per_day.lo,
        forecast.growth_per_day.hi,
        forecast.backtest.mae,
        forecast.backtest.relative_mae,
        forecast.backtest.coverage_p80,
        forecast.backtest.coverage_p95,
    ] {
        finite(v);
    }
    for crossing in &forecast.crossings {
        assert!((0.0..=1.0).contains(&crossing.probability));
        let order = [crossing.p10, crossing.p50, crossing.p90];
        assert!(order.windows(2).all(|p| match (p[0], p[1]) {
            (Some(a), Some(b)) => a <= b,
            (None, Some(_)) => false,
            _ => true,
        }));
    }
}

#[test]
fn a_perfect_line_gives_its_line_and_its_date() {
    let history = daily(120, |i| 100.0 + 2.0 * i as f64);
    let forecast = of(&history, &plan(180, &[("limit", 500.0)]));
    for (j, point) in forecast.points.iter().enumerate() {
        let want = 100.0 + 2.0 * (120 + j) as f64;
        assert!(
            (point.mean - want).abs() < 0.01 * want,
            "{j}: {} {want}",
            point.mean
        );
    }
    assert!((forecast.growth_per_day.value - 2.0).abs() < 0.02);
    // 100 + 2·200 = 500: the reading of day 200, which ends 81 days after the history.
    let p50 = forecast.crossings[0].p50.unwrap();
    let days = p50.since(history.end()).as_secs_f64() / 86_400.0;
    assert!((days - 81.0).abs() <= 3.0, "{days}");
    assert!(forecast.crossings[0].probability > 0.99);
}

#[test]
fn a_crossed_series_is_told_as_crossed() {
    let history = daily(60, |i| 95.0 + 0.01 * noise(i));
    let forecast = of(&history, &plan(90, &[("warn", 90.0), ("limit", 100_000.0)]));
    assert!(forecast.crossings[0].crossed);
    assert_eq!(forecast.crossings[0].p50, Some(history.end()));
    assert!(!forecast.crossings[1].crossed);
    assert_eq!(forecast.crossings[1].p50, None);
}

#[test]
fn a_level_that_was_left_is_not_told_as_crossed() {
    let crossed = |history: &Window| {
        let forecast = of(history, &plan(90, &[("warn", 70.0)]));
        let present = forecast.simulated.unwrap().present;
        (forecast.crossings[0].crossed, present)
    };
    for days in [2, 3, 5] {
        // A disk that was cleaned that many days ago.
        let level = |i: usize| if i < 60 - days { 95.0 } else { 40.0 };
        let (is_crossed, present) = crossed(&daily(60, |i| level(i) + noise(i)));
        assert!(!is_crossed && present < 50.0, "{days}: {present}");
    }
    // The end of each week is no step, and what swings has not gone.
    let week = daily(63, |i| if i % 7 > 4 { 40.0 } else { 95.0 } + noise(i));
    assert!(crossed(&week).0);
    let swings = daily(63, |i| 75.0 + 5.0 * noise(i));
    assert!(crossed(&swings).0);
}

#[test]
fn hourly_history_with_everything_in_it_gives_daily_points() {
    // Growth, a week, a day, a migration, an enrolment peak, gaps: 180 days.
    let hour = |h: usize| {
        let day = h / 24;
        let clock = (std::f64::consts::TAU * (h % 24) as f64 / 24.0).sin();
        let week = if day % 7 >= 5 { -8.0 } else { 3.2 };
        let moved = if day >= 90 { 40.0 } else { 0.0 };
        let peak = if (40..60).contains(&day) { 30.0 } else { 0.0 };
        200.0 + 0.6 * day as f64 + 10.0 * clock + week + moved + peak + noise(h)
    };
    let mut values: Vec<f64> = (0..180 * 24).map(hour).collect();
    values[2_000..2_060].fill(f64::NAN);
    values[3_500] = 0.0;
    let forecast = of(
        &window(Millis::HOUR, values),
        &plan(180, &[("limit", 430.0)]),
    );
    assert_eq!(forecast.step, Millis::DAY);
    assert_eq!(forecast.points.len(), 180);
    assert_eq!(forecast.periods.first(), Some(&7));
    assert_sound(&forecast);
    let growth = forecast.growth_per_day.value;
    assert!((0.4..0.8).contains(&growth), "{growth} {}", forecast.method);
    assert!(forecast.growth_per_day.lo < 0.6 && forecast.growth_per_day.hi > 0.6);
    // 200 + 0.6·d + 40 + 10 + 3.2 = 430 on day 295, 115 days ahead.
    let p50 = forecast.crossings[0].p50.unwrap();
    let days = p50
        .since(Timestamp::from_millis(1_700_000_000_000))
        .as_secs_f64()
        / 86_400.0
        - 180.0;
    assert!((80.0..150.0).contains(&days), "{days}");
    assert!(forecast.backtest.relative_mae < 1.0);
}

#[test]
fn too_little_history_says_how_much_is_needed() {
    for history in [
        daily(13, |i| i as f64),
        daily(0, |_| 1.0),
        daily(1, |_| 1.0),
        daily(400, |_| f64::NAN),
        window(Millis::HOUR, vec![1.0; 24 * 12]),
    ] {
        let outlook = forecast(&history, &plan(30, &[])).unwrap();
        let Outlook::NotEnoughData {
            have_days,
            need_days,
        } = outlook
        else {
            panic!("{} values are not enough", history.values.len());
        };
        assert!(have_days < need_days && need_days >= 14.0);
    }
}

#[test]
fn hostile_values_never_leave_finite_ground() {
    let shapes: [&dyn Fn(usize) -> f64; 10] = [
        &|_| 5.0,
        &|_| 0.0,
        &|i| if i % 2 == 0 { 1e308 } else { -1e308 },
        &|i| if i == 30 { f64::INFINITY } else { i as f64 },
        &|i| -(i as f64) - noise(i),
        &|i| (0.2 * i as f64).exp(),
        &|i| if i % 3 == 0 { f64::NAN } else { noise(i) },
        &|i| if i < 50 { 0.0 } else { 1e-300 },
        &|i| 10.0_f64.powf(4.0 * (i % 150) as f64 - 300.0),
        &|i| 10.0_f64.powf(300.0 - 4.0 * (i % 150) as f64),
    ];
    for (k, shape) in shapes.iter().enumerate() {
        for (n, per_day) in [(14, 1), (15, 1), (40, 1), (100, 1), (160, 4)] {
            let step = Millis(Millis::DAY.0 / per_day);
            let history = window(step, (0..n).map(shape).collect());
            let asked = plan(731, &[("a", 1e300), ("b", -1e300), ("c", 6.0)]);
            if history.present() >= 14 * usize::try_from(per_day).unwrap() {
                for fold in [Fold::Mean, Fold::P95] {
                    let forecast = of(
                        &history,
                        &Plan {
                            fold,
                            ..asked.clone()
                        },
                    );
                    assert_sound(&forecast);
                    assert!(
                        forecast.points.iter().all(|p| p.mean >= 0.0),
                        "{k}: the floor holds"
                    );
                }
            }
        }
    }
}

#[test]
fn a_million_points_are_cut_to_what_matters() {
    let values: Vec<f64> = (0..1_000_000).map(|i| 50.0 + noise(i)).collect();
    assert_sound(&of(&window(Millis::DAY, values.clone()), &plan(30, &[])));
    assert_sound(&of(&window(Millis::HOUR, values), &plan(30, &[])));
}

#[test]
fn bad_plans_are_refused_with_the_cure() {
    let history = daily(60, |i| i as f64);
    let error = |plan: Plan| forecast(&history, &plan).unwrap_err().to_string();
    assert!(error(plan(0, &[])).contains("1 to 24 months"));
    assert!(error(plan(100_000, &[])).contains("1 to 24 months"));
    assert!(error(plan(30, &[("x", f64::NAN)])).contains("finite"));
    let crossed = Plan {
        floor: Some(5.0),
        ceiling: Some(1.0),
        ..plan(30, &[])
    };
    assert!(error(crossed).contains("swap"));
    let still = window(Millis(0), vec![1.0; 50]);
    assert_eq!(forecast(&still, &plan(30, &[])), Err(Error::Step));
}

#[test]
fn silence_at_the_end_widens_the_bands_and_moves_nothing_back_in_time() {
    let mut values: Vec<f64> = (0..150)
        .map(|i| 10.0 + 0.1 * i as f64 + 0.3 * noise(i))
        .collect();
    let whole = of(&window(Millis::DAY, values.clone()), &plan(30, &[]));
    values.extend([f64::NAN; 20]);
    let history = window(Millis::DAY, values);
    let late = of(&history, &plan(30, &[]));
    assert_eq!(late.points[0].at, history.end());
    let width = |f: &Forecast| f.points[0].bands[1].hi - f.points[0].bands[1].lo;
    assert!(width(&late) > width(&whole));
}

#[test]
fn more_noise_never_narrows_the_band() {
    let width = |size: f64| {
        let history = daily(200, |i| 100.0 + 0.3 * i as f64 + size * noise(i));
        let last = of(&history, &plan(90, &[])).points.pop().unwrap();
        last.bands[1].hi - last.bands[1].lo
    };
    let widths = [0.5, 1.0, 2.0, 4.0, 8.0].map(width);
    assert!(widths.windows(2).all(|w| w[0] <= w[1]), "{widths:?}");
}

#[test]
fn results_come_in_the_order_of_the_input() {
    let asked: Vec<(Window, Plan)> = (1..5)
        .map(|k| (daily(40, |i| (k * 100 + i) as f64), plan(30, &[])))
        .collect();
    let alone: Vec<_> = asked.iter().map(|(w, p)| forecast(w, p)).collect();
    let together: Vec<_> = make_all(&asked)
        .into_iter()
        .map(|made| made.map(|made| made.outlook))
        .collect();
    assert_eq!(together, alone);
}

#[test]
fn a_week_coarser_than_a_day_keeps_its_step() {
    let week = Millis(7 * Millis::DAY.0);
    let values = (0..60).map(|i| 10.0 + f64::from(i)).collect();
    let forecast = of(&window(week, values), &plan(70, &[]));
    assert_eq!((forecast.step, forecast.points.len()), (week, 10));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10))]

    #[test]
    fn scaling_the_values_scales_the_forecast(
        scale in 1e-6_f64..1e6,
        slope in -0.2_f64..0.6,
        n in 30_usize..90,
    ) {
        let y = |i: usize| 80.0 + slope * i as f64 + noise(i) + if i % 7 > 4 { 4.0 } else { 0.0 };
        let base = of(&daily(n, y), &plan(60, &[("t", 150.0)]));
        let scaled = of(&daily(n, |i| scale * y(i)), &plan(60, &[("t", 150.0 * scale)]));
        for (a, b) in base.points.iter().zip(&scaled.points) {
            prop_assert!((a.mean * scale - b.mean).abs() <= 1e-5 * b.mean.abs());
            for (x, y) in a.bands.iter().zip(&b.bands) {
                prop_assert!((x.hi * scale - y.hi).abs() <= 1e-4 * y.hi.abs());
                // A lower end may be near zero, so the band's width is the measure.
                let near = 1e-4 * y.lo.abs().max(y.hi - y.lo);
                prop_assert!((x.lo * scale - y.lo).abs() <= near);
            }
        }
        let close = (base.crossings[0].probability - scaled.crossings[0].probability).abs();
        prop_assert!(close < 0.02);
    }

    #[test]
    fn shifting_time_changes_nothing_but_the_times(by in -1_000_000_000_i64..1_000_000_000) {
        let mut history = window(Millis::HOUR, (0..24 * 20).map(|h| 10.0 + noise(h)).collect());
        let base = of(&history, &plan(30, &[]));
        history.start = Timestamp::from_millis(history.start.as_millis() + by);
        let moved = of(&history, &plan(30, &[]));
        for (a, b) in base.points.iter().zip(&moved.points) {
            prop_assert_eq!(a.mean.to_bits(), b.mean.to_bits());
            prop_assert_eq!(b.at.as_millis() - a.at.as_millis(), by);
        }
    }

    #[test]
    fn any_series_gives_a_sound_forecast(
        values in prop::collection::vec(
            prop_oneof![
                8 => -1e3_f64..1e3,
                1 => Just(f64::NAN),
                1 => prop::num::f64::ANY,
            ],
            14..70,
        ),
        hourly in any::<bool>(),
    ) {
        let step = if hourly { Millis(6 * Millis::HOUR.0) } else { Millis::DAY };
        let asked = plan(120, &[("t", 10.0)]);
        if let Outlook::Forecast(forecast) = forecast(&window(step, values), &asked).unwrap() {
            assert_sound(&forecast);
        }
    }
}
