use std::sync::OnceLock;

use proptest::prelude::*;

use super::*;
use crate::forecast::{Plan, forecast};
use crate::model::capacity::Outlook;
use crate::model::scenario::{Archive, Migration, SeasonFactor};
use crate::model::series::Window;

const SEED: u64 = 11;

/// 200 days of growth under a week and noise, forecast for two years.
fn made(per_day: f64, limit: f64) -> Forecast {
    let noise = |i: usize| ((i * 7919 + 13) % 101) as f64 / 101.0 - 0.5;
    let week = [0.0, 1.0, 2.0, 1.0, 0.0, -2.0, -2.0];
    let values = (0..200)
        .map(|i| 100.0 + per_day * i as f64 + week[i % 7] + 3.0 * noise(i))
        .collect();
    let window = Window {
        start: Timestamp::from_millis(1_700_000_000_000),
        step: Millis::DAY,
        values,
    };
    let plan = Plan {
        thresholds: thresholds(limit),
        seed: SEED,
        ..Plan::default()
    };
    match forecast(&window, &plan).unwrap() {
        Outlook::Forecast(forecast) => *forecast,
        Outlook::NotEnoughData { .. } => panic!("there is enough"),
    }
}

/// A forecast that rises or falls, made once for all cases of the properties.
fn known(rises: bool) -> &'static Forecast {
    static BOTH: OnceLock<[Forecast; 2]> = OnceLock::new();
    let [falling, rising] = BOTH.get_or_init(|| [made(-0.2, 260.0), made(0.4, 260.0)]);
    if rises { rising } else { falling }
}

fn thresholds(limit: f64) -> Vec<Threshold> {
    [("warn", 0.75), ("critical", 0.9), ("limit", 1.0)]
        .map(|(name, share)| Threshold {
            name: name.to_owned(),
            value: share * limit,
        })
        .to_vec()
}

fn asked(forecast: &Forecast, scenario: &Scenario, piles_up: bool, limit: f64) -> Forecast {
    let change = Change { scenario, piles_up };
    under(forecast, &change, &thresholds(limit), SEED)
}

fn day(forecast: &Forecast, day: usize) -> Timestamp {
    forecast.points[day].at
}

/// Whether no quantile of `later` comes before that of `earlier`, and it is no likelier.
fn not_earlier(later: &Crossing, earlier: &Crossing) -> bool {
    let after = |a: Option<Timestamp>, b: Option<Timestamp>| match (a, b) {
        (Some(a), Some(b)) => a >= b,
        (Some(_), None) => false,
        (None, _) => true,
    };
    later.probability <= earlier.probability
        && (earlier.crossed || !later.crossed)
        && after(later.p10, earlier.p10)
        && after(later.p50, earlier.p50)
        && after(later.p90, earlier.p90)
}

#[test]
fn nothing_asked_changes_nothing() {
    for limit in [150.0, 190.0, 260.0, 400.0] {
        let base = made(0.4, limit);
        for piles_up in [false, true] {
            let same = asked(&base, &Scenario::default(), piles_up, limit);
            assert_eq!(same.points, base.points);
            assert_eq!(same.growth_per_day, base.growth_per_day);
            for (a, b) in same.crossings.iter().zip(&base.crossings) {
                // The paths are those of the forecast; bands hold their spread but for rounding.
                assert_eq!((a.threshold, a.crossed), (b.threshold, b.crossed));
                assert!((a.probability - b.probability).abs() < 0.006, "{a:?} {b:?}");
                for (a, b) in [(a.p10, b.p10), (a.p50, b.p50), (a.p90, b.p90)] {
                    let apart = a
                        .zip(b)
                        .map(|(a, b)| (a.as_secs_f64() - b.as_secs_f64()).abs());
                    assert!(apart.is_none_or(|s| s <= 86_400.0), "{a:?} {b:?}");
                }
            }
        }
    }
}

#[test]
fn double_growth_doubles_what_comes_on_top_of_the_level() {
    let base = made(0.4, 400.0);
    let twice = Scenario {
        growth: 2.0,
        ..Scenario::default()
    };
    let grown = asked(&base, &twice, true, 400.0);
    let trend = |f: &Forecast| {
        let year = &f.points[360..367];
        year.iter().map(|p| p.mean).sum::<f64>() / 7.0
    };
    let (was, is) = (trend(&base) - base.level, trend(&grown) - base.level);
    assert!((is / was - 2.0).abs() < 0.02, "{was} {is}");
    let ratio = grown.growth_per_day.value / base.growth_per_day.value;
    assert!((ratio - 2.0).abs() < 1e-9, "{ratio}");
}

#[test]
fn ten_times_the_load_is_ten_times_what_comes_and_goes_and_fills_ten_times_as_fast() {
    let base = made(0.4, 4_000.0);
    let ten = Scenario {
        load: 10.0,
        ..Scenario::default()
    };
    let flow = asked(&base, &ten, false, 4_000.0);
    for (a, b) in flow.points.iter().zip(&base.points) {
        assert!((a.mean - 10.0 * b.mean).abs() < 1e-6 * a.mean.abs());
        assert!((a.bands[1].hi - 10.0 * b.bands[1].hi).abs() < 1e-6 * a.mean.abs());
    }
    let stock = asked(&base, &ten, true, 4_000.0);
    assert!((stock.level - base.level).abs() < 1e-9);
    assert!(stock.points[0].mean < 1.2 * base.points[0].mean);
    let (was, is) = (
        base.points[700].mean - base.level,
        stock.points[700].mean - base.level,
    );
    assert!((8.0..=10.5).contains(&(is / was)), "{was} {is}");
}

#[test]
fn the_load_at_the_limit_meets_the_limit() {
    let base = made(0.4, 1_000.0);
    let neutral = Scenario::default();
    for piles_up in [false, true] {
        let change = Change {
            scenario: &neutral,
            piles_up,
        };
        let until = day(&base, 365);
        let load = load_at_limit(&base, &change, 1_000.0, until).unwrap();
        let scenario = Scenario {
            load,
            ..Scenario::default()
        };
        let then = asked(&base, &scenario, piles_up, 1_000.0);
        let swing = then.simulated.unwrap().swing;
        let before = then.points.iter().take_while(|p| p.at < until);
        let highest = before.map(|p| p.mean).fold(0.0, f64::max) + swing;
        assert!((highest - 1_000.0).abs() < 0.01, "{highest} {load}");
        let today = load_at_limit(&base, &change, 1_000.0, day(&base, 0));
        match (piles_up, today) {
            (true, today) => assert_eq!(today, None, "no load fills a disk at once"),
            (false, today) => {
                let present = base.simulated.unwrap().present;
                assert!((today.unwrap() * present - 1_000.0).abs() < 0.01);
                assert!(load < today.unwrap());
            }
        }
    }
}

#[test]
fn migrations_archives_events_and_seasons_do_what_they_say() {
    let base = made(0.4, 400.0);
    let at = day(&base, 100);
    let moved = |scenario: &Scenario, piles_up| asked(&base, scenario, piles_up, 400.0);
    let step = Scenario {
        migrations: vec![Migration {
            at: Some(at),
            amount: 50.0,
        }],
        ..Scenario::default()
    };
    let migrated = moved(&step, true);
    assert!((migrated.points[99].mean - base.points[99].mean).abs() < 1e-9);
    assert!((migrated.points[100].mean - base.points[100].mean - 50.0).abs() < 1e-9);
    let archive = Scenario {
        archives: vec![Archive {
            at: Some(at),
            share: 0.2,
        }],
        ..Scenario::default()
    };
    let archived = moved(&archive, true);
    let own = base.seasons.iter().map(|s| s.at(100)).sum::<f64>();
    let freed = base.points[100].mean - archived.points[100].mean;
    assert!(
        (freed - 0.2 * (base.points[100].mean - own)).abs() < 1e-9,
        "{freed}"
    );
    assert!((archived.points[99].mean - base.points[99].mean).abs() < 1e-9);
    let event = Scenario {
        events: vec![Event {
            from: at,
            to: day(&base, 110),
            factor: 3.0,
        }],
        ..Scenario::default()
    };
    let (flow, stock) = (moved(&event, false), moved(&event, true));
    assert!((flow.points[105].mean - 3.0 * base.points[105].mean).abs() < 1e-9);
    assert!((flow.points[110].mean - base.points[110].mean).abs() < 1e-9);
    // Ten days of growth twice more, which stay.
    let stays = stock.points[400].mean - base.points[400].mean;
    let ten_days = 2.0 * 10.0 * base.growth_per_day.value;
    assert!((stays / ten_days - 1.0).abs() < 0.5, "{stays} {ten_days}");
    let season = Scenario {
        season: Some(SeasonFactor {
            factor: 3.0,
            from: Some(at),
        }),
        ..Scenario::default()
    };
    let swung = moved(&season, false);
    assert!((swung.points[99].mean - base.points[99].mean).abs() < 1e-9);
    let more = swung.points[100].mean - base.points[100].mean;
    assert!((more - 2.0 * own).abs() < 1e-9, "{more} {own}");
}

#[test]
fn the_chance_before_a_date_agrees_with_the_quantiles() {
    let base = made(0.4, 260.0);
    let limit = base.crossing("limit").unwrap();
    let chance = |date| probability_before(&base, 260.0, date, SEED).unwrap();
    for (date, share) in [(limit.p10, 0.1), (limit.p50, 0.5)] {
        // A quantile is the step by whose end that share has crossed: many cross at a week's peak.
        let date = date.unwrap();
        assert!(chance(date) >= share - 0.006, "{share}");
        let before = chance(date.minus(Millis::DAY.as_duration()));
        assert!(before <= share + 0.006, "{share} {before}");
    }
    assert!(chance(day(&base, 0)).abs() < 1e-12);
    let never = Timestamp::from_millis(i64::MAX);
    assert_eq!(probability_before(&base, 260.0, never, SEED), None);
    let last = base.points.last().unwrap().at;
    let within = probability_before(&base, 260.0, last.plus(Millis::DAY.as_duration()), SEED);
    assert!((within.unwrap() - limit.probability).abs() < 0.006);
}

#[test]
fn a_record_without_its_simulation_still_answers() {
    let mut old = made(0.4, 400.0);
    old.simulated = None;
    old.seasons.clear();
    let fast = Scenario {
        growth: 3.0,
        ..Scenario::default()
    };
    let then = asked(&old, &fast, true, 400.0);
    assert!(then.crossing("limit").unwrap().p50.is_some());
}

fn scenarios() -> impl Strategy<Value = Scenario> {
    let share = prop_oneof![Just(0.0), 0.0..=1.0_f64];
    let at = proptest::option::of(1_717_000_000_000_i64..1_790_000_000_000);
    (
        0.0..20.0_f64,
        0.0..20.0_f64,
        share,
        at,
        -500.0..500.0_f64,
        0.0..5.0_f64,
    )
        .prop_map(|(growth, load, share, at, amount, factor)| {
            let at = at.map(Timestamp::from_millis);
            let from = at.unwrap_or(Timestamp::from_millis(1_720_000_000_000));
            Scenario {
                growth,
                load,
                season: Some(SeasonFactor { factor, from: at }),
                events: vec![Event {
                    from,
                    to: from.plus(Millis(9 * Millis::DAY.0).as_duration()),
                    factor,
                }],
                migrations: vec![Migration { at, amount }],
                archives: vec![Archive { at, share }],
                limit: None,
            }
        })
}

fn sound(forecast: &Forecast) -> bool {
    forecast.points.iter().all(|point| {
        let mut inner = (point.mean, point.mean);
        point.mean.is_finite()
            && point.bands.iter().all(|band| {
                let nests = band.lo <= inner.0 && band.hi >= inner.1;
                inner = (band.lo, band.hi);
                nests && band.lo.is_finite() && band.hi.is_finite()
            })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn bands_nest_and_no_number_is_lost(scenario in scenarios(), piles_up: bool, huge: bool) {
        let mut base = known(true).clone();
        if huge {
            for point in &mut base.points {
                point.mean = 1e308;
                for (rank, band) in point.bands.iter_mut().enumerate() {
                    band.lo = if rank == 2 { -1e308 } else { 1e307 };
                    band.hi = 1.1e308;
                }
            }
        }
        prop_assert_eq!(scenario.check(), Ok(()));
        let then = asked(&base, &scenario, piles_up, 300.0);
        prop_assert!(sound(&then));
        prop_assert!(then.level.is_finite() && then.growth_per_day.value.is_finite());
    }

    #[test]
    fn more_growth_or_load_is_never_later(
        rises: bool, less in 0.0..6.0_f64, more in 0.0..6.0_f64, piles_up: bool,
    ) {
        let base = known(rises);
        for part in 0..2 {
            let of = |factor: f64| {
                let mut scenario = Scenario::default();
                *[&mut scenario.growth, &mut scenario.load][part] = factor;
                asked(base, &scenario, piles_up, 260.0)
            };
            let (slow, fast) = (of(less), of(less + more));
            for (slow, fast) in slow.crossings.iter().zip(&fast.crossings) {
                prop_assert!(not_earlier(slow, fast), "{:?} {:?}", slow, fast);
            }
        }
    }

    #[test]
    fn archiving_more_or_a_higher_limit_is_never_earlier(
        mut scenario in scenarios(), share in 0.0..0.5_f64, higher in 1.0..3.0_f64, piles_up: bool,
    ) {
        let base = known(true);
        let before = asked(base, &scenario, piles_up, 260.0);
        let raised = asked(base, &scenario, piles_up, 260.0 * higher);
        scenario.archives.push(Archive { at: Some(day(base, 50)), share });
        let freed = asked(base, &scenario, piles_up, 260.0);
        for ((before, freed), raised) in
            before.crossings.iter().zip(&freed.crossings).zip(&raised.crossings)
        {
            prop_assert!(not_earlier(freed, before), "{:?} {:?}", freed, before);
            prop_assert!(not_earlier(raised, before), "{:?} {:?}", raised, before);
        }
    }
}
